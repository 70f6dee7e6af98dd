"""E31-E35 and E47: section 5.5 and section 6 of the paper."""

from __future__ import annotations

import inspect
import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
import torch

from fixtures.ensembles import marchenko_pastur_quantiles
from spec_tests.errata.test_errata_measures import SPECTRA, atomic_h, atomic_r, ecs_rank
from spec_tests.plain import weightwatcher

M = sp.symbols("m1:7")


def partitions(items: list) -> list:
    """All partitions of a list into blocks."""
    if not items:
        return [[]]
    head, rest = items[0], items[1:]
    found = []
    for size in range(len(rest) + 1):
        for others in combinations(rest, size):
            block = [head, *others]
            found += [[block, *more] for more in partitions([i for i in rest if i not in others])]
    return found


def crossing(partition: list) -> bool:
    """Whether a < b < c < d exist with a, c in one block and b, d in another."""
    return any(
        a < b < c < d
        for first in partition
        for second in partition
        if first is not second
        for a, c in combinations(first, 2)
        for b, d in combinations(second, 2)
    )


def noncrossing(n: int) -> list:
    return [p for p in partitions(list(range(n))) if not crossing(p)]


def free_cumulants(moments, order: int) -> list:
    """From the moments, by the recursion over non-crossing partitions."""
    found: list = []
    for n in range(1, order + 1):
        rest = sum(math.prod(found[len(b) - 1] for b in p) for p in noncrossing(n) if len(p) > 1)
        found.append(moments[n - 1] - rest)
    return found


def cumulants_by_inversion(moments, order: int) -> list:
    """From the moments, by inverting G(b) = 1/b + m1/b^2 + ... as a power series in 1/b."""
    x = sp.symbols("x")
    series = 1 + sum(moments[n - 1] * x**n for n in range(1, order + 1))
    found = [moments[0]]
    for n in range(2, order + 1):
        # Lagrange: the n-th coefficient of the series to the power 1 - n, over 1 - n.
        tail = series - 1
        power = sum(sp.binomial(1 - n, j) * tail**j for j in range(n + 1))
        found.append(sp.expand(sp.expand(power).coeff(x, n) / (1 - n)))
    return found


def test_E31():
    """Centring makes kappa_1 = 0 and ruins Q^2; sums instead of means put the mass at the rank."""
    x = SPECTRA["mp1"]
    k = ecs_rank(x)
    tail = x[:k]

    def quality(values, divisor):
        kappas = free_cumulants([np.sum(values**n) / divisor for n in range(1, 6)], 5)
        return sum(kappas[n - 1] * (v / k) ** n / n for v in tail for n in range(1, 6))

    right = quality(tail, k)
    assert right == pytest.approx(sum(atomic_h(v / k, tail) for v in tail), rel=1e-3)
    centred = (tail - tail.mean()) / tail.std()
    assert np.mean(centred) == pytest.approx(0, abs=1e-12)
    assert abs(quality(centred, k)) < 0.01 * right
    assert abs(quality(tail, 1)) > 1e4 * right
    kappas = free_cumulants([np.mean(tail**n) for n in range(1, 3)], 2)
    z = 1e-5
    assert atomic_r(z, tail) == pytest.approx(kappas[0] + kappas[1] * z, rel=1e-8)


def test_E32_counts():
    """Of 5, 15, 52 partitions of 3, 4, 5 points all but 0, 1, 10 are non-crossing: 5, 14, 42."""
    assert [len(partitions(list(range(n)))) for n in (3, 4, 5)] == [5, 15, 52]
    assert [len(noncrossing(n)) for n in (3, 4, 5)] == [5, 14, 42]


def test_E32_formula():
    """Products of moments over all partitions give -m1^3 at order 3; cumulants over non-crossing ones are right."""
    m1, m2, m3 = M[:3]
    printed = m3 - sum(math.prod(M[len(b) - 1] for b in p) for p in partitions([0, 1, 2]) if len(p) > 1)
    assert sp.expand(printed - (m3 - 3 * m1 * m2 - m1**3)) == 0
    assert sp.expand(free_cumulants(M, 3)[2] - (m3 - 3 * m1 * m2 + 2 * m1**3)) == 0
    for mine, other in zip(free_cumulants(M, 5), cumulants_by_inversion(M, 5)):
        assert sp.expand(mine - other) == 0
    # All partitions with cumulants in the blocks are the classical ones, which differ from order 4 on.
    values = marchenko_pastur_quantiles(4000, 0.5)
    moments = [float(np.mean(values**n)) for n in range(1, 5)]
    assert free_cumulants(moments, 4)[3] == pytest.approx(0.5**3, rel=0.02)
    central = values - values.mean()
    classical = np.mean(central**4) - 3 * np.mean(central**2) ** 2
    assert abs(classical - 0.5**3) > 0.1


