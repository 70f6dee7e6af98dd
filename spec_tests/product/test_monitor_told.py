"""What a monitor and a watched folder say, in whole sentences and tables, and both sides of each of their limits."""

from __future__ import annotations

import logging
import re
import shutil
import threading
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import save_file
from scipy import stats

import setol_ww as ww
from setol_ww.core.options import Options
from setol_ww.formats import reader
from setol_ww.layer.intervals import INFLATION
from setol_ww.layer.verdict import MIN_TAIL
from setol_ww.monitor import checkpoints_in, copies, folder, sharded
from setol_ww.monitor.alarms import Alarm, Alarms
from setol_ww.monitor.budget import Budget, share_of
from setol_ww.monitor.callback import Following
from setol_ww.monitor.checkpoints_in import Folder, signature_of
from setol_ww.monitor.history import History
from setol_ww.monitor.libraries import library
from setol_ww.monitor.moves import Mark, move
from setol_ww.monitor.on_disk import Keeper, OnDisk
from setol_ww.monitor.scalars import scalars_of
from setol_ww.results.record import LayerRecord


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def weight(seed: int = 0, rows: int = 50, columns: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)


# --- alarms ----------------------------------------------------------------------------------------------------------

ROW = {
    "step": np.int64(7),
    "longname": "fc",
    "slice": "q",
    "tail_outcome": "ok",
    "tail_rank": MIN_TAIL,
    "tail_alpha": 1.5,
    "tail_alpha_low": 1.25,
    "tail_alpha_high": 1.999,
    "trap_count": 1,
    "trap_pvalue": 2e-7,
    "move": "moved",
}


def heard(*rules, **changes) -> list[Alarm]:
    told: list[Alarm] = []
    Alarms(dict.fromkeys(rules, told.append), randomize=True).look({**ROW, **changes})
    return told


def test_alarms_in_words():
    """Each rule's sentence is filled in from the row."""
    found = heard("alpha below 2", "trap", "moved")
    assert [(one.rule, one.step, type(one.step), one.layer) for one in found] == [
        ("alpha below 2", 7, int, "fc [q]"),
        ("trap", 7, int, "fc [q]"),
        ("moved", 7, int, "fc [q]"),
    ]
    assert [str(one) for one in found] == [
        "step 7, fc [q]: alpha = 1.50 is below 2 beyond its error (1.25 to 2.00)",
        "step 7, fc [q]: 1 correlation trap(s) (p = 2e-07)",
        "step 7, fc [q]: alpha moved beyond its error, to 1.50",
    ]
    assert found[0].to_dict() == {
        "schema": 1,
        "rule": "alpha below 2",
        "step": 7,
        "layer": "fc [q]",
        "sentence": "alpha = 1.50 is below 2 beyond its error (1.25 to 2.00)",
        "row": {**ROW, "step": 7},
    }
    assert "row" not in repr(found[0])


@pytest.mark.parametrize(
    ("rule", "changes", "is_heard"),
    [
        ("alpha below 2", {"tail_alpha_high": 2.0}, False),
        ("alpha below 2", {"tail_rank": MIN_TAIL - 1}, False),
        ("alpha below 2", {"tail_outcome": "poor-fit"}, False),
        ("trap", {"trap_count": 0}, False),
        ("trap", {"trap_count": 2}, True),
        ("moved", {"move": "leap of the tail's start"}, False),
        ("moved", {"move": ""}, False),
    ],
)
def test_when_an_alarm_is_none(rule, changes, is_heard):
    assert bool(heard(rule, **changes)) is is_heard


def test_rules_of_the_users_are_called_by_their_names():
    def odd(row):
        return row["step"] == 7

    odd.__name__ = "{tail_alpha}"

    class Rule:
        def __call__(self, row):
            return True

    assert [(one.rule, one.sentence) for one in heard(odd, Rule())] == [("{tail_alpha}",) * 2, ("Rule",) * 2]
    assert Alarms(None, randomize=False).look(ROW) is None
    # A rule without its column does not hold.
    short = {name: ROW[name] for name in ("step", "longname", "slice")}
    none: list[Alarm] = []
    Alarms(dict.fromkeys(("alpha below 2", "trap", "moved"), none.append), randomize=True).look(short)
    assert none == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"trap": print}, "alarms={'trap': ...} was asked without randomize=True; accepted is both, for traps are found"
         " in the shuffled entries"),
        ({"moved": 3}, "alarms={'moved': 3} was asked; accepted is a function of one Alarm"),
        ({"move": print}, "the alarm 'move' was asked; accepted are 'alpha below 2', 'trap', 'moved' or a function of a"
         " row that answers true or false"),
    ],
)  # fmt: skip
def test_alarms_that_are_none(asked, said):
    with pytest.raises(ww.InvalidInput, match=f"^{re.escape(said)}$"):
        Alarms(asked, randomize=False)


# --- budget and what a monitor says of itself ------------------------------------------------------------------------


