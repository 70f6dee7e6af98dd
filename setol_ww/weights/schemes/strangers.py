"""Tensors of packers that no scheme knows: a module's packed integers and all that stands beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .base import FLOATS, Refusal, Stock, listed, split

# Integers that are no codes of weights.
NO_CODES = ("mask", "bias", "index", "indices", "idx", "ids", "position", "positions")
TABLE = re.compile(r"scale|zero|shift|table|code|absmax|norm|idx|perm")
# Where the tensors of a packed layer lie, from its name on.
INSIDE = ("", "centroids.", "res_centroids.", "weight.scale.")
PACKED = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "f4", "bits8", "bits16")


def refusals(stock: Stock) -> Iterator[Refusal]:
    """One for each module with packed integers of two or more dimensions that are in no recipe."""
    left = [*stock.free(), *(stock[name] for name in stock.refused)]
    packed = [tensor for tensor in left if tensor.dtype in PACKED and len(tensor.shape) >= 2]
    bases = [split(tensor.name)[0] for tensor in packed if not _is_weight(stock, tensor.name)]
    for base in dict.fromkeys(bases):
        near = [name for word in INSIDE for name in stock.siblings(f"{base}{word}")]
        names = [name for name in near if name in stock and not _is_weight(stock, name, base)]
        together = [name for name in near if name in names or name in stock.refused]
        if all(stock[name].dtype in PACKED for name in names):
            # Integers without a table beside them say so by their type.
            continue
        yield Refusal(
            tuple(names),
            f"packed weights of a scheme that is not known: {listed(together)} belong together; give the weights "
            "dequantised",
        )


def _is_weight(stock: Stock, name: str, base: str = "") -> bool:
    """True for a float weight or bias beside packed tensors, which stands for itself."""
    before, last = split(name)
    if stock[name].dtype in PACKED:
        # The codes of VPTQ are called indices, which elsewhere are none.
        return last.endswith(NO_CODES) and last != "bitmask" and f"{before}centroids.weight" not in stock
    if base and before != base:
        return False
    is_own = "weight" in last and not TABLE.search(last)
    return (stock[name].dtype in FLOATS and (is_own or last in ("bias", "kernel"))) or not stock[name].shape
