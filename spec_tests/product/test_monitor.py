"""`Monitor`: the training is the same with and without it, its time has a limit, its history is tidy and kept."""

from __future__ import annotations

import logging
import random
import shutil
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

import setol_ww as ww
from setol_ww.layer.intervals import INFLATION
from setol_ww.monitor import copies, moves
from setol_ww.monitor.budget import Budget
from setol_ww.monitor.history import COLUMNS, ENDS, history_of
from setol_ww.monitor.moves import LEAPT, MOVED, Mark


def net_of(seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(80, 60), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(60, 30))


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def trained(steps: int, **settings) -> tuple[dict[str, torch.Tensor], tuple, pd.DataFrame | None]:
    """Weights and states of all generators after a run, with a monitor where there are settings."""
    random.seed(1)
    np.random.seed(1)
    net = net_of(1)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    monitor = ww.Monitor(net, **settings) if settings else None
    for step in range(steps):
        inputs = torch.randn(64, 80) + random.random() * np.random.normal()
        loss = net(inputs).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if monitor is not None:
            monitor.step(step)
    history = None if monitor is None else monitor.history
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}, states, history


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("settings", [{"time_budget": 1.0}, {"time_budget": None}, {"background": False}])
def test_a_run_has_the_same_bits_with_and_without_it(threads, settings):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        with threadpool_limits(threads, user_api="blas"):
            plain, states, _ = trained(60)
            pools = threadpool_info()
            weights, after, history = trained(60, every=10, randomize=True, uncertainty=20, seed=3, **settings)
            assert threadpool_info() == pools
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert len(history)
    assert after == states
    assert plain.keys() == weights.keys()
    assert all(torch.equal(plain[name], weights[name]) for name in plain)


def test_the_host_is_as_before():
    net = net_of()
    net.train()
    net[0].weight.requires_grad_(False)
    net(torch.randn(3, 80)).sum().backward()
    versions = [parameter._version for parameter in net.parameters()]
    gradients = [None if one.grad is None else one.grad.clone() for one in net.parameters()]
    filters, handlers, threads = list(warnings.filters), list(logging.root.handlers), set(threading.enumerate())
    with ww.Monitor(net, every=1, time_budget=1.0) as monitor:
        for step in range(20):
            monitor.step(step)
    assert [parameter._version for parameter in net.parameters()] == versions
    assert [one.requires_grad for one in net.parameters()] == [False, True, True, True]
    for one, kept in zip(net.parameters(), gradients):
        assert (one.grad is None) if kept is None else torch.equal(one.grad, kept)
    assert net.training
    assert list(warnings.filters) == filters
    assert list(logging.root.handlers) == handlers
    assert set(threading.enumerate()) <= threads


def test_the_history_is_that_of_the_weights_at_their_steps(tmp_path):
    net = net_of()
    kept = []
    monitor = ww.Monitor(net, every=3, time_budget=None)
    for step in range(7):
        with torch.no_grad():
            net[0].weight += 0.05 * torch.randn(60, 1) @ torch.randn(1, 80)
        monitor.step(step)
        if step % 3 == 0:
            kept += [(step, row) for _, row in ww.analyze(net).iterrows()]
    history = monitor.history
    assert tuple(history.columns) == COLUMNS
    assert history["step"].tolist() == [0, 0, 3, 3, 6, 6]
    assert history["longname"].tolist() == 3 * ["0", "3"]
    for (step, row), (_, ours) in zip(kept, history.iterrows(), strict=True):
        assert (step, row["longname"]) == (ours["step"], ours["longname"])
        for name in ("tail_alpha", "erg_rank", "delta_lambda_min", "q2_norm", "alpha_hill"):
            np.testing.assert_allclose(ours[name], row[name], rtol=1e-12)
        assert ours["setol_state"] == row["setol_state"]
    assert (history["seconds"] > 0).all()
    monitor.save(tmp_path / "run.setol")
    results = ww.open_results(tmp_path / "run.setol")
    pd.testing.assert_frame_equal(history_of(results), history)
    table = results.table(sigmas=1.0)
    assert table["step"].tolist() == history["step"].tolist()
    np.testing.assert_array_equal(results.records[4].spectrum.raw, monitor.results.records[4].spectrum.raw)
    monitor.save(tmp_path / "run.csv")
    assert ww.read_table(tmp_path / "run.csv")["step"].tolist() == history["step"].tolist()


