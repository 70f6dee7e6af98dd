"""Every column twice: as the package computes it and as `fixtures.columns` does, plainly, from the matrices alone."""

from __future__ import annotations

import ast
import math
import re
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest

import setol_ww as ww
from fixtures import columns as plain
from fixtures import updates
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
from setol_ww.advice.update import Update
from setol_ww.layer import columns
from setol_ww.linalg.shuffles import shuffle
from setol_ww.monitor import history
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


# Two models, and a run.


def place_of(case: tuple[np.ndarray, np.ndarray]) -> updates.Place:
    ranks = [updates.erg_rank([W]) for W in case]
    return updates.place(*case, *ranks)


def difference(case: tuple[np.ndarray, np.ndarray]) -> plain.Layer:
    return plain.Layer([case[1] - case[0]])


#: Numbers of an update, from both matrices.
UPDATES = {
    "update_norm": lambda c: math.sqrt(math.fsum((c[1] - c[0]).ravel() ** 2)),
    "update_norm_share": lambda c: math.sqrt(math.fsum((c[1] - c[0]).ravel() ** 2) / math.fsum(c[0].ravel() ** 2)),
    "update_rank": lambda c: np.linalg.matrix_rank(c[1] - c[0]),
    "update_stable_rank": lambda c: math.fsum(difference(c).raw) / max(difference(c).raw),
    "update_alpha": lambda c: difference(c).tail.alpha,
    "update_alpha_sigma": lambda c: difference(c).tail.sigma,
    "update_erg_rank": lambda c: difference(c).cut.rank,
    "update_erg_fraction": lambda c: difference(c).cut.rank / len(difference(c).raw),
    "update_in_base_ecs": lambda c: place_of(c).both,
    "update_in_base_ecs_left": lambda c: place_of(c).left,
    "update_in_base_ecs_right": lambda c: place_of(c).right,
    "update_in_base_ecs_chance": lambda c: updates.erg_rank([c[0]]) ** 2 / c[0].size,
    "ecs_overlap_left": lambda c: place_of(c).overlap_left,
    "ecs_overlap_right": lambda c: place_of(c).overlap_right,
    "ecs_angle_left": lambda c: place_of(c).angle_left,
    "ecs_angle_right": lambda c: place_of(c).angle_right,
}
#: `test_compare.py::test_rounding_to_a_narrow_type_is_told_from_an_update`
ROUNDED = {"update_rounding"}


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    base = signed_pareto_matrix(90, 60, 3.0, seed=0)
    return base, base + 0.3 * signed_pareto_matrix(90, 60, 2.5, seed=1)


def test_every_number_of_an_update(pair):
    assert {one.name for one in fields(Update) if one.name != "update_reason"} == set(UPDATES) | ROUNDED
    table = ww.compare({"fc.weight": pair[0]}, {"fc.weight": pair[1]}, progress=False).table()
    wrong = {
        name: (table[name][0], oracle(pair))
        for name, oracle in UPDATES.items()
        if not math.isclose(table[name][0], oracle(pair), rel_tol=1e-7)
    }
    assert wrong == {}


def test_every_difference_is_that_of_two_tables(pair):
    """And its error the root of the squares of both half intervals."""
    options = {"uncertainty": DRAWS, "randomize": True, "progress": False}
    first, second = (ww.analyze({"fc.weight": W}, **options) for W in pair)
    table = ww.compare({"fc.weight": pair[0]}, {"fc.weight": pair[1]}, **options).table()
    # Known where weightwatcher itself has run.
    numeric = [name for name in first.select_dtypes("number") if f"d_{name}" in table and name != "detX_num_error"]
    assert len(numeric) > 60
    for name in numeric:
        assert table[f"d_{name}"][0] == pytest.approx(second[name][0] - first[name][0], nan_ok=True, rel=1e-9), name
    rises = table["d_tail_alpha"][0] > 0
    halves = [
        first["tail_alpha_high"][0] - first["tail_alpha"][0]
        if rises
        else first["tail_alpha"][0] - first["tail_alpha_low"][0],
        second["tail_alpha"][0] - second["tail_alpha_low"][0]
        if rises
        else second["tail_alpha_high"][0] - second["tail_alpha"][0],
    ]
    assert table["d_tail_alpha_error"][0] == pytest.approx(math.hypot(*halves), rel=1e-12)
    assert table["d_tail_alpha_beyond"][0] == (abs(table["d_tail_alpha"][0]) > math.hypot(*halves))


def test_every_number_of_a_history_is_that_of_the_weights(pair):
    """Of each step as if its weights were analysed by themselves."""
    monitor = ww.Monitor({"fc.weight": pair[0].copy()}, every=1, time_budget=None, randomize=True, uncertainty=DRAWS)
    monitor.step(0)
    monitor._model["fc.weight"][:] = pair[1]
    monitor.step(1)
    shared = set(history.COLUMNS) | set(history.TRAP_COLUMNS)
    shared -= {"step", "longname", "slice", "move", "seconds", "status", "reason"}
    for row, W in zip(monitor.history.to_dict("records"), pair, strict=True):
        alone = ww.examine({"fc.weight": W}, randomize=True, uncertainty=DRAWS, progress=False).table().iloc[0]
        for name in shared:
            words = isinstance(alone[name], str)
            assert row[name] == (alone[name] if words else pytest.approx(alone[name], rel=1e-12, nan_ok=True)), name


@pytest.mark.parametrize("rule", ["rank:7", "energy:0.9", "erg", "powerlaw"])
def test_what_truncation_says_it_keeps(rule, pair):
    """Rank, share of the rank and of the squared norm: of the matrix that is left."""
    seen = []
    model = {"fc.weight": pair[0].copy()}
    table = ww.evaluate_truncation(model, lambda m: seen.append(np.array(m["fc.weight"])) or 0.0, [rule])
    layer, left = plain.Layer([pair[0]]), seen[-1]
    row = table.iloc[-1]
    rank = np.linalg.matrix_rank(left)
    expected = {"rank:7": 7, "erg": layer.cut.rank, "powerlaw": layer.tail.rank}
    falling = np.cumsum(sorted(layer.raw, reverse=True)) / math.fsum(layer.raw)
    assert rank == expected.get(rule, 1 + int(np.sum(falling < 0.9)))
    assert (row["rank"], row["rank_fraction"]) == (rank, pytest.approx(rank / 60))
    assert row["kept_energy"] == pytest.approx(np.sum(left**2) / np.sum(pair[0] ** 2), rel=1e-9)
