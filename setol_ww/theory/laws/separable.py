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
from dataclasses import dataclass
from functools import cached_property

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


@dataclass(frozen=True)
class _Points:
    """A few strengths t of one side with the weights of their means, and what the other sides' equations ask of it."""

    strengths: FloatArray
    weights: FloatArray
    mean: float
    #: Lines of this side over rows: what <1> is with these weights, lines of strength 0 included.
    size: float

    @property
    def spread(self) -> float:
        """Variance of ln t."""
        logs, share = np.log(self.strengths), self.weights / self.weights.sum()
        return float(share @ (logs - share @ logs) ** 2)

    @cached_property
    def _complex(self) -> tuple[np.ndarray, np.ndarray]:
        """1 / t and the weights, of a type with what is summed."""
        return (1 / self.strengths).astype(np.complex128), self.weights.astype(np.complex128)

    def sums(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """<t / (1 - u t)> and its derivative in u, for each u."""
        inverse, weights = self._complex
        terms = np.reciprocal(inverse - u[:, None])
        return terms @ weights, np.square(terms) @ weights

    def phase(self, u: np.ndarray) -> FloatArray:
        """Imaginary part of <ln(1 - u t)> for each u."""
        real, imag = np.multiply.outer(u.real, self.strengths), np.multiply.outer(u.imag, self.strengths)
        phases: FloatArray = np.arctan2(-imag, 1 - real) @ self.weights
        return phases


class Separable:
    """The equations of both sides, their strengths in few weighted points."""

    def __init__(self, rows: Side, columns: Side, q: float) -> None:
        self.q = q
        points, weights = rows.rule(WIDTH)
        self.rows = _Points(points, weights, rows.mean, 1.0)
        # A strong column alone has eigenvalues over a width of sqrt q around it: what is told apart is finer.
        points, weights = columns.rule(WIDTH * min(1.0, math.sqrt(q)))
        self.columns = _Points(points, q * weights, columns.mean, q)

    def solve(self, x: FloatArray, near: np.ndarray | None = None) -> np.ndarray:
        """a at the points x > 0, looked for from `near` on.

        The unknown of the more even side is found from farther away; where it is not, the other is looked for.
        """
        of_columns = _Unknown(self.columns, self.rows, self.q)
        of_rows = _Unknown(self.rows, self.columns, self.q)
        if self.columns.spread <= self.rows.spread:
            a, left = of_columns.found(x, near)
            if left.size:
                a[left] = of_rows.partner(of_rows.found(x[left])[0], x[left])
            return a
        b, left = of_rows.found(x, None if near is None else of_columns.partner(near, x))
        a = of_rows.partner(b, x)
        if left.size:
            a[left] = of_columns.found(x[left])[0]
        return a

    def counts(self, x: FloatArray, a: np.ndarray) -> tuple[FloatArray, FloatArray]:
        """Eigenvalues beyond x and their density there, as shares of the M of them."""
        z = x * (1 + 1j * END)
        b = self.columns.sums(a)[0] / z
        last, unit = (z * a * b).imag, math.pi * self.q
        beyond = self.columns.phase(a) + self.rows.phase(b) + last
        return beyond / unit, np.maximum(-last, 0) / (unit * x)


@dataclass(frozen=True)
class _Unknown:
    """The unknown u of one side: the root of z u = <s / (1 - v s)> of the other, v = <t / (1 - u t)> / z of its own.

    Both sides have such an equation, that of the one with the other as its partner v.
    """

    own: _Points
    other: _Points
    q: float

    def partner(self, u: np.ndarray, x: FloatArray) -> np.ndarray:
        """The other side's unknown just above the points x."""
        v: np.ndarray = self.own.sums(u)[0] / (x * (1 + 1j * END))
        return v

    def found(self, x: FloatArray, near: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """u just above the points x, and the places where it is not found."""
        if near is None:
            z = x * (1 + 1j * START)
            u, _ = self._newton(self._even(z), z, COARSE)
        else:
            u = near
        u, left = self._newton(u, x * (1 + 1j * END), FINE)
        if not left.size:
            return u, left
        z = x[left]
        lower = self._even(z * (1 + 1j * LADDER[0]))
        for height in LADDER:
            lower, missing = self._newton(lower, z * (1 + 1j * height), FINE if height == LADDER[-1] else COARSE)
        u[left] = lower
        return u, left[missing]

    def _even(self, z: np.ndarray) -> np.ndarray:
        """u of even strengths, by the s of s^2 + (1 + q - z/mean) s + q = 0 below the axis."""
        middle = z / (self.own.mean * self.other.mean) - 1 - self.q
        root = np.sqrt(middle * middle - 4 * self.q)
        s = (middle + root) / 2
        s = np.where(s.imag < 0, s, (middle - root) / 2)
        return s / (self.own.size + s) / self.own.mean

    def _newton(self, u: np.ndarray, z: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
        """u from a guess, and the places where it is not found.

        It is the one root in the lower half-plane, where the averaged fixed-point step always leads and Newton's, taken
        where it stays there, leads fast.
        """
        u, left, here = u.copy(), np.arange(z.size), u
        for number in range(ROUNDS):
            here, length, newton = self._stepped(here, z, damped=number % 3 == 2)
            missing = (length > tolerance * np.abs(here)) | ~newton
            if not missing.all():
                u[left], left = here, left[missing]
                if not left.size:
                    return u, left
                here, z = here[missing], z[missing]
        u[left] = here
        return u, left

    def _stepped(self, u: np.ndarray, z: np.ndarray, *, damped: bool) -> tuple[np.ndarray, FloatArray, np.ndarray]:
        """Each u after its next step, how long that was, and whether it was Newton's.

        A long one is `damped` or not taken.
        """
        own, own_slope = self.own.sums(u)
        partner = own / z
        other, other_slope = self.other.sums(partner)
        step = (other - z * u) / (z - other_slope * own_slope / z)
        length, most = np.abs(step), 0.5 * np.abs(u)
        newton = length <= most
        if damped:
            step *= np.minimum(1.0, most / np.maximum(length, 1e-300))
            length = np.minimum(length, most)
        moved = u + step
        stays = (moved.imag < 0) & (partner.imag < 0)
        if not damped:
            stays &= newton
        if not stays.all():
            average = (other / z - u) / 2
            moved = np.where(stays, moved, u + average)
            length = np.where(stays, length, np.abs(average))
        return moved, length, stays & newton
