"""Public names of an earlier version: where they went, and with which version they go."""

from __future__ import annotations

import warnings
from dataclasses import dataclass


@dataclass(frozen=True)
class Deprecated:
    """A name that still works.

    Attributes
    ----------
    home, name : str
        Module in the package, and the name there.
    replacement : str
        What to write instead.
    removed_in : str
        First version without it.
    """

    home: str
    name: str
    replacement: str
    removed_in: str

    def warn(self, asked: str, stacklevel: int = 3) -> None:
        """One `DeprecationWarning`, at the line of who asked.

        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     Deprecated("core.plain", "x", "setol_ww.new", "9.0.0").warn("old")
        >>> str(caught[0].message)
        'setol_ww.old is deprecated and goes with version 9.0.0; use setol_ww.new'
        """
        said = f"setol_ww.{asked} is deprecated and goes with version {self.removed_in}; use {self.replacement}"
        warnings.warn(said, DeprecationWarning, stacklevel=stacklevel)


#: By the name as it was.
DEPRECATED: dict[str, Deprecated] = {
    "plot_truncation_curve": Deprecated(
        "views.plots.truncation_curve", "truncation_curve", "setol_ww.plots.truncation_curve", "0.3.0"
    ),
}
