r"""Free probability of atomic laws: moments, free cumulants, Stieltjes, R and its integral.

A spectrum is a law of atoms :math:`\lambda_j` with weights :math:`w_j` (equal ones by default). Its R-transform
exists for every t > 0 and needs no series: with B(t) the solution of :math:`G(B) = t` above the largest atom,
:math:`R(t) = B(t) - 1/t` is a weighted mean of the atoms. The cumulant series converges only for t up to about
1/lambda_max; `r_transform` and `integrated_r` have no such limit.

| wanted | use |
|---|---|
| R or its integral of a spectrum, any t > 0 | `r_transform`, `integrated_r` |
| free cumulants of a spectrum | `free_cumulants_of` (centred and rescaled: stable to order 16) |
| cumulants of given moments, and back | `free_cumulants`, `moments_from_cumulants` |
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from ..core.arrays import FloatArray
from ..core.checks import positive_integer
from ..core.errors import InvalidInput

Many: TypeAlias = Sequence[float] | NDArray[Any]

BLOCK_ELEMENTS = 2**20
MAX_ITERATIONS = 100


def moments(evals: Any, order: int, weights: Any = None) -> FloatArray:
    r"""Moments :math:`m_k = \sum_j w_j \lambda_j^k`, k = 1 ... order, on the scale of `evals`.

    Parameters
    ----------
    evals : array_like, one-dimensional
    order : int
    weights : array_like, optional
        Positive, one for each eigenvalue; normalised to sum 1. Equal weights when left out.

    Raises
    ------
    InvalidInput
        Empty or non-finite eigenvalues, or weights that do not fit.

    Examples
    --------
    >>> moments([1.0, 3.0], 3).tolist()
    [2.0, 5.0, 14.0]
    """
    x, w = _atoms(evals, weights)
    powers = itertools.accumulate(itertools.repeat(x, positive_integer("order", order)), np.multiply)
    return np.array([np.dot(w, power) for power in powers])


def free_cumulants(moments: Any) -> FloatArray:
    r"""Free cumulants of a law from its moments.

    :math:`\kappa_1 = m_1`, :math:`\kappa_n = -\frac{1}{n-1} [x^n] M(x)^{1-n}` with
    :math:`M(x) = 1 + \sum m_k x^k`; the powers by J. C. P. Miller's recurrence, on moments centred at m_1.

    Parameters
    ----------
    moments : array_like
        m_1 ... m_K, of one law.

    Returns
    -------
    ndarray
        kappa_1 ... kappa_K. Raw moments of high order carry few digits of their cumulants; `free_cumulants_of`
        starts from the eigenvalues and does not lose them.

    Notes
    -----
    Equal to arXiv 2507.17912, Eq. 162, for K <= 5; its Eq. 161 is misprinted (docs/errata.md, E32).

    Examples
    --------
    >>> free_cumulants([1.0, 2.0, 5.0, 14.0]).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    m = _series(moments, "moments")
    kappa = _cumulants(_centred_moments(m))
    kappa[0] = m[0]
    return kappa


def free_cumulants_of(evals: Any, order: int, weights: Any = None) -> FloatArray:
    """Free cumulants kappa_1 ... kappa_order of a spectrum, centred and rescaled before any power is taken.

    Parameters as `moments`; a flat spectrum has no cumulant beyond the first.

    Examples
    --------
    >>> free_cumulants_of([1.0, 3.0], 2).tolist()
    [2.0, 1.0]
    """
    x, w = _atoms(evals, weights)
    positive_integer("order", order)
    mean = float(np.sum(w * x))
    centred = x - mean
    scale = max(float(centred.max()), -float(centred.min()))
    if scale == 0:
        return np.concatenate([[mean], np.zeros(order - 1)])
    centred /= scale
    powers = itertools.accumulate(itertools.repeat(centred, order), np.multiply)
    kappa = _cumulants(np.array([0.0, *[w @ power for power in powers][1:]]))
    kappa *= scale ** np.arange(1, order + 1)
    kappa[0] = mean
    return kappa


