"""Manners: what the import of other libraries changes in the host process is changed back, and nothing else.

On import weightwatcher 0.7.7 installs a root log handler at INFO, sets levels and silences all warnings; scikit-learn,
which it imports, sets variables of the OpenMP runtime and draws random numbers; scipy and torch add warning filters.
Only here is anything of the process replaced, one import at a time. While an analysis runs nothing of the process is
touched.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import threading
import warnings
from collections.abc import Iterator

from .forks import in_every_copy

NOISY_LOGGERS = ("weightwatcher", "matplotlib")
# What scikit-learn and threadpoolctl set; what the host sets meanwhile has other names.
RUNTIME_VARIABLES = ("KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK")

_importing = threading.RLock()


def _begin() -> None:
    global _importing
    _importing = threading.RLock()


in_every_copy(_begin)


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Import something inside; warning filters and variables that it sets are as before afterwards.

    One thread at a time: what two of them put back must not cross.
    """
    with _importing:
        given = {name: os.environ.get(name) for name in RUNTIME_VARIABLES}
        try:
            with warnings.catch_warnings():
                yield
        finally:
            for name, value in given.items():
                if value is None:
                    os.environ.pop(name, None)


@contextlib.contextmanager
def importing_quietly() -> Iterator[None]:
    """`importing` for what talks and draws on import.

    `logging.basicConfig` adds no handler inside, the noisy loggers say nothing and keep the levels that the host gave
    them. rich, which newer versions of scikit-learn import, draws from Python's global generator.
    """
    root, silence = logging.getLogger(), logging.NullHandler()
    with importing():
        levels = {name: logging.getLogger(name).level for name in NOISY_LOGGERS}
        state = random.getstate()
        # A root with any handler is left alone by `basicConfig`: its level and the handlers of the host need no care.
        root.addHandler(silence)
        try:
            for name in NOISY_LOGGERS:
                logging.getLogger(name).setLevel(logging.CRITICAL + 1)
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
            root.removeHandler(silence)
            random.setstate(state)
