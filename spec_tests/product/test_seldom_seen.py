"""What ordinary models do not come to: a base that cannot be read, models that only weightwatcher reads, odd scales."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import setol_ww as ww
from setol_ww.cli import demo
from setol_ww.cli.completion import completion_of
from setol_ww.cli.main import main, parser
from setol_ww.core import progress
from setol_ww.core.card import Card, Fact, Shown
from setol_ww.watcher import standins
from setol_ww.watcher.model import adapt
from setol_ww.watcher.upstream import rooms
from setol_ww.weights.exported import called_with
from setol_ww.weights.layouts import Situation, read_as
from setol_ww.weights.layouts.formulas import holds
from setol_ww.weights.schemes import joined
from setol_ww.weights.schemes.base import as_numpy
from setol_ww.weights.selector import Selector
from setol_ww.weights.tensors import config_of_module, mapping_tensors, module_tensors, weight_as_it_acts


def matrices(**shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Weights of these shapes."""
    draw = np.random.default_rng(2)
    return {f"{name}.weight": draw.normal(size=shape) for name, shape in shapes.items()}


# Watchers.


class Unreadable(torch.Tensor):
    """A tensor of a class that gives no values."""

    def dequantize(self):
        raise RuntimeError("no kernel for this")


def test_a_base_that_cannot_be_read_costs_its_rows_and_says_so():
    model = matrices(a=(20, 12), b=(20, 12), c=(20, 12))
    base = {
        "a.weight": np.ones((20, 12), np.int32),
        "b.weight": torch.ones(20, 12).as_subclass(Unreadable),
        "c.weight": np.zeros((20, 12)),
    }
    frame = ww.analyze(model, base_model=base).set_index("longname")
    assert frame["status"].to_dict() == {"a": "failed", "b": "failed", "c": "success"}
    assert frame.loc["a", "reason"] == (
        "layer a: in the base model integers of type int32 are no weights as they stand: an index, or packed values "
        "without their scales"
    )
    assert frame.loc["b", "reason"] == "layer b: not subtracted, RuntimeError: no kernel for this"


def test_distances_of_rows_that_cannot_be_read():
    first, second = matrices(a=(20, 12), b=(20, 12)), matrices(a=(20, 12), b=(20, 12))
    first["a.weight"] = torch.ones(20, 12).as_subclass(Unreadable)
    second["b.weight"] = torch.ones(20, 12).as_subclass(Unreadable)
    frame = ww.WeightWatcher(first).distances(first, second)[2].set_index("longname")
    assert frame["delta_W"].isna().all()
    assert frame.loc["a", "reason"] == "layer a: not loaded, RuntimeError: no kernel for this"
    assert frame.loc["b", "reason"] == (
        "layer b: no distance, InvalidInput: the other model's b cannot be read: layer b: not loaded, RuntimeError: no "
        "kernel for this"
    )
    with pytest.raises(
        ww.InvalidInput, match=r"^the layer 'a' was asked; layer a: not loaded, RuntimeError: no kernel"
    ):
        ww.WeightWatcher(first).get_Weights(layer="a")


def test_a_model_of_tables_alone_has_no_first_layer():
    watcher = ww.WeightWatcher({"ids": np.ones((4, 4), np.int64)})
    with pytest.raises(ww.InvalidInput, match=r"^the first layer was asked; the model has none that can be analysed$"):
        watcher.get_ESD()
    with pytest.raises(ww.InvalidInput, match=r"^the layer 'a' was asked; the model has none that can be analysed$"):
        watcher.get_ESD(layer="a")
    assert watcher.describe().empty


def test_the_first_layer_is_weightwatchers():
    watcher = ww.WeightWatcher({"experts": np.ones((2, 8, 4)), **matrices(a=(20, 12))})
    assert watcher.get_framework_layer() == "a"
    with pytest.raises(
        ww.InvalidInput, match=r"^the layer 'experts' was asked; rows of that name are 'experts \[0\]', 'experts"
    ):
        watcher.get_Weights(layer="experts")