def moments_from_cumulants(kappa: Any) -> FloatArray:
    r"""Moments of a law from its free cumulants: :math:`m_n = \frac{1}{n+1} [x^n] C(x)^{n+1}`.

    Here :math:`C(x) = 1 + \sum \kappa_k x^k`; the inverse of `free_cumulants`.

    Examples
    --------
    >>> moments_from_cumulants([0.0, 1.0, 0.0, 0.0]).tolist()
    [0.0, 1.0, 0.0, 2.0]
    """
    k = _series(kappa, "cumulants")
    return np.array([_power(k, n + 1)[n] / (n + 1) for n in range(1, k.size + 1)])


@overload
def stieltjes(z: float, evals: Any, weights: Any = None) -> float: ...
@overload
def stieltjes(z: complex, evals: Any, weights: Any = None) -> complex: ...
@overload
def stieltjes(z: Many, evals: Any, weights: Any = None) -> NDArray[Any]: ...
def stieltjes(z: Any, evals: Any, weights: Any = None) -> Any:
    r"""Stieltjes transform :math:`G(z) = \sum_j w_j / (z - \lambda_j)`, vectorised over real or complex z.

    Raises
    ------
    InvalidInput
        When a z is one of the eigenvalues, where G has a pole.

    Examples
    --------
    >>> float(stieltjes(3.0, [1.0, 2.0]))
    0.75
    """
    x, w = _atoms(evals, weights)
    points = numbers_of("z", z, complex_too=True)
    flat = points.reshape(-1)
    if np.isin(flat, x).any():
        raise InvalidInput("the Stieltjes transform was asked at an eigenvalue; accepted are points off the spectrum")
    values = np.concatenate([*(np.sum(w / (part[:, None] - x), axis=1) for part in _blocks(flat, x.size)), np.empty(0)])
    return values.reshape(points.shape)[()]


@overload
def r_transform(t: float, evals: Any, weights: Any = None) -> float: ...
@overload
def r_transform(t: Many, evals: Any, weights: Any = None) -> FloatArray: ...
def r_transform(t: Any, evals: Any, weights: Any = None) -> Any:
    r"""R-transform of an atomic law at any t > 0, vectorised over t.

    :math:`R(t) = \sum_j w_j \lambda_j h_j / \sum_j w_j h_j` with :math:`h_j = 1/(t (B - \lambda_j))` and
    :math:`\sum_j w_j h_j = 1`, B above the largest eigenvalue. R grows from kappa_1 at 0 to lambda_max at infinity.

    Parameters
    ----------
    t : array_like
        Positive; the dual of an eigenvalue (unit one over that of `evals`).
    evals, weights
        As `moments`; an eigenvalue of zero with weight 1 - k/N stands for the padding of k eigenvalues to N.
        Eigenvalues below zero are a law like any other.

    Raises
    ------
    InvalidInput
        When t is not positive and finite.

    Notes
    -----
    Relative error below 1e-10 for t from 1e-6 to 1e3 and eigenvalues over twelve decades, and for t from 1e-12 to
    1e9 as well; of eigenvalues with both signs the error is relative to the largest of them. A. Guionnet and
    M. Maida, J. Funct. Anal. 222, 435 (2005) for the range of t beyond the analytic R of a soft edge.

    Examples
    --------
    >>> float(r_transform(1.0, [2.0, 2.0])), round(float(r_transform(1e-9, [1.0, 3.0])), 6)
    (2.0, 2.0)
    """
    return _for_every_t(t, evals, weights, lambda t, x, w, h: _weighted_mean(x, w * h))


@overload
def integrated_r(t: float, evals: Any, weights: Any = None) -> float: ...
@overload
def integrated_r(t: Many, evals: Any, weights: Any = None) -> FloatArray: ...
def integrated_r(t: Any, evals: Any, weights: Any = None) -> Any:
    r"""Integral of the R-transform from 0 to t, in closed form.

    :math:`H(t) = t R(t) - \sum_j w_j \ln(1 + t (R(t) - \lambda_j))`, convex, between :math:`\kappa_1 t` and
    :math:`\lambda_{\max} t`.

    Parameters and errors as `r_transform`.

    Examples
    --------
    >>> float(integrated_r(3.0, [2.0, 2.0]))
    6.0
    """
    return _for_every_t(t, evals, weights, integral_from_resolvents)


