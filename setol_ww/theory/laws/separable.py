r"""The resolvent of noise of strengths d_i and e_j just above the real axis, and how many eigenvalues lie beyond.

At z, with :math:`b z = q \langle e/(1 - a e)\rangle` and :math:`a z = \langle d/(1 - b d)\rangle`, is s = a b z. These
are the conditions that

.. math:: \frac1N \sum_j \ln(z - \lambda_j) =
          q \ln z + q \langle\ln(1 - a e)\rangle + \langle\ln(1 - b d)\rangle + z a b

is stationary in a and b (its derivative in z is that of the left side, and both sides agree at infinity). The imaginary
part at x + i0 counts the eigenvalues beyond x: no integral of the density is needed, and an error of a and b counts
with its square.
"""

from __future__ import annotations

import math

import numpy as np

from ...core.arrays import FloatArray
from .sides import Side

# Heights above the axis, in x: where even strengths are a near guess, and as good as on it.
START, END = 0.3, 1e-6
# What does not get there is led down by such factors.
LADDER = tuple(10.0 ** -np.arange(7))
# Groups of strengths are so wide in their logarithm at most.
WIDTH = 0.5
COARSE, FINE, ROUNDS = 0.1, 1e-5, 100


class Separable:
    """The equations of both sides, their strengths in few weighted points."""

    def __init__(self, rows: Side, columns: Side, q: float) -> None:
        self.q = q
        # A strong column alone has eigenvalues over a width of sqrt q around it: what is told apart is finer.
        self.d, self.d_weights = rows.rule(WIDTH)
        self.e, self.e_weights = columns.rule(WIDTH * min(1.0, math.sqrt(q)))
        self.row_mean, self.column_mean = rows.mean, columns.mean

    def solve(self, x: FloatArray, near: np.ndarray | None = None) -> np.ndarray:
        """a at the points x > 0, looked for from `near` on."""
        if near is None:
            z = x * (1 + 1j * START)
            a, _ = self._newton(self._even(z), z, COARSE)
        else:
            a = near.copy()
        a, left = self._newton(a, x * (1 + 1j * END), FINE)
        if left.size:
            z = x[left]
            lower = self._even(z * (1 + 1j * LADDER[0]))
            for height in LADDER:
                lower, _ = self._newton(lower, z * (1 + 1j * height), FINE if height == LADDER[-1] else COARSE)
            a[left] = lower
        return a

    def counts(self, x: FloatArray, a: np.ndarray) -> tuple[FloatArray, FloatArray]:
        """Eigenvalues beyond x and their density there, as shares of the M of them."""
        z = x * (1 + 1j * END)
        b = self._columns(a)[0] / z
        beyond = self.q * (np.log(1 - a[:, None] * self.e) @ self.e_weights)
        beyond += np.log(1 - b[:, None] * self.d) @ self.d_weights + z * a * b
        unit = math.pi * self.q
        return beyond.imag / unit, np.maximum(-(z * a * b).imag, 0) / (unit * x)

    def _even(self, z: np.ndarray) -> np.ndarray:
        """a of even strengths: the s of s^2 + (1 + q - z/mean) s + q = 0 below the axis."""
        middle = z / (self.row_mean * self.column_mean) - 1 - self.q
        root = np.sqrt(middle * middle - 4 * self.q)
        s = (middle + root) / 2
        s = np.where(s.imag < 0, s, (middle - root) / 2)
        return s / (self.q + s) / self.column_mean

    def _newton(self, a: np.ndarray, z: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
        """a from a guess, and the places where it is not found.

        a is the one root of z a = <d / (1 - b d)>, b = q <e / (1 - a e)> / z, in the lower half-plane, where the
        averaged fixed-point step always leads and Newton's, taken where it stays there, leads fast.
        """
        left = np.arange(z.size)
        for number in range(ROUNDS):
            step, newton = self._steps(a[left], z[left], damped=number % 3 == 2)
            a[left] += step
            left = left[(np.abs(step) > tolerance * np.abs(a[left])) | ~newton]
            if not left.size:
                break
        return a, left

    def _steps(self, a: np.ndarray, z: np.ndarray, *, damped: bool) -> tuple[np.ndarray, np.ndarray]:
        """The next step of each a, and whether it is Newton's; a long one is `damped` or not taken."""
        column, column_slope = self._columns(a)
        row, row_slope = _sums(column / z, self.d, self.d_weights)
        step = (row - z * a) / (z - row_slope * column_slope / z)
        size = np.minimum(1.0, 0.5 * np.abs(a) / np.maximum(np.abs(step), 1e-300))
        stays = ((a + size * step).imag < 0) & ((column / z).imag < 0) & (damped | (size == 1))
        return np.where(stays, size * step, (row / z - a) / 2), stays & (size == 1)

    def _columns(self, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """q <e / (1 - a e)> = z b, and its derivative in a."""
        total, slope = _sums(a, self.e, self.e_weights)
        return self.q * total, self.q * slope


def _sums(a: np.ndarray, strengths: FloatArray, weights: FloatArray) -> tuple[np.ndarray, np.ndarray]:
    """<t / (1 - a t)> and its derivative in a, for each a."""
    terms = strengths / (1 - a[:, None] * strengths)
    return terms @ weights, (terms * terms) @ weights
