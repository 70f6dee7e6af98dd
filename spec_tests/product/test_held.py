"""What results and laws hold: computed once, printed in a line, compared without an error."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import setol_ww as ww
from fixtures.ensembles import gaussian_matrix
from fixtures.uneven_noise import lognormal_strengths
from setol_ww.layer.columns import COLUMNS, UNCERTAINTY_COLUMNS, Column
from setol_ww.spectrum.ks_curve import ks_curve
from setol_ww.spectrum.noise import Noise
from setol_ww.spectrum.starts import Scan
from setol_ww.spectrum.strengths import strengths_of
from setol_ww.theory.laws.sides import Side
from setol_ww.truncation.pieces import pieces_of

#: Of one shape, level or name: many layers of a model ask for the same.
SHARED: dict[str, tuple[Any, ...]] = {
    "spectrum.bulk:_edges": (50, 60.0, 1, 0.01),
    "spectrum.bulk:_lower_half": (25, 50, 0.5),
    "spectrum.noise:critical_value": (0.01,),
    "spectrum.noise:_cdf_at_angles": (0.5,),
    "spectrum.strengths:_ones": (7, np.dtype(np.float32)),
    "theory.laws.edge:_quadrature": (),
    "theory.laws.edge:_laguerre": (),
    "theory.laws.edge:_log_sf": (),
    "theory.resolvents:_grid": (12,),
    "linalg.routines:scipys": ("dgemm",),
    "linalg.symmetric:two_stage_routine": (),
    "results.findings:_register_digest": ((*COLUMNS, *UNCERTAINTY_COLUMNS),),
    "results.findings:_constants": (),
    "spectrum.starts:_coarse_points": (40,),
    "truncation.rules:optimal_threshold": (0.3,),
    "truncation.rules:marchenko_pastur_median": (0.3,),
    "views.report.curves:_thinned": (500,),
    "weights.layouts.config:_entries_of": ("llama",),
    "weights.layouts.registry:layouts": (),
    "weights.schemes.registry:schemes": (),
    "weights.schemes.registry:_by_name": (),
    "layer.columns:_read": (True, True, False, False, (*COLUMNS, *UNCERTAINTY_COLUMNS)),
}


@pytest.mark.parametrize("place", SHARED)
def test_what_many_layers_share_is_computed_once(place):
    module, _, name = place.partition(":")
    ask = getattr(importlib.import_module(f"setol_ww.{module}"), name)
    assert ask(*SHARED[place]) is ask(*SHARED[place])


NOISE = gaussian_matrix(60, 40, seed=0)
UNEVEN = NOISE * np.geomspace(0.3, 3, 40)


def spectrum() -> ww.Spectrum:
    return ww.Spectrum.from_matrix(UNEVEN)


def law() -> ww.laws.UnevenNoise:
    return ww.laws.UnevenNoise(lognormal_strengths(30, 0.5, 1), lognormal_strengths(20, 0.3, 2))


def noise() -> Noise:
    return Noise(60.0, 40.0, 1, strengths_of([UNEVEN]))


#: What is asked more than once of one object.
KEPT: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "spectrum": (spectrum, ("raw", "unit_mean", "scan")),
    "scan": (lambda: Scan(np.log(np.arange(1.0, 40.0))), ("rates", "bounds", "best_of_all")),
    "result": (lambda: ww.analyze_matrix(NOISE), ("ks_curve",)),
    "noise": (noise, ("law", "support", "shift", "centre_and_scale")),
    "law": (law, ("_sides", "_upper", "_lower", "scale", "support", "_knots", "_resolvent", "_curve")),
    "side": (lambda: Side(lognormal_strengths(30, 0.5, 1)), ("live", "share", "mean", "_mean_inverse", "_rules")),
    "power law": (lambda: ww.laws.TruncatedPowerLaw(2.5, 1.0, 9.0), ("erg_lambda_min", "erg_fraction")),
    "report of traps": (lambda: ww.find_traps(NOISE), ("sentence",)),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_was_computed_is_kept(name):
    make, kept = KEPT[name]
    one = make()
    for attribute in kept:
        # As one number of equal digits is another object where it is computed again.
        assert getattr(one, attribute) is getattr(one, attribute), attribute


def test_a_rule_of_few_strengths_is_made_once():
    side = Side(np.sort(lognormal_strengths(30, 0.5, 1)))
    assert side.rule(0.5) is side.rule(0.5)
    assert side.rule(0.5) is not side.rule(0.1)


def test_what_holds_arrays_is_printed_in_a_line():
    """Without its arrays, which would fill a terminal."""
    found = spectrum()
    assert repr(found) == "Spectrum(N=60, M=40, slices=1, eps=2.220446049250313e-16, exponent=0)"
    curve = ks_curve(found, ww.fit_tail(found))
    assert repr(curve) == f"KsCurve(best={curve.best}, second={curve.second}, tolerance={curve.tolerance!r})"
    told = strengths_of([UNEVEN])
    assert repr(told) == (
        f"Strengths(rows=60, columns=40, row_spread={told.row_spread!r}, column_spread={told.column_spread!r}, "
        f"slice_spread={told.slice_spread!r}, k4={told.k4!r}, k6={told.k6!r})"
    )
    assert repr(law().at(0.5)) == "UnevenNoise(q=0.5)"


def test_what_holds_arrays_is_itself_and_nothing_else():
    """Arrays have no truth value: these are compared by what they are, and may be kept in a set."""
    for make in (
        lambda: ww.find_traps(NOISE),
        lambda: ks_curve(spectrum(), ww.fit_tail(spectrum())),
        law,
        lambda: Side(np.ones(3)),
        lambda: Column("a", "ERG", "count", "a number", "", len),
        lambda: pieces_of({"fc.weight": np.ones((3, 2))})[0],
    ):
        one, other = make(), make()
        assert one == one
        assert one != other
        assert len({one, other, one}) == 2


def test_equal_strengths_are_equal_and_others_are_not():
    same, other = strengths_of([UNEVEN]), strengths_of([2 * NOISE])
    assert same == strengths_of([UNEVEN])
    assert same != other
    assert same != "strengths"
    unknown = strengths_of([np.full((3, 2), np.inf)])
    assert unknown == strengths_of([np.full((3, 2), np.inf)])