@overload
def r_derivative(t: float, evals: Any, weights: Any = None) -> float: ...
@overload
def r_derivative(t: Many, evals: Any, weights: Any = None) -> FloatArray: ...
def r_derivative(t: Any, evals: Any, weights: Any = None) -> Any:
    r"""Derivative of the R-transform, the variance of the law with weights w_j h_j^2 about R(t).

    :math:`R'(t) = \sum_j w_j h_j^2 (\lambda_j - R(t))^2 / \sum_j w_j h_j^2`, never negative; kappa_2 as t goes to 0.

    Parameters and errors as `r_transform`.

    Examples
    --------
    >>> round(float(r_derivative(1e-9, [1.0, 3.0])), 8)
    1.0
    """

    def slope(t: FloatArray, x: FloatArray, w: FloatArray, h: FloatArray) -> FloatArray:
        digits, distance = _distance(t, x, _weighted_mean(x, w * h))
        spread = np.where(digits, distance, 1 / h - 1) / t[:, None]
        return np.sum(w * (h * spread) ** 2, axis=1) / np.sum(w * h * h, axis=1)

    return _for_every_t(t, evals, weights, slope)


@overload
def blue(t: float, evals: Any, weights: Any = None) -> float: ...
@overload
def blue(t: Many, evals: Any, weights: Any = None) -> FloatArray: ...
def blue(t: Any, evals: Any, weights: Any = None) -> Any:
    """Blue function B(t) = R(t) + 1/t, the inverse of the Stieltjes transform above the spectrum.

    Examples
    --------
    >>> float(stieltjes(blue(0.75, [1.0, 2.0]), [1.0, 2.0]))
    0.75
    """
    return r_transform(t, evals, weights) + 1 / np.asarray(t, dtype=float)


def _for_every_t(t: Any, evals: Any, weights: Any, formula: Any) -> Any:
    """`formula(t, x, w, h)` for blocks of t, h_j = 1/(t (B - x_j)) one row for each t."""
    x, w = _atoms(evals, weights)
    points = numbers_of("t", t)
    flat = points.reshape(-1)
    if not (np.isfinite(flat).all() and (flat > 0).all()):
        raise InvalidInput(f"t={t!r} was asked; accepted are positive finite numbers")
    below = x.max() - x
    values = []
    for part in _blocks(flat, x.size):
        d = distances(part, x, w)
        values.append(formula(part, x, w, 1 / (d[:, None] + part[:, None] * below)))
    return np.concatenate([*values, np.empty(0)]).reshape(points.shape)[()]


def integral_from_resolvents(t: FloatArray, x: FloatArray, w: FloatArray, h: FloatArray) -> FloatArray:
    """H(t) from h_j = 1/(t (B - x_j)), one row for each t."""
    R = _weighted_mean(x, w * h)
    digits, distance = _distance(t, x, R)
    # 1 + t (R - x_j) is 1/h_j, which has the digits that R and x_j lose in their difference.
    logs = np.where(digits, np.log1p(np.where(digits, distance, 0.0)), -np.log(h))
    return t * R - np.sum(w * logs, axis=1)


def distances(t: FloatArray, x: FloatArray, w: FloatArray) -> FloatArray:
    """d = t (B - max(x)) with sum_j w_j / (d + t (max(x) - x_j)) = 1, one for each t, to full relative precision.

    Free of units, so that no t over- or underflows. d lies in [w_max, 1] and, because R is at least the mean, above 1
    less t times the distance of the mean from the largest atom. The inverse of the sum is concave and rising in d, so
    Newton from the left end climbs to the root without passing it: a step down is rounding, and the end.
    """
    below = x.max() - x
    gaps = t[:, None] * below
    w_max = min(float(np.sum(w[below == 0])), 1.0)
    d = np.maximum(w_max, 1 - 1e-15 - (1 + 1e-13) * t * np.sum(w * below))
    for _ in range(MAX_ITERATIONS):
        h = 1 / (d[:, None] + gaps)
        total = np.sum(w * h, axis=1)
        new = np.minimum(d + (total - 1) * total / np.sum(w * h * h, axis=1), 1.0)
        if np.all(new - d <= 4e-16 * d):
            break
        d = np.maximum(new, d)
    return d


