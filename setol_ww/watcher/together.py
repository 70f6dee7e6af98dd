"""Spectra and strengths of a few small layers, stage by stage: what a stage needs then stays in the cache."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.arrays import FloatArray
from ..core.boundary import attempt, attempt_each
from ..linalg.eigenvalues import eigenvalues
from ..spectrum.strengths import Strengths, strengths_of, strengths_of_each


@dataclass(frozen=True)
class Small:
    """A layer by its title: the matrices that are decomposed, and what gives those that are stored."""

    title: str
    matrices: list[Any]
    entries: Callable[[], list[Any]]


class Together:
    """Small layers whose results `later` begins; what fails together is computed again, and fails, where it is asked.

    Examples
    --------
    >>> import numpy as np
    >>> layers = [Small(name, [W], lambda W=W: [W]) for name, W in (("fc1", np.eye(2)), ("fc2", np.diag([1.0, 3.0])))]
    >>> together = Together(layers, functools.partial)
    >>> together.spectrum(1, 0).round(12).tolist(), together.strengths(0).rows
    ([1.0, 9.0], 2)
    """

    def __init__(self, layers: Sequence[Small], later: Callable[..., Callable[[], Any]]) -> None:
        self.layers = layers
        self.found = functools.cache(later(_decomposed, layers))

    def spectrum(self, layer: int, matrix: int) -> FloatArray:
        """Eigenvalues of one matrix of a layer."""
        spectra, _ = self.found()[layer]
        return eigenvalues(self.layers[layer].matrices[matrix]) if spectra is None else spectra[matrix]

    def strengths(self, layer: int) -> Strengths:
        """Those of the entries of a layer."""
        _, strengths = self.found()[layer]
        return strengths_of(self.layers[layer].entries()) if strengths is None else strengths


def _decomposed(layers: Sequence[Small]) -> list[tuple[list[FloatArray] | None, Strengths | None]]:
    """None for what cannot be computed."""
    titled = [(layer.title, layer) for layer in layers]
    spectra = [attempt(title, "no spectrum", functools.partial(_spectra_of, layer)).value for title, layer in titled]
    strengths = attempt_each(titled, "no strengths", _strengths_of)
    return list(zip(spectra, (one.value for one in strengths), strict=True))


def _spectra_of(layer: Small) -> list[FloatArray]:
    return [eigenvalues(matrix) for matrix in layer.matrices]


def _strengths_of(layers: list[Small]) -> list[Strengths]:
    return strengths_of_each([layer.entries() for layer in layers])
