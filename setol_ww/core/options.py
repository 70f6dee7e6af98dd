"""`Options`: what an analysis can be told, in one place for every entry point, the command line and the store.

Every field says in its metadata what it is, and from there come the docstrings (`parameters`), the command line's
flags (`add_flags`, `from_flags`) and what a results file belongs to (`Options.key`).
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import Field, asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np

from .checks import one_of, seed_of
from .errors import InvalidInput

DEVICES = ("cpu", "cuda")
QUIET = "no progress bar, and nothing printed but what --json or --out - asks for"


def _told(kind: str, text: str, *, changes_numbers: bool = True, **flag: Any) -> dict[str, Any]:
    """The documentation of a field; `flag` is what the command line's parser is told, `name` its spelling there."""
    return {"kind": kind, "help": text, "changes_numbers": changes_numbers, "flag": flag}


@dataclass(frozen=True)
class Options:
    """What an analysis can be told; checked when it is made.

    Attributes
    ----------
    layers : tuple of str or int
        A word, a number or a sequence of them may be given; empty means all.

    Raises
    ------
    InvalidInput
        A value that is not accepted, repeated with what is.

    Examples
    --------
    >>> options = Options(layers="fc*", seed=7)
    >>> options.layers, options.key()["seed"], "n_jobs" in options.key()
    (('fc*',), 7, False)
    """

    layers: Any = field(
        default=(),
        metadata=_told(
            "str, int, or a sequence of them",
            "only these layers: ids, names, patterns (`model.layers.3.*`) or types (`dense`, `conv2d`, ...); a leading "
            "- leaves out. Empty means all",
            name="--layers",
            action="extend",
            nargs="+",
            metavar="WHICH",
        ),
    )
    randomize: bool = field(
        default=False,
        metadata=_told(
            "bool",
            "add the columns of correlation traps, which shuffle every weight: about doubles the time",
            name="--randomize",
            action="store_true",
        ),
    )
    seed: int = field(
        default=0,
        metadata=_told(
            "int", "seed of everything that is drawn at random, from 0 to 2**32 - 1", name="--seed", type=int
        ),
    )
    detX: bool = field(
        default=True,
        metadata=_told(
            "bool",
            "add the columns of the ERG condition and the state of a layer",
            name="--no-detX",
            action="store_false",
        ),
    )
    quality: bool = field(
        default=True,
        metadata=_told("bool", "add the columns of the layer quality", name="--no-quality", action="store_false"),
    )
    uncertainty: int = field(
        default=0,
        metadata=_told(
            "int",
            "number of resamplings of each spectrum for the errors of its numbers; 0 leaves them out",
            name="--uncertainty",
            type=int,
            metavar="N",
        ),
    )
    farms: bool = field(
        default=False,
        metadata=_told(
            "bool",
            "add the tail exponent of square windows of each weight, which is free of its shape",
            name="--farms",
            action="store_true",
        ),
    )
    device: str = field(
        default="cpu",
        metadata=_told(
            "str", "where the eigenvalues are computed: `cpu`, or `cuda` where torch sees a GPU", name="--device"
        ),
    )
    n_jobs: int = field(
        default=1,
        metadata=_told(
            "int",
            "workers, -1 for every core; changes nothing but the time",
            changes_numbers=False,
            name="--jobs",
            type=int,
            metavar="J",
        ),
    )
    layouts: dict[str, str] = field(
        default_factory=dict,
        metadata=_told(
            "mapping of str to str",
            "what is in a tensor, by its name or a pattern: `{'*.qkv_proj.weight': 'qkv:64,32,32'}`",
            name="--layout",
            help="what is in a tensor, by its name or a pattern, as in '*.qkv_proj.weight=qkv:64,32,32'",
            action="append",
            metavar="PATTERN=WHAT",
        ),
    )
    progress: bool | None = field(
        default=None,
        metadata=_told(
            "bool, optional",
            "a bar with an estimate of the time; by default only on a terminal",
            changes_numbers=False,
            name="--quiet",
            action="store_const",
            const=False,
        ),
    )

    def __post_init__(self) -> None:
        checked = {
            "layers": layers_of(self.layers),
            "seed": seed_of(self.seed),
            "uncertainty": _count("uncertainty", self.uncertainty, "a number of resamplings, 0 or more"),
            "n_jobs": jobs_of(self.n_jobs),
            "layouts": layouts_of(self.layouts),
        }
        for name in ("randomize", "detX", "quality", "farms"):
            checked[name] = bool(one_of(name, getattr(self, name), (True, False)))
        one_of("progress", self.progress, (None, True, False))
        if not isinstance(self.device, str) or not self.device:
            raise InvalidInput(f"device={self.device!r} was asked; accepted is one of {', '.join(map(repr, DEVICES))}")
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def key(self) -> dict[str, Any]:
        """What a results file belongs to: every option that changes a number, as JSON has it."""
        told = {one.name: getattr(self, one.name) for one in fields(self) if one.metadata["changes_numbers"]}
        return {**told, "layers": list(self.layers) or None}

    def as_dict(self) -> dict[str, Any]:
        """Every option as JSON has it; `Options.from_dict` takes it back."""
        return {**asdict(self), "layers": list(self.layers)}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Options:
        """Options from a mapping by name; `InvalidInput` names what is no option."""
        refuse_unknown(told, names())
        return cls(**told)

    def changed(self, **changes: Any) -> Options:
        """The same with some others, checked as at the start."""
        refuse_unknown(changes, names())
        return replace(self, **changes)