def test_shares_of_the_time():
    assert share_of(None) is None
    assert (share_of(1), type(share_of(1)), share_of(1e-9)) == (1.0, float, 1e-9)
    for wrong in (0, -0.1, np.nextafter(1, 2), float("nan"), True, "1"):
        said = (
            f"time_budget={wrong!r} was asked; accepted is a share of the training time above 0 and up to 1, or None "
            "for no limit"
        )
        with pytest.raises(ww.InvalidInput, match=f"^{re.escape(said)}$"):
            share_of(wrong)
    budget = Budget(None)
    assert budget.allows(1e9)
    assert (budget.elapsed, budget.spent, budget.waited) == (0.0, 0.0, 0.0)
    late = Budget(0.5, clock=iter([100.0, 103.0, 107.0]).__next__)
    for _ in range(3):
        late.tick()
    assert late.elapsed == 7.0
    assert late.allows(3.5)
    assert not late.allows(3.6)


def paced(monkeypatch, seconds: float, **settings) -> tuple[ww.Monitor, Clock]:
    """A monitor of two layers whose clock is ours; an analysis takes so many seconds, and a copy a quarter of one."""
    clock = Clock()
    monitor = ww.Monitor({"a.weight": weight(0), "b.weight": weight(1)}, background=False, **settings)
    monitor.budget.clock = clock
    monkeypatch.setattr("setol_ww.monitor.live.time.perf_counter", clock)
    measured, values = copies.measured, copies.as_computed

    def slow(*asked):
        clock.now += seconds
        return measured(*asked)

    def copied(tensor):
        clock.now += 0.25
        return values(tensor)

    monkeypatch.setattr(copies, "measured", slow)
    monkeypatch.setattr(copies, "as_computed", copied)
    return monitor, clock


def test_what_a_monitor_costs_by_its_own_account(monkeypatch):
    """Every second by a clock of ours: copies and analyses are spent, and waited for where there is no thread."""
    monitor, clock = paced(monkeypatch, 2.0, every=10, time_budget=0.25)
    assert np.isnan([monitor.overhead, monitor.waiting]).all()
    assert str(monitor) == "2 layers every 10 steps, 0 looks so far"
    for step in range(31):
        monitor.step(step)
        clock.now += 1.0
    # 0: a (unknown, so at once). Of 2.25 seconds in nine each is paid back.
    history = monitor.history
    assert history["longname"].tolist()[:4] == ["a", "b", "a", "b"]
    assert history["seconds"].tolist() == [2.25] * len(history)
    spent, elapsed = 2.25 * len(history), monitor.budget.elapsed
    assert monitor.overhead == monitor.waiting == pytest.approx(spent / elapsed)
    assert spent <= 0.25 * elapsed + 2.25
    share = f"{100 * spent / elapsed:.2g} %"
    assert str(monitor) == (
        f"2 layers every 10 steps, {len(history)} looks so far\n"
        f"worked {share} of {elapsed:.1f} s (at most 25 %); training waited {share}"
    )
    assert monitor._repr_html_() == f"<pre>{monitor}</pre>"


def test_a_monitor_without_a_limit_says_so(monkeypatch):
    monitor, clock = paced(monkeypatch, 0.5, every=4, time_budget=None)
    for step in (0, 1, 4):
        monitor.step(step)
        clock.now += 3.5
    assert monitor.history["step"].tolist() == [0, 0, 4, 4]
    assert str(monitor) == (
        "2 layers every 4 steps, 4 looks so far\nworked 30 % of 10.0 s (no limit); training waited 30 %"
    )
    monitor.budget.spent, monitor.budget.waited = 8.0, 7.0
    assert str(monitor).endswith("\nworked 80 % of 10.0 s (no limit); training waited 70 %")
    # A round that was looked at whatever the budget is over, and the next begins with the first layer.
    monitor.look(8)
    monitor.step(9)
    assert monitor.history["step"].tolist() == [0, 0, 4, 4, 8, 8]
    monitor.step(12)
    assert monitor.history["longname"].tolist() == ["a", "b"] * 4


def test_a_look_is_the_first_step_where_none_was_before(tmp_path):
    """What is kept of later steps is gone, and the next round is not before it is due."""
    settings = {"every": 10, "time_budget": None, "out": tmp_path / "run.setol"}
    with ww.Monitor({"a.weight": weight()}, **settings) as first:
        for step in (0, 10, 20):
            first.step(step)
    monitor = ww.Monitor({"a.weight": weight()}, **settings)
    monitor.look(12)
    monitor.step(13)
    assert monitor.history["step"].tolist() == [0, 10, 12]
    monitor.step(20)
    monitor.close()
    assert ww.open_results(tmp_path / "run.setol").table()["step"].tolist() == [0, 10, 12, 20]


def test_a_monitor_analyses_as_it_is_asked():
    """Every option of it reaches the analysis: the row is that of `examine` under the same."""
    asked = {"randomize": True, "seed": 5, "quality": False, "uncertainty": 20, "layouts": {"a.weight": "stack:2"}}
    model = {"a.weight": np.concatenate([weight(0), weight(1)])}
    monitor = ww.Monitor(model, time_budget=None, **asked)
    monitor.look(0)
    history, direct = monitor.history, ww.examine(model, progress=False, **asked).table()
    assert history["slice"].tolist() == direct["slice"].tolist()
    assert len(history) == 2
    for name in ("trap_pvalue", "tail_alpha", "tail_alpha_low", "tail_alpha_high"):
        np.testing.assert_allclose(history[name], direct[name], rtol=1e-12)
    assert history["q2_norm"].isna().all()


