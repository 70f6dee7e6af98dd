"""What a result offers that is made above its room: found by name when it is asked for, imported never.

`Results.report` belongs to `Results`, the page belongs to `views`, which reads results. Looked up here, in one place,
so that the order of the rooms stays an order.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from .manners import importing


def upstairs(module: str) -> ModuleType:
    """A module of a room above, by its path inside the package.

    Examples
    --------
    >>> upstairs("views.text").__name__
    'setol_ww.views.text'
    """
    with importing():
        return import_module(f"{__package__.partition('.')[0]}.{module}")
