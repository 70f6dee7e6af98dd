"""weightwatcher itself: its names, its arguments, what it refuses, and its code with names of our own inside.

`package` is weightwatcher as the host may import it, untouched. `rooms` is a second copy of its module, executed with
`standins` in place of `print`, `warnings`, `logging`, `numpy.random` and `matplotlib.pyplot`: its code does what it
does and touches nothing of the process, in as many threads as there are.
"""

from __future__ import annotations

import builtins
import importlib.util
import inspect
import sys
from collections.abc import Iterator, Mapping
from types import ModuleType, SimpleNamespace
from typing import Any

from ..core.errors import InvalidInput
from ..core.manners import importing, importing_quietly
from ..weights.tensors import weight_as_it_acts
from .standins import NAME, SUBSTITUTES, figures, listening, random, save_figure, silent

with importing_quietly():
    import weightwatcher as package
    import weightwatcher.weightwatcher as module
    from weightwatcher.constants import DEFAULT_PARAMS, DELTA_ES, LAYER_TYPE, START_IDS

__all__ = [
    "DEFAULT_PARAMS",
    "DELTA_ES",
    "DESCRIBE",
    "HOST_MODULES",
    "LAYER_TYPE",
    "START_IDS",
    "arguments_by_name",
    "figures",
    "package",
    "parameters",
    "rooms",
]

# Where the host finds the class.
HOST_MODULES = (package, module)
SIGNATURE = inspect.signature(package.WeightWatcher.analyze)
DESCRIBE = inspect.signature(package.WeightWatcher.describe)
OURS = ("quality", "seed", "engine", "n_jobs", "progress", "device", "farms", "uncertainty", "layouts")
# weightwatcher's analyze() names these options differently from its own parameter table.
PARAMETER_OF = {
    "deltas": DELTA_ES,
    "glorot_fix": "glorot_fit",
    "max_fingers": "MAX_FINGERS",
    "start_ids": START_IDS,
}
# Defaults that are ours: the README's columns without a word.
DEFAULTS = {"detX": True}
# Arguments of analyze() that are no parameters of an analysis, or that it ignores.
NO_PARAMETERS = ("self", "model", "base_model", "min_size", "max_size", "ERG")
# Options whose code in weightwatcher 0.7.7 raises whatever the model.
BROKEN = {
    "fft": "misspells an attribute there and cannot carry it out; accepted is False",
    "channels": "calls the string as a function there and cannot carry it out; accepted is None",
}


def _copies() -> dict[str, ModuleType]:
    """weightwatcher's modules and powerlaw, executed once more; what they import comes from `SUBSTITUTES` first."""
    made: dict[str, Any] = {}

    def imported(name: str, scope: Any = None, local: Any = None, names: Any = (), level: int = 0) -> Any:
        if level:
            # Its constants are compared by identity, with those of the host's weightwatcher too.
            return made.get(f"{NAME}.{name}") or sys.modules[f"{NAME}.{name}"]
        return made.get(name) or SUBSTITUTES.get(name) or builtins.__import__(name, scope, local, names, level)

    own = {**vars(builtins), "print": silent, "__import__": imported}
    for name in ("powerlaw", f"{NAME}.WW_powerlaw", f"{NAME}.RMT_Util", f"{NAME}.weightwatcher"):
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        made[name] = module = ModuleType(f"{__name__}.{name}", f"A copy of {name} that leaves the process alone.")
        module.__dict__.update(__builtins__=own, __file__=spec.origin)
        exec(spec.loader.get_code(name), module.__dict__)  # type: ignore[attr-defined]
    return made


def _singular_values(W: Any, k: int) -> Any:
    """The k largest, by ARPACK, which would begin from a vector of numpy's global generator."""
    return _sparse_svd(W, k, return_singular_vectors=False)


def _low_rank(W: Any, k: int) -> Any:
    return _sparse_svd(W, k, return_singular_vectors=True)


def _sparse_svd(W: Any, k: int, **options: Any) -> Any:
    # Heavy, and loaded by weightwatcher already.
    from scipy.sparse.linalg import svds

    return svds(W, k=k, solver="arpack", v0=random.standard_normal(size=(min(W.shape),)), **options)


