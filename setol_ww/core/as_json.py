"""Values as JSON has them: for everything that exports itself by `to_dict`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from typing import Any


def as_json(value: Any) -> Any:
    """`value` in JSON's own types, every digit kept; a number that is none or infinite is null.

    Examples
    --------
    >>> import numpy as np
    >>> as_json({"a": (np.float64(0.1), math.nan), "b": np.arange(2)})
    {'a': [0.1, None], 'b': [0, 1]}
    """
    if isinstance(value, Mapping):
        return {key: as_json(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(one) for one in value]
    if isinstance(value, Enum):
        return as_json(value.value)
    if hasattr(value, "tolist"):
        return as_json(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
