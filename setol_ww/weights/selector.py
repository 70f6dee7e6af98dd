"""`layers=`: which rows are asked for, in one dialect wherever it is said.

| asked | means |
|---|---|
| `3` | the layer id |
| `"fc1"`, `"model.layers.0.mlp"`, `"attn [q]"` | a name: of the layer, its last word, its tensor, a slice |
| `"model.layers.*.mlp"` | a pattern (`*`, `?`, `[...]`) for any of these names |
| `"dense"`, `"Linear"` | a type: of the column `layer_type`, or the class of the module |
| `-3`, `"-fc1"`, `"-*.bias"`, `"-embedding"` | all but those |

Several are put together: any of the wanted, none of the unwanted.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any, Protocol

import numpy as np

from ..core.errors import InvalidInput
from ..core.printable import visible

NAMES_SHOWN = 8
PATTERN = frozenset("*?[")


class Named(Protocol):
    """What can be asked for."""

    @property
    def layer_id(self) -> int:
        """Its number."""

    @property
    def names(self) -> frozenset[str]:
        """All of its names."""

    @property
    def types(self) -> frozenset[str]:
        """What it is."""

    @property
    def title(self) -> str:
        """The name in messages."""


@dataclass(frozen=True)
class Wish:
    """One thing that `layers=` names: a word or a number, wanted or not."""

    asked: str | int
    key: str | int
    unwanted: bool = False

    def among(self, listed: Sequence[Any]) -> list[bool]:
        """For each of `listed` whether it is meant; a word of digits is a name where one is called so, else an id."""
        if isinstance(self.key, int):
            return [one.layer_id == self.key for one in listed]
        found = [self._names(one) for one in listed]
        if not any(found) and self.key.isascii() and self.key.isdigit() and len(self.key) < 18:
            return [one.layer_id == int(self.key) for one in listed]
        return found

    def _names(self, one: Named) -> bool:
        # A name may itself hold brackets, which a pattern would read as a set of characters.
        if self.key in one.names or self.key in one.types:
            return True
        key = str(self.key)
        return bool(PATTERN & set(key)) and any(fnmatchcase(name, key) for name in one.names)


@dataclass(frozen=True)
class Selector:
    """What `layers=` asks for; everything when it names nothing.

    Examples
    --------
    >>> Selector.of("-embedding").wishes[0].unwanted, Selector.of([]).wishes
    (True, ())
    """

    wishes: tuple[Wish, ...] = ()

    @classmethod
    def of(cls, layers: Any) -> Selector:
        """From ids, names, patterns, types or classes, one or several; `InvalidInput` for anything else."""
        if layers is None:
            return cls()
        single = isinstance(layers, (str, int, np.integer, type, Enum)) or not isinstance(layers, Iterable)
        return cls(tuple(_wish(one, layers) for one in ([layers] if single else layers)))

    @property
    def asked(self) -> list[str | int]:
        """What was asked, as plain words and numbers."""
        return [wish.asked for wish in self.wishes]

    def chosen(self, listed: Sequence[Any]) -> list[bool]:
        """For each of `listed` whether it is asked for.

        Raises
        ------
        InvalidInput
            Something names nothing, or nothing is left; the text has the nearest names.
        """
        if not self.wishes:
            return [True] * len(listed)
        named = [(wish, wish.among(listed)) for wish in self.wishes]
        for wish, meant in named:
            if not any(meant):
                raise InvalidInput(self._none_called(wish, listed))
        wanted = [meant for wish, meant in named if not wish.unwanted]
        unwanted = [meant for wish, meant in named if wish.unwanted]
        found = [
            (not wanted or any(meant[place] for meant in wanted)) and not any(meant[place] for meant in unwanted)
            for place in range(len(listed))
        ]
        if not any(found):
            raise InvalidInput(f"layers={self.asked!r} was asked; it leaves out every layer there is")
        return found

    def _none_called(self, wish: Wish, listed: Sequence[Any]) -> str:
        titles = list(dict.fromkeys(one.title for one in listed))
        near = _nearest(str(wish.key), listed) or titles[:NAMES_SHOWN]
        more = f" and {len(titles) - len(near)} more" if len(titles) > len(near) else ""
        types = ", ".join(sorted({word for one in listed for word in one.types if word}))
        return (
            f"layers={self.asked!r} was asked; nothing here is called {wish.asked!r}. Accepted are names "
            f"({', '.join(map(visible, near))}{more}), patterns of names, types ({types}) and layer ids, or the same "
            "with a minus for all but those"
        )


def _wish(asked: Any, layers: Any) -> Wish:
    key = asked.__name__ if isinstance(asked, type) else asked.value if isinstance(asked, Enum) else asked
    if isinstance(key, bool) or not isinstance(key, (str, int, np.integer)) or key in ("", "-"):
        raise InvalidInput(
            f"layers={layers!r} was asked; accepted are layer ids, names, patterns of names and types, one or several"
        )
    if isinstance(key, str):
        return Wish(key, key.removeprefix("-"), key.startswith("-"))
    return Wish(int(key), abs(int(key)), int(key) < 0)


def _nearest(word: str, listed: Sequence[Any]) -> list[str]:
    """Titles of those with a name like the word."""
    by_name = {name: one.title for one in listed for name in sorted(one.names)}
    near = difflib.get_close_matches(word, by_name, n=NAMES_SHOWN, cutoff=0.5)
    return list(dict.fromkeys(by_name[name] for name in near))
