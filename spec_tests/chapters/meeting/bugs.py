"""Bugs planted for the chapter's clauses to notice."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fixtures import oracles
from spec_tests.bug import Bug
from spec_tests.protocol import Implementation, Meeting, chosen


def meeting_over_the_rank(both: Meeting, raw: np.ndarray) -> dict[str, float]:
    return {"delta_lambda_min": both.delta_lambda_min * np.mean(raw) / np.mean(raw[raw > 0])}


def _meeting_with(change: Callable[[Meeting, np.ndarray], dict[str, float]]) -> Callable[..., Meeting]:
    def broken(self: Implementation, raw: np.ndarray) -> Meeting:
        both = chosen("setol_ww").meeting(raw)
        return Meeting(**{**vars(both), **change(both, raw)})

    return broken


def metric_of_the_erg_tail(both: Meeting, raw: np.ndarray) -> dict[str, float]:
    truth = oracles.erg_cut_mpmath(raw)
    return {"erg_metric": truth.log_det / truth.rank}


def alpha_of_the_power_law(both: Meeting, raw: np.ndarray) -> dict[str, float]:
    return {"alpha_erg": chosen("setol_ww").tail_fit(raw).alpha}


def every_layer_is_ideal(self: Implementation, raw: np.ndarray) -> str:
    return "ideal"


def ideal_by_alpha_alone(self: Implementation, raw: np.ndarray) -> str:
    fit = chosen("setol_ww").tail_fit(raw)
    return "ideal" if fit is None or fit.alpha < 2.2 else chosen("setol_ww").state(raw)


BUGS: tuple[Bug, ...] = (
    Bug("delta_lambda_min on the mean of the rank", "MEET-09", "meeting", _meeting_with(meeting_over_the_rank)),
    Bug("delta_lambda_min with the sign of the text, not of Eq. 164", "MEET-04", "meeting",
        _meeting_with(lambda both, raw: {"delta_lambda_min": -both.delta_lambda_min})),
    Bug("delta_lambda_min on the raw scale", "MEET-07", "meeting",
        _meeting_with(lambda both, raw: {"delta_lambda_min": both.delta_lambda_min * np.mean(raw)})),
    Bug("rank gap with the other sign", "MEET-02", "meeting",
        _meeting_with(lambda both, raw: {"rank_gap": -both.rank_gap})),
    Bug("delta_lambda_min always positive", "MEET-03", "meeting",
        _meeting_with(lambda both, raw: {"delta_lambda_min": abs(both.delta_lambda_min)})),
    Bug("erg_metric over the ERG tail", "MEET-01", "meeting", _meeting_with(metric_of_the_erg_tail)),
    Bug("alpha_erg of the power-law tail", "MEET-06", "meeting", _meeting_with(alpha_of_the_power_law)),
    Bug("every layer is ideal", "MEET-08", "state", every_layer_is_ideal),
    Bug("ideal by alpha alone", "MEET-08", "state", ideal_by_alpha_alone),
)  # fmt: skip