def test_findings_that_fail_cost_the_row_its_columns(monkeypatch):
    def broken(*_: object) -> None:
        raise ZeroDivisionError("no findings here")

    monkeypatch.setattr("setol_ww.watcher.records.cells_of", broken)
    frame = ww.analyze(matrices(a=(20, 12)))
    assert frame["reason"].tolist() == ["layer a: no findings, ZeroDivisionError: no findings here"]
    assert len(frame) == 1


def foreign(monkeypatch: pytest.MonkeyPatch) -> object:
    """A model of a library that weightwatcher reads by itself; what it is asked is written down."""
    kind = type("Model", (), {"__module__": "keras.models"})
    monkeypatch.setattr(ww.WeightWatcher, "infer_framework", staticmethod(lambda model: "keras"))
    monkeypatch.setattr(ww.WeightWatcher, "load_framework_imports", lambda self, framework: None)
    return kind()


def test_what_only_weightwatcher_reads_is_asked_of_weightwatcher(monkeypatch):
    model = foreign(monkeypatch)
    given = adapt(model)
    assert (given.is_foreign, given.entries, given.model) == (True, [], model)
    watcher, asked = ww.WeightWatcher(model), {}
    for name in ("describe", "get_ESD", "get_Weights", "get_framework_layer"):
        monkeypatch.setattr(
            rooms.WeightWatcher, name, lambda self, *told, name=name, **more: asked.update({name: (told, more)}) or name
        )
    assert watcher.describe(min_evals=3) == "describe"
    assert watcher.get_ESD(layer=2, random=True, params={"a": 1}) == "get_ESD"
    assert watcher.get_Weights(layer=2) == "get_Weights"
    assert watcher.get_framework_layer(layer=3) == "get_framework_layer"
    assert asked["get_ESD"] == ((None, 2, True, {"a": 1}), {})
    assert asked["get_Weights"] == ((None, 2, None), {})
    assert asked["get_framework_layer"] == ((None, 3, None), {})
    assert asked["describe"] == ((None,), {"min_evals": 3})
    with pytest.raises(
        ww.InvalidInput, match=r"^layouts=\{'a': 'skip'\} was asked where weightwatcher combines layers by it"
    ):
        watcher.analyze(layouts={"a": "skip"})


def test_the_level_of_weightwatchers_log_is_the_one_that_is_asked():
    import logging

    log = logging.getLogger("weightwatcher")
    before = log.level
    try:
        ww.WeightWatcher(matrices(a=(4, 3)), log_level=logging.ERROR)
        assert log.level == logging.ERROR
        ww.WeightWatcher(matrices(a=(4, 3)))
        assert log.level == logging.ERROR
    finally:
        log.setLevel(before)


def test_what_a_watcher_cannot_do_is_refused():
    with pytest.raises(
        ww.InvalidInput, match=r"^analysing None was asked; it holds no weight of two or more dimensions"
    ):
        ww.WeightWatcher().analyze()
    model = matrices(a=(20, 12))
    with pytest.raises(ww.InvalidInput, match=r"^channels='first' was asked; weightwatcher 0.7.7 calls the string"):
        ww.WeightWatcher().distances(model, model, channels="first")
    with pytest.raises(
        ww.InvalidInput, match=r"^method='other' was asked; accepted is one of 'raw', 'euclidean', 'cka'$"
    ):
        ww.WeightWatcher().distances(model, model, method="Other")
    with pytest.raises(
        ww.InvalidInput,
        match=r"^the options .*'min_evals': 'a'.* were asked; weightwatcher refuses them: '>=' not supported",
    ):
        ww.analyze(model, min_evals="a")
    with pytest.raises(ww.InvalidInput, match=r"^the model has none|^layers=.* was asked; nothing here is called 'b'"):
        ww.analyze(model, layers="b")


