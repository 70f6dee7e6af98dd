"""Chapter 7: bad input, and nothing lost."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import setol_ww as ww
from setol_ww.linalg import eigenvalues as eigen
from setol_ww.watcher import subclass as room
from setol_ww.watcher import together
from spec_tests.odd_tensors import Dequantised, Loud, Wrapped
from spec_tests.plain import plain_analyze


def model_with(bad: str) -> nn.Module:
    torch.manual_seed(0)
    model = nn.ModuleDict({"good": nn.Linear(60, 40), "bad": nn.Linear(50, 30), "last": nn.Conv1d(16, 20, 3)})
    weight = model["bad"].weight.data
    if bad == "nan":
        weight[3, 4] = float("nan")
    elif bad == "inf":
        weight[3, 4], weight[0, 0], weight[1, 1] = float("inf"), float("-inf"), float("nan")
    elif bad == "zero":
        weight.zero_()
    elif bad == "rank one":
        weight.copy_(torch.outer(torch.arange(1.0, 31), torch.arange(1.0, 51)))
    elif bad == "constant":
        weight.fill_(0.25)
    elif bad == "orthogonal":
        nn.init.orthogonal_(weight)
    return model


@pytest.mark.parametrize("engine", ["fast", "reference"])
@pytest.mark.parametrize(
    ("bad", "said"),
    [("nan", "1 NaN and 0 Inf among its 1500 entries"), ("inf", "1 NaN and 2 Inf among its 1500 entries")],
)
def test_one_broken_layer_costs_only_itself(bad, said, engine):
    watcher = ww.WeightWatcher(model_with(bad))
    frame = watcher.analyze(detX=True, randomize=True, engine=engine).set_index("longname")
    assert frame.index.tolist() == ["good", "bad", "last"]
    assert frame.loc["bad", "status"] == "failed"
    assert frame.loc["bad", "reason"] == f"layer bad: {said}"
    ours = frame.loc["bad", "erg_rank":].drop("setol_reason")
    assert ours.isna().all()
    coverage = watcher.coverage.set_index("longname")
    assert coverage["status"].to_dict() == {
        "good.weight": "analyzed",
        "bad.weight": "failed",
        "last.weight": "analyzed",
    }
    assert coverage.loc["bad.weight", "reason"] == f"layer bad: {said}"
    healthy = ww.analyze(model_with(""), randomize=True, engine=engine).set_index("longname")
    good = frame.loc["good", ["alpha", "erg_rank", "tail_alpha", "lambda_max"]]
    assert good.equals(healthy.loc["good", good.index])
    assert frame.loc[["good", "last"], "status"].tolist() == ["success", "success"]


@pytest.mark.parametrize(
    ("bad", "erg_status", "tail_outcome", "state"),
    [
        ("zero", "degenerate", "degenerate", "undetermined"),
        # All its entries are positive: shuffled, their mean stands out, which is what a trap is.
        ("rank one", "rank_limited", "too_few", "undetermined"),
        ("constant", "rank_limited", "too_few", "undetermined"),
        ("orthogonal", "flat", "flat", "undetermined"),
    ],
)
def test_degenerate_layers_have_a_row_that_says_so(bad, erg_status, tail_outcome, state):
    frame = ww.analyze(model_with(bad), randomize=True).set_index("longname")
    row = frame.loc["bad"]
    assert (row["erg_status"], row["tail_outcome"], row["setol_state"]) == (erg_status, tail_outcome, state)
    numbers = row[
        [
            "tail_alpha",
            "tail_sigma",
            "tail_rank",
            "tail_ks",
            "alpha_erg",
            "delta_lambda_min",
            "erg_rank_gap",
            "erg_metric",
            "pl_lambda_min",
        ]
    ].astype(float)
    assert numbers.isna().all()
    assert not np.isinf(row[["erg_rank", "erg_log_det", "erg_lambda_min", "erg_lambda_min_raw"]].astype(float)).any()
    reason = row["setol_reason"]
    assert reason.startswith("No power-law tail: ")
    assert ("1 trap: mean shift" in reason) == ("trap: mean shift" in row["setol_flags"]) == (bad == "rank one")
    assert frame.loc["good", "tail_outcome"] == "ok"


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (2, 40), (1, 1), (40, 3)])
def test_one_and_two_eigenvalues(shape):
    row = ww.analyze({"small.weight": torch.randn(shape)}).iloc[0]
    assert row["num_evals"] == min(shape)
    assert row["erg_status"] == ("flat" if min(shape) == 1 else "ok")
    assert row["tail_outcome"] == ("too_few" if min(shape) == 1 else "small_sample")
    if min(shape) == 1:
        assert row[["alpha", "D", "sigma", "xmin", "alpha_weighted"]].astype(float).isna().all()


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(),
        nn.LayerNorm(5),
        {},
        {"bias": np.zeros(4)},
        np.zeros(5),
        np.zeros((2, 3, 4)),
        torch.zeros(3),
        3.5,
        object(),
        None,
    ],
    ids=[
        "empty module",
        "no matrix",
        "empty dict",
        "vector only",
        "vector",
        "cube",
        "torch vector",
        "number",
        "object",
        "none",
    ],
)
def test_not_a_model_is_refused(model):
    with pytest.raises(ww.InvalidInput, match=r"Accepted are a torch\.nn\.Module, a mapping"):
        ww.analyze(model)


def test_refusals_are_value_errors_that_repeat_the_question():
    with pytest.raises(ValueError, match=r"\['nosuch'\] were asked; accepted are .*'detX'.*'engine'.*'randomize'"):
        ww.analyze(nn.Linear(20, 20), nosuch=1)
    with pytest.raises(ww.InvalidInput, match=r"engine='quick' was asked; accepted is one of 'fast', 'reference'"):
        ww.analyze(nn.Linear(20, 20), engine="quick")
    with pytest.raises(ww.InvalidInput, match=r"'fit': 'spline'.*refuses them: Unknown fit type spline"):
        ww.analyze(nn.Linear(20, 20), fit="spline")
    with pytest.raises(ww.InvalidInput, match=r"nothing here is called 1\. Accepted are names \(weight\)"):
        ww.analyze(nn.Linear(20, 20), layers=[1, -2])
    with pytest.raises(ww.InvalidInput, match=r"Accepted are names \(a\\x1b\[31m\)"):
        ww.analyze({"a\x1b[31m.weight": np.eye(9)}, layers="nothing")
    with pytest.raises(ww.InvalidInput, match="min_evals 10 > max_evals 5"):
        ww.analyze(nn.Linear(20, 20), min_evals=10, max_evals=5)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ww.analyze(nn.Linear(20, 20), seed=-1), "seed=-1"),
        (lambda: ww.analyze(nn.Linear(20, 20), seed="x"), "seed='x'"),
        (lambda: ww.analyze(nn.Linear(20, 20), channels="first"), "cannot carry it out; accepted is None"),
        (
            lambda: ww.WeightWatcher(nn.Linear(20, 20)).get_ESD(layer=0, params={"channels": "first"}),
            "cannot carry it out; accepted is None",
        ),
        (lambda: ww.analyze(nn.Linear(20, 20), fft=True), "cannot carry it out; accepted is False"),
        (lambda: ww.analyze_matrix([[1, 2], [3]]), "rows that make no matrix"),
        (lambda: ww.analyze_matrix(torch.ones(3, 3, device="meta")), "on the meta device"),
        (lambda: ww.analyze_matrix(np.eye(3), {"sigmas": 2}), r"accepted is a setol_ww\.Settings"),
        (lambda: ww.Spectrum.from_eigenvalues([1.0, 2.0], shape=(3,)), "accepted is a pair"),
    ],
)
def test_wrong_arguments_are_invalid_input(call, said):
    with pytest.raises(ww.InvalidInput, match=said):
        call()


def test_a_broken_lone_layer_is_failed_in_table_and_coverage():
    layer = nn.Linear(100, 60)
    layer.weight.data[3, 4] = float("nan")
    watcher = ww.WeightWatcher(layer)
    frame = watcher.analyze(detX=True)
    assert frame["status"].tolist() == watcher.coverage["status"].tolist() == ["failed"]
    assert {"alpha", "num_evals", "layer_id", "detX_num", "erg_rank"} <= set(frame)
    assert watcher.get_summary() == {}, "a key is a reading that some layer has"


def test_failures_belong_to_their_own_tensor():
    watcher = ww.WeightWatcher({"x": torch.full((30, 20), torch.nan), "x.weight": torch.randn(40, 30)})
    frame = watcher.analyze()
    assert frame["status"].tolist() == ["success", "failed"]
    assert watcher.coverage["status"].tolist() == ["failed", "analyzed"]


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_modes_of_another_spectrum(engine):
    model = nn.Sequential(nn.Conv2d(8, 32, 3), nn.Linear(100, 80))
    frame = ww.analyze(model, conv2d_fft=True, engine=engine)
    np.testing.assert_allclose(frame["alpha"], plain_analyze(model, conv2d_fft=True)["alpha"], rtol=1e-9)
    assert (frame["erg_status"] == "ok").all()


def test_peft_rows_keep_their_columns():
    class Lora(nn.Module):
        def __init__(self):
            super().__init__()
            self.lora_A = nn.ModuleDict({"default": nn.Linear(60, 16, bias=False)})
            self.lora_B = nn.ModuleDict({"default": nn.Linear(16, 50, bias=False)})

    model = nn.ModuleDict({"emb": nn.Embedding(80, 40), "q": Lora(), "v": Lora(), "fc": nn.Linear(60, 40)})
    plain, ours = plain_analyze(model, peft=True), ww.analyze(model, peft=True)
    assert len(ours) == len(plain)
    np.testing.assert_allclose(ours["alpha"], plain["alpha"], rtol=1e-9)
    assert ours["tail_alpha"].notna().all()


def test_any_finite_scale_has_a_row_beside_the_others():
    W = np.random.default_rng(0).normal(size=(60, 40))
    usual = ww.analyze_matrix(W)
    for scale in (3e152, 1e300, 1e-130, 1e-156, 1e-300):
        frame = ww.analyze({"a.weight": W * scale, "b.weight": W}, randomize=True).set_index("longname")
        assert frame.loc[["a", "b"], "erg_rank"].tolist() == [usual.erg.rank] * 2
        assert frame.loc["a", "tail_alpha"] == pytest.approx(usual.tail.alpha, rel=1e-10)
        assert frame.loc["a", "trap_pvalue"] == pytest.approx(frame.loc["b", "trap_pvalue"], rel=1e-6)
        assert not np.isinf(
            frame.loc["a", ["erg_lambda_min_raw", "trap_lambda_max", "trap_edge", "bulk_sigma"]].astype(float)
        ).any()


def test_squares_beyond_float64_cost_weightwatchers_columns_alone():
    W = np.random.default_rng(0).normal(size=(60, 40))
    frame = ww.analyze({"a.weight": W * 1e200, "b.weight": W}).set_index("longname")
    assert frame["status"].to_dict() == {"a": "failed", "b": "success"}
    assert "weightwatcher's columns are NaN" in frame.loc["a", "reason"]
    assert frame.loc["a", ["alpha", "lambda_max", "erg_lambda_min_raw"]].isna().all()
    assert frame.loc["a", "tail_alpha"] == pytest.approx(frame.loc["b", "tail_alpha"], rel=1e-10)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_layer_too_large_for_memory_fails_alone(monkeypatch, n_jobs):
    real = room.eigenvalues

    def scarce(matrix, device="cpu"):
        if 30 in matrix.shape:
            raise MemoryError("cannot allocate 7 GiB")
        return real(matrix, device)

    for module in (room, together):
        monkeypatch.setattr(module, "eigenvalues", scarce)
    frame = ww.analyze(model_with(""), n_jobs=n_jobs).set_index("longname")
    assert frame["status"].to_dict() == {"good": "success", "bad": "failed", "last": "success"}
    assert "MemoryError: cannot allocate 7 GiB" in frame.loc["bad", "reason"]


@pytest.mark.parametrize("randomize", [False, True])
@pytest.mark.parametrize("kind", ["module", "mapping"])
def test_a_tensor_of_an_odd_class_costs_no_other_row(kind, randomize):
    """One that says its values has its row as if it were plain; one that does not fails by name; a loud one counts."""
    W = torch.from_numpy(np.random.default_rng(0).normal(size=(30, 20))).float()
    kinds = {"wrapped": Wrapped, "dequantised": Dequantised, "plain": torch.Tensor.clone}
    if kind == "mapping":
        model = {f"{name}.weight": make(W) for name, make in (kinds | {"loud": lambda W: W.as_subclass(Loud)}).items()}
    else:
        model = torch.nn.ModuleDict({name: torch.nn.Linear(20, 30) for name in kinds})
        for name, make in kinds.items():
            model[name].weight = torch.nn.Parameter(make(W))
    watcher = ww.WeightWatcher(model)
    frame = watcher.analyze(randomize=randomize).set_index("longname")
    for name in set(frame.index) - {"wrapped", "plain"}:
        assert frame.loc[name, "tail_alpha"] == frame.loc["plain", "tail_alpha"], name
    assert {"plain", "dequantised"} <= set(frame.index)
    told = watcher.coverage.set_index("longname").loc["wrapped.weight"]
    assert told["status"] == "failed"
    assert "Wrapped" in told["reason"]


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("how", ["analyze", "scan"])
def test_a_defect_of_ours_costs_its_row_and_is_logged(monkeypatch, caplog, tmp_path, n_jobs, how):
    """Whatever a layer throws becomes its failed row, with type and cause; the traceback is in the log."""

    def broken(real):
        def raising(matrix, device):
            if 30 in matrix.shape:
                raise AttributeError("a bug")
            return real(matrix, device)

        return raising

    monkeypatch.setattr(room, "eigenvalues", broken(room.eigenvalues))
    monkeypatch.setattr(eigen, "scaled_eigenvalues", broken(eigen.scaled_eigenvalues))
    caplog.set_level("DEBUG", logger="setol_ww")
    if how == "analyze":
        frame = ww.analyze(model_with(""), n_jobs=n_jobs)
    else:
        torch.save(model_with("").state_dict(), tmp_path / "model.pt")
        frame = ww.scan(tmp_path / "model.pt")
    frame = frame.set_index("longname")
    assert frame["status"].eq("failed").to_dict() == {"good": False, "bad": True, "last": False}
    assert frame.loc["bad", "reason"].endswith("AttributeError: a bug")
    assert any(record.exc_info and record.exc_info[0] is AttributeError for record in caplog.records)


@pytest.mark.parametrize("how", ["analyze", "scan"])
def test_an_interrupt_is_no_failure_of_a_layer(monkeypatch, tmp_path, how):
    def interrupted(matrix, device):
        raise KeyboardInterrupt

    monkeypatch.setattr(room, "eigenvalues", interrupted)
    monkeypatch.setattr(eigen, "scaled_eigenvalues", interrupted)
    torch.save(model_with("").state_dict(), tmp_path / "model.pt")
    with pytest.raises(KeyboardInterrupt):
        ww.analyze(model_with("")) if how == "analyze" else ww.scan(tmp_path / "model.pt")


def test_nothing_left_to_analyse_is_an_empty_table_with_a_reason():
    watcher = ww.WeightWatcher({"packed.weight": torch.zeros(8, 8, dtype=torch.int8)})
    frame = watcher.analyze(detX=True)
    assert len(frame) == 0
    assert {"erg_rank", "tail_alpha", "setol_state"} <= set(frame)
    assert watcher.coverage["status"].tolist() == ["skipped"]
    assert watcher.get_summary() == {}


def test_a_watcher_can_be_used_again():
    watcher = ww.WeightWatcher()
    first = watcher.analyze(nn.Linear(40, 30))
    second = watcher.analyze({"other.weight": torch.randn(20, 50)})
    assert first["longname"].tolist() != second["longname"].tolist() == ["other"]
    assert watcher.coverage["longname"].tolist() == ["other.weight"]
    assert len(watcher.describe()) == 1


def test_a_table_of_failures_alone_has_the_columns_of_weightwatchers():
    """Where no layer has an alpha, its name is there all the same, spelt as in a table where one has."""
    bad = {"bad.weight": torch.full((30, 20), torch.nan)}
    sound = ww.analyze({"good.weight": torch.randn(30, 20), **bad})
    failed = ww.analyze(bad)
    assert sorted(failed) == sorted(sound)
    assert failed["alpha_weighted"].isna().all()


class Sly(torch.Tensor):
    """A plain tensor whose class does not say the truth of it."""

    told = torch.Tensor.is_quantized, True

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        """Untrue of one question, torch's own of the others."""
        asked, untrue = cls.told
        if getattr(function, "__self__", None) is asked:
            return untrue
        return super().__torch_function__(function, types, args, kwargs or {})


@pytest.mark.parametrize(
    ("asked", "untrue"), [("is_quantized", True), ("shape", (1, 1)), ("dtype", torch.int8), ("is_nested", True)]
)
def test_what_a_class_says_of_its_tensor_is_not_believed(asked, untrue, monkeypatch):
    monkeypatch.setattr(Sly, "told", (getattr(torch.Tensor, asked), untrue))
    sly = torch.randn(30, 20).as_subclass(Sly)
    assert getattr(sly, asked) == untrue
    frame = ww.analyze({"fc.weight": sly})
    assert frame["longname"].tolist() == ["fc"]
    assert (frame["N"][0], frame["M"][0]) == (30, 20)
