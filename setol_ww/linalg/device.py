"""Eigenvalues by torch on a GPU: what fits its memory is computed there, what does not is left to the CPU.

Each thread has a stream of its own there: the weights of one layer travel while another is decomposed.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import numpy as np

from ..core.arrays import FloatArray
from ..core.errors import InvalidInput

logger = logging.getLogger(__name__)

DEVICE_BLOCK_ELEMENTS = 2**25
# Of entries that are read as a sample, with several arrays for each.
READ_ELEMENTS = 2**22
# The matrix itself, the copy that an eigensolver works on, and its workspace (four in cuSOLVER 12), in Gram matrices.
GRAM_MATRICES = 6
# Bytes of an entry of a block: as it is stored, in float64, and times a power of two.
BLOCK_BYTES = 24
# Of small matrices so many bytes of Gram matrices are decomposed together.
BATCH_BYTES = 2**31

Result = TypeVar("Result")

_memory = threading.Condition()
_promised: Counter[str] = Counter()
_of_thread = threading.local()


def eigenvalues_on(device: str, matrix: Any, exponent: int = 0) -> FloatArray | None:
    """`device_eigenvalues`; None, and a word in the log, where the memory of the device does not suffice."""
    rows, columns = matrix.shape
    needed = memory_needed(rows, columns)
    return on_device(device, (rows, columns), needed, lambda: device_eigenvalues(matrix, device, exponent))


def on_device(device: str, shape: tuple[int, int], needed: int, work: Callable[[], Result]) -> Result | None:
    """What `work` with one matrix gives, which takes so many bytes there; None, and a word, where they are not had.

    While others compute there it waits for their memory.
    """
    import torch

    rows, columns = shape
    with _room(device, needed) as (fits, free):
        if not fits:
            logger.warning(
                "a %d x %d matrix takes about %d MiB on %s, where %d MiB are free: it is computed on the CPU",
                *(rows, columns, needed // 2**20, device, free // 2**20),
            )
            return None
        try:
            with _stream(device):
                return work()
        except torch.OutOfMemoryError as error:
            said = str(error).strip().split("\n")[0]
            logger.warning("a %d x %d matrix: %s ran out of memory (%s), the CPU does it", rows, columns, device, said)
        # Outside of the handler, which would keep what was allocated there.
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
    return None


@contextmanager
def _room(device: str, needed: int) -> Iterator[tuple[bool, float]]:
    """Whether so many bytes are free beside what others were promised, who are waited for, and how many are free."""
    with _memory:
        while _promised[device] and needed > free_memory(device) - _promised[device]:
            _memory.wait()
        free = free_memory(device) - _promised[device]
        fits = needed <= free
        _promised[device] += needed * fits
    try:
        yield fits, free
    finally:
        with _memory:
            _promised[device] -= needed * fits
            _memory.notify_all()


def _stream(device: str) -> AbstractContextManager[Any]:
    """The stream of this thread on a GPU, behind what the caller's was told."""
    import torch

    if torch.device(device).type != "cuda" or not torch.cuda.is_initialized():
        return nullcontext()
    streams = _of_thread.__dict__.setdefault("streams", {})
    stream = streams.setdefault(device, None) or torch.cuda.Stream(device)
    streams[device] = stream
    stream.wait_stream(torch.cuda.current_stream(device))
    return torch.cuda.stream(stream)


def memory_needed(rows: int, columns: int) -> int:
    """Bytes that the eigenvalues of one matrix take on a device, about.

    >>> memory_needed(4096, 11008) // 2**20
    1536
    """
    side, length = sorted((rows, columns))
    return 8 * GRAM_MATRICES * side**2 + BLOCK_BYTES * min(side * length, max(side, DEVICE_BLOCK_ELEMENTS))


def free_memory(device: str) -> float:
    """Bytes that can be had on a GPU, those among them that torch keeps unused; inf elsewhere."""
    import torch

    if torch.device(device).type != "cuda":
        return float("inf")
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


def device_eigenvalues(matrix: Any, device: str, exponent: int = 0) -> FloatArray:
    """`eigenvalues` of the matrix times 2^-exponent by torch on a device, without the fallback for rank deficiency.

    The blocks travel in the dtype they are stored in and are upcast there.
    """
    import torch

    total, _ = device_gram(matrix, device, exponent)
    if not bool(torch.isfinite(torch.diagonal(total)).all()):
        return np.full(total.shape[0], np.nan)
    return torch.linalg.eigvalsh(total).cpu().numpy()


