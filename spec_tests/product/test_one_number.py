"""One model, one table: whichever way it is asked, and in whatever file it lies, to the last bit."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import setol_ww as ww
from fixtures.ensembles import gaussian_matrix, signed_pareto_matrix
from setol_ww.layer import columns as table

OURS = [name for name in table.names(randomize=True) if name != "detX_num_error"]
DTYPES = ("float64", "float32", "float16", "bfloat16")


def weights(dtype: str) -> dict[str, torch.Tensor]:
    """Every layout: dense, wide, convolution, attention, recurrent gates, stacked experts, at several scales."""
    shapes = {
        "dense.weight": (40, 30),
        "wide.weight": (24, 60),
        "conv.weight": (16, 12, 3, 3),
        "turned.weight": (10, 14, 3, 3),
        "attn.in_proj_weight": (60, 20),
        "lstm.weight_ih_l0": (64, 20),
        "lstm.weight_hh_l0": (64, 16),
        "experts.down_proj": (3, 24, 20),
    }
    made = {}
    for seed, (name, shape) in enumerate(shapes.items()):
        flat = int(np.prod(shape[:-1])), shape[-1]
        W = signed_pareto_matrix(*flat, 2.5, seed=seed) if seed % 2 else gaussian_matrix(*flat, seed=seed)
        made[name] = torch.from_numpy(0.05 * W.reshape(shape))
    side = 40
    left, _ = np.linalg.qr(gaussian_matrix(side, side, seed=20))
    made["steep.weight"] = torch.from_numpy((left * np.geomspace(1, 1e-9, side)) @ left.T)
    return {name: tensor.to(getattr(torch, dtype)) for name, tensor in made.items()}


def module(tensors: dict[str, torch.Tensor]) -> nn.Module:
    """The layers that a module of torch's has, with these weights."""
    model = nn.Module()
    dtype = tensors["dense.weight"].dtype
    model.dense, model.wide = nn.Linear(30, 40), nn.Linear(60, 24)
    model.conv, model.turned = nn.Conv2d(12, 16, 3), nn.Conv2d(14, 10, 3)
    model.attn, model.lstm = nn.MultiheadAttention(20, 2), nn.LSTM(20, 16)
    model.steep = nn.Linear(40, 40)
    model = model.to(dtype)
    model.load_state_dict({name: tensor for name, tensor in tensors.items() if "experts" not in name}, strict=False)
    return model


def keyed(frame: pd.DataFrame) -> dict[tuple[str, str], dict[str, object]]:
    """Our columns of every row, by name and slice."""
    return {(row["longname"], row["slice"]): {name: row[name] for name in OURS} for _, row in frame.iterrows()}


def assert_one(frame: pd.DataFrame, truth: dict, names: set[str] | None = None) -> None:
    """Every row of the truth (of these tensors), and the same bits in it."""
    found = keyed(frame)
    wanted = {key: row for key, row in truth.items() if names is None or key[0] in names}
    assert set(wanted) <= set(found)
    for key, row in wanted.items():
        for name, value in row.items():
            other = found[key][name]
            both_nan = isinstance(value, float) and np.isnan(value) and np.isnan(other)
            assert both_nan or value == other, (key, name, value, other)


def by_hand(tensors: dict[str, torch.Tensor]) -> dict[tuple[str, str], list[torch.Tensor]]:
    """The matrices that are meant."""
    parts: dict[tuple[str, str], list[torch.Tensor]] = {}
    for name, tensor in tensors.items():
        longname = name.removesuffix(".weight")
        if tensor.ndim == 4:
            parts[longname, ""] = [tensor[:, :, i, j] for i, j in itertools.product(range(3), range(3))]
        elif name == "attn.in_proj_weight":
            parts |= {(longname, label): [tensor[20 * k : 20 * k + 20]] for k, label in enumerate("qkv")}
        elif name.startswith("lstm"):
            parts |= {(longname, label): [tensor[16 * k : 16 * k + 16]] for k, label in enumerate("ifgo")}
        elif tensor.ndim == 3:
            parts |= {(longname, str(k)): [tensor[k]] for k in range(3)}
        else:
            parts[longname, ""] = [tensor]
    return parts