def test_only_the_layers_that_were_asked_and_slices_of_them():
    attention = torch.nn.MultiheadAttention(24, 2)
    monitor = ww.Monitor(attention, every=1, layers=["in_proj*"], time_budget=None)
    monitor.step(0)
    assert monitor.history[["longname", "slice"]].values.tolist() == [[f"in_proj_{'weight'}", one] for one in "qkv"]
    with pytest.raises(ww.InvalidInput, match="no_such"):
        ww.Monitor(attention, layers=["no_such"])


def paced(monitor: ww.Monitor, clock: Clock, seconds: float, monkeypatch) -> None:
    """A monitor whose clock is ours and whose layers take so many seconds."""
    monitor.budget.clock = clock
    monkeypatch.setattr("setol_ww.monitor.live.time.perf_counter", clock)
    real = copies.measured

    def slow(*asked):
        clock.now += seconds
        return real(*asked)

    monkeypatch.setattr(copies, "measured", slow)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_the_time_stays_within_its_share_and_every_layer_has_its_turn(share, monkeypatch):
    net = torch.nn.Sequential(*[torch.nn.Linear(20, 20) for _ in range(5)])
    monitor = ww.Monitor(net, every=10, time_budget=share, background=False)
    clock = Clock()
    paced(monitor, clock, 3.0, monkeypatch)
    for step in range(2000):
        clock.now += 1.0
        monitor.step(step)
    # A layer whose time is not known may overdraw, five of them here.
    assert monitor.overhead <= share + 5 * 3.0 / monitor.budget.elapsed
    looks = monitor.history["longname"].value_counts()
    assert set(looks.index) == set("01234")
    assert looks.max() - looks.min() <= 1
    # What the share allows is used: the rounds would ask for 200 looks at each layer.
    possible = share * monitor.budget.elapsed / 3.0
    assert len(monitor.history) >= min(0.9 * possible - 1, 900)


def test_fewer_layers_rather_than_a_late_step(monkeypatch):
    net = torch.nn.Sequential(torch.nn.Linear(20, 20), torch.nn.Linear(20, 20))
    monitor = ww.Monitor(net, every=1, time_budget=0.02, background=False)
    clock = Clock()
    paced(monitor, clock, 10.0, monkeypatch)
    monitor.step(0)
    assert len(monitor.history) == 1
    for step in range(1, 400):
        clock.now += 1.0
        monitor.step(step)
    # Ten seconds are paid back in five hundred.
    assert len(monitor.history) == 1
    for step in range(400, 600):
        clock.now += 1.0
        monitor.step(step)
    assert monitor.history["longname"].tolist() == ["0", "1"]


def test_training_does_not_wait_for_a_decomposition(monkeypatch):
    gate = threading.Event()
    real = copies.measured

    def held(*asked):
        assert gate.wait(60)
        return real(*asked)

    monitor = ww.Monitor(net_of(), every=1, time_budget=1.0)
    monkeypatch.setattr(copies, "measured", held)
    weight = monitor._model[0].weight
    before = weight.detach().clone()
    monitor.step(0)
    with torch.no_grad():
        weight.zero_()
    monitor.step(1)
    gate.set()
    # The copy is of the step at which it was taken, whatever happened to the weights since.
    assert monitor.history["step"].tolist() == [0]
    np.testing.assert_allclose(
        monitor.results.records[0].spectrum.raw, ww.Spectrum.from_matrix(before).raw, rtol=1e-12, atol=1e-15
    )


def test_the_first_step_and_every_so_many_are_due_wherever_steps_land():
    monitor = ww.Monitor({"fc.weight": np.eye(30) + 0.1}, every=10, time_budget=None)
    for step in (3, 5, 9, 11, 12, 29, 30, 30):
        monitor.step(step)
    assert monitor.history["step"].tolist() == [3, 11, 29, 30]


def test_a_layer_that_breaks_costs_its_row():
    net = net_of()
    monitor = ww.Monitor(net, every=1, time_budget=None)
    with torch.no_grad():
        net[0].weight[3, 4] = float("nan")
    monitor.step(0)
    history = monitor.history.set_index("longname")
    assert history.loc["0", "status"] == "failed"
    assert "1 NaN" in history.loc["0", "reason"]
    assert history.loc["3", "status"] == "analyzed"


def test_look_takes_every_layer_whatever_the_budget():
    monitor = ww.Monitor(net_of(), every=1000, time_budget=1e-9)
    monitor.look(0)
    monitor.step(1)
    monitor.look(7)
    assert monitor.history["step"].tolist() == [0, 0, 7, 7]


