"""`plug_in`: `weightwatcher.WeightWatcher` is ours for code that imports weightwatcher by itself."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from .subclass import WeightWatcher
from .upstream import HOST_MODULES

logger = logging.getLogger(__name__)

NAME = "WeightWatcher"


class _Plug:
    """Who wants our class in weightwatcher's place, and what stood there before."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.is_in, self.blocks = False, 0
        self.before: dict[ModuleType, Any] = {}

    def change(self, *, is_in: bool | None = None, blocks: int = 0) -> None:
        with self.lock:
            self.is_in = self.is_in if is_in is None else is_in
            self.blocks += blocks
            wanted = self.is_in or self.blocks > 0
            if wanted and not self.before:
                self._put_in()
            elif not wanted and self.before:
                self._take_out()

    def _put_in(self) -> None:
        for module in HOST_MODULES:
            self.before[module] = getattr(module, NAME)
            setattr(module, NAME, WeightWatcher)

    def _take_out(self) -> None:
        for module, stood_there in self.before.items():
            if getattr(module, NAME, None) is WeightWatcher:
                setattr(module, NAME, stood_there)
            else:
                logger.warning("%s.%s was replaced by something else meanwhile: left as it is", module.__name__, NAME)
        self.before = {}


_plug = _Plug()


def plug_in() -> None:
    """Put our class in the place of `weightwatcher.WeightWatcher`, for code that imports weightwatcher by itself.

    Afterwards `import weightwatcher; weightwatcher.WeightWatcher(model)`, `from weightwatcher import WeightWatcher` and
    `weightwatcher.weightwatcher.WeightWatcher` make our watchers, in every thread. A name that was bound before
    (`from weightwatcher import WeightWatcher`, then `plug_in()`) stays weightwatcher's. Once more does nothing;
    `plug_out` undoes it.

    Notes
    -----
    Our class is a subclass of weightwatcher's: our watchers are instances of both. A watcher that was made before is
    weightwatcher's and no instance of ours.

    Examples
    --------
    >>> import setol_ww, weightwatcher
    >>> theirs = weightwatcher.WeightWatcher
    >>> setol_ww.plug_in()
    >>> weightwatcher.WeightWatcher is setol_ww.WeightWatcher
    True
    >>> setol_ww.plug_out()
    >>> weightwatcher.WeightWatcher is theirs
    True
    """
    _plug.change(is_in=True)


def plug_out() -> None:
    """Undo `plug_in`: what stood in weightwatcher's modules stands there again; without `plug_in` nothing happens.

    Within `plugged_in` blocks that are still open our class stays until the last of them ends.

    Examples
    --------
    >>> import setol_ww
    >>> setol_ww.plug_out()
    """
    _plug.change(is_in=False)


@contextlib.contextmanager
def plugged_in() -> Iterator[type[WeightWatcher]]:
    """`plug_in` for a block: undone at its end, on exceptions too; blocks may lie in each other and in threads.

    Yields
    ------
    type
        Our class.

    Examples
    --------
    >>> import setol_ww, weightwatcher
    >>> theirs = weightwatcher.WeightWatcher
    >>> with setol_ww.plugged_in():
    ...     print(weightwatcher.WeightWatcher is setol_ww.WeightWatcher)
    True
    >>> weightwatcher.WeightWatcher is theirs
    True
    """
    _plug.change(blocks=1)
    try:
        yield WeightWatcher
    finally:
        _plug.change(blocks=-1)
