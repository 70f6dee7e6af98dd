"""Chapter 5: weightwatcher's other methods, and the ways a watcher is used."""

from __future__ import annotations

import copy
import functools
import inspect
import pickle
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import weightwatcher
import weightwatcher.weightwatcher
from safetensors.torch import save_file
from torch import nn

import setol_ww as ww
from setol_ww.watcher.model import LazyStateDict
from setol_ww.watcher.standins import no_warnings
from spec_tests.plain import assert_same_columns, plain_analyze
from spec_tests.product.test_parity import dense, heavy
from spec_tests.quietly import quiet

PLAIN = weightwatcher.WeightWatcher


class Mixed(nn.Module):
    """Layers that weightwatcher has, and some that it passes over: slices, gates, a convolution in one dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 16, 3)
        self.line = nn.Conv1d(12, 20, 3)
        self.qkv = nn.Linear(32, 96)
        self.attention = nn.MultiheadAttention(32, 4)
        self.lstm = nn.LSTM(24, 16)
        self.fc = nn.Linear(96, 64)


def mixed(seed: int = 0) -> nn.Module:
    return heavy(Mixed(), seed)


@functools.cache
def experts() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {"moe.experts.w1": torch.randn(3, 24, 32, generator=generator), "fc.weight": torch.randn(20, 30)}


def sources(folder):
    state = mixed().state_dict()
    torch.save(state, folder / "m.pt")
    return {
        "module": mixed(),
        "state dict": state,
        "arrays": {name: tensor.numpy() for name, tensor in state.items()},
        "path": folder / "m.pt",
        "array": state["fc.weight"].numpy(),
        "experts": experts(),
    }


def title(row) -> str:
    return row.longname + (f" [{row.slice}]" if row.slice else "")


KINDS = ("module", "state dict", "arrays", "path", "array", "experts")


# The default, and the summary.


def test_the_columns_of_the_readme_come_without_a_word():
    model = dense()
    asked, unasked = ww.WeightWatcher(model).analyze(detX=True), ww.WeightWatcher(model).analyze()
    assert unasked.equals(asked)
    assert {"detX_num", "erg_rank", "delta_lambda_min", "setol_state"} <= set(unasked)
    assert unasked.equals(ww.analyze(model))
    without = ww.WeightWatcher(model).analyze(detX=False)
    assert not {"detX_num", "erg_rank", "setol_state"} & set(without)
    assert ww.WeightWatcher(model).analyze(detX=False, ERG=True).equals(asked)


def test_summary_with_details_and_without():
    with quiet(0):
        plain = PLAIN(model=mixed())
        assert plain.get_summary() == {}
        details = plain.analyze()
        theirs = plain.get_summary()
    watcher = ww.WeightWatcher(mixed())
    assert watcher.get_summary() == {}
    assert watcher.get_details() is None
    ours = watcher.analyze()
    assert watcher.get_details() is ours
    for summary in (watcher.get_summary(), watcher.get_summary(ours), ww.WeightWatcher().get_summary(details)):
        assert {name: summary[name] for name in theirs} == pytest.approx(theirs, rel=1e-9)
    some = ours[ours["longname"] == "fc"]
    assert watcher.get_summary(some)["alpha"] == some["alpha"].iloc[0]
    assert watcher.get_summary(ours.iloc[:0]) == {}


# Single rows.


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_can_be_asked_for_before_and_after_an_analysis(kind, tmp_path):
    source = sources(tmp_path)[kind]
    watcher = ww.WeightWatcher(source)
    described = watcher.describe()
    before = {title(row): watcher.get_ESD(layer=title(row)) for row in described.itertuples()}
    table = watcher.analyze()
    columns = ["layer_id", "longname", "slice", "row_origin", "N", "M", "num_evals", "layout"]
    assert described[columns].equals(table[columns])
    for row in table.itertuples():
        evals = watcher.get_ESD(layer=title(row))
        np.testing.assert_array_equal(evals, before[title(row)])
        # As in weightwatcher the eigenvalues of a kernel are those of the stored weights, in the table half of them.
        scale = 0.5 if row.rf > 1 else 1.0
        assert len(evals) == row.num_evals
        assert evals[-1] * scale == pytest.approx(row.lambda_max, rel=1e-5), row.longname
        matrices = watcher.get_Weights(layer=row.longname, slice=row.slice)
        assert isinstance(matrices, list)
        assert [sorted(matrix.shape) for matrix in matrices] == [[row.M, row.N]] * int(row.rf)
        pooled = np.sort(np.concatenate([np.linalg.svd(matrix, compute_uv=False) for matrix in matrices]))
        np.testing.assert_allclose(evals, pooled**2, rtol=1e-4, atol=1e-9 * evals[-1])
        pair = watcher.get_Weights(layer=(row.longname, row.slice))
        assert all(np.array_equal(one, other) for one, other in zip(matrices, pair, strict=True))
        assert watcher.get_framework_layer(layer=title(row)) is not None


def test_single_rows_are_weightwatchers_where_it_has_them():
    model = mixed()
    for given in (model, model.state_dict()):
        with quiet(0):
            plain = PLAIN(model=given)
            described = plain.describe()
            ours = ww.WeightWatcher(given)
            for row in described.itertuples():
                for layer in (row.layer_id, row.name):
                    mine, theirs = ours.get_ESD(layer=layer), plain.get_ESD(layer=layer)
                    assert np.array_equal(mine, theirs)
                    assert mine.dtype == theirs.dtype
                    pairs = zip(ours.get_Weights(layer=layer), plain.get_Weights(layer=layer), strict=True)
                    assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in pairs)
                    assert ours.get_framework_layer(layer=layer) == plain.get_framework_layer(layer=layer)
            assert np.array_equal(ours.get_ESD(), plain.get_ESD())
            np.random.seed(5)
            theirs = plain.get_ESD(layer=row.layer_id, random=True)
        assert np.array_equal(ours.get_ESD(layer=row.layer_id, random=True, seed=5), theirs)


@pytest.mark.parametrize(
    "options", [{}, {"pool": False}, {"layers": ["dense"]}, {"min_evals": 40}, {"conv2d_fft": True}]
)
def test_describe_begins_with_weightwatchers_rows(options):
    with quiet(0):
        theirs = PLAIN(model=mixed()).describe(**options)
    # With FFTs of kernels it takes the slices of a Conv1d for a matrix, which its analyze does no better.
    theirs = theirs[theirs["layer_type"] != "conv1d"]
    ours = ww.WeightWatcher(mixed()).describe(**options)
    assert_same_columns(ours, theirs)
    # Our rows have no `slice_id`: a column of floats.
    same = [name for name in theirs if name != "slice_id"]
    assert [ours[name].dtype for name in same] == [theirs[name].dtype for name in same]


def test_a_layer_that_is_none_or_several_is_refused_by_name():
    watcher = ww.WeightWatcher(mixed())
    with pytest.raises(ww.InvalidInput, match="the layer 99 was asked; there is none of that id or name"):
        watcher.get_ESD(layer=99)
    with pytest.raises(ww.InvalidInput, match=r"'attention.in_proj' was asked.*'attention.in_proj_weight"):
        watcher.get_Weights(layer="attention.in_proj")
    with pytest.raises(ww.InvalidInput, match=r"rows of that name are 'attention.in_proj_weight \[q\]'"):
        watcher.get_ESD(layer="attention.in_proj_weight")
    with pytest.raises(ww.InvalidInput, match="slice 'w'"):
        watcher.get_ESD(layer="qkv", slice="w")
    broken = mixed()
    with torch.no_grad():
        broken.fc.weight[3, 4] = float("nan")
    with pytest.raises(ww.InvalidInput, match="layer 'fc' were asked; it has 1 NaN"):
        ww.WeightWatcher(broken).get_ESD(layer="fc")
    assert np.isnan(ww.WeightWatcher(broken).get_Weights(layer="fc")[0]).sum() == 1


def test_asking_leaves_the_hosts_generator_and_the_model_alone():
    model = mixed()
    before, state = copy.deepcopy(model.state_dict()), np.random.get_state()[1].copy()
    watcher = ww.WeightWatcher(model)
    watcher.describe()
    watcher.get_ESD(layer="fc", random=True)
    watcher.get_Weights(layer="lstm.weight_ih_l0 [i]")
    assert np.array_equal(np.random.get_state()[1], state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("method", ["raw", "euclidean", "cka"])
@pytest.mark.parametrize("pool", [True, False])
def test_distances_are_weightwatchers_where_it_has_the_layer(method, pool):
    first, second = mixed(0), mixed(1)
    with quiet(0):
        mean_W, mean_b, theirs = PLAIN().distances(first, second, method=method, pool=pool)
    ours_W, ours_b, ours = ww.WeightWatcher().distances(first, second, method=method, pool=pool)
    assert (ours_W, ours_b) == (pytest.approx(mean_W, rel=1e-5), pytest.approx(mean_b, rel=1e-5))
    assert set(theirs) <= set(ours)
    ours = ours[ours["row_origin"] == "weightwatcher"]
    assert ours.index.tolist() == theirs.index.tolist()
    for name in theirs:
        if theirs[name].dtype.kind in "fi":
            np.testing.assert_allclose(ours[name].astype(float), theirs[name].astype(float), rtol=1e-5)
        else:
            assert ours[name].tolist() == theirs[name].tolist()


@pytest.mark.parametrize(("scale", "added"), [(1.0, 0.0), (1e-4, 1e-6)])
def test_the_overlap_of_two_matrices_by_its_formula(scale, added):
    """weightwatcher adds a small number to a small denominator."""
    one, other = (scale * np.random.default_rng(seed).normal(size=(12, 8)) for seed in (0, 1))
    found, _, _ = ww.WeightWatcher().distances({"a.weight": one}, {"a.weight": other}, method="cka")
    norm = np.sqrt(np.linalg.norm(one.T @ one) * np.linalg.norm(other.T @ other))
    assert found == pytest.approx(np.linalg.norm(one.T @ other) / (norm + added), rel=1e-6)


def test_distances_pair_by_name_and_say_what_has_no_pair(tmp_path):
    first, second = mixed(0), mixed(1).state_dict()
    second["fc.weight"] = torch.zeros(64, 95)
    del second["attention.in_proj_weight"]
    _, _, rows = ww.WeightWatcher().distances(first, dict(reversed(second.items())))
    rows = rows.set_index(["longname", "slice"])
    assert "its shape is 64 x 96, in the other model 64 x 95" in rows.loc[("fc", ""), "reason"]
    assert "the other model has none of that name" in rows.loc[("attention.in_proj_weight", "q"), "reason"]
    assert rows["delta_W"].isna().sum() == 1 + 3
    gate = (first.lstm.weight_hh_l0.detach() - second["lstm.weight_hh_l0"]).numpy()[:16]
    assert rows.loc[("lstm.weight_hh_l0", "i"), "delta_W"] == pytest.approx(np.linalg.norm(gate), rel=1e-6)


@pytest.mark.parametrize("kind", ["module", "state dict"])
@pytest.mark.parametrize("method", ["SVDSmoothing", "SVDSharpness"])
def test_smoothing_changes_what_weightwatcher_changes(kind, method):
    model = dense()
    ours, theirs = (copy.deepcopy(model if kind == "module" else model.state_dict()) for _ in range(2))
    with quiet(0):
        getattr(PLAIN(model=theirs), method)(layers=[1, 2] if kind == "state dict" else [])
    assert getattr(ww.WeightWatcher(ours), method)(layers=[1, 2] if kind == "state dict" else []) is ours
    states = [model.state_dict() if kind == "module" else model for model in (ours, theirs)]
    assert all(torch.allclose(tensor, states[1][name], atol=1e-5) for name, tensor in states[0].items())
    assert method == "SVDSharpness" or not torch.allclose(states[0]["0.weight"], model[0].weight)


def test_smoothing_of_a_path_leaves_the_file_and_hands_back_a_dict(tmp_path):
    torch.save(dense().state_dict(), tmp_path / "m.pt")
    stored = (tmp_path / "m.pt").read_bytes()
    smooth = ww.WeightWatcher(tmp_path / "m.pt").SVDSmoothing(layers=[1])
    assert (tmp_path / "m.pt").read_bytes() == stored
    rank = np.linalg.matrix_rank(np.asarray(smooth["0.weight"]))
    assert rank == int(ww.analyze(tmp_path / "m.pt")["detX_num"].iloc[0])
    assert np.array_equal(np.asarray(smooth["2.weight"]), dense().state_dict()["2.weight"].numpy())


# Copies.


@pytest.mark.parametrize("kind", KINDS)
def test_copies_and_pickles_before_and_after(kind, tmp_path):
    fresh = ww.WeightWatcher(sources(tmp_path)[kind])
    used = ww.WeightWatcher(sources(tmp_path)[kind])
    table = used.analyze(randomize=True)
    for watcher in (fresh, used):
        for twin in (copy.copy(watcher), copy.deepcopy(watcher), pickle.loads(pickle.dumps(watcher))):
            assert (twin.details is None) == (watcher.details is None)
            if watcher is used:
                assert twin.details.equals(table)
                assert twin.results.table().equals(table)
                assert twin.get_summary() == used.get_summary()
                assert twin.coverage.equals(used.coverage)
            assert len(twin.get_ESD(layer=int(table["layer_id"].iloc[0]))) > 0
            assert twin.analyze(randomize=True).equals(table)
    assert used.details is table


def test_a_deep_copy_has_a_model_of_its_own():
    watcher = ww.WeightWatcher(dense(), base_model=heavy(dense(), 5))
    table, twin = watcher.analyze(), copy.deepcopy(watcher)
    with torch.no_grad():
        watcher.model[0].weight.mul_(2)
    assert twin.analyze().equals(table)
    assert not watcher.analyze().equals(table)


# Coverage where layers are combined.


class Adapted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.base_layer = nn.Linear(60, 40, bias=False)
        self.lora_A = nn.ModuleDict({"default": nn.Linear(60, 8, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(8, 40, bias=False)})


@pytest.mark.parametrize("as_state", [False, True])
def test_coverage_of_lora_pairs(as_state):
    model = heavy(nn.Sequential(Adapted(), nn.Linear(50, 30), Adapted()), 0)
    watcher = ww.WeightWatcher(model.state_dict() if as_state else model)
    table = watcher.analyze(peft=True)
    assert len(table) == 2
    told = watcher.coverage.set_index("longname")
    for name, status in told["status"].items():
        assert status == ("analyzed" if "lora_" in name else "skipped"), name
    assert (
        told.loc[told["status"] == "skipped", "reason"] == "peft=True analyses the products of LoRA pairs alone"
    ).all()
    both = watcher.analyze(peft="with_base")
    assert len(both) > len(table)
    assert watcher.coverage["status"].tolist() == ["analyzed"] * 7


def test_coverage_where_layers_are_stacked_or_multiplied():
    model = heavy(nn.Sequential(nn.Linear(60, 40), nn.Linear(40, 30), nn.Conv1d(9, 9, 3)), 0)
    watcher = ww.WeightWatcher(model)
    for mode in ("stacked", "intra"):
        assert len(watcher.analyze(**{mode: True})) == 1
        assert watcher.coverage["status"].tolist() == ["analyzed", "analyzed", "skipped"], mode
        assert mode in watcher.coverage["reason"].iloc[2]
    apart = heavy(nn.Sequential(nn.Linear(60, 40), nn.Linear(37, 31), nn.Linear(31, 25)), 0)
    watcher = ww.WeightWatcher(apart)
    watcher.analyze(intra=True)
    assert watcher.coverage["status"].tolist() == ["skipped", "analyzed", "analyzed"]


# A base model.


def test_differences_to_a_base_are_paired_by_name_and_given_to_slices(tmp_path):
    tuned, base = mixed(0), mixed(1)
    difference = mixed(0)
    with torch.no_grad():
        for one, other in zip(difference.parameters(), base.parameters(), strict=True):
            one.sub_(other)
    shuffled = dict(reversed(list(base.state_dict().items())))
    torch.save(shuffled, tmp_path / "base.pt")
    wanted = ww.analyze(difference, randomize=True)
    for given in (base, shuffled, tmp_path / "base.pt"):
        found = ww.analyze(tuned, base_model=given, randomize=True)
        assert found[["longname", "slice"]].equals(wanted[["longname", "slice"]])
        for name in ("alpha", "lambda_max", "norm", "erg_rank", "tail_alpha", "num_evals", "trap_count"):
            np.testing.assert_allclose(found[name].astype(float), wanted[name].astype(float), rtol=1e-5, err_msg=name)
    theirs = ww.analyze(tuned.state_dict(), base_model=base)
    np.testing.assert_allclose(theirs["lambda_max"].sort_values(), wanted["lambda_max"].sort_values(), rtol=1e-5)


def test_results_tell_what_they_are_of(tmp_path):
    """A path or the class of the model, the fingerprint of files, and what was subtracted."""
    path, layer = tmp_path / "net.npz", "torch.nn.modules.linear.Linear"
    np.savez(path, **{"a.weight": np.eye(9)})
    of_a_file = ww.examine(path).about
    assert of_a_file == {"source": str(path), "weights": of_a_file["weights"]}
    assert len(of_a_file["weights"]) == 32
    assert ww.examine(nn.Linear(9, 9)).about == {"source": layer}
    assert ww.examine(nn.Linear(9, 9), base_model=nn.Linear(9, 9)).about == {"source": layer, "base": layer}
    state = {"a.weight": 2 * np.eye(9)}
    assert ww.examine(state, base_model=path).about == {"source": "builtins.dict", "base": str(path)}


def test_what_the_base_does_not_have_is_a_failed_row_without_numbers():
    state = mixed(1).state_dict()
    state["fc.weight"], state["lstm.weight_ih_l0"] = torch.zeros(64, 97), torch.zeros(64, 25)
    del state["attention.in_proj_weight"], state["line.weight"]
    watcher = ww.WeightWatcher(mixed(0), base_model=state)
    table = watcher.analyze()
    bad = table["longname"].isin(["fc", "lstm.weight_ih_l0", "attention.in_proj_weight", "line"])
    assert bad.sum() == 1 + 4 + 3 + 1
    assert (table["status"][bad] == "failed").all()
    assert (table["status"][~bad] != "failed").all()
    numbers = ["alpha", "lambda_max", "norm", "erg_rank", "tail_alpha", "q2", "entropy"]
    assert table.loc[bad, numbers].isna().all().all()
    reasons = table.set_index(["longname", "slice"])["reason"]
    assert "the base model has no tensor" in reasons["attention.in_proj_weight", "k"]
    assert "its shape is 64 x 96, in the base model 64 x 97" in reasons["fc", ""]
    assert set(watcher.coverage.loc[watcher.coverage["status"] == "failed", "longname"]) == {
        *("fc.weight", "lstm.weight_ih_l0", "attention.in_proj_weight", "line.weight")
    }
    with pytest.raises(ww.InvalidInput, match="base_model with stacked=True was asked"):
        watcher.analyze(stacked=True)


@pytest.mark.parametrize("options", [{}, {"randomize": True}, {"vectors": True}])
def test_base_model_of_the_same_build_gives_weightwatchers_rows(options):
    theirs = plain_analyze(mixed(0), base_model=mixed(1), to_constructor=("base_model",), detX=True, **options)
    assert_same_columns(ww.analyze(mixed(0), base_model=mixed(1), **options), theirs)


# Pictures.


def test_no_picture_overwrites_another(tmp_path):
    model = heavy(nn.Sequential(nn.Linear(30, 20), nn.MultiheadAttention(24, 2), nn.RNN(22, 20)), 0)
    with quiet(0):
        PLAIN(model=model).analyze(plot=True, savefig=str(tmp_path / "plain"))
    table = ww.analyze(model, plot=True, detX=False, savefig=str(tmp_path / "ours"))
    theirs, ours = ({file.name for file in (tmp_path / name).iterdir()} for name in ("plain", "ours"))
    assert theirs <= ours
    first = [name for name in ours if name.endswith(".esd.png")]
    assert len(first) == len({name.lower() for name in first}) == len(table)


def test_names_that_are_unfit_for_files_have_pictures_of_their_own(tmp_path):
    """The id and the name, of a long name the beginning; slices that would have one name are counted."""
    state = {f"{name}/w": torch.randn(30, 20) for name in ("a b", "a*b")}
    state["x" * 300] = torch.randn(3, 30, 20)
    ww.analyze(state, plot=True, detX=False, savefig=str(tmp_path / "ours"))
    long = f"3.{'x' * 148}"
    names = ["1.a_b_w", "2.a_b_w", long, f"{long}-2", f"{long}-3"]
    found = {file.name for file in (tmp_path / "ours").iterdir() if file.name.endswith(".esd.png")}
    assert found == {f"ww.layer{name}.esd.png" for name in names}


# Layer ids of a directory.


def split(state, folder, kind, index):
    """A directory of two shards."""
    names = list(state)
    halves = [names[: len(names) // 2], names[len(names) // 2 :]]
    where = {}
    for number, half in enumerate(halves, 1):
        stem = "model" if kind == "safetensors" else "pytorch_model"
        file = f"{stem}-{number:05d}-of-00002.{kind}"
        tensors = {name: state[name].clone() for name in half}
        (save_file if kind == "safetensors" else torch.save)(tensors, folder / file)
        where |= dict.fromkeys(half, file)
    if index:
        import json

        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))


@pytest.mark.parametrize(("kind", "index"), [("safetensors", False), ("safetensors", True), ("bin", False)])
def test_layer_ids_of_a_directory_are_weightwatchers(kind, index, tmp_path):
    generator = torch.Generator().manual_seed(0)
    state = {}
    for number in (10, 9, 2, 1, 11):
        state[f"layers.{number}.norm.weight"] = torch.ones(32)
        state[f"layers.{number}.fc.weight"] = torch.randn(48, 32, generator=generator) ** 3
        state[f"layers.{number}.fc.bias"] = torch.zeros(48)
    split(state, tmp_path, kind, index)
    with quiet(0):
        plain = PLAIN(model=str(tmp_path)).analyze()
    theirs = dict(zip(plain["longname"], plain["layer_id"], strict=True))
    assert len(theirs) == 5
    for table in (ww.analyze(tmp_path), ww.scan(tmp_path)):
        rows = table[table["longname"].isin(theirs)]
        assert dict(zip(rows["longname"], rows["layer_id"], strict=True)) == theirs
    chosen = next(iter(theirs.values()))
    assert len(ww.WeightWatcher(tmp_path).get_ESD(layer=int(chosen))) == 32


def test_layer_ids_of_three_shards_are_counted_once(tmp_path):
    """weightwatcher 0.7.7 adds the layers of earlier files twice from the third file on; an id is a place here."""
    for number in range(1, 4):
        state = {f"{number}.{part}.weight": torch.randn(20, 30) for part in "ab"}
        save_file(state, tmp_path / f"model-{number:05d}-of-00003.safetensors")
    assert ww.analyze(tmp_path)["layer_id"].tolist() == [0, 1, 2, 3, 4, 5]


# The plug-in.


def plain_stands_there() -> bool:
    return weightwatcher.WeightWatcher is PLAIN and weightwatcher.weightwatcher.WeightWatcher is PLAIN


def test_plugged_in_code_that_imports_weightwatcher_gets_ours():
    model = dense()
    with ww.plugged_in() as ours:
        from weightwatcher import WeightWatcher

        assert WeightWatcher is ours is ww.WeightWatcher
        assert weightwatcher.weightwatcher.WeightWatcher is ours
        watcher = weightwatcher.WeightWatcher(model=model)
        assert watcher.analyze().equals(ww.analyze(model))
        assert isinstance(watcher, weightwatcher.WeightWatcher)
        assert isinstance(watcher, PLAIN)
        assert pickle.loads(pickle.dumps(watcher)).details.equals(watcher.details)
    assert plain_stands_there()
    assert not isinstance(PLAIN(), ww.WeightWatcher)
    namespace = {}
    ww.plug_in()
    try:
        exec("import weightwatcher as w\nmade = w.WeightWatcher()", namespace)
        assert type(namespace["made"]) is ww.WeightWatcher
    finally:
        ww.plug_out()
    assert plain_stands_there()


def test_plugging_lies_in_itself_and_is_undone_on_exceptions():
    with ww.plugged_in():
        with pytest.raises(KeyError), ww.plugged_in():
            raise KeyError
        assert not plain_stands_there()
        ww.plug_out()
        assert not plain_stands_there()
    assert plain_stands_there()
    ww.plug_in()
    ww.plug_in()
    with ww.plugged_in():
        pass
    assert not plain_stands_there()
    ww.plug_out()
    assert plain_stands_there()
    ww.plug_out()
    assert plain_stands_there()


def test_what_stood_there_stands_there_again(monkeypatch, caplog):
    class Theirs(PLAIN):
        pass

    monkeypatch.setattr(weightwatcher, "WeightWatcher", Theirs)
    with ww.plugged_in():
        assert weightwatcher.WeightWatcher is ww.WeightWatcher
    assert weightwatcher.WeightWatcher is Theirs
    assert caplog.messages == []
    with ww.plugged_in():
        weightwatcher.WeightWatcher = Theirs
    assert caplog.messages == ["weightwatcher.WeightWatcher was replaced by something else meanwhile: left as it is"]
    assert weightwatcher.WeightWatcher is Theirs
    assert weightwatcher.weightwatcher.WeightWatcher is PLAIN


def test_plugging_from_many_threads():
    inside, wrong = threading.Barrier(8), []

    def work():
        for _ in range(20):
            with ww.plugged_in():
                inside.wait(10)
                if weightwatcher.WeightWatcher is not ww.WeightWatcher:
                    wrong.append("plain inside")
                inside.wait(10)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not wrong
    assert plain_stands_there()


def test_a_tensor_is_forgotten_before_the_next_is_loaded():
    """One at a time is in memory."""
    held = []

    class Entry(SimpleNamespace):
        def load(self) -> torch.Tensor:
            held.append(state._last[1])
            return torch.ones(3, 2)

    state = LazyStateDict([Entry(name="a"), Entry(name="b")])
    assert [state[name].shape for name in ("a", "a", "b")] == [(3, 2)] * 3
    assert held == [None, None]


def test_numpy_is_silent_where_weightwatcher_silences_warnings():
    with no_warnings():
        assert np.log(np.zeros(1)) == -np.inf
    with pytest.raises(RuntimeWarning):
        np.log(np.zeros(1))


def test_what_is_overridden_has_weightwatchers_defaults():
    theirs = weightwatcher.WeightWatcher
    shared = [name for name in vars(ww.WeightWatcher) if inspect.isfunction(getattr(theirs, name, None))]
    assert "random_eigenvalues" in shared
    for name in shared:
        ours = inspect.signature(getattr(ww.WeightWatcher, name)).parameters
        for argument, told in inspect.signature(getattr(theirs, name)).parameters.items():
            if argument in ours and name not in ("__init__", "analyze", "describe"):
                told_here = ours[argument].default
                assert told_here == told.default or (told_here is None and told.default == []), (name, argument)
