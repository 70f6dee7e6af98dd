"""Every column twice: as the package computes it and as `fixtures.columns` does, plainly, from the matrices alone."""

from __future__ import annotations

import ast
import math
import re

import numpy as np
import pandas as pd
import pytest

import setol_ww as ww
from fixtures import columns as plain
from fixtures.ensembles import (
    gaussian_matrix,
    ideal_layer_eigenvalues,
    matrix_with_eigenvalues,
    signed_pareto_matrix,
)
from fixtures.matrices import planted_rank
from fixtures.oracles import singular_value_squares
from fixtures.traps import johnstone, tracy_widom_1_cdf
from fixtures.uneven_noise import draw, lognormal_strengths
from setol_ww.layer import columns
from setol_ww.linalg.shuffles import shuffle
from spec_tests.conftest import ROOT

DRAWS, SEED = 20, 3
KERNEL = gaussian_matrix(24, 12 * 9, seed=4).reshape(24, 12, 3, 3) + np.where(
    np.random.default_rng(5).random((24, 12, 3, 3)) < 0.02, 4.0, 0.0
)


def alternating(n: int) -> np.ndarray:
    return np.where(np.arange(n) % 2, 1.0, -1.0)


trapped = gaussian_matrix(90, 60, seed=11)
trapped[5, 7] = 20.0
WEIGHTS: dict[str, np.ndarray] = {
    "tall": gaussian_matrix(90, 60, seed=1),
    "wide": signed_pareto_matrix(50, 110, 2.0, seed=2),
    "square": signed_pareto_matrix(70, 70, 1.2, seed=3),
    "kernel": KERNEL,
    "deficient": planted_rank(60, 40, 25, seed=6)[0],
    "small": gaussian_matrix(12, 9, seed=7),
    "ideal": matrix_with_eigenvalues(ideal_layer_eigenvalues(30, 80), 100, seed=8),
    # A signal whose elements are all of one size: rows and columns stay even.
    "spiked": gaussian_matrix(120, 80, seed=9) + 0.5 * np.outer(alternating(120), alternating(80)),
    "trapped": trapped,
    "uneven": draw(lognormal_strengths(100, 0.4, 1), np.ones(60), seed=10),
}
#: Those in whose noise no row, column or slice is stronger than another.
EVEN = ("tall", "small", "spiked")
#: Columns whose second computation is a test of its own.
ELSEWHERE = {
    "q2_reason": "test_second_computation.py::test_the_reason_names_the_readings_that_are_missing",
    "universality_class": "test_second_computation.py::test_the_class_is_the_planted_one",
    "setol_state": "test_verdict.py::test_both_sides_of_every_limit_and_the_limit",
    "setol_reason": "test_second_computation.py::test_the_sentence_has_the_numbers_of_the_row",
    "setol_flags": "test_second_computation.py::test_flags_are_those_of_the_planted_layers",
    "trap_count": "test_second_computation.py::test_traps_are_the_planted_ones",
    "trap_lambda_max": "test_second_computation.py::test_traps_are_the_planted_ones",
    "trap_edge": "test_second_computation.py::test_traps_are_the_planted_ones",
    "trap_strength": "test_second_computation.py::test_traps_are_the_planted_ones",
    "trap_pvalue": "test_second_computation.py::test_traps_are_the_planted_ones",
    "detX_num_error": "test_second_computation.py::test_the_error_is_that_of_weightwatchers_count",
}
# Where the plain way is itself less exact: roots by bisection, a tabulated law.
TOLERANCES = {"q2": 1e-8, "q2_norm": 1e-8, "q2_norm_low": 1e-8, "q2_norm_high": 1e-8, "bulk_ks": 1e-6}


def slices_of(W: np.ndarray) -> list[np.ndarray]:
    return [W] if W.ndim == 2 else [W[:, :, i, j] for i in range(W.shape[2]) for j in range(W.shape[3])]


def layer_of(name: str, draws: int = 0) -> plain.Layer:
    W = WEIGHTS[name]
    return plain.Layer(slices_of(W), 1.0 if W.ndim == 2 else 0.5, draws, SEED)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    weights = {f"{name}.weight": W for name, W in WEIGHTS.items()}
    frame = ww.analyze(weights, randomize=True, uncertainty=DRAWS, farms=True, seed=SEED, min_evals=1, progress=False)
    return frame.set_index("longname")


def names() -> set[str]:
    return {one.name for one in (*columns.COLUMNS, *columns.UNCERTAINTY_COLUMNS, *columns.FARMS_COLUMNS)} | {
        columns.DETX_ERROR.name
    }


