"""Every row of real nets: no word says what another column of its row denies."""

from __future__ import annotations

import functools
import math
import re
from pathlib import Path
from typing import Any

import pytest

import setol_ww as ww
from setol_ww.layer.flags import MEANINGS
from setol_ww.layer.verdict import says_no_tail
from setol_ww.results.printed import flags_in

NETS = (
    "resnet_cifar10/resnet20-12fca82f.th",
    "resnet_cifar10/resnet32-d509ac18.th",
    "transformers/silero_vad_16k.safetensors",
    "transformers/stories260K.npz",
)
TINY = 1e-300


@functools.cache
def results_of(path: Path) -> ww.Results:
    return ww.examine(path, randomize=True, progress=False)


def denied(row: dict[str, Any]) -> list[str]:
    """What the words of a row say and its numbers, or other words of it, do not."""
    said, kind, state = str(row["setol_reason"]), str(row["universality_class"]), str(row["setol_state"])
    flags, found = flags_in(row["setol_flags"]), []

    def unless(holds: bool, fault: str) -> None:
        if not holds:
            found.append(fault)

    judged = state not in ("undetermined", "under-trained")
    unless(not says_no_tail(said) or not judged, "a state by the alpha of a tail that is denied")
    unless("heavy" in kind or not judged or "No class" not in said, "a state of a tail without a class")
    unless(not judged or "heavy" in kind, f"{state} beside {kind}")
    unless(state != "ideal" or row["tail_outcome"] == "ok", "ideal by a poor fit")
    unless("no matrix" not in flags or kind == state == "undetermined", "words of what is no matrix")
    unless("few eigenvalues" not in flags or kind == "undetermined", "a class by few eigenvalues")
    unless("little power" not in flags or "heavy" not in kind, "little power beside a tail that was shown")
    unless("little power" not in flags or state != "under-trained", "under-trained without power")
    unless(bool(row["warning"] == "") or math.isfinite(row["alpha"]), "a warning by no fit")
    unless(kind != "very heavy-tailed" or "cannot be told from 2" not in said, "alpha below 2 that may be 2")
    none = re.search(r"none of \d+ (?:other )?eigenvalues is above .*?\(largest: p = ([0-9.e+-]+)\)", said)
    unless(none is None or float(none[1]) > 0.01, "none above the edge beside a small p")
    unless(none is None or row["bulk_spikes"] == 0, "none above the edge beside spikes")
    counted = re.search(r"(\d+) of \d+ (?:other )?eigenvalues with", said)
    unless(counted is None or int(counted[1]) == row["bulk_spikes"], "another number of spikes")
    near = re.search(r"KS distance ([0-9.e-]+), noise has up to ([0-9.e-]+)", said)
    follows = re.search(r"(they follow|the rest follows) its law", said) is not None
    unless(near is None or follows == (float(near[1]) <= float(near[2])), "a law that is followed from afar")
    for ratio in re.findall(r"log-likelihood ratio ([+-][0-9.]+)", said):
        part = float(ratio) / -math.log(TINY)
        unless(abs(part) < 0.5 or abs(part - round(part)) > 1e-3, "a ratio that is a floor of densities")
    unless(("trap: " in " ".join(flags)) == (row["trap_count"] > 0), "flags and number of traps")
    unless(all(flag in MEANINGS for flag in flags), "a flag without a meaning")
    unless(not math.isfinite(row["trap_edge"]) or "no trap edge" not in flags, "an edge beside none")
    return found


@pytest.mark.parametrize("net", NETS)
def test_no_word_of_a_real_net_is_denied_by_its_row(net, data):
    table = results_of(data / net).table()
    assert len(table) >= 13
    faults = [f"{row['longname']}: {fault}" for row in table.to_dict("records") for fault in denied(row)]
    assert not faults


def test_the_check_sees_words_that_are_denied(data):
    row = results_of(data / NETS[1]).table().to_dict("records")[1]
    assert not denied(row)
    wrong = {
        "setol_state": "ideal",
        "warning": "over-trained",
        "alpha": math.nan,
        "trap_count": 2,
        "bulk_spikes": 3,
        "setol_flags": "no matrix, an unknown word",
    }
    assert all(denied({**row, name: value}) for name, value in wrong.items() if name != "alpha" and name != "warning")
    assert "a warning by no fit" in denied({**row, "warning": "over-trained", "alpha": math.nan})


@pytest.mark.parametrize("net", NETS)
def test_the_summary_counts_what_the_rows_say(net, data):
    results = results_of(data / net)
    table, summary = results.table(), results.summary()
    assert summary.states == table["setol_state"].value_counts().to_dict()
    assert sum(summary.classes.values()) == len(table)
    assert summary.without_tail == sum(map(says_no_tail, table["setol_reason"]))
    said = " ".join(str(summary).split())
    assert (f"({summary.without_tail} without a heavy tail)" in said) == (summary.without_tail > 0)
    assert len(summary.lines()) <= 20
