"""A table of measurements that grows on disk, so that a killed script goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd


def grown(
    file: Path, settings: Iterable[Mapping[str, Any]], measured: Callable[..., Mapping[str, Any]]
) -> pd.DataFrame:
    """A row a setting, in their order, with what `measured(**setting)` answers; what is there is not made again."""
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = pd.read_csv(file).to_dict("records") if file.exists() else []
    kept = []
    for setting in settings:
        found = [row for row in rows if all(row[name] == value for name, value in setting.items())]
        kept.append(found[0] if found else {**setting, **measured(**setting)})
        if not found:
            rows.append(kept[-1])
            partial = file.with_suffix(".partial")
            pd.DataFrame(rows).to_csv(partial, index=False, float_format="%.9g", lineterminator="\n")
            partial.replace(file)
    return pd.DataFrame(kept)