def test_no_column_is_without_a_second_computation():
    """A new column needs its oracle in `fixtures.columns`, or its test named here."""
    known = set(plain.ORACLES) | set(plain.OF_EVEN_NOISE) | set(plain.DRAWN) | set(plain.OF_WINDOWS) | set(ELSEWHERE)
    assert names() - known == set()
    assert known - names() == set()
    for place in ELSEWHERE.values():
        file, name = place.split("::")
        text = (ROOT / "spec_tests" / "product" / file).read_text(encoding="utf-8")
        assert name in {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}, place


def agree(row: pd.Series, oracles: dict, layer: plain.Layer) -> dict:
    """Columns that differ, with both values."""
    wrong = {}
    for column, oracle in oracles.items():
        ours, truth = row[column], oracle(layer)
        if isinstance(truth, (str, bool, np.bool_)):
            same = ours == truth
        elif math.isnan(truth):
            same = math.isnan(ours)
        else:
            same = math.isclose(ours, truth, rel_tol=TOLERANCES.get(column, 1e-9), abs_tol=1e-10)
        if not same:
            wrong[column] = (ours, truth)
    return wrong


@pytest.mark.parametrize("name", WEIGHTS)
def test_every_number_is_that_of_the_plain_way(name, table):
    assert agree(table.loc[name], plain.ORACLES, layer_of(name)) == {}


@pytest.mark.parametrize("name", EVEN)
def test_the_bulk_of_even_noise(name, table):
    assert agree(table.loc[name], plain.OF_EVEN_NOISE, layer_of(name)) == {}


@pytest.mark.parametrize("name", ["wide", "deficient", "ideal"])
def test_the_intervals(name, table):
    assert agree(table.loc[name], plain.DRAWN, layer_of(name, DRAWS)) == {}


@pytest.mark.parametrize("name", ["tall", "wide", "square"])
def test_the_windows(name, table):
    assert agree(table.loc[name], plain.OF_WINDOWS, layer_of(name)) == {}


READINGS = {"q2", "q2_norm", "q2_series5", "q2_paper", "q2_bs", "q2_fc", "q2_imp", "q2_lw"}


def test_the_reason_names_the_readings_that_are_missing(table):
    for _, row in table.iterrows():
        missing = {name for name in READINGS if math.isnan(row[name])}
        assert set(re.findall(r"q2_\w+", row["q2_reason"])) == missing
    assert (table["q2_reason"] == "").sum() < len(table)


def test_the_class_is_the_planted_one(table):
    found = table["universality_class"]
    assert found[["tall", "spiked", "small"]].tolist() == ["random-like", "bulk+spikes", "undetermined"]
    assert found["square"] in {"heavy-tailed", "very heavy-tailed"}


def test_the_sentence_has_the_numbers_of_the_row(table):
    for name, row in table.iterrows():
        assert f"alpha = {row['tail_alpha']:.2f}" in row["setol_reason"], name
        assert (f"{row['trap_count']:.0f} trap" in row["setol_reason"]) == (row["trap_count"] > 0), name


def test_flags_are_those_of_the_planted_layers(table):
    flags = {name: set(filter(None, words.split(", "))) for name, words in table["setol_flags"].items()}
    assert not {word for word in flags["tall"] if word.startswith(("uneven", "trap", "few"))}
    assert "few eigenvalues" in flags["small"]
    assert "uneven rows" in flags["uneven"]
    assert "uneven columns" not in flags["uneven"]
    assert "trap: element" in flags["trapped"]
    assert {name for name, words in flags.items() if "few eigenvalues" in words} == {"small"}


@pytest.mark.parametrize("name", ["tall", "trapped"])
def test_traps_are_the_planted_ones(name, table):
    """One shuffle, its largest eigenvalue held against Johnstone's law for noise of variance one."""
    row, W = table.loc[name], WEIGHTS[name]
    largest = singular_value_squares(shuffle(W, (SEED, 0)))[-1]
    assert row["trap_lambda_max"] == pytest.approx(largest, rel=1e-9)
    centre, scale = johnstone(*W.shape)
    assert row["trap_edge"] == pytest.approx(centre, rel=0.05)
    if name == "tall":
        assert (row["trap_count"], row["trap_strength"]) == (0, 0)
        assert row["trap_pvalue"] == pytest.approx(1 - tracy_widom_1_cdf((largest - centre) / scale), abs=0.2)
        return
    assert row["trap_count"] == 1
    assert row["trap_strength"] == pytest.approx(20 / math.sqrt(W.shape[0]), rel=0.05)
    assert row["trap_pvalue"] < 1e-9


def test_the_error_is_that_of_weightwatchers_count(table):
    for name, row in table.iterrows():
        assert row["detX_num_error"] == row["detX_num"] - layer_of(name).cut.first_below_one
