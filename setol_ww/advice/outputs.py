r"""What a model answers to some inputs, as distributions, and how far two answers are apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..core.errors import InvalidInput
from ..core.plain import as_computed
from ..truncation.metrics import called, logits_of, measuring

# Of drawn inputs: side of an image, length of a sequence.
SIDE, LENGTH = 32, 32


def log_probabilities(model: Any, inputs: Any) -> Any:
    """Logarithms of the model's output distributions in float64, shape (rows, classes); two classes for one logit.

    In evaluation mode and without gradients; modes and random states are put back.
    """
    import torch

    with measuring(model):
        answer = logits_of(called(model, inputs))
    if answer is None or not answer.is_floating_point() or not answer.dim():
        raise InvalidInput(
            f"trap_effect of {type(model).__name__} was asked; it answers no logits, accepted is a model that returns "
            "a tensor, or something with .logits"
        )
    flat = answer.double().reshape(-1, answer.shape[-1])
    if flat.shape[1] == 1:
        flat = torch.cat([flat, torch.zeros_like(flat)], 1)
    return torch.log_softmax(flat, 1)


def divergence(first: Any, second: Any) -> float:
    r"""Mean Jensen-Shannon divergence of rows of log probabilities, in nats: 0 for equal ones, at most ln 2.

    .. math:: JS(p, q) = \tfrac12 \sum p \ln\frac{p}{m} + \tfrac12 \sum q \ln\frac{q}{m}, \quad m = (p + q) / 2.

    Examples
    --------
    >>> import torch
    >>> even, sure = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[1.0, 0.0]]).log()
    >>> divergence(even, even), round(divergence(even, sure), 4)
    (0.0, 0.2158)
    """
    import torch

    # Equal ones are exactly 0 apart.
    middle = torch.where(first == second, first, torch.logaddexp(first, second) - np.log(2))
    there, back = (torch.where(one > -torch.inf, one.exp() * (one - middle), 0.0) for one in (first, second))
    return max(0.0, float(0.5 * (there + back).sum(1).mean()))


def as_inputs(inputs: Any) -> Any:
    """A batch with arrays as tensors: a tensor, an array, a tuple of arguments or a mapping of them."""
    import torch

    if isinstance(inputs, Mapping):
        return {name: as_inputs(value) for name, value in inputs.items()}
    if isinstance(inputs, (tuple, list)):
        return tuple(map(as_inputs, inputs))
    if hasattr(inputs, "detach"):
        return inputs
    try:
        return torch.from_numpy(np.array(as_computed(inputs)))
    except TypeError:
        raise InvalidInput(
            f"inputs of type {type(inputs).__name__} were given; accepted is one batch: a tensor, an array, a tuple of "
            "arguments or a mapping of them"
        ) from None


def drawn_inputs(model: Any, number: int, seed: int) -> Any:
    """Inputs for the first layer of a model: standard normal numbers, or ids that are equally likely.

    Raises
    ------
    InvalidInput
        The first layer with weights is none whose inputs have a shape that is known.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    first: Any = next((one for one in model.modules() if getattr(one, "weight", None) is not None), None)
    rows = getattr(first, "num_embeddings", None)
    if rows is not None:
        return torch.randint(int(rows), (number, LENGTH), generator=generator)
    shape = _shape_of(first)
    if shape is None:
        raise InvalidInput(
            f"inputs for {type(model).__name__} were to be drawn; its first layer, {type(first).__name__}, does not "
            "say what it takes. Give a batch: trap_effect(model, inputs)"
        )
    return torch.randn(number, *shape, generator=generator).to(first.weight.dtype)


def _shape_of(layer: Any) -> tuple[int, ...] | None:
    if hasattr(layer, "in_features"):
        return (int(layer.in_features),)
    if hasattr(layer, "in_channels") and hasattr(layer, "kernel_size"):
        return (int(layer.in_channels), *len(layer.kernel_size) * (SIDE,))
    return None