def names() -> tuple[str, ...]:
    """Names of all options."""
    return tuple(one.name for one in fields(Options))


def refuse_unknown(told: Iterable[str], accepted: Iterable[str]) -> None:
    """`InvalidInput` for the first word that is no option."""
    listed = list(accepted)
    for name in told:
        if name not in listed:
            raise InvalidInput(f"the option {name!r} was asked; accepted are {', '.join(listed)}")


def layers_of(layers: Any) -> tuple[str | int, ...]:
    """`layers` as a tuple of words and numbers; None and nothing mean all."""
    if layers is None:
        return ()
    try:
        listed = [layers] if isinstance(layers, (str, int, np.integer)) else list(layers)
    except TypeError:
        listed = [layers]
    if not all(isinstance(which, (str, int, np.integer)) and not isinstance(which, bool) for which in listed):
        raise InvalidInput(f"layers={layers!r} was asked; accepted are names, patterns, types and layer ids")
    return tuple(which if isinstance(which, str) else int(which) for which in listed)


def jobs_of(n_jobs: Any) -> int:
    """`n_jobs` when it is an integer other than 0."""
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, (int, np.integer)) or n_jobs == 0:
        raise InvalidInput(f"n_jobs={n_jobs!r} was asked; accepted is an integer other than 0, -1 for every core")
    return int(n_jobs)


def layouts_of(layouts: Any) -> dict[str, str]:
    """`layouts` as a dict of words."""
    if layouts is None:
        return {}
    if not isinstance(layouts, Mapping) or not all(isinstance(word, str) for word in (*layouts, *layouts.values())):
        raise InvalidInput(
            f"layouts={layouts!r} was asked; accepted is a mapping of names or patterns to what is in the tensor, "
            "for instance {'*.qkv_proj.weight': 'qkv:64,32,32'}"
        )
    return dict(layouts)


def _count(name: str, value: Any, accepted: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
        raise InvalidInput(f"{name}={value!r} was asked; accepted is {accepted}")
    return int(value)


def parameters(*wanted: str, indent: str = "    ") -> str:
    """The numpydoc entries of some options (all without a name), for docstrings.

    Examples
    --------
    >>> print(parameters("seed", indent=""))
    seed : int
        seed of everything that is drawn at random, from 0 to 2**32 - 1. By default 0.
    """
    lines = []
    for one in _fields(wanted):
        lines.append(f"{indent}{one.name} : {one.metadata['kind']}")
        default = "" if one.name in ("progress", "layers", "layouts") else f" By default {getattr(Options, one.name)}."
        text = f"{one.metadata['help']}.{default}"
        lines += textwrap.wrap(text, 116, initial_indent=f"{indent}    ", subsequent_indent=f"{indent}    ")
    return "\n".join(lines)


def add_flags(parser: argparse.ArgumentParser, *wanted: str) -> None:
    """The flags of some options (all without a name) for a command; `from_flags` reads them."""
    for one in _fields(wanted):
        told = dict(one.metadata["flag"])
        flag = told.pop("name")
        text = told.pop("help", one.metadata["help"]).replace("`", "").replace("%", "%%")
        text = {"store_false": f"do not {text}", "store_const": QUIET}.get(told.get("action", ""), text)
        if told.get("action") == "append":
            text += "; may be given several times"
        default = argparse.SUPPRESS
        parser.add_argument(flag, dest=one.name, default=default, help=text, **told)


def from_flags(parsed: argparse.Namespace) -> Options:
    """The options of a command line that `add_flags` described."""
    told = {name: value for name, value in vars(parsed).items() if name in names()}
    if "layouts" in told:
        told["layouts"] = dict(_pair(word) for word in told["layouts"])
    return Options(**told)


def _fields(wanted: tuple[str, ...]) -> list[Field[Any]]:
    refuse_unknown(wanted, names())
    return [one for one in fields(Options) if not wanted or one.name in wanted]


def _pair(word: str) -> tuple[str, str]:
    pattern, equals, what = word.partition("=")
    if not equals or not pattern:
        raise InvalidInput(f"--layout {word!r} was asked; accepted is PATTERN=WHAT, for instance '*.table=skip'")
    return pattern, what