def test_a_finished_layer_is_taken_over_by_the_next_step():
    """Its row is logged and the next layer begun though nobody asks for the history."""
    logged = []
    monitor = ww.Monitor({"a.weight": weight(), "b.weight": weight(1)}, time_budget=1.0, log=logged.append)
    for step, names in ((0, []), (1, ["a"])):
        monitor.step(step)
        assert [row["longname"] for row in logged] == names
        for thread in threading.enumerate():
            if thread.name == "setol_ww.Monitor":
                thread.join()
    monitor.close()
    assert logged[0]["step"] == 0


def test_a_turn_goes_on_in_the_next_round(monkeypatch):
    """One layer a round: what did not fit is first in the next."""
    monitor, clock = paced(monkeypatch, 2.0, every=1, time_budget=0.5)
    for step in range(40):
        monitor.step(step)
        clock.now += 1.0
    assert monitor.history["longname"].tolist()[:6] == ["a", "b", "a", "b", "a", "b"]
    steps = monitor.history["step"].to_numpy()
    assert (np.diff(steps) > 1).all()


def test_an_analysis_runs_on_a_thread_that_holds_no_process(monkeypatch):
    gate, seen = threading.Event(), []
    measured = copies.measured

    def held(*asked):
        seen.append((threading.current_thread().name, threading.current_thread().daemon))
        assert gate.wait(60)
        return measured(*asked)

    monitor = ww.Monitor({"a.weight": weight(0)}, every=1, time_budget=1.0)
    monkeypatch.setattr(copies, "measured", held)
    monitor.step(0)
    assert len(monitor._history.rows) == 0
    gate.set()
    assert len(monitor.history) == 1
    assert seen == [("setol_ww.Monitor", True)]
    # What was done on the thread is spent, and no training waited for it.
    assert monitor.budget.spent > monitor.budget.waited >= 0


@pytest.mark.parametrize("name", ["history", "results", "save", "close", "wait", "look"])
def test_whatever_is_asked_of_a_monitor_waits_for_the_layer_in_work(name, monkeypatch, tmp_path):
    gate, measured = threading.Event(), copies.measured

    def held(*asked):
        assert gate.wait(60)
        return measured(*asked)

    monitor = ww.Monitor({"a.weight": weight(0)}, every=1, time_budget=1.0, out=tmp_path / "run.setol")
    monkeypatch.setattr(copies, "measured", held)
    monitor.step(3)
    assert monitor._history.rows == []
    late = threading.Timer(0.1, gate.set)
    late.start()
    found = getattr(monitor, name)
    if callable(found):
        found(*{"save": [tmp_path / "kept.csv"], "look": [4]}.get(name, []))
    assert [row["step"] for row in monitor._history.rows] == [3, 4][: 1 + (name == "look")]
    late.join()
    if name == "save":
        assert ww.read_table(tmp_path / "kept.csv")["step"].tolist() == [3]
    if name == "close":
        assert ww.open_results(tmp_path / "run.setol").table()["step"].tolist() == [3]


def test_a_log_that_breaks_is_told_once_for_each_reason(caplog):
    reasons = iter(["disk", "disk", "net", "", "net"])

    def log(row):
        reason = next(reasons)
        if reason:
            raise OSError(reason)

    monitor = ww.Monitor({"a.weight": weight()}, every=1, time_budget=None, log=log)
    for step in range(5):
        monitor.step(step)
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "step 0, layer a: not logged, disk; training goes on",
        "step 2, layer a: not logged, net; training goes on",
        "step 4, layer a: not logged, net; training goes on",
    ]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (3, "a monitor of int was asked; accepted is a torch.nn.Module or a mapping of names to tensors"),
        ({}, "a monitor of dict was asked; it holds no weight of two or more dimensions that can be looked at"),
        (
            {"a.weight": np.empty((0, 4)), "b.weight": np.empty((3, 0))},
            "a monitor of dict was asked; it holds no weight of two or more dimensions that can be looked at (a: it "
            "has no elements (shape 0 x 4))",
        ),
    ],
)
def test_no_model_to_follow(model, said):
    with pytest.raises(ww.InvalidInput, match=f"^{re.escape(said)}$"):
        ww.Monitor(model)


def test_wrong_settings_of_a_monitor():
    for step in (-1, 1.5, "3", None):
        said = re.escape(f"step({step!r}) was asked; accepted is the number of a step, 0 or more")
        with pytest.raises(ww.InvalidInput, match=f"^{said}$"):
            ww.Monitor({"a.weight": weight()}).step(step)
    with pytest.raises(ww.InvalidInput, match=r"^log=3 was asked; accepted is a function of one row, or None$"):
        ww.Monitor({"a.weight": weight()}, log=3)


def test_a_layer_that_has_no_values_is_told_from_one_that_is_no_weight():
    """An empty weight has a row with the reason; a bias, a mask and what was not asked for have none."""
    model = {
        "a.weight": weight(),
        "empty.weight": np.empty((0, 4), dtype=np.float32),
        "attn.mask": weight(),
        "odd.weight": np.ones((4, 4), dtype=complex),
        "left.weight": np.empty((0, 4), dtype=np.float32),
    }
    monitor = ww.Monitor(model, time_budget=None, layers=["a", "empty", "attn.mask", "odd"])
    monitor.step(0)
    assert monitor.history[["longname", "status", "reason"]].values.tolist() == [
        ["a", "analyzed", ""],
        ["empty", "failed", "layer empty: it has no elements (shape 0 x 4)"],
    ]