def test_every_row_is_logged_in_the_thread_of_training():
    seen = []
    monitor = ww.Monitor(
        net_of(), every=1, time_budget=1.0, log=lambda row: seen.append((row["step"], threading.get_ident()))
    )
    for step in range(30):
        monitor.step(step)
    assert monitor.history["step"].tolist() == [step for step, _ in seen]
    assert {thread for _, thread in seen} == {threading.get_ident()}


def two_starts(rng: np.random.Generator) -> np.ndarray:
    """A tail of exponent 2, and of 4 where a tenth of the eigenvalues are left: two starts that fit about as well."""
    values = np.concatenate([np.exp(-np.abs(rng.normal(size=267))), (1 - rng.random(133)) ** -1.0])
    edge = np.quantile(values, 0.9)
    return np.where(values > edge, edge * (values / edge) ** (1 / 3), values)


def marked(values: np.ndarray) -> Mark:
    spectrum = ww.Spectrum.from_eigenvalues(values)
    mark = Mark.of(spectrum, ww.fit_tail(spectrum).rank)
    assert mark is not None
    return mark


def test_a_leap_of_the_tails_start_is_no_move():
    rng = np.random.default_rng(0)
    said = []
    while len(said) < 20:
        values = two_starts(rng)
        before, after = marked(values), marked(values * np.exp(rng.normal(scale=0.02, size=values.size)))
        if max(before.rank, after.rank) > 1.5 * min(before.rank, after.rank) >= 12:
            said.append(moves.move(before, after))
    assert MOVED not in said
    assert said.count(LEAPT) >= 5


def test_a_move_is_none_of_another_draw():
    rng = np.random.default_rng(1)

    def drawn(alpha: float) -> Mark:
        return marked((1 - rng.random(200)) ** (-1 / (alpha - 1)))

    assert [moves.move(drawn(3), drawn(3)) for _ in range(50)].count("") >= 49
    assert [moves.move(drawn(3), drawn(1.8)) for _ in range(20)].count(MOVED) >= 18


def test_without_a_tail_there_is_no_word():
    flat = ww.Spectrum.from_eigenvalues(np.ones(30))
    assert Mark.of(flat, 0) is None
    assert Mark.of(flat, float("nan")) is None
    assert Mark.of(None, 5) is None
    assert Mark.of(flat, 1).rank == 1
    assert np.isnan(Mark.of(flat, 5).alpha(5))


def test_a_picture_has_a_line_for_layers_that_are_looked_at_in_turn():
    monitor = ww.Monitor(net_of(), every=1, time_budget=None)
    monitor.step(0)
    history = monitor.history
    turns = pd.concat([history.assign(step=history["step"] + [0, 1] + 2 * turn) for turn in range(3)])
    drawn = [line for line in ww.plots.training(turns).get_lines() if line.get_label() in ("0", "3")]
    assert [list(line.get_xdata()) for line in drawn] == [[0, 2, 4], [1, 3, 5]]


def pareto(alpha: float, seed: int = 0, side: int = 300) -> torch.Tensor:
    """A square matrix whose eigenvalues are a power law of this exponent from 1 on."""
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.normal(size=(side, side)))[0] for _ in range(2))
    places = (np.arange(side) + 0.5) / side
    return torch.from_numpy((left * np.sqrt((1 - places) ** (-1 / (alpha - 1)))) @ right)


def test_alarms_call_when_a_rule_begins_to_hold():
    heard = []
    weights = {"fc.weight": pareto(3.0)}
    monitor = ww.Monitor(
        weights,
        every=1,
        time_budget=None,
        randomize=True,
        alarms={
            "alpha below 2": heard.append,
            "trap": heard.append,
            "moved": heard.append,
            (lambda row: row["step"] == 4): heard.append,
        },
    )
    for step, alpha in enumerate((3.0, 1.6, 1.6, 3.0, 1.6)):
        weights["fc.weight"] = pareto(alpha)
        monitor.step(step)
    # The tensor of a mapping is the one that was there when the round began.
    below = [alarm for alarm in heard if alarm.rule == "alpha below 2"]
    assert [alarm.step for alarm in below] == [1, 4]
    assert "below 2 beyond its error" in str(below[0])
    assert "step 1, fc" in str(below[0])
    assert below[0].to_dict()["schema"] == 1
    assert [alarm.step for alarm in heard if alarm.rule == "moved"] == [1, 3]
    assert [alarm.step for alarm in heard if alarm.rule == "<lambda>"] == [4]
    assert not any(alarm.rule == "trap" for alarm in heard)
    weights["fc.weight"][2, 3] = 1000.0
    monitor.step(5)
    assert [alarm.step for alarm in heard if alarm.rule == "trap"] == [5]
    assert monitor.history["move"].tolist()[:3] == ["", "moved", ""]


