"""`recommend`: from results to advice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..results.results import Results, open_results
from ..results.store import is_store
from .advice import Advice
from .evidence import measured
from .registry import target_called


def recommend(results: Any, target: str, **options: Any) -> Advice:
    r"""What the spectra of a model say to do: a number for each layer.

    | target | column | by |
    |---|---|---|
    | `learning-rates` | `learning_rate` | TempBalance: median-Hill alpha, small alpha small rate |
    | `weight-decay` | `weight_decay` | AlphaDecay: median-Hill alpha, small alpha small decay |
    | `sparsity` | `sparsity` | AlphaPruning: alpha, small alpha little pruned, one budget over all layers |
    | `lora-rank` | `rank` | rank of the ERG cut, or number of spikes, within a budget of parameters |
    | `unfreeze` | `unfreeze` | Spectrum's signal-to-noise ratio, or energy above our edge of the bulk |
    | `truncate` | `rank` | ranks within a budget of parameters or of energy |

    Parameters
    ----------
    results : Results, the path of kept ones, or anything that `setol_ww.examine` takes
        Whose spectra are asked.
    target : str
    **options
        Of the target, listed in the docstring of its module `setol_ww.advice.NAME`; `Advice.options` has them all.

    Returns
    -------
    Advice
        `.table()`, `.to_yaml(path)`, and what its user takes: `.param_groups(model)`, `.rank_pattern()`,
        `.alpha_pattern()`, `.patterns()`, `.rules()`.

    Raises
    ------
    InvalidInput
        No such target or option, a budget that cannot be kept, no layer with a spectrum.

    Examples
    --------
    >>> import numpy as np, setol_ww as ww
    >>> rng = np.random.default_rng(0)
    >>> results = ww.examine({"a": rng.normal(size=(80, 60)), "b": rng.standard_t(2, size=(90, 70))}, progress=False)
    >>> table = ww.recommend(results, "sparsity", sparsity=0.7).table()
    >>> round(float(table["sparsity"] @ table["n_params"] / table["n_params"].sum()), 12)
    0.7
    """
    wanted = target_called(target)
    asked = wanted.options(options)
    draft = wanted.advise(_results_of(results), **asked)
    return Advice(
        target=wanted.name,
        column=wanted.column,
        rows=tuple(draft.rows),
        options=asked,
        formula=wanted.formula,
        source=wanted.source,
        measured=measured(wanted.name),
        warning=wanted.warning,
        notes=draft.notes,
        left_out=dict(draft.left_out),
    )


def _results_of(source: Any) -> Results:
    if isinstance(source, Results):
        return source
    if isinstance(source, (str, Path)) and is_store(Path(source)):
        return open_results(source)
    from ..watcher import examine

    return examine(source, progress=False)
