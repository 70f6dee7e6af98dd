"""Modules that multiply by a weight in two factors, for models that were compressed. Importing this loads torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional


class Factors(nn.Module):
    """The parameters `left` (rows, k) and `right` (k, columns) of a weight left @ right."""

    def __init__(self, left: torch.Tensor, right: torch.Tensor) -> None:
        super().__init__()
        self.left, self.right = nn.Parameter(left), nn.Parameter(right)


class FactorisedLinear(nn.Module):
    """x -> left (right x) + bias; parameters `weight.left`, `weight.right`, `bias`.

    >>> layer = FactorisedLinear(Factors(torch.ones(3, 1), torch.ones(1, 2)), None)
    >>> layer(torch.tensor([1.0, 2.0])).tolist()
    [3.0, 3.0, 3.0]
    """

    def __init__(self, factors: Factors, bias: torch.Tensor | None) -> None:
        super().__init__()
        self.weight, self.bias = factors, bias
        self.out_features, self.in_features = factors.left.shape[0], factors.right.shape[1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The layer's output."""
        return functional.linear(functional.linear(x, self.weight.right), self.weight.left, self.bias)

    def extra_repr(self) -> str:
        """Sizes."""
        return f"{self.in_features}, {self.out_features}, rank={self.weight.left.shape[1]}"


class FactorisedEmbedding(nn.Module):
    """Rows of left, multiplied by right."""

    def __init__(self, factors: Factors, padding_idx: int | None) -> None:
        super().__init__()
        self.weight, self.padding_idx = factors, padding_idx

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """The embeddings of the ids."""
        return functional.embedding(ids, self.weight.left, self.padding_idx) @ self.weight.right


def install(model: nn.Module, owner: str, left: torch.Tensor, right: torch.Tensor) -> nn.Module | None:
    """Put factors in the place of a weight, under every name it is tied to.

    Returns the model, a new module when `owner` is empty, or None when a module that holds the weight is neither a
    Linear nor an Embedding.
    """
    weight: Any = model.get_submodule(owner).weight
    holders = [name for name, module in model.named_modules() if getattr(module, "weight", None) is weight]
    factors = Factors(left.to(weight.device), right.to(weight.device))
    news = [(name, replacement(model.get_submodule(name), factors)) for name in holders]
    found = [(name, new) for name, new in news if new is not None]
    if len(found) < len(news):
        return None
    for name, new in found:
        parent, _, child = name.rpartition(".")
        if not name:
            model = new
        else:
            setattr(model.get_submodule(parent), child, new)
    return model


def replacement(old: nn.Module, factors: Factors) -> nn.Module | None:
    """A module in factors for a Linear or an Embedding, in its mode; None for any other."""
    new: nn.Module
    if type(old) is nn.Linear:
        new = FactorisedLinear(factors, old.bias)
    elif type(old) is nn.Embedding and old.max_norm is None:
        new = FactorisedEmbedding(factors, old.padding_idx)
    else:
        return None
    return new.train(old.training)
