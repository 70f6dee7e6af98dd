"""What a report of a problem has to name: versions, the machine, and the threads of BLAS."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

from .. import __version__

LIBRARIES = ("numpy", "scipy", "pandas", "torch", "weightwatcher")


def versions_text() -> str:
    """A line for each of ours, Python, the libraries, the platform and every library of threads that is loaded."""
    lines = {"setol-ww": __version__, "python": platform.python_version()}
    lines |= {library: _version(library) for library in LIBRARIES}
    lines |= {"platform": f"{platform.platform()}, {os.cpu_count()} cores", "BLAS": _blas()}
    width = max(map(len, lines))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines.items())


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"


def _blas() -> str:
    import numpy  # noqa: F401 loads the BLAS that is asked
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_info

    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    told = [f"{pool['internal_api']} {pool['version']}, {pool['num_threads']} thread(s)" for pool in pools]
    return "; ".join(dict.fromkeys(told)) or "none that threadpoolctl knows"
