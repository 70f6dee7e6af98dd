"""Libraries of training that the adapters stand on, each needed by one of them alone."""

from __future__ import annotations

import importlib
from types import ModuleType

from ..core.manners import importing


def library(module: str, adapter: str, install: str) -> ModuleType:
    """A module of a library, else `ImportError` with what to install.

    >>> library("no_such_library", "hf", "transformers")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ImportError: setol_ww.monitor.hf needs: pip install transformers (No module named ...)
    """
    try:
        with importing():
            return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"setol_ww.monitor.{adapter} needs: pip install {install} ({error})") from error