@pytest.fixture(scope="module")
def zoo() -> dict[str, tuple[dict[str, torch.Tensor], dict]]:
    """For every dtype the tensors and the table that all ways are to give."""
    made = {}
    for dtype in DTYPES:
        tensors = weights(dtype)
        made[dtype] = tensors, keyed(ww.analyze(tensors, randomize=True))
    return made


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_table_is_that_of_the_matrices(zoo, dtype):
    """`analyze_matrix` and `find_traps` of each matrix by itself say the same."""
    tensors, truth = zoo[dtype]
    parts = by_hand(tensors)
    assert set(parts) == set(truth)
    for key, matrices in parts.items():
        spectrum = ww.Spectrum.from_slices(matrices)
        row = truth[key]
        tail, cut = ww.fit_tail(spectrum), ww.erg_cut(spectrum)
        assert (row["tail_alpha"], row["tail_ks"]) == (tail.alpha, tail.ks) or np.isnan(tail.alpha), key
        assert (row["erg_rank"], row["erg_log_det"]) == (cut.rank, cut.log_det), key
        assert row["q2_norm"] == ww.quality(spectrum, tail, cut).q2_norm
        if len(matrices) == 1:
            assert row["trap_pvalue"] == ww.find_traps(matrices[0]).pvalue


@pytest.mark.parametrize("dtype", DTYPES)
def test_modules_and_threads(zoo, dtype):
    tensors, truth = zoo[dtype]
    names = {key[0] for key in truth if key[0] != "experts.down_proj"}
    model = module(tensors)
    assert_one(ww.analyze(model, randomize=True), truth, names)
    assert_one(ww.analyze(model.state_dict(), randomize=True, n_jobs=2), truth, names)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("suffix", ["safetensors", "pt", "npz", "big-endian npz"])
def test_files(zoo, dtype, suffix, tmp_path):
    tensors, truth = zoo[dtype]
    if "npz" in suffix and dtype == "bfloat16":
        tensors = {name: tensor.float() for name, tensor in tensors.items()}
    path = tmp_path / f"model.{suffix.split()[-1]}"
    if suffix == "safetensors":
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    elif suffix == "pt":
        torch.save({name: tensor.mT.contiguous().mT for name, tensor in tensors.items()}, path)
    else:
        order = ">" if suffix.startswith("big") else "="
        np.savez(path, **{n: t.numpy().astype(t.numpy().dtype.newbyteorder(order)) for n, t in tensors.items()})
    assert_one(ww.analyze(path, randomize=True), truth)
    assert_one(ww.scan(path, randomize=True), truth)


def test_workers_and_shards(zoo, tmp_path):
    tensors, truth = zoo["float64"]
    torch.save(tensors, tmp_path / "model.pt")
    assert_one(ww.scan(tmp_path / "model.pt", randomize=True, n_jobs=2), truth)
    shards = [ww.scan(tmp_path / "model.pt", tmp_path / f"{k}.parquet", shard=(k, 2), randomize=True) for k in range(2)]
    assert_one(pd.concat(shards), truth)


@pytest.mark.parametrize("scale", [1e-160, 3e152, 1e200])
def test_float64_of_torch_at_any_scale(zoo, scale, tmp_path):
    """WeightWatcher reads float32, which holds none of these; what is ours reads what is stored."""
    tensors = {name: tensor * scale for name, tensor in zoo["float64"][0].items()}
    truth = keyed(ww.analyze({name: tensor.numpy() for name, tensor in tensors.items()}, randomize=True))
    assert all(np.isfinite(float(row["q2_norm"])) for row in truth.values())
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, tmp_path / "model.safetensors")
    assert_one(ww.analyze(tensors, randomize=True), truth)
    assert_one(ww.scan(tmp_path / "model.safetensors", randomize=True), truth)


def test_weightwatchers_columns_of_float64_tensors_are_those_of_float32(zoo, tmp_path):
    tensors, _ = zoo["float64"]
    torch.save(tensors, tmp_path / "model.pt")
    narrow = {name: tensor.float() for name, tensor in tensors.items()}
    wide, scanned, other = ww.analyze(tensors), ww.scan(tmp_path / "model.pt"), ww.analyze(narrow)
    for longname in ("dense", "wide", "conv", "steep"):
        rows = [frame.set_index(["longname", "slice"]).loc[(longname, "")] for frame in (wide, other, scanned)]
        for name in ("alpha", "xmin", "lambda_max", "stable_rank", "num_pl_spikes"):
            assert rows[0][name] == rows[1][name], (longname, name)
            assert rows[2][name] == pytest.approx(rows[0][name], rel=1e-9), (longname, name)
    steep = wide.set_index("longname").loc["steep"]
    assert abs(steep["tail_alpha"] - steep["alpha"]) > 1e-3