def test_figures_are_shown_in_a_notebook(monkeypatch):
    shown = []
    notebook = SimpleNamespace(get_ipython=lambda: 1, display=SimpleNamespace(display=shown.append))
    figures = standins.Figures()
    figures.plot([1, 2])
    drawn = figures.figure
    figures.clf()
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    figures.show()
    assert shown == []
    figures.figure = drawn
    figures.show()
    assert shown == [figures.figure]
    notebook.get_ipython = lambda: None
    figures.show()
    assert len(shown) == 1


# Weights.


class Sly(torch.Tensor):
    """A plain tensor whose class does not say the truth of it."""

    told: tuple = ("nothing", None)

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        """Untrue of one question, torch's own of the others."""
        if getattr(function, "__self__", None) is cls.told[0]:
            return cls.told[1]
        return super().__torch_function__(function, types, args, kwargs or {})


def test_a_tensor_is_what_torch_says_of_it_wherever_it_is_held(monkeypatch):
    sly = torch.arange(600.0).reshape(30, 20).as_subclass(Sly)
    holder = nn.Linear(20, 30, bias=False)
    holder.weight = nn.Parameter(sly)
    untrue = {"is_quantized": True, "shape": (1, 1), "dtype": torch.int8, "is_nested": True, "is_meta": True}
    for asked, answer in untrue.items():
        monkeypatch.setattr(Sly, "told", (getattr(torch.Tensor, asked), answer))
        for entries in (mapping_tensors({"weight": sly}), module_tensors(holder)):
            (entry,) = entries
            assert (entry.name, entry.shape, entry.dtype, entry.unfit) == ("weight", (30, 20), "float32", ""), asked
    assert [one.same_as for one in mapping_tensors({"a": sly, "b": sly, "c": sly.clone()})] == ["", "a", ""]


def test_scales_and_zeros_of_bytes_undone():
    codes = np.arange(-6, 6, dtype=np.int8).reshape(4, 3)
    scales, zeros = np.array([1, 2, 3, 4], np.float32).reshape(4, 1), np.array([0, 1, -1, 2], np.int8).reshape(4, 1)
    for told in (zeros, np.array([1], np.int8), np.array(1, np.int8)):
        stored = {"fc.weight": codes, "fc.weight_scale": scales, "fc.weight_zero_point": told}
        (made,) = [one for one in joined(mapping_tensors(stored)) if one.recipe is not None]
        expected = (codes.astype(float) - told) * scales
        assert made.load().tolist() == expected.tolist()
        assert made.read((slice(1, 3),)).tolist() == expected[1:3].tolist()
        assert made.read((slice(2, 2),)).shape == (0, 3)
        assert made.read((slice(None, None, 2), 1)).tolist() == expected[::2, 1].tolist()


def test_scales_of_float8_in_bytes():
    """MLX keeps them without a type: one code is 1 at the byte 0x38."""
    words = np.full((2, 4), 0x22222222, np.uint32)
    scales = np.full((2, 2), 0x38, np.uint8)
    scales[1] = 0x40
    (made,) = [
        one for one in joined(mapping_tensors({"fc.weight": words, "fc.scales": scales})) if one.recipe is not None
    ]
    assert made.load().tolist() == [[1.0] * 32, [2.0] * 32]


def test_packed_floats_are_bytes():
    packed = torch.arange(6, dtype=torch.uint8).reshape(2, 3)
    assert as_numpy(packed.view(torch.float4_e2m1fn_x2)).tolist() == packed.tolist()
    assert as_numpy(np.arange(3, dtype=">f2")).dtype == np.dtype("=f4")
    assert as_numpy(torch.ones(2, dtype=torch.bool)).dtype == bool
    assert as_numpy(torch.ones(2, dtype=torch.float64)).dtype == np.float64
    assert as_numpy(torch.ones(2, dtype=torch.bfloat16)).dtype == np.float32


