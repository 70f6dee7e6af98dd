"""Routines of BLAS and LAPACK called by reference, without Python's lock: several threads may be in them at once.

scipy's own wrappers keep the lock while a routine works. The routines are those that scipy was linked with, found
through the capsules its Cython interface exports; what that interface lacks is looked up by name in the BLAS that is
loaded.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import operator
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..core.arrays import FloatArray

Routine = Callable[..., None]
# A library of 32-bit integers reads the lower half of 64 bits, where that comes first. A dtype of numpy's own: one of
# ctypes is translated by Python code, an interrupt in which numpy swallows and makes an array of objects.
Integer = np.int64 if sys.byteorder == "little" else np.int32
_Scalar = ctypes.c_int64 if sys.byteorder == "little" else ctypes.c_int

_pointer_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_name_of = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", ctypes.pythonapi))
_routine = ctypes.CFUNCTYPE(None)


@functools.cache
def scipys(name: str) -> Routine:
    """The routine of this name that scipy was linked with.

    Examples
    --------
    >>> x, y, one = np.array([1.0, 2.0]), np.array([10.0, 10.0]), 1
    >>> call(scipys("daxpy"), 2, 3.0, x, one, y, one)
    >>> y.tolist()
    [13.0, 16.0]
    """
    for module in ("scipy.linalg.cython_blas", "scipy.linalg.cython_lapack"):
        capsule = importlib.import_module(module).__pyx_capi__.get(name)
        if capsule is not None:
            return _routine(_pointer_of(capsule, _name_of(capsule)))
    raise LookupError(f"scipy has no {name}")


def loaded(symbols: Sequence[str], strings: int) -> Routine | None:
    """The first of these symbols in a BLAS that this process has loaded; None where there is none.

    Of the routine's arguments `strings` are strings: Fortran compilers pass their lengths behind all arguments.
    """
    # Whether its integers have 32 or 64 bits is not known.
    if sys.byteorder != "little":
        return None
    # It knows which BLAS libraries are loaded, and from where.
    import threadpoolctl

    lengths = (ctypes.c_size_t(1),) * strings
    for library in threadpoolctl.threadpool_info():
        if library["user_api"] != "blas":
            continue
        functions = ctypes.CDLL(library["filepath"])
        for symbol in symbols:
            if hasattr(functions, symbol):
                function = getattr(functions, symbol)
                function.restype = None
                return lambda *arguments, function=function: function(*arguments, *lengths)
    return None


def call(routine: Routine, *arguments: Any) -> None:
    """Call by reference: str, int, float and arrays, which must be laid out as the routine wants them.

    What the routine writes goes to arrays, a status too; those of integers are of type `Integer`.
    """
    # Everything the routine reads and writes is there before the call and lives until it is back.
    values = [_in_memory(argument) for argument in arguments]
    references = [_address(value) for value in values]
    routine(*references)
    del references, values


def integers(number: int = 1) -> np.ndarray:
    """Zeros of the type that routines read and write; a status is one of them."""
    return np.zeros(number, dtype=Integer)


def with_workspace(run: Callable[[FloatArray, int, np.ndarray, int], None]) -> None:
    """Run a routine with as much space as it wants: sizes of -1 ask for how much, of numbers and of integers."""
    work, whole = np.zeros(1), integers()
    run(work, -1, whole, -1)
    run(np.empty(int(work[0])), int(work[0]), integers(int(whole[0])), int(whole[0]))


def check_converged(name: str, status: np.ndarray) -> None:
    """`LinAlgError` for the status that an iteration of LAPACK ends with when it did not converge."""
    # Its upper half is not written by a library of 32-bit integers.
    info = int(status.view(np.int32)[0])
    if info:
        raise np.linalg.LinAlgError(f"LAPACK's {name} did not converge (info {info})")


def _in_memory(argument: Any) -> Any:
    """An argument as a value with an address."""
    if isinstance(argument, np.ndarray):
        if argument.dtype.kind not in "fiu":
            raise TypeError(f"an array of type {argument.dtype} was given to a routine; accepted are numbers")
        return argument
    if isinstance(argument, str):
        return ctypes.create_string_buffer(argument.encode())
    return ctypes.c_double(argument) if isinstance(argument, float) else _Scalar(operator.index(argument))


def _address(value: Any) -> ctypes.c_void_p:
    if isinstance(value, np.ndarray):
        return ctypes.c_void_p(value.__array_interface__["data"][0])
    return ctypes.c_void_p(ctypes.addressof(value))
