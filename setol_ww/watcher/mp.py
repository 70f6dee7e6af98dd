"""weightwatcher's Marchenko-Pastur fit to the last bit, its kernel density evaluated once and not 237 times."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from ..core.arrays import FloatArray
from .standins import KernelDensity
from .upstream import rooms

BANDWIDTH = 0.1
POINTS = 1000
DENSITY_FLOOR = 0.01
REFUSED = 1000.0


def mp_columns(evals: FloatArray, N: int, M: int, rescale: bool) -> tuple[int, float, float, float, float, float]:
    """What weightwatcher's `mp_fit` returns: spikes, sigma, soft rank, bulk edges (raw), scale of W.

    The operations and their order are weightwatcher's, so that the numbers are the same; `ValueError` where it
    raises one.
    """
    Q = N / M
    scale = np.sqrt(evals.shape[0]) / np.sqrt(np.sum(evals)) if rescale else 1.0
    scaled = (scale * scale) * evals.copy()
    sigma = fit_sigma(scaled, Q)
    bulk_max = (sigma * (1 + 1 / np.sqrt(Q))) ** 2
    bulk_min = (sigma * (1 - 1 / np.sqrt(Q))) ** 2
    width = 1 / np.sqrt(Q) * np.power(bulk_max, 2 / 3) * np.power(M, -2 / 3)
    spikes = len(scaled[scaled > bulk_max + np.sqrt(width)])
    return (
        spikes,
        sigma,
        bulk_max / np.max(scaled),
        bulk_min / (scale * scale),
        bulk_max / (scale * scale),
        scale,
    )


def fit_sigma(scaled: FloatArray, Q: float) -> float:
    """The sigma whose law is nearest to the density of the eigenvalues: a grid, then a simplex from its best point."""
    # Its import sets a warning filter; weightwatcher has loaded it quietly.
    import scipy.optimize

    unit = rooms.calc_sigma(Q, scaled)
    grid = (slice(0.05 * unit, 2.0 * unit, 0.01 * unit),)
    residual = residual_of(np.sqrt(scaled) if Q == 1 else scaled, Q)

    def at_once(_: Callable, points: Iterable) -> FloatArray:
        return residual(np.array(list(points), dtype=float).reshape(-1))

    # `workers` takes any function like map: here one that evaluates the whole grid.
    found = scipy.optimize.brute(lambda p: residual(p)[0], grid, full_output=True, workers=at_once)
    return found[0][0]


def residual_of(to_fit: FloatArray, Q: float) -> Callable[[FloatArray], FloatArray]:
    """Sums of squared differences between law and density, as a function of several sigmas."""
    x, density = kernel_density(to_fit)
    kept = np.array(density) > DENSITY_FLOOR
    dropped = np.count_nonzero(density < DENSITY_FLOOR)
    x, density = x[kept], density[kept]
    # Without a density above the floor there is no mode: weightwatcher's ValueError.
    mode, last = (0.0, 0.0) if Q == 1 else (x[np.where(density == density.max())][0], x.max())
    y = 1 / Q

    def residual(sigmas: FloatArray) -> FloatArray:
        sigma = np.asarray(sigmas)[:, np.newaxis]
        difference = np.zeros((sigma.size, x.size + dropped))
        with np.errstate(all="ignore"):
            if Q == 1:
                law = np.nan_to_num((1 / (np.pi * sigma * sigma)) * np.sqrt(4 - x**2))
                difference[:, : x.size] = law - density
            else:
                b = np.power(sigma * (1 + np.sqrt(1 / Q)), 2)
                a = np.power(sigma * (1 - np.sqrt(1 / Q)), 2)
                law = np.nan_to_num((1 / (2 * np.pi * sigma * sigma * x * y)) * np.sqrt((b - x) * (x - a)))
                difference[:, : x.size] = law - density
                off = (b < mode) | (b > last) | (a > mode)
                difference[off[:, 0], : x.size] = REFUSED
            return np.sum(difference**2, axis=1)

    return residual


def kernel_density(to_fit: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Abscissae and the linear-kernel density there."""
    estimate = KernelDensity(kernel="linear", bandwidth=BANDWIDTH).fit(to_fit.reshape(-1, 1))
    x = np.linspace(0, np.max(to_fit) + 0.5, POINTS)
    return x, np.exp(estimate.score_samples(x[:, np.newaxis]))