def test_an_alarm_may_stop_the_training():
    def stop(alarm):
        raise StopIteration(str(alarm))

    monitor = ww.Monitor({"fc.weight": pareto(1.5)}, time_budget=None, alarms={"alpha below 2": stop})
    with pytest.raises(StopIteration, match="below 2"):
        monitor.step(0)


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"every": 0}, "every=0"),
        ({"time_budget": 0}, "time_budget=0"),
        ({"time_budget": 1.5}, "time_budget=1.5"),
        ({"time_budget": "all"}, "time_budget='all'"),
        ({"log": 3}, "log=3"),
        ({"alarms": {"alpha": print}}, "alpha below 2"),
        ({"alarms": {"moved": 3}}, "moved"),
        ({"alarms": {"trap": print}}, "randomize=True"),
        ({"engine": "fast"}, "engine"),
        ({"uncertainty": -1}, "uncertainty=-1"),
    ],
)
def test_what_is_not_accepted_is_said(wrong, said):
    with pytest.raises(ww.InvalidInput, match=said):
        ww.Monitor(net_of(), **wrong)


@pytest.mark.parametrize("model, said", [(3, "int"), ({}, "no weight"), (torch.nn.ReLU(), "no weight")])
def test_what_is_no_model_is_said(model, said):
    with pytest.raises(ww.InvalidInput, match=said):
        ww.Monitor(model)


def test_a_step_is_a_number_and_may_go_back():
    """After a return to an earlier checkpoint training goes on, and so does the history."""
    monitor = ww.Monitor({"fc.weight": np.eye(30) + 0.1}, every=10, time_budget=None)
    for step in (0, 10, 20, 12, 13, 20):
        monitor.step(step)
    assert monitor.history["step"].tolist() == [0, 10, 20, 12, 20]
    for wrong in ("eleven", 1.5, -1):
        with pytest.raises(ww.InvalidInput, match="number of a step"):
            monitor.step(wrong)


def test_a_layer_that_is_gone_has_a_row_with_the_reason_once():
    net = net_of()
    monitor = ww.Monitor(net, every=1, time_budget=None, layers=["0", "3"])
    monitor.step(0)
    kept, net[3] = net[3], torch.nn.Identity()
    for step in (1, 2):
        monitor.step(step)
    net[3] = kept
    monitor.step(3)
    history = monitor.history
    told = history[["step", "longname", "status"]].values.tolist()
    assert [row for row in told if row[1] == "0"] == [[step, "0", "analyzed"] for step in range(4)]
    assert [row for row in told if row[1] == "3"] == [[0, "3", "analyzed"], [1, "3", "failed"], [3, "3", "analyzed"]]
    assert history.query("status == 'failed'")["reason"].tolist() == [
        "layer 3: the model has no layer of that name any more"
    ]


def test_a_model_of_which_nothing_is_left_ends_no_training():
    weights = {"fc.weight": np.eye(30) + 0.1}
    monitor = ww.Monitor(weights, every=1, time_budget=None)
    monitor.step(0)
    weights.clear()
    for step in (1, 2):
        monitor.step(step)
    assert monitor.history[["step", "status"]].values.tolist() == [[0, "analyzed"], [1, "failed"]]
    assert "holds no weight" in monitor.history["reason"][1]
    assert "0 layers" in str(monitor)


def test_weights_without_values_have_a_row_until_they_have_some():
    net = torch.nn.Sequential(torch.nn.Linear(40, 30), torch.nn.Linear(30, 20, device="meta"))
    monitor = ww.Monitor(net, every=1, time_budget=None)
    monitor.step(0)
    net[1] = torch.nn.Linear(30, 20)
    monitor.step(1)
    rows = monitor.history[["step", "longname", "status", "reason"]].values.tolist()
    assert rows[1] == [0, "1", "failed", "layer 1: it lies on the meta device and has no values"]
    assert [row[2] for row in rows] == ["analyzed", "failed", "analyzed", "analyzed"]
    with pytest.raises(ww.InvalidInput, match="meta device"):
        ww.Monitor(torch.nn.Linear(30, 20, device="meta"))


