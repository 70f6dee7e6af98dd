"""What the rooms of numbers refuse, and what they say in the log: which, where the limit is, and what was asked."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import setol_ww as ww
from fixtures.ensembles import gaussian_matrix
from setol_ww.linalg import leading, svd, symmetric
from setol_ww.linalg.directions import project
from setol_ww.traps import removal
from setol_ww.traps.find import find_traps_of

laws = ww.laws
NAN, INF = math.nan, math.inf

#: A law, parameters at its limits that it takes, those that it refuses, what is said then.
PARAMETERS: list[tuple[Any, list[tuple[float, ...]], list[tuple[float, ...]], str]] = [
    (laws.MarchenkoPastur, [(1.0,), (1e-9, 1e-9)], [(0.0,), (1.0000001,), (0.5, 0.0), (0.5, INF)], "0 < q <= 1"),
    (laws.InverseMarchenkoPastur, [(1e-9,), (1e9,)], [(0.0,), (-1.0,), (INF,), (NAN,)], "kappa > 0"),
    (
        laws.TruncatedPowerLaw,
        [(0.0, 1e-9, 1.0), (-2.0, 1.0, 1e9)],
        [(2.0, 0.0, 1.0), (2.0, 1.0, 1.0), (2.0, 2.0, 1.0), (2.0, 1.0, INF), (NAN, 1.0, 2.0), (INF, 1.0, 2.0)],
        "0 < lower < upper and a finite alpha",
    ),
    (laws.FreeCauchy, [(0.0, 1e-9)], [(0.0, 0.0), (1.0, -1.0), (1.0, NAN)], "gamma > 0"),
    (laws.LevyWigner, [(1.0000001,), (1.9999999,)], [(1.0,), (2.0,), (NAN,)], "1 < alpha < 2"),
    (
        laws.MultiplicativeWishart,
        [(1e-9, 1e-9)],
        [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0), (1.0, -1.0)],
        "epsilon > 0 and phi > 0",
    ),
    (
        laws.UnevenNoise,
        [([0.0, 1.0], [1.0]), ([1.0], [1.0], 1e-9)],
        [([0.0], [1.0]), ([-1e-9, 1.0], [1.0]), ([1.0], []), ([1.0], [INF]), ([1.0], [0.0, 0.0])],
        "accepted: finite, >= 0",
    ),
    (laws.UnevenNoise, [([1.0], [1.0], 9.0)], [([1.0], [1.0], 0.0), ([1.0], [1.0], INF)], "a positive ratio"),
]


@pytest.mark.parametrize(("law", "accepted", "refused", "said"), PARAMETERS)
def test_a_law_takes_parameters_up_to_their_limits(law, accepted, refused, said):
    for parameters in accepted:
        law(*parameters)
    for parameters in refused:
        with pytest.raises(ww.InvalidInput) as caught:
            law(*parameters)
        assert said in str(caught.value), parameters


WITH_R = [laws.MarchenkoPastur(0.5), laws.InverseMarchenkoPastur(0.5), laws.TruncatedPowerLaw(2.0, 1.0, 3.0),
          laws.LevyWigner(1.5), laws.MultiplicativeWishart(1.0, 1.0)]  # fmt: skip


@pytest.mark.parametrize("law", WITH_R, ids=repr)
@pytest.mark.parametrize("t", [0.0, -1.0, NAN, INF, [0.1, 0.0]])
def test_r_is_asked_at_positive_finite_numbers(law, t):
    for ask in (law.r_transform, law.integrated_r):
        with pytest.raises(ww.InvalidInput, match="accepted are positive finite numbers"):
            ask(t)


def test_r_at_the_branch_point_and_beyond():
    """Both forms meet there: R = 2, and the integral 2 kappa (1 - ln 2)."""
    law, point = laws.InverseMarchenkoPastur(0.5), 0.25
    assert law.r_transform(point) == pytest.approx(2.0)
    assert law.formal_r(point) == pytest.approx(2.0)
    assert law.integrated_r(point) == pytest.approx(1 - math.log(2))
    assert law.formal_integrated_r(point) == pytest.approx(1 - math.log(2))
    for ask, beyond in (
        (law.r_transform, np.nextafter(point, 1)),
        (law.integrated_r, [0.1, 0.3]),
        (law.formal_r, np.nextafter(point, 0)),
        (law.formal_integrated_r, [0.1, 0.3]),
    ):
        with pytest.raises(ww.InvalidInput, match="kappa/2"):
            ask(beyond)


WITH_ENDS = [laws.MarchenkoPastur(1.0), laws.MarchenkoPastur(0.25), laws.InverseMarchenkoPastur(1.0),
             laws.TruncatedPowerLaw(2.0, 1.0, 3.0), laws.UnevenNoise([1.0, 3.0], [1.0, 1.0])]  # fmt: skip


@pytest.mark.parametrize("law", WITH_ENDS, ids=repr)
def test_there_is_no_density_outside_the_support(law):
    """Nor at soft ends; a power law has its own up to both of them."""
    lower, upper = law.support
    ends = law.pdf([lower, upper])
    expected = [1.5, 1.5 / 9] if isinstance(law, laws.TruncatedPowerLaw) else [0.0, 0.0]
    assert ends == pytest.approx(expected)
    beyond = [np.nextafter(lower, -1), np.nextafter(upper, 99)]
    assert law.pdf(beyond).tolist() == [0.0, 0.0]
    assert law.cdf(beyond) == pytest.approx([0.0, 1.0], abs=1e-9)
    assert law.cdf([lower - 5, upper + 5]) == pytest.approx([0.0, 1.0], abs=1e-12)
    assert np.shape(law.pdf(1.5)) == np.shape(law.cdf(1.5)) == ()
    assert law.pdf(np.full((2, 3), 1.5)).shape == law.cdf(np.full((2, 3), 1.5)).shape == (2, 3)


def test_g_at_the_ends_of_the_support():
    """Soft ends have one, on the real axis: that of the quadratic equation. A hard end and a jump have none."""
    law = laws.MarchenkoPastur(0.25, 2.0)
    lower, upper = law.support
    assert law.stieltjes(upper) == pytest.approx(2 / (upper - 1.5))
    assert law.stieltjes(lower) == pytest.approx(2 / (lower - 1.5))
    assert law.stieltjes(lower / 2) < 0 < law.stieltjes(2 * upper)
    for refused, points in (
        (law, [(lower + upper) / 2, np.nextafter(upper, 0), np.nextafter(lower, 9)]),
        (laws.MarchenkoPastur(1.0), [0.0, 1.0]),
        (laws.TruncatedPowerLaw(2.0, 1.0, 3.0), [1.0, 2.0, 3.0]),
        (laws.FreeCauchy(0.0, 1.0), [0.5, 0.5 - 1j]),
    ):
        for point in points:
            with pytest.raises(ww.InvalidInput, match="accepted are"):
                refused.stieltjes(point)
    assert laws.MarchenkoPastur(1.0).stieltjes(-1.0) < 0
    assert laws.MarchenkoPastur(1.0).stieltjes(4.0) == pytest.approx(0.5)


def test_weights_of_nothing_are_no_atoms():
    with_none = ww.transforms.r_transform([0.5, 3.0], [1.0, 2.0, 9.0], [0.5, 1.5, 0.0])
    assert with_none == pytest.approx(ww.transforms.r_transform([0.5, 3.0], [1.0, 2.0], [0.25, 0.75]))
    for weights in ([0.0, 0.0], [1.0], [1.0, NAN], [-1.0, 2.0]):
        with pytest.raises(ww.InvalidInput, match="accepted: as many, not negative"):
            ww.transforms.moments([1.0, 2.0], 2, weights)


#: Settings of an analysis and what is said of them, by their names.
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "quality": (lambda: ww.Settings(quality=2), "quality=2 was asked"),
    "seed": (lambda: ww.Settings(seed=-1), "seed=-1 was asked; accepted is an integer of 0 or more"),
    "uncertainty": (lambda: ww.Settings(uncertainty=0.5), "uncertainty=0.5 was asked"),
    "settings": (lambda: ww.analyze_matrix(np.eye(3), {"seed": 1}), "settings={'seed': 1} was asked; accepted is a"),
    "side": (lambda: ww.fit_submatrices(np.eye(3), side=0), "side=0 was asked"),
    "windows": (lambda: ww.fit_submatrices(np.eye(3), max_windows=0), "max_windows=0 was asked"),
    "slices": (lambda: ww.Spectrum.from_eigenvalues([1.0], slices=0), "slices=0 was asked"),
    "permutations": (lambda: ww.find_traps(np.eye(3), n_permutations=0), "n_permutations=0 was asked"),
    "device": (lambda: ww.fit_submatrices(np.eye(3), device="abacus"), "device='abacus' was asked"),
    "device of a spectrum": (lambda: ww.Spectrum.from_matrix(np.eye(3), device="abacus"), "accepted are 'cpu' and"),
    "no matrix": (lambda: ww.Spectrum.from_slices([]), "slices of shapes [] were asked to be pooled"),
    "two shapes": (lambda: ww.Spectrum.from_slices([np.eye(2), np.eye(3)]), "slices of shapes [(2, 2), (3, 3)] were"),
    "no pair": (lambda: ww.Spectrum.from_eigenvalues([1.0], (1, 1, 1)), "accepted is a pair (rows, columns)"),
    "another number": (lambda: ww.Spectrum.from_eigenvalues([1.0, 2.0], (3, 3)), "and 1 slice(s); accepted are 3"),
    "two of each": (lambda: ww.Spectrum.from_eigenvalues([1.0, 2.0], (3, 3), slices=2), "2 slice(s); accepted are 6"),
    "entries": (lambda: project([[NAN, 1.0]], 1), "entries that are not finite was given"),
    "order": (lambda: ww.transforms.moments([1.0], 0), "order=0 was asked"),
    "integers": (lambda: ww.remove_traps(np.ones((9, 9), int)), "traps of a weight of dtype int64 were asked to be"),
    "report": (lambda: ww.remove_traps(np.ones((9, 9)), 3), "report=3 was given; accepted is what find_traps returns"),
    "shape": (
        lambda: ww.remove_traps(np.ones((9, 9)), ww.find_traps(np.ones((9, 8)))),
        "a report of shape (9, 8) was given for a weight of shape (9, 9)",
    ),
}  # fmt: skip


def test_refusals_without_a_number_are_whole_sentences():
    for ask, said in (
        (
            lambda: ww.transforms.stieltjes([0.5, 2.0], [1.0, 2.0]),
            "the Stieltjes transform was asked at an eigenvalue; accepted are points off the spectrum",
        ),
        (
            lambda: project([[NAN, 1.0]], 1),
            "a matrix with entries that are not finite was given; accepted is a finite one",
        ),
        (lambda: find_traps_of([]), "traps of no matrix were asked; accepted is at least one"),
    ):
        with pytest.raises(ww.InvalidInput) as caught:
            ask()
        assert str(caught.value) == said


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_named_as_it_was_asked(name):
    ask, said = REFUSED[name]
    with pytest.raises(ww.InvalidInput) as caught:
        ask()
    assert said in str(caught.value)


@pytest.mark.parametrize("law", [laws.TruncatedPowerLaw(2.0, 1.0, 3.0), laws.MultiplicativeWishart(1.0, 1.0)], ids=repr)
def test_cumulants_are_asked_by_a_whole_number(law):
    for wrong in (0, 1.5, True):
        with pytest.raises(ww.InvalidInput, match=f"^n={wrong!r} was asked"):
            law.free_cumulants(wrong)
    assert [law.free_cumulants(n).size for n in (1, 2, 5)] == [1, 2, 5]


# Routines that do not converge, and what is said in the log.

W = gaussian_matrix(6, 6, seed=0)
TRIDIAGONAL = np.arange(1.0, 7.0), np.ones(5)

SOLVERS: dict[str, tuple[Any, Callable[[], Any]]] = {
    "dsyevd": (symmetric, lambda: symmetric.symmetric_eigenpairs(np.asfortranarray(W @ W.T))),
    "dsterf": (symmetric, lambda: symmetric.symmetric_eigenvalues(np.asfortranarray(W @ W.T))),
    "dstebz": (leading, lambda: leading.largest_of_tridiagonal(*TRIDIAGONAL, 2)),
    "dstein": (leading, lambda: leading.largest_of_tridiagonal(*TRIDIAGONAL, 2)),
    "dstedc": (leading, lambda: leading.eigenpairs_of_tridiagonal(*TRIDIAGONAL)),
    "dgesdd": (svd, lambda: svd.svd(np.asfortranarray(W))),
}


@pytest.mark.parametrize("name", SOLVERS)
def test_a_routine_that_does_not_converge_is_named(name, monkeypatch):
    """Each writes its status last, which is that of the routine itself otherwise."""
    module, ask = SOLVERS[name]
    call = module.call

    def failing(routine: Any, *arguments: Any) -> None:
        call(routine, *arguments)
        if routine is module.scipys(name):
            arguments[-1].view(np.int32)[0] = 7

    ask()
    monkeypatch.setattr(module, "call", failing)
    with pytest.raises(np.linalg.LinAlgError) as caught:
        ask()
    assert str(caught.value) == f"LAPACK's {name} did not converge (info 7)"


def test_a_blas_without_the_two_stage_routine_is_told(monkeypatch, caplog):
    caplog.set_level(logging.DEBUG, "setol_ww.linalg.symmetric")
    for found, said in ((len, []), (None, ["no dsyevd_2stage in the BLAS that is loaded: dsyevd at every size"])):
        monkeypatch.setattr(symmetric, "loaded", lambda *_, found=found, **__: found)
        assert symmetric.two_stage_routine.__wrapped__() is found
        assert caplog.messages == said


def test_a_rank_deficient_matrix_is_told(caplog):
    caplog.set_level(logging.DEBUG, "setol_ww.linalg.eigenvalues")
    ww.Spectrum.from_matrix(np.ones((9, 4)))
    assert caplog.messages == ["rank-deficient 9 x 4 matrix: singular values computed"]


def test_traps_that_are_left_are_told(monkeypatch, caplog):
    """After as many rounds as there are; a matrix without any is looked at once and nothing is said."""
    trapped = gaussian_matrix(60, 40, seed=0)
    trapped[3, 4] = 30.0
    for rounds in (removal.ROUNDS, 2):
        monkeypatch.setattr(removal, "ROUNDS", rounds)
        ww.remove_traps(trapped)
        assert caplog.messages == []
    monkeypatch.setattr(removal, "ROUNDS", 1)
    ww.remove_traps(trapped)
    assert caplog.messages == ["traps may be left after 1 rounds of removal"]