def _distance(t: FloatArray, x: FloatArray, R: FloatArray) -> tuple[Any, FloatArray]:
    """Where t (R - x_j) has more digits than 1/h_j - 1, which it equals, and its values."""
    digits = t[:, None] * np.maximum(np.abs(R)[:, None], np.abs(x)) < 1
    return digits, t[:, None] * (R[:, None] - x)


def _weighted_mean(x: FloatArray, weights: FloatArray) -> FloatArray:
    """One for each row of weights."""
    return np.sum(weights * x, axis=1) / np.sum(weights, axis=1)


def _blocks(flat: np.ndarray, atoms: int) -> Iterator[np.ndarray]:
    step = max(1, BLOCK_ELEMENTS // atoms)
    for start in range(0, flat.size, step):
        yield flat[start : start + step]


def _power(coefficients: FloatArray, p: float) -> FloatArray:
    """Coefficients of (1 + sum_k a_k x^k)^p, by the recurrence of J. C. P. Miller."""
    # Python's own floats: at these lengths they are several times faster than arrays.
    a, b = [0.0, *coefficients.tolist()], [1.0]
    for n in range(1, len(a)):
        b.append(sum((p * k - (n - k)) * a[k] * b[n - k] for k in range(1, n + 1)) / n)
    return np.array(b)


def _cumulants(m: FloatArray) -> FloatArray:
    """kappa_1 ... kappa_K of centred moments, the first left at m_1."""
    if m.size <= 5:
        first, m2, m3, m4, m5 = [float(one) for one in m] + [0.0] * (5 - m.size)
        return np.array([first, m2, m3, m4 - 2 * m2**2, m5 - 5 * m2 * m3][: m.size])
    return np.array([m[0], *(-_power(m, 1 - n)[n] / (n - 1) for n in range(2, m.size + 1))])


def _centred_moments(m: FloatArray) -> FloatArray:
    """Moments of X - m_1."""
    raw = np.concatenate([[1.0], m])
    centred = np.zeros(m.size)
    for n in range(2, m.size + 1):
        coefficient, total = 1.0, 0.0
        for k in range(n + 1):
            total += coefficient * raw[n - k] * (-m[0]) ** k
            coefficient *= (n - k) / (k + 1)
        centred[n - 1] = total
    return centred


def _series(values: Any, what: str) -> FloatArray:
    series = np.atleast_1d(numbers_of(what, values))
    if series.ndim != 1 or not series.size or not np.isfinite(series).all():
        raise InvalidInput(f"{what} {values!r} were given; accepted is a non-empty list of finite numbers")
    return series


def numbers_of(what: str, values: Any, *, complex_too: bool = False) -> np.ndarray:
    """An array of float64 (or complex) numbers, else `InvalidInput`."""
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise InvalidInput(f"{what} {values!r} were given ({error}); accepted is an array of numbers") from None
    if array.dtype.kind not in ("biufc" if complex_too else "biuf"):
        kind = "numbers" if complex_too else "real numbers"
        raise InvalidInput(f"{what} of type {array.dtype} were given; accepted are {kind}")
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64, copy=False)


def _atoms(evals: Any, weights: Any) -> tuple[FloatArray, FloatArray]:
    """Atoms and weights that sum to one; atoms of weight zero are dropped."""
    x = numbers_of("eigenvalues", evals)
    if x.ndim != 1 or not x.size or not np.isfinite(x).all():
        raise InvalidInput(f"eigenvalues of shape {x.shape} were given; accepted: 1-D, not empty, finite")
    if weights is None:
        return x, np.full(x.size, 1 / x.size)
    w = numbers_of("weights", weights)
    if w.shape != x.shape or not np.isfinite(w).all() or (w < 0).any() or not w.sum() > 0:
        raise InvalidInput(
            f"weights of shape {w.shape} were given for {x.size} eigenvalues; accepted: as many, not negative"
        )
    return x[w > 0], w[w > 0] / w.sum()