def test_a_weight_of_a_numpy_file_is_an_array(tmp_path):
    stored = {"fc.weight_orig": np.ones((4, 3), np.float32), "fc.weight_mask": np.eye(4, 3, dtype=np.float32)}
    np.savez(tmp_path / "net.npz", **stored)
    from setol_ww.formats.checkpoints import checkpoint_tensors

    (made,) = [one for one in checkpoint_tensors(tmp_path / "net.npz") if one.recipe is not None]
    assert type(made.load()) is np.ndarray
    assert made.load().tolist() == np.eye(4, 3).tolist()


def test_graphs_tell_what_a_weight_is_called_with():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.up, self.fc = nn.Embedding(6, 4), nn.ConvTranspose1d(4, 6, 3, groups=2), nn.Linear(5, 3)
            self.wide = nn.Conv1d(6, 6, 3, dilation=2, padding=2)

        def forward(self, x):
            return self.fc(self.wide(self.up(self.table(x).transpose(1, 2))))

    graph = torch.export.export(Net(), (torch.zeros(1, 3, dtype=torch.int64),)).module()
    assert called_with(graph) == {
        "table.weight": ("Embedding", 1),
        "up.weight": ("ConvTranspose1d", 2),
        "wide.weight": ("Conv1d", 1),
        "fc.weight": ("Linear", 1),
    }
    assert called_with(nn.Linear(3, 2)) == {}


def test_shapes_and_equations_that_nothing_knows():
    assert read_as(Situation("a", (0, 3, 4))).remark == "no layout is known for the shape 0 x 3 x 4"
    assert holds("", (2, 3), {})
    assert holds("R = C+1", (3, 2), {})
    assert not holds("R = C", (3, 2), {})
    assert not holds("R = unknown", (3, 2), {})
    assert Selector.of(None).chosen([1, 2]) == [True, True]


def test_configs_of_modules():
    holder = nn.Linear(2, 2)
    for config, told in (
        ({"a": 1}, {"a": 1}),
        (SimpleNamespace(to_dict=lambda: {"b": 2}), {"b": 2}),
        (3, {}),
        (None, {}),
    ):
        holder.config = config
        assert config_of_module(holder) == told
    holder.config = SimpleNamespace(to_dict=lambda: [1])
    assert config_of_module(holder) == {}


def test_weights_that_hooks_compute():
    """Other hooks than those of weights are passed over, and what is computed is no part of the module's graph."""
    layer = torch.nn.utils.spectral_norm(nn.Linear(4, 3))
    layer.register_forward_pre_hook(lambda module, given: None, prepend=True)
    prune.l1_unstructured(layer, "bias", amount=1)
    found = weight_as_it_acts(layer)
    expected = layer.weight_orig / (layer.weight_u @ layer.weight_orig @ layer.weight_v)
    torch.testing.assert_close(found, expected.detach())
    assert not found.requires_grad
    plain = nn.Linear(4, 3)
    assert weight_as_it_acts(plain) is plain.weight
    assert weight_as_it_acts(nn.ReLU()) is None
    pruned = prune.l1_unstructured(nn.Linear(4, 3), "weight", amount=5)
    with torch.no_grad():
        pruned.weight_orig += 1
    assert torch.equal(weight_as_it_acts(pruned), (pruned.weight_orig * pruned.weight_mask).detach())
    odd = nn.Linear(4, 3)
    odd.register_parameter("weight_orig", nn.Parameter(torch.ones(3, 4)))
    assert torch.equal(weight_as_it_acts(odd), odd.weight.detach())
    other = SimpleNamespace(name="weight", __call__=None)
    odd._forward_pre_hooks[0] = other
    assert torch.equal(weight_as_it_acts(odd), odd.weight.detach())
    del odd._forward_pre_hooks[0]
    names = [one.name for one in module_tensors(odd) if one.effective]
    assert names == ["weight"]


def test_packed_recurrent_layers_are_listed_by_their_weights():
    kind = type("LSTM", (nn.Module,), {"get_weight": lambda self: {"weight_ih_l0": torch.ones(8, 3)}})
    kind.__module__ = "torch.ao.nn.quantized.dynamic.modules.rnn"
    (entry,) = module_tensors(kind())
    assert (entry.name, entry.owner, entry.shape) == ("weight_ih_l0", "LSTM", (8, 3))


