"""From exponents to factors: the maps of TempBalance, AlphaDecay and AlphaPruning."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..core.arrays import FloatArray


def linear(alphas: FloatArray, low: float, high: float) -> FloatArray:
    r"""Factors :math:`s_1 + (s_2 - s_1)(\alpha_i - \min\alpha)/(\max\alpha - \min\alpha)`.

    The smallest alpha gets `low`, the largest `high`. Where all alphas are equal (or there is one) they say nothing and
    every factor is 1; the authors' code divides by zero there.

    Examples
    --------
    >>> linear(np.array([2.0, 3.0, 5.0]), 0.5, 1.5).round(4).tolist()
    [0.5, 0.8333, 1.5]
    >>> linear(np.array([3.0, 3.0]), 0.5, 1.5).tolist()
    [1.0, 1.0]
    """
    if alphas.size == 0 or not np.ptp(alphas) > 0:
        return np.ones(alphas.shape)
    return low + (high - low) * (alphas - alphas.min()) / np.ptp(alphas)


def root(alphas: FloatArray, low: float, high: float) -> FloatArray:
    r"""Factors :math:`n \sqrt{\alpha_i} / \sum_j \sqrt{\alpha_j}` (TempBalance's `tb_sqrt`); mean 1, no range.

    >>> root(np.array([2.0, 3.0, 5.0]), 0.5, 1.5).round(4).tolist()
    [0.7883, 0.9654, 1.2463]
    """
    values = np.sqrt(alphas)
    return values / values.mean() if values.size else values


def logarithm(alphas: FloatArray, low: float, high: float) -> FloatArray:
    r"""Factors :math:`n \log_2\alpha_i / \sum_j \log_2\alpha_j` (TempBalance's `tb_log2`); mean 1, no range.

    >>> logarithm(np.array([2.0, 3.0, 5.0]), 0.5, 1.5).round(4).tolist()
    [0.6114, 0.969, 1.4196]
    """
    values = np.log2(alphas)
    return values / values.mean() if values.size else values


def step(alphas: FloatArray, low: float, high: float) -> FloatArray:
    r"""Factors :math:`s_1 + (s_2 - s_1) r_i / n`, r the rank from 0 (TempBalance's `tb_step`); none reaches `high`.

    >>> step(np.array([2.0, 3.0, 5.0]), 0.5, 1.5).round(4).tolist()
    [0.5, 0.8333, 1.1667]
    """
    ranks = np.argsort(np.argsort(alphas, kind="stable"), kind="stable")
    return low + (high - low) * ranks / max(alphas.size, 1)


MAPS: dict[str, Callable[[FloatArray, float, float], FloatArray]] = {
    "linear": linear,
    "sqrt": root,
    "log2": logarithm,
    "step": step,
}