def _eigenvectors(X: Any) -> Any:
    """Of a symmetric matrix, by weightwatcher's solver for any, which calls the eigenvalues complex."""
    values, vectors = _solved(X)
    return values.real, vectors


def _layers_of(model: Any, start_id: int) -> Iterator[Any]:
    """weightwatcher's iterator, which would write an attribute into every module."""
    for layer_id, (longname, module) in enumerate(model.named_modules(), start=start_id):
        yield rooms.PyTorchLayer(module, layer_id, longname=longname)


def _read(layer: Any) -> Any:
    """Weights and biases of a module; a computed weight without a step of its power iteration."""
    module = layer.layer
    weight = weight_as_it_acts(module)
    if not hasattr(weight, "data"):
        # What is called `weight` may be a method, or the list of parametrisations: weightwatcher would fail there.
        return False, None, False, None
    layer.layer = SimpleNamespace(weight=weight, bias=getattr(module, "bias", None))
    try:
        return _read_stored(layer)
    finally:
        layer.layer = module


with importing():
    _modules = _copies()
rooms: Any = _modules[f"{NAME}.weightwatcher"]
_utilities: Any = _modules[f"{NAME}.RMT_Util"]
for _name in ("_svd_values_accurate", "_svd_values_fast"):
    setattr(_utilities, _name, _singular_values)
for _name in ("_svd_lowrank_accurate", "_svd_lowrank_fast"):
    setattr(_utilities, _name, _low_rank)
_solved = _utilities._eig_full_accurate
_utilities._eig_full_accurate = _utilities._eig_full_fast = _eigenvectors
rooms.save_fig = _utilities.save_fig = save_figure
_read_stored = rooms.PyTorchLayer.get_weights_and_biases
rooms.PyTorchLayer.get_weights_and_biases = _read
rooms.PyTorchLayer.get_layer_iterator = staticmethod(_layers_of)


def arguments_by_name(
    watcher: Any,
    args: tuple,
    kwargs: dict[str, Any],
    signature: inspect.Signature = SIGNATURE,
    ours: tuple[str, ...] = OURS,
) -> dict[str, Any]:
    """weightwatcher's arguments by name; `InvalidInput` with all accepted names for one it does not know."""
    accepted = [name for name in signature.parameters if name != "self"]
    unknown = sorted(set(kwargs) - set(accepted))
    if unknown:
        raise InvalidInput(f"the option(s) {unknown} were asked; accepted are {sorted([*accepted, *ours])}")
    try:
        bound = signature.bind(watcher, *args, **kwargs)
    except TypeError as error:
        raise InvalidInput(f"the arguments do not fit ({error}); accepted are, in this order, {accepted}") from None
    return {name: value for name, value in bound.arguments.items() if name != "self"}


def refuse_broken(options: Mapping[str, Any]) -> None:
    """`InvalidInput` for an option that weightwatcher cannot carry out."""
    for name, broken in BROKEN.items():
        if options.get(name):
            raise InvalidInput(f"{name}={options[name]!r} was asked; weightwatcher 0.7.7 {broken}")


def parameters(options: dict[str, Any], signature: inspect.Signature = SIGNATURE) -> dict[str, Any]:
    """weightwatcher's parameters from the arguments of its `analyze` (or `describe`), as that makes them.

    What it would refuse with a bare Exception is refused here in its own words.
    """
    refuse_broken(options)
    given = {name: parameter.default for name, parameter in signature.parameters.items() if name not in NO_PARAMETERS}
    given |= DEFAULTS | {name: value for name, value in options.items() if name in given}
    if given["ww2x"]:
        given |= {"ww2x": False, "pool": False}
    if options.get("ERG"):
        given["detX"] = True
    params = {**DEFAULT_PARAMS, **{PARAMETER_OF.get(name, name): value for name, value in given.items()}}
    with listening() as said:
        try:
            valid = rooms.WeightWatcher.valid_params(params)
        except TypeError as error:
            said.append(str(error))
            valid = False
    if not valid:
        shown = {name: value for name, value in options.items() if name not in NO_PARAMETERS}
        raise InvalidInput(f"the options {shown} were asked; weightwatcher refuses them: {'; '.join(said)}")
    return rooms.WeightWatcher.normalize_params(None, params)
