"""weightwatcher itself, imported quietly: its names, its arguments, and what it refuses."""

from __future__ import annotations

import inspect
import logging
from typing import Any

from ..core.errors import InvalidInput
from ..core.manners import quiet

with quiet():
    import weightwatcher as package
    from weightwatcher import weightwatcher as rooms
    from weightwatcher.constants import DEFAULT_PARAMS, DELTA_ES, LAYER_TYPE, START_IDS

__all__ = [
    "DEFAULT_PARAMS",
    "DELTA_ES",
    "LAYER_TYPE",
    "START_IDS",
    "arguments_by_name",
    "package",
    "refuse_invalid",
    "rooms",
]

SIGNATURE = inspect.signature(package.WeightWatcher.analyze)
OURS = ("quality", "seed", "engine", "n_jobs", "progress", "device", "farms", "layouts")
# weightwatcher's analyze() names these options differently from its own parameter table.
PARAMETER_OF = {
    "deltas": "deltaEs",
    "glorot_fix": "glorot_fit",
    "max_fingers": "MAX_FINGERS",
    "start_ids": START_IDS,
}
# Options whose code in weightwatcher 0.7.7 raises whatever the model.
BROKEN = {
    "fft": "misspells an attribute there and cannot carry it out; accepted is False",
    "channels": "calls the string as a function there and cannot carry it out; accepted is None",
}


def arguments_by_name(watcher: Any, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """weightwatcher's arguments by name; `InvalidInput` with all accepted names for one it does not know."""
    accepted = [name for name in SIGNATURE.parameters if name != "self"]
    unknown = sorted(set(kwargs) - set(accepted))
    if unknown:
        raise InvalidInput(f"the option(s) {unknown} were asked; accepted are {sorted([*accepted, *OURS])}")
    try:
        bound = SIGNATURE.bind(watcher, *args, **kwargs)
    except TypeError as error:
        raise InvalidInput(f"the arguments do not fit ({error}); accepted are, in this order, {accepted}") from None
    return {name: value for name, value in bound.arguments.items() if name != "self"}


def refuse_invalid(options: dict[str, Any]) -> None:
    """Refuse here, with weightwatcher's own words, what it would refuse with a bare Exception."""
    for name, broken in BROKEN.items():
        if options.get(name):
            raise InvalidInput(f"{name}={options[name]!r} was asked; weightwatcher 0.7.7 {broken}")
    params = {**DEFAULT_PARAMS, "randomize": False, "vectors": False, "savefig": "ww-img", "fix_fingers": False}
    params.update({PARAMETER_OF.get(name, name): value for name, value in options.items()})
    heard = _Listener()
    upstream = logging.getLogger("weightwatcher")
    level, propagate = upstream.level, upstream.propagate
    upstream.addHandler(heard)
    upstream.setLevel(logging.WARNING)
    upstream.propagate = False
    try:
        valid = package.WeightWatcher.valid_params(params)
    except TypeError as error:
        heard.said.append(str(error))
        valid = False
    finally:
        upstream.removeHandler(heard)
        upstream.setLevel(level)
        upstream.propagate = propagate
    if not valid:
        raise InvalidInput(f"the options {options} were asked; weightwatcher refuses them: {'; '.join(heard.said)}")


class _Listener(logging.Handler):
    """Keeps what a logger says."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage().strip())
