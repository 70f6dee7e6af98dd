"""Every kind of row, by both engines, of every type of number: against slices cut by hand and a plain SVD."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import setol_ww as ww
from fixtures.columns import Layer
from fixtures.oracles import singular_value_squares
from setol_ww.linalg.shuffles import shuffle

HALVED = 0.5
#: Of the reference's fits one takes as long as all of ours: a layer of each kind.
SLOWLY = ["fc", "conv1", "up2", "lstm.weight_hr_l0", "gru.weight_hh_l0", "attn.in_proj_weight"]


class Net(nn.Module):
    """A layer of each kind, a tied one, and experts in two axes."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.tied = nn.Linear(60, 40), nn.Linear(60, 40)
        self.tied.weight = self.fc.weight
        self.conv1, self.up1 = nn.Conv1d(20, 24, 5), nn.ConvTranspose1d(20, 24, 4)
        self.conv2, self.up2 = nn.Conv2d(8, 12, 3), nn.ConvTranspose2d(10, 14, 3)
        self.grouped = nn.Conv2d(24, 24, 3, groups=2)
        self.conv3 = nn.Conv3d(9, 10, 2)
        self.lstm, self.gru = nn.LSTM(24, 30, proj_size=20), nn.GRU(24, 30)
        self.attn = nn.MultiheadAttention(40, 4)
        self.experts = nn.Parameter(torch.randn(2, 3, 30, 25))


def places(weight: torch.Tensor) -> list[torch.Tensor]:
    """The matrices of a kernel, one for each place behind its first two axes."""
    flat = weight.reshape(*weight.shape[:2], -1)
    return [flat[:, :, place] for place in range(flat.shape[2])]


def rows(net: Net) -> Iterator[tuple[str, str, list[torch.Tensor], float]]:
    """Name, slice, matrices and scale of every row, cut by hand."""
    yield "fc", "", [net.fc.weight], 1.0
    for name in ("conv1", "conv2", "conv3", "up1", "up2"):
        yield name, "", places(net.get_submodule(name).weight), HALVED
    yield "grouped", "", places(net.grouped.weight), HALVED
    for number, gate in enumerate("ifgo"):
        part = slice(30 * number, 30 * number + 30)
        yield "lstm.weight_ih_l0", gate, [net.lstm.weight_ih_l0[part]], 1.0
        yield "lstm.weight_hh_l0", gate, [net.lstm.weight_hh_l0[part]], 1.0
    yield "lstm.weight_hr_l0", "", [net.lstm.weight_hr_l0], 1.0
    for number, gate in enumerate("rzn"):
        part = slice(30 * number, 30 * number + 30)
        yield "gru.weight_ih_l0", gate, [net.gru.weight_ih_l0[part]], 1.0
        yield "gru.weight_hh_l0", gate, [net.gru.weight_hh_l0[part]], 1.0
    for number, head in enumerate("qkv"):
        yield "attn.in_proj_weight", head, [net.attn.in_proj_weight[40 * number : 40 * number + 40]], 1.0
    yield "attn.out_proj", "", [net.attn.out_proj.weight], 1.0
    for i in range(2):
        for j in range(3):
            yield "experts", f"{i},{j}", [net.experts[i, j]], 1.0


@cache
def truth_of(dtype: str) -> dict[tuple[str, str], Layer]:
    return {
        (name, part): Layer([one.detach().double().numpy() for one in matrices], scale)
        for name, part, matrices, scale in rows(made(dtype))
    }


def tall(W: np.ndarray) -> list[np.ndarray]:
    """As it is shuffled, the longer side as rows; of a square one that may be either."""
    return [np.ascontiguousarray(one) for one in (W, W.T) if one.shape[0] >= one.shape[1]]


def assert_rows(frame: pd.DataFrame, truth: dict[tuple[str, str], Layer], tol: float) -> None:
    assert sorted(zip(frame["longname"], frame["slice"])) == sorted(truth)
    assert len(frame) == len(truth)
    for _, row in frame.iterrows():
        layer = truth[row["longname"], row["slice"]]
        where = (row["longname"], row["slice"])
        assert (row["N"], row["M"], row["num_evals"]) == (layer.N, layer.M, layer.M * len(layer.matrices)), where
        assert row["lambda_max"] == pytest.approx(layer.raw[-1], rel=tol), where
        assert row["erg_lambda_min_raw"] == pytest.approx(layer.raw[-layer.cut.rank], rel=tol), where
        assert row["tail_alpha"] == pytest.approx(layer.tail.alpha, rel=tol), where
        shuffled = [shuffle(one, (0, place)) for place, W in enumerate(layer.matrices) for one in tall(W)]
        largest = [singular_value_squares(W)[-1] * layer.scale for W in shuffled]
        assert min(abs(row["trap_lambda_max"] / value - 1) for value in largest) < tol, where


def made(dtype: str) -> Net:
    torch.manual_seed(0)
    return Net().to(getattr(torch, dtype))


@pytest.mark.parametrize(
    ("engine", "dtype"),
    [*(("fast", dtype) for dtype in ("float64", "float32", "bfloat16", "float16")), ("reference", "float32")],
)
def test_every_row_by_both_engines_of_every_type(engine, dtype):
    net, layers = made(dtype), SLOWLY if engine == "reference" else []
    frame = ww.analyze(net, engine=engine, layers=layers, randomize=True, progress=False)
    assert set(frame["status"]) == {"success"}
    truth = {row: layer for row, layer in truth_of(dtype).items() if not layers or row[0] in layers}
    assert_rows(frame, truth, 1e-6 if engine == "reference" else 1e-9)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_every_row_of_a_module_with_its_spectrum(n_jobs):
    net = made("float32")
    results = ww.examine(net, randomize=True, n_jobs=n_jobs, progress=False)
    truth = truth_of("float32")
    assert_rows(results.table(), truth, 1e-9)
    for record in results.records:
        layer = truth[record.longname, record.slice]
        np.testing.assert_allclose(record.spectrum.raw, layer.raw, rtol=1e-9, atol=1e-12 * layer.raw[-1])


@pytest.mark.parametrize("leading", [(2, 2), (2, 3), (2, 1, 3)])
@pytest.mark.parametrize("library", ["torch", "numpy"])
def test_experts_in_several_axes_have_a_row_for_each_place(leading, library, tmp_path):
    W = np.random.default_rng(0).normal(size=(*leading, 30, 25))
    weights = {"mlp.experts": torch.from_numpy(W) if library == "torch" else W}
    np.savez(tmp_path / "a.npz", **{"mlp.experts": W})
    truth = {",".join(map(str, place)): singular_value_squares(W[place])[-1] for place in np.ndindex(*leading)}
    for frame in (
        ww.analyze(weights, progress=False),
        ww.analyze(weights, engine="reference", progress=False),
        ww.scan(tmp_path / "a.npz", progress=False),
    ):
        found = dict(zip(frame["slice"], frame["lambda_max"]))
        assert list(found) == list(truth)
        np.testing.assert_allclose(list(found.values()), list(truth.values()), rtol=1e-6)


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_a_tied_weight_is_one_row_whatever_it_is_given_in(engine):
    net = made("float32")
    for given in (net, dict(net.state_dict())):
        frame = ww.analyze(given, layers=["fc", "tied"] if given is net else ["fc"], engine=engine, progress=False)
        assert frame["longname"].tolist() == ["fc"]
