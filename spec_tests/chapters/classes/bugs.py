"""Bugs planted for the chapter's clauses to notice."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from spec_tests.bug import Bug
from spec_tests.protocol import Implementation, chosen


def _alpha_of(raw: np.ndarray) -> float:
    fit = chosen("setol_ww").tail_fit(raw)
    return math.nan if fit is None else fit.alpha


def class_by_alpha_alone(self: Implementation, raw: np.ndarray, shape: tuple[int, int]) -> str:
    alpha = _alpha_of(raw)
    if math.isnan(alpha):
        return chosen("setol_ww").universality(raw, shape)
    return "very heavy-tailed" if alpha < 2 else "heavy-tailed" if alpha <= 6 else "weakly heavy-tailed"


def _class_with(change: dict[str, str]) -> Callable[..., str]:
    def broken(self: Implementation, raw: np.ndarray, shape: tuple[int, int]) -> str:
        word = chosen("setol_ww").universality(raw, shape)
        return change.get(word, word)

    return broken


def classes_of_the_entries(self: Implementation, raw: np.ndarray, shape: tuple[int, int]) -> str:
    """alpha -> mu by Table 1 as printed, mu below 2 from alpha below 2.5 on."""
    word, alpha = chosen("setol_ww").universality(raw, shape), _alpha_of(raw)
    return "very heavy-tailed" if word == "heavy-tailed" and alpha < 3.5 else word


def heavy_once_it_leaves_the_bulk(self: Implementation, raw: np.ndarray, shape: tuple[int, int]) -> str:
    word = chosen("setol_ww").universality(raw, shape)
    return "heavy-tailed" if word == "bulk+spikes" else word


def heavy_below_the_edge(self: Implementation, raw: np.ndarray, shape: tuple[int, int]) -> str:
    """A power law however short it is."""
    word, alpha = chosen("setol_ww").universality(raw, shape), _alpha_of(raw)
    return "heavy-tailed" if word == "undetermined" and 2 <= alpha <= 6 else word


def spikes_where_the_tail_is_heavy(self: Implementation, raw: np.ndarray, shape: tuple[int, int]) -> str:
    word = chosen("setol_ww").universality(raw, shape)
    return "bulk+spikes" if "heavy" in word else word


def flat_is_undetermined(self: Implementation, raw: np.ndarray, shape: tuple[int, int]) -> str:
    return "undetermined" if np.ptp(raw) <= 1e-10 * raw.max() else chosen("setol_ww").universality(raw, shape)


def class_of_unscaled_eigenvalues(self: Implementation, raw: np.ndarray, shape: tuple[int, int]) -> str:
    kept = raw[raw > 1e-5]
    return chosen("setol_ww").universality(kept, (max(shape), kept.size)) if kept.size else "undetermined"


def class_of_the_eigenvalues_alone(self: Implementation, W: np.ndarray) -> str:
    return chosen("setol_ww").universality(np.linalg.svd(W, compute_uv=False) ** 2, W.shape)


def spikes_absorbed(self: Implementation, W: np.ndarray) -> str:
    word = chosen("setol_ww").matrix_class(W)
    return "random-like" if word == "bulk+spikes" else word


def heavy_elements_divided_out(self: Implementation, W: np.ndarray) -> str:
    return chosen("setol_ww").matrix_class(np.sign(W) * np.minimum(np.abs(W), 3 * np.median(np.abs(W))))


BUGS: tuple[Bug, ...] = (
    Bug("the class by alpha alone", "CLASS-01", "universality", class_by_alpha_alone),
    Bug("the class of noise by alpha alone", "CLASS-06", "universality", class_by_alpha_alone),
    Bug("a heavy tail below the edge", "CLASS-06", "universality", heavy_below_the_edge),
    Bug("an orthogonal layer without a class", "CLASS-02", "universality", flat_is_undetermined),
    Bug("a spike is a heavy tail", "CLASS-03", "universality", heavy_once_it_leaves_the_bulk),
    Bug("a heavy tail is many spikes", "CLASS-04", "universality", spikes_where_the_tail_is_heavy),
    Bug("mu read off alpha", "CLASS-05", "universality", classes_of_the_entries),
    Bug("rank collapse is bulk and spikes", "CLASS-07", "universality",
        _class_with({"rank collapse": "bulk+spikes"})),
    Bug("the class after an absolute threshold", "CLASS-08", "universality", class_of_unscaled_eigenvalues),
    Bug("noise where nothing is known", "CLASS-09", "universality", _class_with({"undetermined": "random-like"})),
    Bug("one variance whatever the rows", "CLASS-10", "matrix_class", class_of_the_eigenvalues_alone),
    Bug("strengths that absorb every spike", "CLASS-11", "matrix_class", spikes_absorbed),
    Bug("heavy elements taken for strengths", "CLASS-12", "matrix_class", heavy_elements_divided_out),
)  # fmt: skip
