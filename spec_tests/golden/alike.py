"""Whether what is said now is what was kept: words to the letter, numbers as far as no machine tells them apart."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

NUMBER = re.compile(r"(?<![\w#.])[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|nan|inf)(?![\w.])")
CLOSE = 2e-4


def assert_alike(told: Any, kept: Any, meant: str, where: str = "", least: float = 1e-9) -> None:
    """`AssertionError` with the place where they part, and what to do if it is `meant`; `least` is as good as 0."""
    if isinstance(kept, dict) and isinstance(told, dict):
        assert list(told) == list(kept), f"{where}: {meant}"
        for name, value in kept.items():
            assert_alike(told[name], value, meant, f"{where}/{name}", least)
    elif isinstance(kept, list) and isinstance(told, list):
        for number, (one, other) in enumerate(zip(told, kept, strict=False)):
            assert_alike(one, other, meant, f"{where}/{number}", least)
        assert len(told) == len(kept), f"{where}: {meant}"
    elif isinstance(kept, str) and isinstance(told, str):
        assert NUMBER.sub("#", told) == NUMBER.sub("#", kept), f"{where}: {meant}"
        numbers = [np.array([float(one) for one in NUMBER.findall(text)]) for text in (told, kept)]
        # What is printed has three digits at times, and may be rounded to either side.
        np.testing.assert_allclose(*numbers, rtol=10 * CLOSE, atol=least, err_msg=f"{where}: {meant}\n{kept}\n{told}")
    elif isinstance(kept, float) and isinstance(told, (int, float)):
        np.testing.assert_allclose(told, kept, rtol=CLOSE, atol=least, err_msg=f"{where}: {meant}")
    else:
        assert (type(told), told) == (type(kept), kept), f"{where}: {meant}"