# Commands and what shows itself.


def test_values_of_options_are_numbers_or_words(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ww.examine(matrices(a=(60, 40), b=(60, 40)), progress=False).save("net.setol")
    assert main("recommend net.setol --target sparsity --set sparsity=0.25 --set alpha=peak --json".split()) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["options"]["sparsity"] == 0.25
    assert told["options"]["alpha"] == "peak"


def test_the_completion_of_a_shell_is_printed(capsys):
    assert main(["completion", "bash"]) == 0
    assert capsys.readouterr().out == completion_of(parser(), "bash")


def test_a_net_without_numbers_has_no_mean():
    frame, records = demo.demo_table()
    without = frame.assign(tail_alpha=frame["tail_alpha"].where(~frame["longname"].str.endswith("@ x1")))
    said = " ".join(demo.demo_text(without, records).split())
    assert "x1 and x16 have no mean to compare, x1 and x32 have no mean to compare, x16 and x32 are indis" in said


class Told(Shown):
    """A result."""

    def _card(self) -> Card:
        return Card("Title", [Fact("alpha", "2.0")])


def test_results_in_a_notebook_and_inside_of_themselves():
    seen = []
    printer = SimpleNamespace(text=seen.append)
    Told()._repr_pretty_(printer, False)
    Told()._repr_pretty_(printer, True)
    assert seen == ["Title\n  alpha  2.0", "..."]
    assert repr(Told()) == "<Told: alpha 2.0>"
    with pytest.raises(NotImplementedError):
        str(Shown())


class Stream:
    """A standard error that is a terminal or none."""

    def __init__(self, terminal: bool) -> None:
        self.written, self.terminal, self.encoding = "", terminal, "utf-8"

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str) -> None:
        self.written += text

    def flush(self) -> None:
        """Nothing waits."""


@pytest.mark.parametrize("wanted", [None, True, False])
@pytest.mark.parametrize("terminal", [True, False])
def test_where_a_bar_is_shown(wanted, terminal, monkeypatch):
    stream = Stream(terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    form = "{desc} |{bar}| {n_fmt} of {total_fmt}"
    with progress.progress_bar(3, "layers", wanted, form=form, leave=True) as bar:
        assert bar.disable is (wanted is False or (wanted is None and not terminal))
        bar.update()
        bar.tell("more")
        bar.update(2)
    if wanted is True and not terminal:
        assert stream.written.split("\n")[0] == "layers  0 of 3"
        assert stream.written.endswith("more  3 of 3\n")
        assert "\r" not in stream.written
        assert (bar.mininterval, bar.miniters) == (10.0, 1)
        assert "|" not in stream.written
    elif wanted is True:
        assert "more |" in stream.written
        assert "3 of 3" in stream.written.split("\r")[-1]
    else:
        # Short work has none.
        assert stream.written == ""


def test_a_bar_of_a_notebook_is_the_widget_of_the_notebook(monkeypatch):
    asked = SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: asked))
    assert progress.in_notebook()
    made = []
    monkeypatch.setattr(progress, "_widget", lambda: lambda **told: made.append(told) or "bar")
    assert progress.progress_bar(3, "layers", None) == "bar"
    assert made == [{"total": 3, "desc": "layers", "bar_format": None, "delay": 2.0}]
    progress.progress_bar(3, "layers", True, unit="x")
    assert made[1] == {"total": 3, "desc": "layers", "bar_format": None, "delay": 0, "unit": "x"}
    asked.config = {}
    assert not progress.in_notebook()


def test_a_table_of_one_file_begins_with_the_layer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("net.npz", **matrices(a=(20, 12)))
    assert main(["analyze", "net.npz", "--out", "t.csv", "--quiet"]) == 0
    assert pd.read_csv("t.csv").columns[0] == "layer_id"