def equal_eigenvalues_on(device: str, matrices: Sequence[Any]) -> list[FloatArray] | None:
    """`device_eigenvalues` of matrices of one shape, a few at once; None where they do not fit."""
    rows, columns = matrices[0].shape
    grams = 8 * GRAM_MATRICES * min(rows, columns) ** 2
    together = max(1, BATCH_BYTES // max(1, grams))
    found: list[FloatArray] = []
    for start in range(0, len(matrices), together):
        some = matrices[start : start + together]
        needed = memory_needed(rows, columns) + (len(some) - 1) * grams
        values = on_device(device, (rows, columns), needed, functools.partial(device_equal_eigenvalues, some, device))
        if values is None:
            return None
        found += values
    return found


def device_equal_eigenvalues(matrices: Sequence[Any], device: str) -> list[FloatArray]:
    """`device_eigenvalues` of matrices of one shape by one call of the solver.

    Examples
    --------
    >>> [found.round(9).tolist() for found in device_equal_eigenvalues([np.eye(2), np.diag([2.0, 1.0])], "cpu")]
    [[1.0, 1.0], [1.0, 4.0]]
    """
    import torch

    totals = torch.stack([device_gram(matrix, device)[0] for matrix in matrices])
    bad = ~torch.isfinite(torch.diagonal(totals, dim1=1, dim2=2)).all(dim=1)
    totals[bad] = 0.0
    values = torch.linalg.eigvalsh(totals)
    values[bad] = torch.nan
    return list(values.cpu().numpy())


def device_gram(matrix: Any, device: str, exponent: int = 0) -> tuple[Any, Any]:
    """The smaller Gram matrix on a device, in float64, and the sums of the columns of the tall orientation."""
    import torch

    side = min(matrix.shape)
    total = torch.zeros((side, side), dtype=torch.float64, device=device)
    sums = torch.zeros(side, dtype=torch.float64, device=device)
    for block in device_blocks(matrix, device, exponent):
        total.addmm_(block.T, block)
        sums += block.sum(dim=0)
    return total, sums


def device_blocks(matrix: Any, device: str, exponent: int = 0) -> Iterator[Any]:
    """Blocks of rows of the tall orientation times 2^-exponent, in float64 on a device."""
    import torch

    tensor = matrix if hasattr(matrix, "detach") else torch.from_numpy(np.ascontiguousarray(matrix))
    tall = tensor if tensor.shape[0] >= tensor.shape[1] else tensor.T
    step = max(1, DEVICE_BLOCK_ELEMENTS // max(1, tall.shape[1]))
    for start in range(0, tall.shape[0], step):
        yield times_power_of_two(tall[start : start + step].detach().to(device=device).to(torch.float64), -exponent)


def times_power_of_two(tensor: Any, exponent: int) -> Any:
    """A float64 tensor times 2^exponent, itself where that is 1.

    >>> times_power_of_two(np.array([2.0**-1070]), 1070).tolist()
    [1.0]
    """
    # In two steps: no single factor reaches from subnormal numbers to 1.
    for part in (exponent // 2, exponent - exponent // 2) if exponent else ():
        tensor = tensor * 2.0**part
    return tensor


def is_there(entries: Any) -> bool:
    """True for a tensor on a device, False for one of the CPU and for an array."""
    return hasattr(entries, "detach") and entries.device.type != "cpu"


def check_device(device: str) -> str:
    """`device` when torch can compute on it here, else `InvalidInput`."""
    if device == "cpu":
        return device
    import torch

    try:
        kind = torch.device(device).type
    except (RuntimeError, TypeError) as error:
        raise InvalidInput(f"device={device!r} was asked, which torch does not know ({error}); {_DEVICES}") from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise InvalidInput(f"device={device!r} was asked; torch {torch.__version__} sees no CUDA here; {_DEVICES}")
    if kind != "cuda":
        raise InvalidInput(f"device={device!r} was asked, which computes no float64 eigenvalues; {_DEVICES}")
    return device


_DEVICES = "accepted are 'cpu' and, where torch sees a GPU, 'cuda' or 'cuda:N'"