def test_a_log_that_breaks_ends_no_training(caplog):
    def log(row):
        raise OSError("no space left")

    monitor = ww.Monitor(net_of(), every=1, time_budget=None, log=log)
    for step in range(3):
        monitor.step(step)
    assert len(monitor.history) == 6
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert said
    assert "no space left; training goes on" in said[0]


def test_a_rule_of_the_users_sees_rows_with_numbers_alone():
    net = net_of()
    heard = []
    monitor = ww.Monitor(net, every=1, time_budget=None, alarms={(lambda row: row["tail_alpha"] > 0): heard.append})
    with torch.no_grad():
        net[0].weight[0, 0] = float("nan")
    monitor.step(0)
    assert [alarm.layer for alarm in heard] == ["3"]


def test_no_more_threads_end_no_training(monkeypatch):
    def full(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", full)
    monitor = ww.Monitor(net_of(), every=1, time_budget=1.0)
    for step in range(3):
        monitor.step(step)
    assert set(monitor.history["status"]) == {"analyzed"}


@pytest.mark.parametrize("name", ["run.setol", "run.csv"])
def test_a_run_that_is_killed_leaves_its_history_and_one_that_goes_on_adds_to_it(tmp_path, name):
    net = net_of()
    first = ww.Monitor(net, every=10, time_budget=None, out=tmp_path / name)
    for step in (0, 10, 20):
        first.step(step)
    first.keep()
    # What comes after the last writing is lost with the process.
    lost = first.history["step"].tolist()
    del first
    assert lost == [0, 0, 10, 10, 20, 20]
    assert steps_in(tmp_path / name) == lost
    # From the checkpoint of step 15 on: the look at 20 was of a run that did not happen.
    with ww.Monitor(net, every=10, time_budget=None, out=tmp_path / name) as second:
        second.step(16)
        second.step(20)
    assert steps_in(tmp_path / name) == second.history["step"].tolist() == [0, 0, 10, 10, 16, 16, 20, 20]
    assert f"8 rows are in {tmp_path / name}" in str(second)
    # A new run under the same name begins anew.
    with ww.Monitor(net, every=10, time_budget=None, out=tmp_path / name) as third:
        third.step(0)
    assert steps_in(tmp_path / name) == [0, 0]


def steps_in(path) -> list[int]:
    frame = ww.read_table(path) if path.suffix == ".csv" else history_of(ww.open_results(path))
    return frame["step"].tolist()


def test_a_history_that_cannot_be_written_ends_no_training(tmp_path, caplog):
    folder = tmp_path / "gone"
    folder.mkdir()
    monitor = ww.Monitor(net_of(), every=1, time_budget=None, out=folder / "run.setol")
    shutil.rmtree(folder)
    monitor.step(0)
    monitor.keep()
    assert "the last rows are not" in str(monitor)
    assert "training goes on" in caplog.text
    folder.mkdir()
    monitor.step(1)
    monitor.close()
    assert steps_in(folder / "run.setol") == [0, 0, 1, 1]
    assert "4 rows are in" in str(monitor)


def test_where_a_history_is_kept_is_refused_before_training(tmp_path):
    with ww.Monitor(net_of(), every=5, out=tmp_path / "run.setol") as monitor:
        monitor.look(0)
    for wrong, said in [
        ({"out": tmp_path / "run.xyz"}, "xyz"),
        ({"out": tmp_path / "nowhere" / "run.setol"}, "nowhere"),
        ({"out": tmp_path / "run.setol", "every": 7}, "every was 5, now 7"),
    ]:
        with pytest.raises(ww.InvalidInput, match=said):
            ww.Monitor(net_of(), **wrong)


def test_writing_takes_a_small_share_of_the_time(tmp_path, monkeypatch):
    clock = Clock()
    monitor = ww.Monitor({"fc.weight": np.eye(30) + 0.1}, every=1, time_budget=None, out=tmp_path / "run.setol")
    keeper, written = monitor._keeper, []
    keeper.clock = clock
    keeper._next = 0.0

    def add(history, start):
        written.append(clock.now)
        clock.now += 0.5

    monkeypatch.setattr(type(keeper.disk), "add", lambda self, history, start: add(history, start))
    for step in range(100):
        monitor.step(step)
        clock.now += 1.0
    # A writing of half a second every 25 seconds.
    assert written == pytest.approx([0.0, 25.5, 51.0, 76.5], abs=1.0)


def test_it_says_what_it_costs():
    monitor = ww.Monitor(net_of(), every=5)
    assert np.isnan(monitor.overhead)
    for step in range(10):
        monitor.step(step)
    assert monitor.waiting <= monitor.overhead
    assert "at most 2 %" in str(monitor)
    assert "<pre>" in monitor._repr_html_()


def test_wrapped_models_are_looked_through():
    net = net_of()
    compiled = torch.compile(net, backend="eager")
    monitor = ww.Monitor(compiled, time_budget=None)
    monitor.step(0)
    assert monitor.history["longname"].tolist() == ["0", "3"]


@pytest.fixture
def gloo(tmp_path):
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_fsdp_is_refused_with_the_way_out(gloo):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    net = net_of()
    monitor = ww.Monitor(net, every=1, time_budget=None)
    fully_shard(net, mesh=init_device_mesh("cpu", (1,)))
    with pytest.raises(ww.InvalidInput, match="setol-ww watch DIR"):
        ww.Monitor(net)
    # Sharded after the monitor was made: the rows of the next round say so, and training goes on.
    monitor.step(0)
    assert set(monitor.history["status"]) == {"failed"}
    assert monitor.history["reason"].str.contains("FSDP").all()


def test_a_dtensor_is_refused_unless_every_process_has_it_whole(gloo):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    mesh = init_device_mesh("cpu", (1,))
    weight = torch.randn(20, 10)
    with pytest.raises(ww.InvalidInput, match=r"'fc.weight'.*DTensor"):
        ww.Monitor({"fc.weight": distribute_tensor(weight, mesh, [Shard(0)])})
    monitor = ww.Monitor({"fc.weight": distribute_tensor(weight, mesh, [Replicate()])}, time_budget=None)
    monitor.step(0)
    assert monitor.history["status"].tolist() == ["analyzed"]


@pytest.mark.parametrize("mark, value, kind", [("ds_id", 0, "ZeRO-3"), ("tensor_model_parallel", True, "Megatron")])
def test_marks_of_other_libraries_are_known(mark, value, kind):
    net = net_of()
    setattr(net[0].weight, mark, value)
    with pytest.raises(ww.InvalidInput, match=kind):
        ww.Monitor(net)


def test_data_parallel_models_are_whole(gloo):
    net = torch.nn.parallel.DistributedDataParallel(net_of())
    monitor = ww.Monitor(net, time_budget=None)
    monitor.step(0)
    assert monitor.history["longname"].tolist() == ["0", "3"]


def test_the_budget_counts_all_threads():
    clock = Clock()
    budget = Budget(0.5, clock=clock)
    budget.tick()
    clock.now = 10.0
    budget.tick()
    budget.spend(3.0)
    budget.spend(1.0, waited=True)
    assert (budget.spent, budget.waited, budget.elapsed) == (4.0, 1.0, 10.0)
    assert budget.allows(1.0)
    assert not budget.allows(1.01)


@pytest.mark.parametrize("rank", [1, 2, 5, 6])
def test_a_tail_of_equal_values_or_of_one_has_no_exponent(rank):
    mark = Mark.of(ww.Spectrum.from_eigenvalues([0.5, *[3.0] * 4]), 3)
    assert np.isnan(mark.alpha(rank)) == (rank != 5)
    assert Mark.of(ww.Spectrum.from_eigenvalues([1.0, 3.0]), 2).alpha(2) == pytest.approx(1 + 2 / np.log(3))


def test_a_history_begins_with_what_a_row_is_of():
    monitor = ww.Monitor(net_of(), every=1, time_budget=None, background=False)
    monitor.step(0)
    named = ["step", "longname", "slice", "move", *ENDS, "layer_type", "N", "M", "Q", "rf", "num_evals", "dtype"]
    kept = [name for name in monitor.results.table() if name in named]
    assert kept == [name for name in named if name in kept]
    assert kept == list(monitor.results.table())[: len(kept)]
    assert {"layer_type", "num_evals", "dtype"} <= set(kept)


def test_two_exponents_differ_beyond_the_error_of_their_difference():
    first, ranks = 2.5, (80, 120)
    inside, beyond = first, 9.0
    for _ in range(60):
        middle = (inside + beyond) / 2
        error = np.hypot((first - 1) / np.sqrt(ranks[0]), (middle - 1) / np.sqrt(ranks[1]))
        inside, beyond = (inside, middle) if middle - first > 2.576 * INFLATION * error else (middle, beyond)
    assert not moves._differ(first, ranks[0], inside - 1e-9, ranks[1])
    assert moves._differ(first, ranks[0], beyond + 1e-9, ranks[1])
    assert not moves._differ(first, ranks[0], np.nan, ranks[1])
