r"""The bar of what takes long: a line that moves on a terminal, a widget in Jupyter, lines now and then in a file.

| where | by default | with `progress=True` |
|---|---|---|
| a terminal | a bar once the work has taken two seconds | from the start |
| a notebook | the same, of ipywidgets where they are installed, else in text | from the start |
| a pipe, a file | nothing | a line every ten seconds, without control characters |

No thread watches it, and nothing warns of a library that is not there.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import sys
from typing import Any

from tqdm import tqdm

from .manners import importing

DELAY, EVERY = 2.0, 10.0
LINE = "{desc}: {n_fmt} of {total_fmt} in {elapsed}"
CONTROL = re.compile(r"\r|\x1b\[[0-9;]*[A-Za-z]")


class _Ours:
    """What we ask of a bar beyond tqdm's, and without the thread that watches over all bars of a process."""

    monitor_interval = 0

    def tell(self: Any, text: str) -> None:
        """Another text at the bar; shown once bars are shown."""
        if self.disable:
            return
        seen = self._time() >= self.start_t + self.delay
        self.set_description_str(text, refresh=seen)
        if seen:
            # Else tqdm, which does not count this as shown, leaves the line open.
            self.last_print_t = self._time()


class _Bar(_Ours, tqdm):
    """In text."""


class _Nothing(contextlib.nullcontext[Any]):
    """The bar that nobody is to see: none of tqdm, whose lock another thread or process may have."""

    disable = True

    def __enter__(self) -> _Nothing:
        return self

    def update(self, n: float = 1) -> None:
        """Nothing moves."""

    def tell(self, text: str) -> None:
        """Nothing is told."""


class _Lines:
    """A stream for a bar that goes into a file: what it shows, a line each time."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.encoding = getattr(stream, "encoding", None)

    def write(self, text: str) -> None:
        """A line of what is to be seen of `text`, if anything is."""
        line = CONTROL.sub("", text).strip()
        if line:
            self._stream.write(f"{line}\n")

    def flush(self) -> None:
        """Pass on."""
        self._stream.flush()


def progress_bar(total: float, what: str, progress: bool | None, *, form: str | None = None, **told: Any) -> Any:
    """A bar to use as a context and to `update`.

    Parameters
    ----------
    total : float
        When it is done.
    what : str
        What is counted.
    progress : bool, optional
        None shows it where someone looks.
    form : str, optional
        tqdm's `bar_format`, with `|{bar}|` for the bar.
    **told
        As tqdm takes it.

    Examples
    --------
    >>> with progress_bar(3, "layers", False) as bar:
    ...     bar.update(), bar.disable
    (None, True)
    """
    stream = sys.stderr
    if progress is False or stream is None or getattr(stream, "closed", False):
        return _Nothing()
    told |= {"total": total, "desc": what, "bar_format": form, "delay": 0 if progress else DELAY}
    if in_notebook():
        return _widget()(**told)
    if getattr(stream, "isatty", bool)():
        return _Bar(file=stream, dynamic_ncols=True, **told)
    told["bar_format"] = form.replace("|{bar}|", "") if form else LINE
    return _Bar(file=_Lines(stream), disable=not progress, mininterval=EVERY, miniters=1, **told)


def in_notebook() -> bool:
    """True in a kernel of Jupyter, whose standard error is no terminal and is looked at."""
    asked = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return asked is not None and "IPKernelApp" in asked.config


def _widget() -> type[tqdm]:
    """The bar of a notebook: text where ipywidgets are not installed."""
    if importlib.util.find_spec("ipywidgets") is None:
        return _Bar
    with importing():
        from tqdm.notebook import tqdm_notebook

    return type("_Widget", (_Ours, tqdm_notebook), {})
