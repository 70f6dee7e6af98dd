"""Plain weightwatcher, run politely, for comparisons."""

from __future__ import annotations

import numpy as np
import pandas as pd

from spec_tests.quietly import quiet

with quiet():
    import weightwatcher
    from weightwatcher import RMT_Util, WW_powerlaw

#: Columns of the random matrix begin so: with `engine="fast"` one draw of the same quantity, not weightwatcher's.
RANDOM = ("rand_", "max_rand", "ww_", "num_traps")


def plain_analyze(model, *, to_constructor: tuple[str, ...] = (), **options) -> pd.DataFrame:
    """weightwatcher's own table; its shuffles drawn from seed 0."""
    first = {name: options.pop(name) for name in to_constructor}
    with quiet(0):
        return weightwatcher.WeightWatcher(model=model, **first).analyze(**options)


def plain_detX(raw: np.ndarray) -> int:
    """weightwatcher's `detX_num` of a spectrum."""
    with quiet():
        return RMT_Util.detX_constraint(np.sort(raw))[0]


def plain_fit(raw: np.ndarray):
    """weightwatcher's default power-law fit."""
    with quiet():
        return WW_powerlaw.WWFit(raw)


def assert_same_columns(ours: pd.DataFrame, theirs: pd.DataFrame, rtol: float = 1e-9) -> None:
    """Every column of weightwatcher's table stands in the first rows of ours with its values.

    Those of the random matrix only with `rtol` 0 (`engine="reference"`); else they have numbers where it has.
    """
    theirs = theirs.reset_index(drop=True)
    first = ours.iloc[: len(theirs)]
    assert [name for name in ours if name in theirs] == list(theirs)
    assert (first["row_origin"] == "weightwatcher").all()
    assert (ours["row_origin"].iloc[len(theirs) :] == "setol_ww").all()
    for name in theirs:
        mine, yours = first[name], theirs[name]
        if not pd.api.types.is_numeric_dtype(yours):
            assert mine.fillna("?").tolist() == yours.fillna("?").tolist(), name
            continue
        mine, yours = mine.to_numpy(float), yours.to_numpy(float)
        if rtol and name.startswith(RANDOM):
            assert (np.isfinite(mine) == np.isfinite(yours)).all(), name
            continue
        atol = 1e-7 * theirs["sv_max"].max() if name == "sv_min" else 0.0
        np.testing.assert_allclose(mine, yours, rtol=rtol, atol=atol, err_msg=name)