def test_a_monitor_is_warmed_up_with_its_own_settings(monkeypatch):
    """What is loaded on first use is loaded before training: traps and intervals where they are asked for."""
    seen = []
    concluded = copies.concluded

    def kept(begun, options):
        found = concluded(begun, options)
        seen.append((found[0][0].spectrum.N, found[0][0].spectrum.M, options.randomize, options.uncertainty))
        return found

    monkeypatch.setattr(copies, "concluded", kept)
    ww.Monitor({"a.weight": weight()}, randomize=True, uncertainty=11)
    assert seen == [(48, 32, True, 11)]


def test_layouts_are_those_of_the_models_config():
    """The parts of a fused projection by the numbers of heads that the module's config has."""
    net = torch.nn.Module()
    net.self_attn = torch.nn.Module()
    net.self_attn.qkv_proj = torch.nn.Linear(64, 128, bias=False)
    told = {"model_type": "phi3", "hidden_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1}
    net.config = SimpleNamespace(to_dict=lambda: told, **told)
    monitor = ww.Monitor(net, time_budget=None)
    monitor.step(0)
    rows = monitor.results.table()[["slice", "N", "M"]].values.tolist()
    assert rows == [["", 128, 64], ["q", 64, 64], ["k", 64, 32], ["v", 64, 32]]


def test_warning_filters_are_as_before_a_library_came(tmp_path, monkeypatch):
    (tmp_path / "loud_library.py").write_text("import warnings\nwarnings.simplefilter('ignore')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = list(warnings.filters)
    assert library("loud_library", "hf", "loud").__name__ == "loud_library"
    assert list(warnings.filters) == before


class Wrapper(torch.nn.Module):
    def __init__(self, inner) -> None:
        super().__init__()
        self.module = inner


def test_only_wrappers_that_hold_the_whole_model_are_looked_through():
    net = torch.nn.Sequential(torch.nn.Linear(20, 10))
    parallel = torch.nn.DataParallel(net)
    assert copies.unwrapped(parallel) is net
    own = Wrapper(net)
    assert copies.unwrapped(own) is own
    monitor = ww.Monitor(own, time_budget=None)
    monitor.step(0)
    assert monitor.history["longname"].tolist() == ["module.0"]


# --- sharded parameters ----------------------------------------------------------------------------------------------

WAY_OUT = (
    "this process holds a part of it; accepted are whole parameters. Let the run write checkpoints and follow their "
    "folder from another process: setol-ww watch DIR"
)


@pytest.mark.parametrize(
    ("mark", "value", "kind"),
    [
        ("ds_id", 0, "DeepSpeed ZeRO-3"),
        ("ds_tensor", None, "DeepSpeed ZeRO-3"),
        ("_is_flat_param", True, "FSDP"),
        ("is_sharded", True, "a sharded parameter"),
        ("tensor_model_parallel", True, "Megatron tensor parallelism"),
        ("tensor_model_parallel", False, ""),
        ("other", True, ""),
    ],
)
def test_what_marks_a_part_of_a_parameter(mark, value, kind):
    net = torch.nn.Sequential(torch.nn.Linear(20, 10))
    setattr(net[0].weight, mark, value)
    if not kind:
        sharded.refuse_sharded(net)
        return
    for model, name in ((net, "0.weight"), (dict(net.named_parameters()), "0.weight")):
        said = f"a monitor of {name!r} was asked, which is sharded ({kind}): {WAY_OUT}"
        with pytest.raises(ww.InvalidInput, match=f"^{re.escape(said)}$"):
            sharded.refuse_sharded(model)


@pytest.mark.parametrize("base", ["FullyShardedDataParallel", "FSDPModule"])
def test_modules_of_fsdp_are_known_by_their_ancestry(base):
    parent = type(base, (torch.nn.Module,), {})
    inner = type("Net", (parent,), {})()
    outer = torch.nn.Sequential(inner)
    for model, name in ((inner, "Net"), (outer, "0")):
        with pytest.raises(ww.InvalidInput, match=f"^a monitor of '{name}' was asked, which is sharded .FSDP.: "):
            sharded.refuse_sharded(model)
    flat = type("FlatParameter", (torch.nn.Parameter,), {})
    with pytest.raises(ww.InvalidInput, match=r"^a monitor of '_flat' was asked, which is sharded .FSDP.: "):
        sharded.refuse_sharded({"_flat": flat(torch.ones(3))})
    sharded.refuse_sharded(3)


class Placed:
    """A parameter over a mesh of processes, so placed."""

    def __init__(self, *whole: bool) -> None:
        self.device_mesh = self
        self.placements = [type("Placement", (), {"is_replicate": lambda _, one=one: one})() for one in whole]


def test_a_tensor_over_a_mesh_is_whole_where_every_placement_is():
    sharded.refuse_sharded({"a": Placed(True, True), "b": type("Half", (), {"device_mesh": 1})()})
    for placed in (Placed(True, False), Placed(False, True)):
        with pytest.raises(ww.InvalidInput, match=r"^a monitor of 'a' was asked, which is sharded .DTensor.: "):
            sharded.refuse_sharded({"a": placed})


# --- the history -----------------------------------------------------------------------------------------------------

TIDY = (
    "step longname slice tail_alpha tail_alpha_low tail_alpha_high tail_sigma tail_rank tail_outcome alpha_hill "
    "pl_lambda_min erg_rank erg_fraction erg_lambda_min delta_lambda_min q2_norm universality_class setol_state "
    "setol_flags move seconds status reason"
).split()


def record(seed: int = 0, title: str = "fc", **settings) -> LayerRecord:
    return ww.examine({f"{title}.weight": weight(seed)}, progress=False, **settings).records[0]


def test_the_columns_of_a_history_and_where_each_is_from():
    history = History(Options(randomize=True), {"history_of": "test"})
    history.add(3, record(0, randomize=True), "step3.pt")
    row = history.add(4, record(1, randomize=True))
    frame = history.frame()
    assert list(frame) == [*TIDY, "trap_count", "trap_pvalue", "trap_strength"]
    plain = History(Options(), {})
    plain.add(3, record(0))
    assert list(plain.frame()) == TIDY
    assert list(History(Options(), {}).frame()) == TIDY
    own = ww.analyze_matrix(weight(0), ww.Settings())
    told = frame.iloc[0]
    assert (told["step"], told["longname"], told["tail_rank"]) == (3, "fc", own.tail.rank)
    half = INFLATION * own.tail.sigma * stats.norm.ppf(0.95)
    assert [told["tail_alpha_low"], told["tail_alpha_high"]] == pytest.approx(
        [max(1.0, own.tail.alpha - half), own.tail.alpha + half], rel=2e-3
    )
    assert row["source"] == ""
    assert [one.identity["source"] for one in history.records] == ["step3.pt", ""]
    assert [one.position for one in history.records] == [0, 1]
    assert [one.identity["step"] for one in history.records] == [3, 4]
    assert history.about["version"] == ww.__version__
    assert history.about["history_of"] == "test"
    table = history.results().table()
    assert list(table)[-7:] == ["seconds", "status", "reason", "tensor", "shape", "n_params", "source"]


def test_resampled_ends_are_those_of_the_resampling():
    history = History(Options(uncertainty=30), {})
    row = history.add(0, record(0, uncertainty=30))
    own = ww.analyze_matrix(weight(0), ww.Settings(uncertainty=30)).tail
    assert (row["tail_alpha_low"], row["tail_alpha_high"]) == pytest.approx((own.alpha_low, own.alpha_high))


def test_what_may_become_of_an_exponent_in_words():
    """A start that leaps: of two tails, one on the other, the fit takes the upper, then the lower."""
    ranks = (np.arange(400) + 0.5) / 400
    steep = np.log((1 - ranks) ** -0.5)
    bent = np.where(steep > steep[240], steep[240] + 3 * (steep - steep[240]), steep)
    before, after = (Mark(bent, rank) for rank in (150, 400))
    assert move(before, after) == "leap of the tail's start"
    assert move(before, Mark(9 * steep, 400)) == "moved"
    assert move(before, before) == ""


def heavy(alpha: float) -> LayerRecord:
    places = (np.arange(300) + 0.5) / 300
    spectrum = ww.Spectrum.from_eigenvalues((1 - places) ** (-1 / (alpha - 1)), (600, 300))
    results = ww.Results.from_records([LayerRecord(0, {"longname": "fc", "slice": ""}, spectrum=spectrum)])
    row = results.table().iloc[0]
    cells = {name: row[name] for name in ("tail_alpha", "tail_sigma", "tail_rank", "tail_outcome")}
    return LayerRecord(0, {"longname": "fc", "slice": ""}, spectrum=spectrum, cells=cells)


def test_a_look_is_compared_with_the_last_that_moved_and_not_with_the_last():
    """Small steps add up; of a history that is read back the next word is the same."""
    alphas = [3.0, 2.8, 2.6, 2.4, 2.2, 2.0]
    whole = History(Options(), {})
    words = [whole.add(step, heavy(alpha))["move"] for step, alpha in enumerate(alphas)]
    assert words == ["", "", "", "moved", "", "moved"]
    for cut in range(1, len(alphas)):
        part = History(Options(), {}, whole.records[:cut])
        assert part.add(cut, heavy(alphas[cut]))["move"] == words[cut]
    # Another layer and another slice have marks of their own.
    other = heavy(2.0)
    for identity in ({"longname": "fc2", "slice": ""}, {"longname": "fc", "slice": "q"}):
        moved = LayerRecord(0, identity, spectrum=other.spectrum, cells=other.cells)
        assert whole.add(9, moved)["move"] == ""


@pytest.mark.parametrize("name", ["run.setol", "run.csv", "run.json", "run.html"])
def test_a_history_is_kept_by_its_ending(tmp_path, name):
    history = History(Options(), {"history_of": "test"})
    history.add(3, record())
    history.save(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    if name == "run.setol":
        assert ww.open_results(tmp_path / name).table()["step"].tolist() == [3]
    else:
        assert "tail_alpha" in (tmp_path / name).read_text(encoding="utf-8")
    with pytest.raises(ww.InvalidInput, match=r"^path .*run\.txt was asked; accepted endings are \.csv, .*\.setol"):
        history.save(tmp_path / "run.txt")
    with pytest.raises(ww.InvalidInput, match=r"^path=3 was asked"):
        history.save(3)


# --- on disk ---------------------------------------------------------------------------------------------------------


def test_a_keeper_writes_by_its_clock_and_says_what_it_did(tmp_path, caplog):
    clock, history = Clock(), History(Options(), {"a": 1})
    place = tmp_path / "in" / "run.csv"
    place.parent.mkdir()
    disk = OnDisk(place, Options(), history.about)
    assert disk.store == tmp_path / "in" / "run.csv.setol.sqlite"
    keeper = Keeper(disk, clock)
    history = keeper.begin(0, Options(), {"a": 1})
    assert str(keeper) == f"0 rows are in {place}"
    keeper.keep(history, due=True)
    assert not place.exists(), "there is nothing new"
    history.add(0, record())
    keeper.keep(history)
    assert ww.read_table(place)["step"].tolist() == [0]
    shutil.rmtree(place.parent)
    history.add(1, record(1))
    for _ in range(2):
        keeper.keep(history, due=True)
    said = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert len(said) == 1
    assert said[0].startswith(f"layer of the history: {place} not written, ")
    assert said[0].endswith("; training goes on, and it is tried again")
    assert str(keeper) == f"1 rows are in {place}; the last rows are not: {keeper.refused}"
    place.parent.mkdir()
    # The store is made anew, of what is not there yet.
    keeper.keep(history, due=True)
    assert str(keeper) == f"2 rows are in {place}"
    assert keeper.refused == ""
    assert ww.read_table(place)["step"].tolist() == [0, 1]


def of_three_steps(place: Path) -> OnDisk:
    """What is on disk of a run looked at after steps 0, 5 and 9."""
    history = History(Options(), {"a": 1})
    disk = OnDisk(place, Options(), history.about)
    for step in (0, 5, 9):
        history.add(step, record(step))
    disk.add(history, 0)
    return disk


def test_a_run_goes_on_with_what_is_kept_of_the_steps_before(tmp_path):
    disk = of_three_steps(tmp_path / "run.setol")
    for first, kept in ((9, [0, 5]), (6, [0, 5]), (5, [0]), (0, [])):
        again = Keeper(disk, Clock()).begin(first, Options(), {"a": 1})
        assert [row["step"] for row in again.rows] == kept
        # What is of steps that did not happen is gone from the file too.
        assert [one.identity["step"] for one in disk.records()] == kept
    assert disk.records() == []


def test_a_table_of_a_run_that_goes_on_has_no_steps_that_did_not_happen(tmp_path):
    disk = of_three_steps(tmp_path / "run.csv")
    assert pd.read_csv(tmp_path / "run.csv")["step"].tolist() == [0, 5, 9]
    Keeper(disk, Clock()).begin(6, Options(), {"a": 1})
    assert pd.read_csv(tmp_path / "run.csv")["step"].tolist() == [0, 5]


@pytest.mark.parametrize("how", ["look", "step", "keep", "close"])
def test_rows_are_on_disk_when_a_look_is_over(tmp_path, how):
    """Whatever ends it, for whom a killed process leaves behind."""
    monitor = ww.Monitor({"a.weight": weight()}, time_budget=None, out=tmp_path / "run.setol")
    getattr(monitor, "look" if how == "look" else "step")(0)
    if how in ("keep", "close"):
        getattr(monitor, how)()
    assert ww.open_results(tmp_path / "run.setol").table()["longname"].tolist() == ["a"]


def test_a_history_that_stays_whole_is_not_written_anew(tmp_path):
    history = History(Options(), {"a": 1})
    disk = OnDisk(tmp_path / "run.setol", Options(), history.about)
    history.add(0, record())
    disk.add(history, 0)
    before = disk.store.stat().st_ino
    Keeper(disk, Clock()).begin(1, Options(), {"a": 1})
    assert disk.store.stat().st_ino == before
    Keeper(disk, Clock()).begin(0, Options(), {"a": 1})
    assert disk.store.stat().st_ino != before


def test_where_a_history_may_lie(tmp_path):
    with pytest.raises(ww.InvalidInput, match=r"^out .*run\.xyz was asked; accepted endings are \.csv, .*\.setol"):
        OnDisk(tmp_path / "run.xyz", Options(), {})
    frozen = OnDisk(tmp_path / "run.setol", Options(), {"long": 1})
    assert "long" not in repr(frozen)
    with pytest.raises(AttributeError):
        frozen.target = tmp_path


# --- callbacks and curves --------------------------------------------------------------------------------------------


def test_a_process_that_is_not_the_main_one_follows_nothing(tmp_path):
    following = Following(tmp_path / "run.setol", every=1, time_budget=None)
    assert following.monitor is None
    for is_main in (False, True):
        following.begin({"a.weight": weight()}, is_main)
        assert (following.monitor is not None) is is_main
        following.step(0)
        following.keep()
        assert (tmp_path / "run.setol").exists() is is_main
        following.finish()
    assert ww.open_results(tmp_path / "run.setol").table()["step"].tolist() == [0]


def test_curves_of_a_row():
    row = dict.fromkeys(TIDY, "word") | {
        "step": 3,
        "seconds": 2.0,
        "longname": "fc",
        "slice": "",
        "tail_alpha": np.float32(2.5),
        "tail_sigma": float("inf"),
        "tail_rank": 7,
        "erg_rank": None,
        "q2_norm": True,
        "trap_count": 2,
        "trap_pvalue": 0.25,
        "trap_strength": 9.0,
        "other": 1.0,
    }
    assert scalars_of(row, "mine") == {
        "mine/fc/tail_alpha": 2.5,
        "mine/fc/tail_rank": 7.0,
        "mine/fc/trap_count": 2.0,
        "mine/fc/trap_pvalue": 0.25,
        "mine/fc/trap_strength": 9.0,
    }
    assert {type(value) for value in scalars_of(row).values()} == {float}


class Run:
    """A run of W&B that notes what it is told."""

    def __init__(self) -> None:
        self.told: list = []

    def define_metric(self, *names, **settings) -> None:
        self.told.append((names, settings))

    def log(self, values) -> None:
        self.told.append(values)


def test_what_a_run_of_wandb_is_told():
    pytest.importorskip("wandb")
    from setol_ww.monitor.wandb import WandbLog

    run = Run()
    WandbLog(run)({"step": 3, "longname": "fc", "slice": "", "tail_alpha": 2.5})
    assert run.told == [
        (("setol/step",), {"hidden": True}),
        (("setol/*",), {"step_metric": "setol/step"}),
        {"setol/step": 3, "setol/fc/tail_alpha": 2.5},
    ]
    said = r"^WandbLog\(\) was asked without a run; accepted is a run, or one begun with wandb\.init\(\)$"
    with pytest.raises(ww.InvalidInput, match=said):
        WandbLog()


# --- a watched folder ------------------------------------------------------------------------------------------------


def resting(place: Path) -> list:
    """What a folder says after two looks."""
    found = Folder(place)
    return [*found.look(), *found.look()]


@pytest.mark.parametrize("name", [".a", "tmp-a", "tmpa", "a.tmp", "a.part", "a.incomplete", "a.lock"])
def test_names_under_which_libraries_write_before_they_rename(tmp_path, name):
    sound = tmp_path / "a.partly"
    for folder_ in (tmp_path / name, sound):
        folder_.mkdir()
        save_file({"a.weight": weight()}, folder_ / "model.safetensors")
    assert [one.name for one in resting(tmp_path)] == [sound.name]


def test_checkpoints_come_by_step_and_those_without_one_last(tmp_path):
    for name in ("step10", "step9", "last", "best", "step0"):
        save_file({"a.weight": weight()}, tmp_path / f"{name}.safetensors")
    for name in ("optimizer.pt", "model-00001-of-00002.safetensors", "notes.txt"):
        save_file({"a.weight": weight()}, tmp_path / name)
    (tmp_path / "logs").mkdir()
    (tmp_path / "link.safetensors").symlink_to(tmp_path / "step9.safetensors")
    found = resting(tmp_path)
    assert [(one.name, one.step) for one in found] == [
        ("step0.safetensors", 0),
        ("step9.safetensors", 9),
        ("step10.safetensors", 10),
        ("best.safetensors", None),
        ("last.safetensors", None),
    ]
    assert {one.path for one in found} == {tmp_path / one.name for one in found}
    # By what is in it, not by its name.
    assert len({one.weights for one in found}) == 1
    # Nothing is held open or known of a file between two looks.
    assert not reader._readers.slots


def test_a_checkpoint_that_goes_while_it_is_looked_at_is_none(tmp_path):
    save_file({"a.weight": weight()}, tmp_path / "step1.safetensors")
    watched = Folder(tmp_path)
    assert watched.look() == []
    (tmp_path / "step1.safetensors").write_bytes(b"nonsense" * 10)
    assert watched.look() == watched.look() == []
    assert list(watched.refused) == ["step1.safetensors"]
    # Refused once, it is not opened again before it changes; sound again, it is refused no more.
    reason = watched.refused.pop("step1.safetensors")
    assert watched.look() == []
    assert watched.refused == {}
    watched.refused["step1.safetensors"] = reason
    save_file({"a.weight": weight()}, tmp_path / "step1.safetensors")
    assert [one.name for one in (*watched.look(), *watched.look())] == ["step1.safetensors"]
    assert watched.refused == {}
    with pytest.raises(ww.InvalidInput, match=r"^watching '.*nowhere' was asked; accepted is a folder that is there$"):
        Folder(tmp_path / "nowhere")


def test_a_file_that_goes_between_two_questions_is_none(tmp_path, monkeypatch):
    """It was there when it was asked whether it is a file, and is not when it is asked how large it is."""
    monkeypatch.setattr(Path, "is_file", lambda self: True)
    assert signature_of(tmp_path / "gone.safetensors") == ()
    (tmp_path / "there.safetensors").write_bytes(b"123")
    ((name, size, _),) = signature_of(tmp_path / "there.safetensors")
    assert (name, size) == ("there.safetensors", 3)


def test_a_disk_that_fails_is_a_reason_and_no_end(tmp_path, monkeypatch):
    """Whether it fails where a checkpoint is opened, where a folder is listed, or in the analysis."""
    for name in ("step1.safetensors", "step2.safetensors"):
        save_file({"a.weight": weight()}, tmp_path / name)
    (tmp_path / "step3").mkdir()
    save_file({"a.weight": weight()}, tmp_path / "step3" / "model.safetensors")

    def failing(real, name: str):
        def asked(path, *rest, **options):
            if Path(path).name == name:
                raise OSError(5, "the disk fails")
            assert options.get("progress", False) is False, "a watch shows no bar"
            return real(path, *rest, **options)

        return asked

    monkeypatch.setattr(
        checkpoints_in, "checkpoint_fingerprint", failing(checkpoints_in.checkpoint_fingerprint, "step1.safetensors")
    )
    monkeypatch.setattr(checkpoints_in, "checkpoint_files", failing(checkpoints_in.checkpoint_files, "step3"))
    watched = Folder(tmp_path)
    assert [one.name for one in (*watched.look(), *watched.look())] == ["step2.safetensors"]
    assert watched.refused == {"step1.safetensors": "[Errno 5] the disk fails"}
    monkeypatch.undo()
    monkeypatch.setattr(folder, "scan", failing(folder.scan, "step2.safetensors"))
    seen: list = []
    history = folder.watch(tmp_path, once=True, settle=0.01, tell=seen.append)
    assert history["step"].tolist() == [1, 3]
    assert [one for one in seen if isinstance(one, str)] == ["step2.safetensors is not read: [Errno 5] the disk fails"]


class Stopped(Exception):
    """The end of a watch that has none."""


def test_how_long_a_watch_waits_between_two_looks(tmp_path, monkeypatch):
    """Once: as long as a checkpoint must rest. Else so many seconds, again and again."""
    save_file({"a.weight": weight()}, tmp_path / "step1.safetensors")
    (tmp_path / "step2.safetensors").write_bytes(b"nonsense" * 10)
    slept, seen = [], []
    monkeypatch.setattr(folder.time, "sleep", slept.append)
    folder.watch(tmp_path, every=7.0, settle=0.5, once=True)
    assert slept == [0.5]
    slept.clear()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 4:
            raise Stopped

    monkeypatch.setattr(folder.time, "sleep", sleep)
    with pytest.raises(Stopped):
        folder.watch(tmp_path, every=7.0, settle=0.5, tell=seen.append)
    assert slept == [7.0] * 4
    # A checkpoint that cannot be read is told once.
    assert [str(one).split(":")[0] for one in seen] == ["step 1, step1.safetensors", "step2.safetensors is not read"]
    for name in ("every", "settle"):
        for wrong in (0, -1, float("nan")):
            said = f"^{name}={wrong!r} was asked; accepted is a number of seconds above 0$"
            with pytest.raises(ww.InvalidInput, match=said):
                folder.watch(tmp_path, once=True, **{name: wrong})


def test_a_watch_analyses_as_it_is_asked(tmp_path):
    """Every option of it reaches the analysis: the history is that of `scan` under the same."""
    save_file({"a.weight": weight(0), "b.weight": weight(1)}, tmp_path / "step1.safetensors")
    asked = {"randomize": True, "seed": 5, "quality": False, "uncertainty": 20, "layers": ["b"]}
    history = folder.watch(tmp_path, once=True, settle=0.01, options=Options(**asked))
    direct = ww.scan(tmp_path / "step1.safetensors", **asked, progress=False)
    assert history["longname"].tolist() == ["b"]
    for name in ("trap_pvalue", "tail_alpha", "tail_alpha_low", "tail_alpha_high"):
        np.testing.assert_allclose(history[name], direct.query("longname == 'b'")[name], rtol=1e-12)
    assert history["q2_norm"].isna().all()


def test_a_watch_shows_no_bars_of_its_scans(tmp_path, monkeypatch):
    save_file({"a.weight": weight(0)}, tmp_path / "step1.safetensors")
    real, asked = folder.scan, []

    def scan(*places, **told):
        asked.append(told["progress"])
        return real(*places, **told)

    monkeypatch.setattr(folder, "scan", scan)
    folder.watch(tmp_path, once=True, settle=0.01)
    assert asked == [False]


def test_checkpoints_without_a_step_are_counted(tmp_path):
    for name, seed in (("best.safetensors", 0), ("last.safetensors", 1)):
        save_file({"a.weight": weight(seed)}, tmp_path / name)
    assert folder.watch(tmp_path, once=True, settle=0.01)["step"].tolist() == [0, 1]
    save_file({"a.weight": weight(2)}, tmp_path / "step41.safetensors")
    seen: list[folder.Seen] = []
    history = folder.watch(tmp_path, once=True, settle=0.01, tell=seen.append)
    assert history["step"].tolist() == [41, 42, 43]
    assert [one.name for one in seen] == ["step41.safetensors", "best.safetensors", "last.safetensors"]
    assert all(one.seconds > 0 for one in seen)
    assert [row["tail_alpha"] for one in seen for row in one.rows] == history["tail_alpha"].tolist()


def test_a_checkpoint_that_is_gone_before_it_is_read_is_told(tmp_path):
    kept = folder.Kept(None, Options())
    said: list = []
    save_file({"a.weight": weight()}, tmp_path / "step1.safetensors")
    (found,) = resting(tmp_path)
    found.path.unlink()
    kept.take(found, said.append)
    assert len(said) == 1
    assert said[0].startswith("step1.safetensors is not read: ")
    assert kept.history.rows == []
    save_file({"a.weight": weight()}, found.path)
    for _ in range(2):
        kept.take(found, said.append)
    assert [type(one).__name__ for one in said] == ["str", "Seen"]
    assert kept.history.frame()["step"].tolist() == [1]


def test_a_table_is_written_beside_its_store(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    save_file({"a.weight": weight()}, run / "step3.safetensors")
    history = folder.watch(run, tmp_path / "out.csv", once=True, settle=0.01)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "out.csv.setol.sqlite", "run"]
    results = ww.open_results(tmp_path / "out.csv.setol.sqlite")
    assert results.about["history_of"] == "checkpoints of a folder"
    (kept,) = results.records
    assert kept.identity["source"] == "step3.safetensors"
    assert kept.identity["weights"] == resting(run)[0].weights
    pd.testing.assert_series_equal(ww.read_table(tmp_path / "out.csv")["tail_alpha"], history["tail_alpha"])
