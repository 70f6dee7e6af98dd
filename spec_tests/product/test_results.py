"""Chapter 14: decomposed once, asked ever after."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import setol_ww as ww
from fixtures.oracles import singular_value_squares
from setol_ww.core.options import Options
from setol_ww.layer import columns as register
from setol_ww.results import findings
from setol_ww.results import record as kept
from setol_ww.results.glosses import MEANS as MEANT
from setol_ww.results.glosses import WORDS, glosses
from setol_ww.results.means import Mean
from setol_ww.results.record import FARMS, TRAPS, LayerRecord, settings_of
from setol_ww.results.results import Results
from setol_ww.results.store import Store
from setol_ww.results.summary import MEANS, Look, Summary, _apart, _without_name


@pytest.fixture
def weights(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    tensors = {f"layers.{i}.weight": rng.normal(size=(90 + 7 * i, 60)) ** 3 for i in range(5)}
    tensors["layers.2.weight"] = tensors["layers.2.weight"].astype(np.float32)
    tensors["one.weight"] = np.outer(np.arange(1.0, 30), np.arange(2.0, 20))
    # A power law of exponent 2 and a little more, whose state depends on the width of the band.
    tensors["heavy.weight"] = np.diag(np.sqrt(rng.pareto(1.1, 200) + 1))
    tensors["zero.weight"] = np.zeros((20, 10))
    tensors["nan.weight"] = np.full((20, 10), np.nan)
    tensors["kernel.weight"] = rng.normal(size=(12, 8, 3, 3))
    tensors["attn.in_proj_weight"] = rng.normal(size=(48, 16))
    tensors["words.weight"] = rng.integers(0, 9, (8, 8)).astype(np.int8)
    np.savez(tmp_path / "model.npz", **tensors)
    return tmp_path / "model.npz"


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    """Bit for bit, types and order of columns too."""
    pd.testing.assert_frame_equal(one, other, check_exact=True, check_column_type=True)
    for name in one.select_dtypes("number"):
        assert one[name].to_numpy().tobytes() == other[name].to_numpy().tobytes(), name


@pytest.mark.parametrize("options", [{}, {"randomize": True, "seed": 3}, {"layers": ["layers.*"]}, {"n_jobs": 2}])
def test_a_reopened_table_is_that_of_the_run_and_nothing_is_computed(weights, tmp_path, monkeypatch, options):
    out = tmp_path / "a.setol"
    frame = ww.scan(weights, out, **options)
    weights.unlink()
    monkeypatch.setattr(kept, "analyze_spectrum", lambda *_: pytest.fail("computed again"))
    results = ww.open_results(out)
    same(results.table(), frame)
    results.save(tmp_path / "b.setol")
    same(ww.open_results(tmp_path / "b.setol").table(), frame)
    assert results.options == Options(**options).changed(n_jobs=options.get("n_jobs", 1))
    assert results.versions["setol-ww"] == ww.__version__
    assert len(results.fingerprint) == 32
    assert results.missing == 0


@pytest.mark.parametrize(
    "changed", [{"uncertainty": 20}, {"quality": False}, {"detX": False}, {"sigmas": 0.1, "quality": False}]
)
def test_other_settings_are_those_of_a_run_with_them(weights, tmp_path, changed):
    """The records as a run with these settings makes them, against the reopened store asked again."""
    ww.scan(weights, tmp_path / "a.setol", randomize=True)
    asked = ww.open_results(tmp_path / "a.setol")
    settings = settings_of(asked.options, **{k: v for k, v in changed.items() if k != "detX"})
    fresh = [findings.with_cells(record, settings) for record in asked.records]
    direct = findings.table(
        fresh, asked.form, settings, findings.Groups(detX=changed.get("detX", True), randomize=True)
    )
    same(asked.table(**changed), direct)
    assert list(asked.table()) != list(direct) or not asked.table().equals(direct)


def test_computed_again_is_the_same_bits(weights, tmp_path):
    """A store of another version of the definitions: every column from the spectra, on any number of threads."""
    frame = ww.scan(weights, tmp_path / "a.setol", randomize=True)
    results = ww.open_results(tmp_path / "a.setol")
    bare = [replace(record, cells={}, cells_of="") for record in results.records]
    same(results.of(bare).table(), frame)


@pytest.mark.parametrize(
    ("module", "limit", "value", "column"),
    [
        ("classes", "VERY_HEAVY_ALPHA", 20.0, "universality_class"),
        ("verdict", "IDEAL_ALPHA", 5.0, "setol_state"),
    ],
)
def test_words_of_another_rule_are_told_again(tmp_path, monkeypatch, module, limit, value, column):
    """A limit of a class or state that changes within a version: no kept column tells the old word."""
    W = np.random.default_rng(0).pareto(2, size=(200, 150)) * np.random.default_rng(1).choice([-1, 1], (200, 150))
    np.savez(tmp_path / "m.npz", **{"fc.weight": W})
    frame = ww.scan(tmp_path / "m.npz", tmp_path / "a.setol")
    key = findings.key_of(ww.Settings())
    monkeypatch.setattr(f"setol_ww.layer.{module}.{limit}", value)
    assert findings.key_of(ww.Settings()) != key
    later = ww.open_results(tmp_path / "a.setol").table()
    assert later[column].tolist() != frame[column].tolist()


def test_the_key_of_kept_columns_is_the_same_in_every_process():
    code = "from setol_ww.results.findings import key_of; from setol_ww import Settings; print(key_of(Settings()))"
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": n},
        ).stdout
        for n in ("1", "2")
    ]
    assert said[0] == said[1] == findings.key_of(ww.Settings()) + "\n"
    limits = dict(((module, name), value) for module, name, value in findings._limits())
    assert ("setol_ww.layer.classes", "FEW_SHARE") in limits
    assert ("setol_ww.spectrum.strengths", "UNEVEN") in limits
    assert not [value for value in limits.values() if " at 0x" in value]


def test_a_column_that_did_not_exist_when_it_was_written(weights, tmp_path, monkeypatch):
    frame = ww.scan(weights, tmp_path / "a.setol")
    weights.unlink()
    added = register.Column(
        "smallest", "tail", "raw", "the smallest eigenvalue", "", lambda result: float(result.spectrum.raw[0])
    )
    monkeypatch.setattr(register, "COLUMNS", (*register.COLUMNS, added))
    later = ww.open_results(tmp_path / "a.setol").table()
    assert set(later) - set(frame) == {"smallest"}
    same(later.drop(columns="smallest"), frame)
    results = ww.open_results(tmp_path / "a.setol")
    truth = [np.nan if one.spectrum is None else one.spectrum.raw[0] for one in results.records]
    np.testing.assert_array_equal(later["smallest"], truth)


def test_a_layer_with_its_spectrum(tmp_path):
    W = np.random.default_rng(0).normal(size=(80, 50))
    np.savez(tmp_path / "m.npz", **{"fc.weight": W, "bad.weight": W * np.nan})
    ww.scan(tmp_path / "m.npz", tmp_path / "a.setol", randomize=True)
    results = ww.open_results(tmp_path / "a.setol")
    layer = results.layer("fc")
    np.testing.assert_allclose(layer.spectrum.raw, np.sort(singular_value_squares(W)), rtol=1e-5)
    assert layer.traps is not None
    assert layer.traps.sentence == ww.find_traps(W.astype(np.float32)).sentence
    assert results.layers == [("fc", ""), ("bad", "")]
    with pytest.raises(ww.InvalidInput, match="'bad' was asked; it has no spectrum, failed: layer bad: 4000 NaN"):
        results.layer("bad")


def test_a_layer_that_is_not_there_is_answered_with_the_nearest(weights, tmp_path):
    ww.scan(weights, tmp_path / "a.setol")
    results = ww.open_results(tmp_path / "a.setol")
    with pytest.raises(ww.InvalidInput, match=r"'layer.3' was asked; .* Nearest are 'layers.3'"):
        results.layer("layer.3")
    with pytest.raises(ww.InvalidInput, match="it has the slices 'q', 'k', 'v'"):
        results.layer("attn.in_proj_weight")
    assert results.layer("attn.in_proj_weight", "k").spectrum.num_evals == 16
    assert results.layer("attn.in_proj_weight [k]") == results.layer("attn.in_proj_weight", "k")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"sigma": 2}, "the setting 'sigma' was asked; accepted are sigmas, quality"),
        ({"sigmas": -1}, "sigmas=-1 was asked; accepted is a positive number"),
        ({"device": "cuda"}, "device='cuda' was asked of a table; it was settled when the weights were read"),
        ({"randomize": True}, "randomize=True was asked of a table; it needs the weights"),
        ({"farms": True}, "farms=True was asked of a table; it needs the weights"),
        ({"detX": "yes"}, "detX='yes' was asked"),
    ],
)
def test_what_a_table_cannot_be_asked(weights, tmp_path, asked, message):
    ww.scan(weights, tmp_path / "a.setol")
    with pytest.raises(ww.InvalidInput, match=message):
        ww.open_results(tmp_path / "a.setol").table(**asked)


def test_extras_of_the_entries_become_columns(tmp_path):
    W = np.random.default_rng(0).normal(size=(80, 50))
    fit = ww.fit_submatrices(W)
    record = LayerRecord(
        0,
        {"longname": "fc"},
        spectrum=ww.Spectrum.from_matrix(W),
        extras={FARMS: fit, TRAPS: ww.find_traps(W)},
        theirs={"detX_num": 11, "alpha": 2.5},
    )
    results = Results.from_records([record], Options(randomize=True, farms=True), {"weights": "abc"})
    results.save(tmp_path / "a.setol")
    again = ww.open_results(tmp_path / "a.setol")
    row = again.table().iloc[0]
    assert (row["farms_alpha"], row["farms_windows"]) == (fit.alpha, fit.windows)
    assert row["trap_count"] == 0
    assert row["detX_num_error"] == 11 - row["detX_num_exact"]
    assert again.fingerprint == "abc"
    assert not [name for name in again.table(farms=False, randomize=False) if name.startswith(("farms", "trap_"))]


def test_columns_of_others_go_first_and_keep_their_type():
    form = findings.TableForm(before=("alpha", "N", "longname"), after=("reason", "status"), objects=("status",))
    plain = LayerRecord(0, {"longname": "fc"}, theirs={"alpha": np.float32(2.5), "N": 3, "status": "success"})
    frame = Results.from_records([plain], form=form).table(detX=False, quality=False)
    assert list(frame)[:3] == ["alpha", "N", "longname"]
    assert list(frame)[-2:] == ["reason", "status"]
    assert frame["alpha"].dtype == np.float32
    assert frame["status"].dtype == object
    assert frame["status"].tolist() == ["success"]


def test_names_are_kept_whatever_is_in_them(tmp_path):
    names = ["=1+1", "a\x1b[31m", "\ud800x", "\ud83d\ude00", "層", "x\ny", "", "'", "a\0b"]
    spectrum = ww.Spectrum.from_eigenvalues([1.0, 2.0, 5.0])
    results = Results.from_records(
        [LayerRecord(i, {"longname": name, "slice": ""}, spectrum=spectrum) for i, name in enumerate(names)]
    )
    results.save(tmp_path / "a.setol")
    again = ww.open_results(tmp_path / "a.setol")
    assert again.table()["longname"].tolist() == names
    assert again.layers == [(name, "") for name in names]
    assert again.layer("\ud800x").spectrum.num_evals == 3
    for said in (str(again), str(again.summary()), again._repr_html_(), again.summary()._repr_html_()):
        assert "\x1b" not in said
        said.encode("utf-8")


def test_coverage_of_tensors(weights, tmp_path):
    ww.scan(weights, tmp_path / "a.setol")
    coverage = ww.open_results(tmp_path / "a.setol").coverage
    assert list(coverage) == ["longname", "shape", "dtype", "n_params", "status", "reason"]
    by_name = coverage.set_index("longname")
    assert by_name.loc["kernel.weight", "shape"] == (12, 8, 3, 3)
    assert by_name.loc["kernel.weight", "n_params"] == 864
    assert by_name.loc["attn.in_proj_weight", "status"] == "analyzed"
    assert by_name.loc["nan.weight", "status"] == "failed"
    assert by_name.loc["words.weight", "status"] == "skipped"
    assert coverage["longname"].is_unique


def test_a_partial_run_says_so(weights, tmp_path, monkeypatch):
    out, add_all = tmp_path / "a.setol", Store.add_all

    def some(self, records):
        for record in records:
            if self.count == 4:
                raise KeyboardInterrupt
            add_all(self, [record])

    with monkeypatch.context() as patch:
        patch.setattr(Store, "add_all", some)
        with pytest.raises(KeyboardInterrupt):
            ww.scan(weights, out)
    results = ww.open_results(out)
    whole = ww.scan(weights)
    assert len(results) == 4
    assert results.missing == len(whole) - 4
    assert f"{len(whole) - 4} not come to yet" in " ".join(str(results).split())
    assert f"{len(whole) - 4} not come to yet" in " ".join(str(results.summary()).split())
    rows = [record.position for record in results.records]
    for name in ("longname", "alpha", "erg_rank", "setol_state"):
        assert results.table()[name].fillna("?").tolist() == whole[name].iloc[rows].fillna("?").tolist()


def test_shards_merged_into_one_store(weights, tmp_path):
    whole = ww.scan(weights, randomize=True)
    outs = [tmp_path / f"{i}.setol" for i in range(3)]
    for i, out in enumerate(outs):
        ww.scan(weights, out, shard=(i, 3), randomize=True)
    same(ww.merge_scans(outs[::-1], tmp_path / "all.setol"), whole)
    merged = ww.open_results(tmp_path / "all.setol")
    same(merged.table(), whole)
    assert merged.missing == 0
    same(ww.merge_scans(tmp_path / "all.setol"), whole)


def test_summary_in_numbers(tmp_path):
    rng = np.random.default_rng(0)
    records = [
        LayerRecord(i, {"longname": f"l{i}", "n_params": 6000}, spectrum=ww.Spectrum.from_matrix(W))
        for i, W in enumerate(rng.normal(size=(4, 100, 60)))
    ]
    records.append(LayerRecord(4, {"longname": "bad", "n_params": 6000}, "failed", "layer bad: 3 NaN"))
    records.append(LayerRecord(5, {"longname": "int", "n_params": 6000}, "skipped", "int8"))
    results = Results.from_records(records)
    summary, table = results.summary(), results.table()
    assert (summary.rows, summary.analyzed, summary.failed, summary.skipped) == (6, 4, 1, 1)
    assert summary.share == pytest.approx(4 / 6)
    assert summary.classes == {"random-like": 4}
    assert sum(summary.states.values()) == 4
    alpha = table["tail_alpha"].dropna()
    mean = next(mean for mean in summary.means if mean.column == "tail_alpha")
    assert mean.value == pytest.approx(alpha.mean())
    assert mean.error == pytest.approx(alpha.std() / 2)
    quality = next(mean for mean in summary.means if mean.column == "q2_norm")
    assert quality.value == pytest.approx(float(np.exp(np.log(table["q2_norm"].dropna()).mean())))
    assert summary.look_first[0].title == "bad"
    assert summary.look_first[0].why == "3 NaN"
    assert summary.not_analyzed == {"3 NaN": 1, "int8": 1}
    told = json.loads(json.dumps(summary.to_dict(), allow_nan=False))
    assert told["schema"] == 1
    assert told["classes"] == {"random-like": 4}
    assert Results.from_records([]).summary().to_dict()["share"] is None


def test_summary_has_twenty_lines_at_most_in_any_width():
    rng = np.random.default_rng(0)
    records = []
    for i in range(60):
        name = {"longname": "very.long.name." * 9 + str(i), "n_params": 100}
        raw = np.sort(rng.pareto(0.3 + i / 10, 40))
        records.append(LayerRecord(i, name, spectrum=ww.Spectrum.from_eigenvalues(raw)))
    records += [
        LayerRecord(i, {"longname": str(i), "n_params": 9}, "skipped", f"a long reason {i} " * 9) for i in range(60, 90)
    ]
    summary = Results.from_records(records).summary()
    assert summary.look_first
    for width in (60, 80, 200):
        lines = summary.lines(width)
        assert 5 < len(lines) <= 20
        assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_a_summary_with_everything_in_it(width):
    """All states, classes and flags at once: twenty lines, no count lost from the first, cuts marked."""
    counts = {name: 10 + i for i, name in enumerate(("over-regularized", "under-trained", "short-of-ideal", "ideal"))}
    kinds = {one.value: 5 for one in ww.UniversalityClass}
    flags = dict.fromkeys(("trap: mean shift", "trap: element", "uneven rows", "ambiguous tail start", "no matrix"), 21)
    means = tuple(Mean("tail_alpha", "tail exponent alpha", 3.0, 0.1, 40) for _ in range(4))
    looks = tuple(Look(f"layers.{i}", "", "over-regularized") for i in range(9))
    reasons = {f"reason {i}": i for i in range(1, 6)}
    full = Summary(99, 95, 1, 2, 1, counts, kinds, flags, means, looks, (), reasons, 0.5)
    lines = full.lines(width)
    assert len(lines) <= 20
    assert max(map(len, lines)) <= width
    head = " ".join(line.strip() for line in lines[:2])
    assert all(word in head for word in ("95 of 99 rows", "1 failed", "2 skipped", "1 not come to yet"))
    told = " ".join(line.strip() for line in lines)
    assert all(word in told for word in kinds) or " .." in told
    assert "reason 1" in told


@pytest.mark.parametrize("state", ww.State)
def test_what_to_do_for_a_state_is_told_whole(state):
    """A summary of one state at the usual width has the whole of its sentence."""
    summary = Summary(1, 1, 0, 0, 0, {state.value: 1}, {}, {}, (), (), (), {}, 1.0)
    told = " ".join(line.strip() for line in summary.lines(100))
    assert state is ww.State.IDEAL or state.next_step in told
    assert " .." not in told


def test_a_tensor_skipped_without_a_row_is_counted(tmp_path):
    """A table in memory has no row for packed integers, one of a file has; the summary counts one in both."""
    np.savez(tmp_path / "net.npz", **{"fc.weight": np.eye(6) + 0.1, "packed.weight": np.ones((6, 6), np.int8)})
    in_memory = ww.examine(dict(np.load(tmp_path / "net.npz")), progress=False).summary()
    ww.scan(tmp_path / "net.npz", tmp_path / "net.setol")
    of_a_file = ww.open_results(tmp_path / "net.setol").summary()
    assert (in_memory.skipped, of_a_file.skipped) == (1, 1)
    assert in_memory.not_analyzed == of_a_file.not_analyzed


def synthetic(number: int, M: int) -> Results:
    """Layers as large as those of a model, their spectra drawn and not decomposed."""
    rng, records = np.random.default_rng(0), []
    for i in range(number):
        raw = np.sort(rng.pareto(2.5, M) + rng.normal(1, 0.1, M) ** 2)
        identity = {
            **{"longname": f"model.layers.{i}.self_attn.q_proj", "slice": "", "layer_type": "dense", "N": M, "M": M},
            **{"tensor": f"model.layers.{i}.self_attn.q_proj.weight", "dtype": "bfloat16", "shape": f"{M} x {M}"},
            **{"n_params": M * M, "layer_id": i, "Q": 1.0, "rf": 1, "num_evals": M},
        }
        plain = LayerRecord(i, identity, seconds=1.25, spectrum=ww.Spectrum(raw, M, M, 1, 1e-7))
        records.append(findings.with_cells(plain, settings_of(Options())))
    return Results.from_records(records)


def test_fourteen_bytes_for_each_eigenvalue(tmp_path):
    """226 layers of 4096 in the model that the promise is of (scripts/bench/store.py); the head of a file weighs more
    in eight of them."""
    synthetic(8, 4096).save(tmp_path / "a.setol")
    assert (tmp_path / "a.setol").stat().st_size / (8 * 4096) < 10


@pytest.mark.parametrize(
    ("name", "message"),
    [("a.csv", "accepted endings are .setol, .sqlite, .db"), ("no/a.setol", "there is no such folder")],
)
def test_where_results_cannot_be_saved(tmp_path, name, message):
    with pytest.raises(ww.InvalidInput, match=message):
        Results.from_records([]).save(tmp_path / name)


def test_saving_leaves_what_is_something_else_alone(tmp_path):
    path = tmp_path / "notes.db"
    path.write_text("not a database, but long enough to look like a file of some kind")
    with pytest.raises(ww.InvalidInput, match="it is no results file"):
        Results.from_records([]).save(path)
    assert path.read_text().startswith("not a database")
    results = Results.from_records([LayerRecord(0, {"longname": "a"})])
    results.save(tmp_path / "A.SETOL")
    results.save(tmp_path / "A.SETOL")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["A.SETOL", "notes.db"]


@pytest.mark.parametrize("path", ["nowhere.setol", 3])
def test_what_cannot_be_opened(path):
    with pytest.raises(ww.InvalidInput, match=r"there is no such file|accepted is the path"):
        ww.open_results(path)


def test_a_summary_says_what_to_do_next():
    """For the gravest state that layers are in, by the register of states."""
    results = ww.examine({f"noise{n}.weight": np.random.default_rng(n).normal(size=(300, 150)) for n in range(3)})
    summary = results.summary()
    assert set(summary.states) == {"under-trained"}
    assert summary.to_dict()["next_steps"] == {"under-trained": ww.State.UNDER_TRAINED.next_step}
    said = " ".join(str(summary).split())
    state = ww.State.UNDER_TRAINED
    assert f"next: under-trained ({state.meaning}): {state.next_step[:50]}" in said


def test_every_word_of_a_summary_has_a_gloss():
    """Classes, means and traps in plain words, each once and within twenty lines."""
    weights = {f"noise{n}.weight": np.random.default_rng(n).normal(size=(300, 150)) for n in range(3)}
    weights["spiked.weight"] = np.random.default_rng(9).normal(size=(300, 150)) + 2
    lines = ww.examine(weights, progress=False, randomize=True).summary().lines(160)
    said = " ".join(" ".join(lines).split())
    for gloss in (
        "random-like: as independent noise is",
        "bulk+spikes: noise and strong directions, no tail",
        "trap: outlier that stays when the entries are shuffled",
        "steepness of the tail of large eigenvalues; 2 is the ideal",
        "power-law tail's start minus that of the tail whose product is 1",
        "the theory's quality of a layer",
        "under-trained (no heavy tail yet)",
    ):
        assert said.count(gloss) == 1, gloss
    assert len(lines) <= 20


def test_every_class_and_mean_has_a_gloss():
    assert {one.value for one in ww.UniversalityClass} - {"undetermined"} <= set(WORDS)
    assert {column for column, _, _ in MEANS} == set(MEANT)
    assert glosses(["little power"]) == "little power: noise or a weak heavy tail"


def test_a_reason_without_the_name_of_its_layer():
    assert _without_name("layer fc: too few", "fc.weight") == "too few"
    assert _without_name("layer fc.weight: too few", "fc.weight") == "too few"
    assert _without_name("layer other: too few", "fc") == "layer other: too few"
    assert {_without_name(none, "fc") for none in (None, math.nan, "")} == {"no reason given"}


def test_what_stands_apart_is_further_out_than_its_error():
    table = pd.DataFrame({"longname": ["at", "beyond", "far", "inside"], "tail_alpha": [7.0, 8.5, 20.0, 3.0]})
    table["tail_sigma"], table["setol_state"] = 1.0, "under-trained"
    assert [look.layer for look in _apart(table, [])] == ["far", "beyond"]
    assert [look.layer for look in _apart(table, [Look("far", "", "")])] == ["beyond"]