def test_E33():
    """The five printed cumulants are right, and the sixth follows them."""
    m1, m2, m3, m4, m5, m6 = M
    expected = [
        m1,
        m2 - m1**2,
        m3 - 3 * m2 * m1 + 2 * m1**3,
        m4 - 4 * m3 * m1 - 2 * m2**2 + 10 * m2 * m1**2 - 5 * m1**4,
        m5 - 5 * m4 * m1 + 15 * m3 * m1**2 + 15 * m2**2 * m1 - 35 * m2 * m1**3 - 5 * m3 * m2 + 14 * m1**5,
        m6 - 6 * m5 * m1 - 6 * m4 * m2 + 21 * m4 * m1**2 - 3 * m3**2 + 42 * m3 * m2 * m1 - 56 * m3 * m1**3
        + 7 * m2**3 - 84 * m2**2 * m1**2 + 126 * m2 * m1**4 - 42 * m1**6,
    ]  # fmt: skip
    for mine, printed in zip(free_cumulants(M, 6), expected):
        assert sp.expand(mine - printed) == 0


def test_E34_two_functionals():
    """With argument lambda/rank Q^2 starts at kappa_1 squared, with argument lambda at kappa_1 times the tail sum."""
    tail = SPECTRA["imp"][: ecs_rank(SPECTRA["imp"])]
    k, mean = len(tail), tail.mean()
    small = sum(atomic_h(v / k, tail) for v in tail)
    large = sum(atomic_h(v, tail) for v in tail)
    assert small == pytest.approx(mean**2, rel=0.02)
    assert large > 500 * small
    tiny = [1e-4 * v for v in tail]
    assert sum(atomic_h(t, tail) for t in tiny) / 1e-4 == pytest.approx(mean * tail.sum(), rel=1e-3)


def test_E34_weightwatcher_has_no_free_cumulants():
    """No source file of WeightWatcher 0.7.7 knows a cumulant or an R-transform."""
    folder = Path(inspect.getfile(weightwatcher)).parent
    sources = [path.read_text(encoding="utf-8", errors="replace").lower() for path in folder.rglob("*.py")]
    assert any("detx_constraint" in text for text in sources)
    for word in ("cumulant", "r-transform", "r_transform", "rtransform"):
        assert not any(word in text for text in sources)


def test_E35():
    """784 inputs and all biases give 235,500 + 30,100 + 1,010 = 266,610; the printed count is 768 x 300 + 300."""
    model = torch.nn.Sequential(torch.nn.Linear(28 * 28, 300), torch.nn.Linear(300, 100), torch.nn.Linear(100, 10))
    counts = [sum(p.numel() for p in layer.parameters()) for layer in model]
    assert counts == [235_500, 30_100, 1_010]
    assert sum(counts) == 266_610
    np.testing.assert_allclose(np.array(counts) / 2666.1, [88.3, 11.3, 0.4], atol=0.05)
    wrong = torch.nn.Linear(768, 300)
    assert sum(p.numel() for p in wrong.parameters()) == 230_700
    assert wrong.weight.numel() == 230_400


def test_E47():
    """Truncating a least-squares fit never lowers its training error: E_ecs - E is the difference that is positive."""
    rng = np.random.default_rng(47)
    inputs = rng.normal(size=(200, 12))
    target = inputs @ rng.normal(size=(12, 8)) + 0.3 * rng.normal(size=(200, 8))
    W = np.linalg.lstsq(inputs, target, rcond=None)[0]
    U, s, V = np.linalg.svd(W, full_matrices=False)
    base = np.mean((inputs @ W - target) ** 2)
    increase = [np.mean((inputs @ (U[:, :k] * s[:k]) @ V[:k] - target) ** 2) - base for k in range(1, 9)]
    assert min(increase[:-1]) > 0
    assert increase[-1] == pytest.approx(0, abs=1e-12)
    assert base - (base + increase[0]) < 0
