"""Tensors of the kinds that libraries make: some forbid torch's functions, some have no memory of their own."""

from __future__ import annotations

import torch


class Loud(torch.Tensor):
    """A tensor that allows no operation of torch's, although its numbers lie in memory as usual."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        """Refuse."""
        raise RuntimeError(f"{function} is not allowed")


class Wrapped(torch.Tensor):
    """A tensor without memory of its own, as those of quantisation libraries are; it can be detached and no more."""

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Wrapped:
        """Of the shape and dtype of another."""
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)

    def __init__(self, inner: torch.Tensor) -> None:
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        """Refuse all but `detach`."""
        if function is torch.ops.aten.detach.default:
            return cls(args[0].inner)
        raise NotImplementedError(f"{function} is not there")


class Dequantised(Wrapped):
    """One that says its values itself."""

    def dequantize(self) -> torch.Tensor:
        """The plain tensor it stands for."""
        return self.inner
