"""Chapter 10: checkpoints larger than memory."""

from __future__ import annotations

import errno
import io
import json
import math
import os
import pickle
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import warnings
import weakref
import zipfile
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import threadpoolctl
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

import setol_ww as ww
from fixtures.ensembles import gaussian_matrix
from fixtures.oracles import singular_value_squares
from setol_ww.cli.main import main
from setol_ww.core.options import Options
from setol_ww.formats import reader as readers
from setol_ww.formats.checkpoints import checkpoint_tensors
from setol_ww.formats.handle import Handle
from setol_ww.layer import columns as table
from setol_ww.layer import weightwatcher_columns
from setol_ww.results import export as exports
from setol_ww.results import findings
from setol_ww.results.store import Store, _explained, store_path
from setol_ww.scanning import dispatch, jobs, pools
from setol_ww.scanning import row as rows
from setol_ww.scanning import run as streaming
from setol_ww.scanning.cost import cost, in_words, shares
from setol_ww.scanning.row import Asked
from setol_ww.spectrum.esd import Spectrum
from setol_ww.truncation import checkpoints as compression
from setol_ww.weights import plan
from spec_tests.conftest import ROOT
from spec_tests.plain import plain_fit
from spec_tests.product.test_checkpoints import Malicious

NUMBERS = ["alpha", "xmin", "D", "sigma", "num_pl_spikes", "lambda_max", "norm", "stable_rank", "entropy"]
SIZES = ["N", "M", "Q", "rf", "num_evals"]


def zoo() -> dict[str, torch.Tensor]:
    """Every layout and type, and what goes wrong."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator) ** 3 / 10

    return {
        "conv.weight": draw(16, 8, 3, 3),
        "conv1.weight": draw(20, 10, 5),
        "fc2.weight": draw(15, 200).half(),
        "fc10.weight": draw(60, 40).bfloat16(),
        "double.weight": draw(50, 70).double() + 1e-9 * torch.linspace(0, 1, 3500, dtype=torch.float64).reshape(50, 70),
        "attn.c_attn.weight": draw(32, 96),
        "attn.in_proj_weight": draw(96, 32),
        "experts.gate_up_proj": draw(4, 30, 50),
        "lstm.weight_ih_l0": draw(64, 20),
        "lstm.weight_hh_l0": draw(64, 16),
        "tiny.weight": draw(5, 9),
        "small.weight": draw(40, 30) * 1e-3,
        "one.weight": torch.outer(torch.linspace(1, 2, 30), torch.linspace(1, 3, 25)),
        "zero.weight": torch.zeros(30, 20),
        "nan.weight": torch.full((20, 20), float("nan")),
        "packed.weight": torch.ones(8, 8, dtype=torch.int8),
        "vector.weight": draw(1, 1, 7),
        "norm.weight": draw(32),
    }


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    save_file(zoo(), folder / "model.safetensors")
    return folder / "model.safetensors"


def written(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **{name: tensor.numpy() for name, tensor in tensors.items()})
    elif path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=path.suffix == ".pt")
    return path


def assert_same_table(one: pd.DataFrame, other: pd.DataFrame) -> None:
    """Numbers byte for byte."""
    assert list(one) == list(other)
    for name in one:
        if pd.api.types.is_numeric_dtype(one[name]):
            assert one[name].to_numpy().tobytes() == other[name].to_numpy().tobytes(), name
        else:
            assert one[name].fillna("?").tolist() == other[name].fillna("?").tolist(), name


def assert_as_analyze(scanned: pd.DataFrame, analysed: pd.DataFrame, randomize: bool = False) -> None:
    """Every row of analyze is one of scan, its numbers to 1e-9; where weightwatcher writes -1 ours are NaN."""
    scanned = scanned[scanned["status"] != "skipped"].set_index(["longname", "slice"]).sort_index()
    analysed = analysed.set_index(["longname", "slice"]).sort_index()
    assert scanned.index.tolist() == analysed.index.tolist()
    assert scanned["layer_type"].tolist() == analysed["layer_type"].tolist()
    ours = [name for name in table.names(randomize=randomize) if name != "detX_num_error"]
    for name in [*SIZES, *NUMBERS, *ours]:
        mine, yours = scanned[name], analysed[name]
        if not pd.api.types.is_numeric_dtype(yours):
            assert mine.fillna("?").tolist() == yours.fillna("?").tolist(), name
            continue
        if name == "sigma":
            # weightwatcher's is negative with fewer than 8 eigenvalues.
            yours = yours.where(yours > 0, (analysed["alpha"] - 1) / np.sqrt(analysed["num_pl_spikes"].clip(1)))
        if name in weightwatcher_columns.FIT:
            yours = yours.where(analysed["status"] == "success")
        if name == "entropy":
            yours = yours.where(analysed["num_evals"] > 1)
        if name in SIZES:
            yours = yours.where(analysed["status"] != "failed", mine)
        np.testing.assert_allclose(mine.to_numpy(float), yours.to_numpy(float), rtol=1e-9, atol=1e-300, err_msg=name)


def test_equal_to_analyze(checkpoint):
    assert_as_analyze(ww.scan(checkpoint), ww.analyze(checkpoint))


@pytest.mark.parametrize("error", [np.linalg.LinAlgError("no"), MemoryError("7 GiB")])
def test_a_search_for_traps_that_fails_costs_its_columns_and_says_so(tmp_path, monkeypatch, error):
    # Noise without a trap: one found by chance would be in the state too.
    draw = torch.Generator().manual_seed(0)
    tensors = {f"{name}.weight": torch.randn(rows, 30, generator=draw) for name, rows in (("a", 40), ("b", 41))}
    save_file(tensors, tmp_path / "m.safetensors")
    usual = ww.scan(tmp_path, randomize=True)
    assert usual["trap_count"].tolist() == [0, 0]
    plain = rows.find_traps_of

    def failing(matrices, **options):
        if matrices[0].shape == (41, 30):
            raise error
        return plain(matrices, **options)

    monkeypatch.setattr(rows, "find_traps_of", failing)
    frame = ww.scan(tmp_path, randomize=True)
    told = [name for name in frame if name.startswith("trap_")] + ["status", "reason"]
    pd.testing.assert_frame_equal(frame.drop(columns=told), usual.drop(columns=told))
    assert frame["status"].tolist() == ["analyzed", "failed"]
    assert frame["reason"][1] == f"layer b: no traps, {type(error).__name__}: {error}"
    assert frame["trap_count"].isna().tolist() == [False, True]


def test_traps_equal_to_analyze(tmp_path):
    """Planted in one slice of a convolution and in a dense layer; no trap in a third."""
    generator = torch.Generator().manual_seed(3)
    tensors = {
        "conv.weight": torch.randn(64, 32, 2, 2, generator=generator),
        "fc.weight": torch.randn(90, 60, generator=generator).bfloat16(),
        "clean.weight": torch.randn(70, 50, generator=generator),
        "nan.weight": torch.full((20, 20), float("nan")),
    }
    tensors["conv.weight"][3, 4, 1, 0] = tensors["fc.weight"][7, 8] = 40
    path = written(tmp_path / "model.safetensors", tensors)
    for seed in (0, 5):
        frame = ww.scan(path, randomize=True, seed=seed)
        assert_as_analyze(frame, ww.analyze(path, randomize=True, seed=seed), randomize=True)
    assert frame.set_index("longname")["trap_count"].to_dict() == pytest.approx(
        {"conv": 1, "fc": 1, "clean": 0, "nan": np.nan}, nan_ok=True
    )
    assert not any(name.startswith("trap_") for name in ww.scan(path))
    assert_same_table(frame, ww.scan(path, randomize=True, seed=5))


@pytest.mark.parametrize("ending", [".pt", ".th", ".npz"])
def test_equal_to_analyze_from_other_files(tmp_path, ending):
    tensors = {name: tensor for name, tensor in zoo().items() if tensor.dtype != torch.bfloat16}
    path = written(tmp_path / f"model{ending}", tensors)
    assert_as_analyze(ww.scan(path), ww.analyze(path))


def test_equal_to_analyze_on_real_models(data):
    for name in ("resnet_cifar10/resnet20-12fca82f.th", "transformers"):
        path = data / name
        paths = [path] if path.is_file() else sorted(file for file in path.iterdir() if file.suffix != ".md")
        for file in paths:
            assert_as_analyze(ww.scan(file), ww.analyze(file))


def test_every_candidate_tensor_has_a_row(checkpoint):
    frame = ww.scan(checkpoint)
    assert list(frame)[:9] == ["longname", "slice", "layer_type", "N", "M", "Q", "rf", "num_evals", "dtype"]
    assert list(frame)[9:18] == NUMBERS
    assert set(table.names()) | {"status", "reason"} < set(frame)
    assert set(frame["tensor"]) == {name for name, tensor in zoo().items() if tensor.dim() > 1}
    by_tensor = frame.set_index("tensor")
    assert by_tensor.loc["attn.c_attn.weight", "slice"].tolist() == ["", "q", "k", "v"]
    assert by_tensor.loc["attn.in_proj_weight", "slice"].tolist() == ["q", "k", "v"]
    assert by_tensor.loc["nan.weight", "status"] == "failed"
    assert by_tensor.loc["nan.weight", "reason"] == "layer nan: 400 NaN and 0 Inf among its 400 entries"
    assert by_tensor.loc["packed.weight", "status"] == "skipped"
    assert "int8" in by_tensor.loc["packed.weight", "reason"]
    assert "vector" in by_tensor.loc["vector.weight", "reason"]
    assert set(frame["status"]) == {"analyzed", "failed", "skipped"}
    numbers = frame.select_dtypes("number")
    assert not np.isinf(numbers.to_numpy()).any()
    assert (frame["alpha"].dropna() > 1).all()


def test_values_whose_squares_overflow(tmp_path):
    W = gaussian_matrix(40, 30, seed=0)
    np.savez(tmp_path / "large.npz", **{"fc.weight": W * 1e200, "usual.weight": W, "constant.weight": W * 0 + 1e200})
    frame = ww.scan(tmp_path / "large.npz", randomize=True).set_index("longname")
    assert (frame["status"] == "analyzed").all()
    large, usual = frame.loc["fc"], frame.loc["usual"]
    for name in ("tail_alpha", "erg_log_det", "q2_norm", "bulk_sigma", "trap_pvalue", "alpha", "D", "stable_rank"):
        assert large[name] == pytest.approx(usual[name], rel=1e-9), name
    # Numbers in units of the squares are beyond float64 and have no value.
    assert large[["xmin", "lambda_max", "norm", "erg_lambda_min_raw", "trap_lambda_max"]].isna().all()
    assert frame.loc["constant", "erg_status"] == "rank_limited"


def test_layers_chosen_by_name_pattern_type_and_id(checkpoint):
    def chosen(layers):
        frame = ww.scan(checkpoint, layers=layers)
        left_out = frame[frame["reason"].str.startswith("not among layers=")]
        assert (left_out["status"] == "skipped").all()
        assert len(frame) == len(everything)
        return sorted(set(frame.loc[frame["status"] != "skipped", "longname"]))

    everything = ww.scan(checkpoint)
    assert chosen(["fc10"]) == chosen("fc10.weight") == ["fc10"]
    assert chosen(["fc*"]) == ["fc10", "fc2"]
    assert chosen(["conv2d", "expert"]) == ["conv", "experts.gate_up_proj"]
    number = int(everything.set_index("longname").loc["fc2", "layer_id"])
    assert chosen([number]) == ["fc2"] == ww.analyze(checkpoint, layers=[number])["longname"].tolist()
    assert "fc2" not in chosen([-number])
    assert "fc10" in chosen([-number])
    with pytest.raises(ww.InvalidInput, match=r"nothing here is called 'fc3'. Accepted are names .*fc2, fc10"):
        ww.scan(checkpoint, layers=["fc3"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out": "layers.xlsx"}, "accepted endings are .csv"),
        ({"out": "nowhere/layers.csv"}, "there is no such folder"),
        ({"out": "model/model.safetensors/layers.csv"}, "there is no such folder"),
        ({"out": "/proc/layers.csv"}, "cannot be written"),
        ({"out": "/proc/layers.sqlite"}, "cannot be written"),
        ({"shard": (2, 2)}, "0 <= i < n"),
        ({"shard": (0.5, 2)}, "0 <= i < n"),
        ({"shard": 3}, "0 <= i < n"),
        ({"shard": (0, 1, 2)}, r"shard=\(0, 1, 2\) was asked; accepted is a pair \(i, n\)"),
        ({"shard": (0,)}, "0 <= i < n"),
        ({"shard": "ab"}, "0 <= i < n"),
        ({"shard": (-1, 2)}, "0 <= i < n"),
        ({"n_jobs": 0}, "an integer other than 0"),
        ({"n_jobs": "two"}, "an integer other than 0"),
        ({"device": "abacus"}, "device='abacus' was asked"),
        ({"seed": -1}, "seed=-1 was asked"),
        ({"layers": [1.5]}, r"layers=\[1.5\] was asked"),
        ({"randomize": "yes"}, "randomize='yes' was asked"),
    ],
)
def test_wrong_options_are_refused_before_any_work(checkpoint, monkeypatch, options, message):
    monkeypatch.chdir(checkpoint.parent.parent)
    monkeypatch.setattr(streaming, "finished", lambda *_: pytest.fail("work was begun"))
    before = sorted(checkpoint.parent.parent.rglob("*"))
    with pytest.raises(ww.InvalidInput, match=message):
        ww.scan(checkpoint, **options)
    assert sorted(checkpoint.parent.parent.rglob("*")) == before


@pytest.mark.parametrize("path", [3, None, torch.nn.Linear(3, 3)], ids=["number", "none", "module"])
def test_what_is_no_path_is_refused(path, checkpoint, tmp_path):
    for ask in (
        lambda: ww.scan(path),
        lambda: ww.merge_scans([path]),
        lambda: ww.merge_scans(path),
        lambda: ww.truncate_checkpoint(path, tmp_path / "out"),
        lambda: ww.truncate_checkpoint(checkpoint, path),
        lambda: ww.load_factorised(path),
    ):
        with pytest.raises(ww.InvalidInput, match="accepted is the path of a file or a folder"):
            ask()
    if path is not None:
        with pytest.raises(ww.InvalidInput, match="out="):
            ww.scan(checkpoint, path)


def test_one_result_is_merged_without_a_list(checkpoint, tmp_path):
    out = tmp_path / "layers.sqlite"
    reference = ww.scan(checkpoint, out)
    for result in (out, str(out)):
        assert_same_table(ww.merge_scans(result), reference)


def test_a_folder_called_as_a_file_is_no_file(tmp_path):
    folder = tmp_path / "folder"
    (folder / "archive.safetensors").mkdir(parents=True)
    with pytest.raises(ww.InvalidInput, match="it holds no file ending in"):
        ww.scan(folder)
    np.save(folder / "net.npy", np.random.default_rng(0).normal(size=(20, 10)))
    assert ww.scan(folder)["longname"].tolist() == ["net"]


@pytest.mark.parametrize("command", ["analyze", "truncate", "scan"])
def test_an_interrupt_ends_with_a_sentence(command, checkpoint, tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(compression, "checkpoint_tensors", interrupted)
    monkeypatch.setattr(ww.WeightWatcher, "analyze", interrupted)
    monkeypatch.setattr(streaming, "scan", interrupted)
    out = tmp_path / ("out" if command == "truncate" else "out.csv")
    assert main([command, str(checkpoint), "--out", str(out)]) == 130
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("setol-ww: interrupted")
    assert said.err.count("\n") == 1
    assert not out.exists()


def test_no_weights(tmp_path):
    save_file({"a.bias": torch.ones(3)}, tmp_path / "model.safetensors")
    with pytest.raises(ww.InvalidInput, match="it holds no weight of two or more dimensions"):
        ww.scan(tmp_path / "model.safetensors", tmp_path / "layers.csv")
    assert not (tmp_path / "layers.csv.setol.sqlite").exists()


# WeightWatcher's definitions without it.


@pytest.mark.parametrize("size", [2, 3, 7, 8, 9, 15, 19, 20, 21, 60])
@pytest.mark.parametrize("tied", [False, True])
def test_fit_is_weightwatchers(size, tied):
    for seed in range(8):
        raw = np.sort(np.random.default_rng(seed).pareto(1.5, size) + 0.1)
        if tied:
            raw = np.sort(np.concatenate([raw, raw[: size // 2]]))
        theirs = plain_fit(raw)
        alpha, xmin, D, sigma, spikes = weightwatcher_columns.weightwatcher_fit(raw)
        np.testing.assert_allclose([alpha, xmin, D], [theirs.alpha, theirs.xmin, theirs.D], rtol=1e-9)
        assert spikes == np.count_nonzero(raw >= theirs.xmin)
        if raw.size >= 8:
            assert sigma == pytest.approx(theirs.sigma, rel=1e-9)
        else:
            assert theirs.sigma < 0 < sigma


@pytest.mark.parametrize("raw", [[], [0.0, 0.0], [1e-6] * 3, [4.0], [2.0] * 30, [np.nan] * 3])
def test_nothing_to_fit_is_nan(raw):
    assert np.isnan(weightwatcher_columns.weightwatcher_fit(np.array(raw))).all()


def test_a_fit_over_the_whole_of_float64_warns_of_nothing():
    """From just above weightwatcher's threshold to the largest number: their ratio is none."""
    row = weightwatcher_columns.weightwatcher_row(Spectrum.from_eigenvalues(np.geomspace(2e-5, 1e307, 40)))
    assert 1 < row["alpha"] < 1.1
    assert row["xmin"] >= 2e-5


def test_norms_of_a_known_spectrum():
    raw = np.array([1.0, 2.0, 5.0])
    norms = weightwatcher_columns.weightwatcher_norms(Spectrum.from_eigenvalues(raw))
    p = raw / 8
    assert (norms["lambda_max"], norms["norm"]) == (5.0, 8.0)
    assert norms["stable_rank"] == 8 / 5
    assert norms["entropy"] == pytest.approx(-(p * np.log(p)).sum() / np.log(3), rel=1e-8)


# One tensor at a time.


@pytest.mark.parametrize(("small", "resident"), [(0, 1), (60 * 40, 4)])
@pytest.mark.parametrize("ending", [".safetensors", ".pt", ".npz"])
def test_one_tensor_is_resident(tmp_path, monkeypatch, ending, small, resident):
    """Of small ones those that are worked on together."""
    monkeypatch.setattr(plan, "SMALL", small)
    monkeypatch.setattr(dispatch, "TOGETHER", 4)
    tensors = {f"{n}.weight": torch.randn(60, 40) for n in range(6)} | {"experts.up": torch.randn(3, 50, 40)}
    path = written(tmp_path / f"model{ending}", tensors)
    alive: list[weakref.ref] = []
    most = 0
    original = rows.read_matrices

    def watched(job):
        nonlocal most
        matrices, *rest = original(job)
        alive.extend(weakref.ref(matrix) for matrix in matrices)
        most = max(most, sum(ref() is not None for ref in alive))
        return matrices, *rest

    monkeypatch.setattr(rows, "read_matrices", watched)
    assert len(ww.scan(path)) == len(alive) == 9
    assert most == resident


@pytest.mark.parametrize("ending", [".th", ".pt", ".safetensors", ".npz"])
def test_a_file_is_opened_once_and_forgotten(tmp_path, monkeypatch, ending):
    """Its structure is read once for all its layers, and nothing of it is kept when the scan is over."""
    path = written(tmp_path / f"model{ending}", {f"{n}.weight": torch.randn(30, 20) for n in range(4)})
    read = []
    original = readers._opened
    monkeypatch.setattr(readers, "_opened", lambda handle: (read.append(handle.path), original(handle))[1])
    assert (ww.scan(path)["status"] == "analyzed").all()
    assert read == [path]
    assert not readers._readers.slots


def test_slices_are_read_by_themselves(checkpoint, monkeypatch):
    """Of a packed tensor in safetensors only the part is read, and it is the part."""
    for entry in checkpoint_tensors(checkpoint):
        if entry.name in ("experts.gate_up_proj", "attn.in_proj_weight", "lstm.weight_hh_l0"):
            mine = [job for job in jobs.jobs_of(checkpoint) if job.tensor == entry.name]
            assert len(mine) > 2
            whole = zoo()[entry.name]
            for job in mine:
                part = entry.load_part(job.part.index(entry.shape))
                assert part.shape == (job.part.rows, job.part.columns)
                assert torch.equal(part, job.part.matrices(whole)[0])


def test_a_row_is_that_of_the_matrix(tmp_path):
    W = torch.randn(90, 60, generator=torch.Generator().manual_seed(1)) ** 3
    save_file({"fc.weight": W}, tmp_path / "m.safetensors")
    row = ww.scan(tmp_path / "m.safetensors").iloc[0]
    truth = singular_value_squares(W.double().numpy())
    assert row["norm"] == pytest.approx(truth.sum(), rel=1e-12)
    assert row["lambda_max"] == pytest.approx(truth.max(), rel=1e-12)
    result = ww.analyze_matrix(W)
    assert row["erg_rank"] == result.erg.rank
    assert row["tail_alpha"] == pytest.approx(result.tail.alpha, rel=1e-12)


def test_one_blas_thread_while_it_works_and_the_old_number_after(checkpoint, monkeypatch):
    def threads():
        return [library["num_threads"] for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]

    seen = []
    original = findings.analyze_spectra
    monkeypatch.setattr(findings, "analyze_spectra", lambda *given: (seen.append(threads()), original(*given))[1])
    with threadpoolctl.threadpool_limits(2):
        before = threads()
        ww.scan(checkpoint)
        assert threads() == before
    assert set(before) == {2}
    assert all(number == 1 for numbers in seen for number in numbers)


def test_a_worker_has_one_blas_thread(checkpoint, monkeypatch):
    """What is done for one job is done so wherever it is done, not for a whole scan alone."""
    seen = []
    original = findings.analyze_spectra

    def looked(*given):
        seen.append([one["num_threads"] for one in threadpoolctl.threadpool_info() if one["user_api"] == "blas"])
        return original(*given)

    monkeypatch.setattr(findings, "analyze_spectra", looked)
    job = next(job for job in jobs.jobs_of(checkpoint) if not job.skipped)
    with threadpoolctl.threadpool_limits(2):
        rows.work([job], rows.Asked(Options(), {}))
    assert seen
    assert {number for numbers in seen for number in numbers} == {1}


# The store.


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".json", ".html"])
def test_table_by_ending_and_no_other_file(checkpoint, ending):
    folder = checkpoint.parent.parent / "results"
    folder.mkdir()
    out = folder / f"layers{ending}"
    frame = ww.scan(checkpoint, out)
    assert [file.name for file in folder.iterdir()] == [out.name]
    read = {
        ".csv": pd.read_csv,
        ".parquet": pd.read_parquet,
        ".json": lambda path: pd.DataFrame(json.loads(path.read_text())),
        ".html": lambda path: None,
    }[ending](out)
    for name in ("alpha", "norm", "erg_log_det"):
        if read is None:
            assert all(repr(float(number)).lower() in out.read_text().lower() for number in frame[name])
        else:
            assert read[name].to_numpy(float).tobytes() == frame[name].to_numpy(float).tobytes()


@pytest.mark.parametrize("ending", [".sqlite", ".db", ".setol", ".SETOL"])
def test_a_store_as_the_result(checkpoint, tmp_path, monkeypatch, ending):
    out = tmp_path / f"layers{ending}"
    frame = ww.scan(checkpoint, out)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([out.name, "model"])
    with sqlite3.connect(f"file:{out}?mode=ro", uri=True) as connection:
        assert connection.execute("SELECT count(*) FROM rows WHERE status = 'failed'").fetchone() == (1,)
        assert connection.execute("SELECT min(seconds) FROM rows WHERE status = 'analyzed'").fetchone()[0] > 0
    connection.close()
    monkeypatch.setattr(rows, "read_matrices", lambda job: pytest.fail("computed again"))
    again = ww.scan(checkpoint, out)
    assert_same_table(frame, again)
    assert frame.attrs == again.attrs
    assert list(frame.attrs) == ["coverage"]
    assert_same_table(frame, ww.merge_scans([out]))


def test_tensors_are_counted_as_analyze_counts_them(tmp_path, capsys):
    """A fused projection is one tensor, however many rows it has."""
    config = {"model_type": "gpt_neox", "num_attention_heads": 4, "hidden_size": 64}
    (tmp_path / "config.json").write_text(json.dumps(config))
    weights = {
        "gpt_neox.layers.0.attention.query_key_value.weight": gaussian_matrix(192, 64, seed=1),
        "embed_out.weight": gaussian_matrix(50, 64, seed=2),
        "norm.weight": np.ones(64),
    }
    save_file({name: torch.from_numpy(values) for name, values in weights.items()}, tmp_path / "model.safetensors")
    frame, other = ww.scan(tmp_path), ww.analyze(tmp_path)
    assert len(frame) == len(other) == 5
    for key in ("longname", "status", "n_params"):
        assert [row[key] for row in frame.attrs["coverage"]] == [row[key] for row in other.attrs["coverage"]]
    said = []
    for words in (["analyze", str(tmp_path)], ["scan", str(tmp_path), "--out", str(tmp_path / "layers.csv")]):
        assert main(words) == 0
        said.append(re.search(r"\d+ of \d+ weight tensors analysed", capsys.readouterr().out)[0])
    assert said == ["2 of 2 weight tensors analysed"] * 2


def test_a_shard_without_a_tensor_is_told_as_one(tmp_path, capsys):
    np.save(tmp_path / "a.npy", gaussian_matrix(40, 30, seed=0))
    assert main(["scan", str(tmp_path / "a.npy"), "--out", str(tmp_path / "second.setol"), "--shard", "1/2"]) == 0
    said = capsys.readouterr().out
    assert "0 of 0 weight tensors analysed (0.0 % of their parameters), 0 skipped, 0 failed." in said


def interrupted(checkpoint: Path, out: Path, after: int, monkeypatch, **options) -> None:
    """A scan that stops after some rows."""
    original = Store.add_all

    def add_all(self, records):
        for record in records:
            if self.count == after:
                raise KeyboardInterrupt
            original(self, [record])

    with monkeypatch.context() as patch:
        patch.setattr(Store, "add_all", add_all)
        with pytest.raises(KeyboardInterrupt):
            ww.scan(checkpoint, out, **options)


def test_resuming_computes_only_what_is_missing(checkpoint, tmp_path, monkeypatch):
    reference = ww.scan(checkpoint)
    out = tmp_path / "layers.csv"
    interrupted(checkpoint, out, 20, monkeypatch)
    assert not out.exists()
    with pytest.raises(ww.InvalidInput, match="lacks"):
        ww.merge_scans([out])
    partial = ww.merge_scans([out], partial=True)
    assert len(partial) == 20
    computed = []
    original = rows.read_matrices
    monkeypatch.setattr(rows, "read_matrices", lambda job: (computed.append(job), original(job))[1])
    assert_same_table(ww.scan(checkpoint, out), reference)
    there = set(zip(partial["tensor"], partial["slice"]))
    assert computed
    assert not there & {(job.tensor, job.part.label) for job in computed}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"layers": ["fc2"]}, "layers was null"),
        ({"seed": 1}, "seed was 0, now 1"),
        ({"shard": (0, 2)}, "shard was null"),
        ("another", "weights was"),
        ("tuned", "weights was"),
    ],
)
def test_resuming_onto_something_else_is_refused(checkpoint, tmp_path, monkeypatch, change, what):
    out = tmp_path / "layers.csv"
    interrupted(checkpoint, out, 5, monkeypatch)
    before = store_path(out).read_bytes()
    path, options = checkpoint, change if isinstance(change, dict) else {}
    if change == "another":
        path = tmp_path / "other.safetensors"
        save_file({name: tensor * 2 for name, tensor in zoo().items()}, path)
    if change == "tuned":
        stat = checkpoint.stat()
        save_file(zoo() | {"fc2.weight": zoo()["fc2.weight"] * 3}, checkpoint)
        os.utime(checkpoint, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(ww.InvalidInput, match=f"another checkpoint or other options .*{what}"):
        ww.scan(path, out, **options)
    with Store.read(store_path(out)) as store:
        assert store.count == 5
    assert before[:16] == store_path(out).read_bytes()[:16]
    assert len(ww.scan(path, out, resume=False, **options)) > 5


def test_a_layer_that_could_not_be_read_is_tried_again(tmp_path, monkeypatch):
    """The file was away, memory was short: that says nothing about the weights; a bad entry does."""
    torch.manual_seed(0)
    bad = torch.randn(20, 20)
    bad[1, 1] = torch.nan
    weights = {f"fc{n}.weight": torch.randn(30, 20) for n in range(3)} | {"bad.weight": bad}
    path = written(tmp_path / "model.safetensors", weights)
    original, out, computed = rows.read_matrices, tmp_path / "a.setol", []

    def away(job):
        if job.longname == "fc1":
            raise FileNotFoundError(f"{job.file}: No such file or directory")
        if job.longname == "fc2":
            raise MemoryError
        return original(job)

    monkeypatch.setattr(rows, "read_matrices", away)
    first = ww.scan(path, out).set_index("longname")
    assert first["status"].to_dict() == {"bad": "failed", "fc0": "analyzed", "fc1": "failed", "fc2": "failed"}
    monkeypatch.setattr(rows, "read_matrices", lambda job: (computed.append(job.longname), original(job))[1])
    assert_same_table(ww.scan(path, out), ww.scan(path))
    assert sorted(computed[:2]) == ["fc1", "fc2"]


@pytest.mark.parametrize("change", ["touched", "copied"])
def test_the_same_weights_resume_wherever_they_lie(checkpoint, tmp_path, monkeypatch, change):
    out = tmp_path / "layers.csv"
    # A folder's layers count from 0, as weightwatcher's; those of the interrupted run too after all.
    reference = ww.scan(checkpoint.parent if change == "its folder" else checkpoint)
    interrupted(checkpoint, out, 5, monkeypatch)
    path = {"touched": checkpoint, "copied": tmp_path / "copy.safetensors"}[change]
    if change == "copied":
        path.write_bytes(checkpoint.read_bytes())
        checkpoint.unlink()
    os.utime(path, ns=(1, 1))
    computed = []
    original = rows.read_matrices
    monkeypatch.setattr(rows, "read_matrices", lambda job: (computed.append(job), original(job))[1])
    assert_same_table(ww.scan(path, out), reference)
    assert 0 < len(computed) < (reference["status"] != "skipped").sum()


def test_rows_of_a_file_are_not_mixed_with_those_of_its_folder(checkpoint, tmp_path, monkeypatch):
    """weightwatcher counts the layers of a directory from another number."""
    interrupted(checkpoint, tmp_path / "a.setol", 5, monkeypatch)
    with pytest.raises(ww.InvalidInput, match="first_id was"):
        ww.scan(checkpoint.parent, tmp_path / "a.setol")


def test_files_that_are_no_store_are_left_alone(checkpoint, tmp_path):
    text = tmp_path / "notes.db"
    text.write_text("not a database, but long enough to look like a file of some kind")
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    for file, message in ((text, "it is no results file"), (foreign, "a database of something else")):
        before = file.read_bytes()
        for resume in (True, False):
            with pytest.raises(ww.InvalidInput, match=message):
                ww.scan(checkpoint, file, resume=resume)
        assert file.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["foreign.db", "model", "notes.db"]


def test_an_empty_journal_goes_with_its_store(checkpoint, tmp_path, monkeypatch):
    """A scan that is killed as its last transaction begins leaves one, which SQLite does not call hot."""
    out = tmp_path / "results" / "layers.csv"
    out.parent.mkdir()
    with monkeypatch.context() as killed:
        killed.setattr(streaming, "export", broken(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            ww.scan(checkpoint, out)
    store_path(out).with_name(f"{store_path(out).name}-journal").touch()
    ww.scan(checkpoint, out)
    assert [file.name for file in out.parent.iterdir()] == ["layers.csv"]


def test_killed_at_random_moments_and_resumed():
    """The kept script with ten kills; fifty by hand."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "kill_and_resume.py"), "--kills", "10"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        text=True,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("10 kills of a scan of 70 rows")
    assert "columns that differ: none" in done.stdout


HOLDER = """
import sys, time
from pathlib import Path
import setol_ww as ww
from setol_ww.scanning import run as streaming
def slow(*_):
    print("begun", flush=True)
    time.sleep(60)
    yield
streaming.finished = slow
ww.scan(sys.argv[1], sys.argv[2])
"""


def test_two_processes_on_one_file(checkpoint, tmp_path):
    out = tmp_path / "layers.csv"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(checkpoint), str(out)], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert holder.stdout.readline() == "begun\n"
        for resume in (True, False):
            with pytest.raises(ww.InvalidInput, match="another process is writing to it"):
                ww.scan(checkpoint, out, resume=resume)
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    assert_same_table(ww.scan(checkpoint, out), ww.scan(checkpoint))


def test_another_process_finishes_while_one_waits(checkpoint, tmp_path, monkeypatch):
    """It has the file open, and waits for the lock on it, when the file goes."""
    out = tmp_path / "layers.csv"
    first, plain = Store.open(store_path(out), {}), sqlite3.connect

    def connect(*asked, **options):
        connection = plain(*asked, **options)
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        first.remove()
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect)
    with pytest.raises(ww.InvalidInput) as caught:
        ww.scan(checkpoint, out)
    assert str(caught.value) == (
        f"the results file {store_path(out)} was asked; another process finished it and removed it meanwhile"
    )
    assert list(tmp_path.glob("layers*")) == []


def test_only_a_full_disk_asks_for_room(tmp_path):
    path = tmp_path / "layers.sqlite"
    path.touch()
    for error, number, advice in (
        ("disk I/O error", errno.EIO, "resume when the disk is sound"),
        ("database or disk is full", errno.ENOSPC, "make room and resume"),
    ):
        with (
            pytest.raises(OSError, match=f"3 finished rows in it are intact, {advice}") as caught,
            _explained(path, 3, writing=True),
        ):
            raise sqlite3.OperationalError(error)
        assert caught.value.errno == number


# Damage.


def shards(folder: Path) -> list[Path]:
    state = {f"{n}.weight": torch.randn(40, 30, generator=torch.Generator().manual_seed(n)) for n in range(6)}
    files = [folder / f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    for number, file in enumerate(files):
        save_file({name: state[name] for name in list(state)[3 * number : 3 * number + 3]}, file)
    index = {"weight_map": {name: files[position // 3].name for position, name in enumerate(state)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return files


@pytest.mark.parametrize("damage", ["missing", "truncated", "header"])
def test_damaged_shards_are_named_and_results_kept(tmp_path, monkeypatch, damage):
    folder = tmp_path / "model"
    folder.mkdir()
    _, second = shards(folder)
    out = tmp_path / "layers.sqlite"
    interrupted(folder, out, 3, monkeypatch)
    content = second.read_bytes()
    if damage == "missing":
        second.unlink()
    else:
        second.write_bytes(content[:-100] if damage == "truncated" else b"\xff" * 20 + content[20:])
    with pytest.raises(ww.UnreadableCheckpoint, match=second.name):
        ww.scan(folder, out)
    with Store.read(out) as store:
        assert store.count == 3


def test_a_shard_that_goes_bad_while_it_is_scanned(tmp_path, monkeypatch):
    """Its layers fail by name, the others stand."""
    folder = tmp_path / "model"
    folder.mkdir()
    _, second = shards(folder)
    original = rows.read_matrices

    def read(job):
        if second.exists():
            second.unlink()
        return original(job)

    monkeypatch.setattr(rows, "read_matrices", read)
    frame = ww.scan(folder)
    assert frame["status"].tolist() == ["analyzed"] * 3 + ["failed"] * 3
    assert frame["reason"].str.contains(second.name).tolist() == [False] * 3 + [True] * 3


def test_a_member_with_a_wrong_checksum_costs_its_row(tmp_path):
    path = written(tmp_path / "weights.npz", {f"{n}.weight": torch.randn(40, 30) for n in range(3)})
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    path.write_bytes(bytes(damaged))
    frame = ww.scan(path)
    assert sorted(frame["status"]) == ["analyzed", "analyzed", "failed"]
    assert "weights.npz: BadZipFile" in frame.loc[frame["status"] == "failed", "reason"].iloc[0]


@pytest.mark.parametrize("ending", [".pt", ".bin"])
def test_code_in_a_file_is_not_run(tmp_path, ending):
    trap = tmp_path / "executed"
    with (tmp_path / f"model{ending}").open("wb") as file:
        pickle.dump({"fc.weight": Malicious(str(trap))}, file)
    with pytest.raises(ww.UnreadableCheckpoint, match=f"model{ending}: refused"):
        ww.scan(tmp_path / f"model{ending}", tmp_path / "layers.csv")
    assert not trap.exists()
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"model{ending}"]


def test_code_in_an_archive_is_not_run(tmp_path):
    """Arrays of objects are pickles: left unread, one member of a name or two."""
    trap, path = tmp_path / "executed", tmp_path / "model.npz"
    objects, plain = io.BytesIO(), io.BytesIO()
    np.save(objects, np.array([[Malicious(str(trap))]], dtype=object), allow_pickle=True)
    np.save(plain, np.ones((4, 4)))
    for members, said in (
        ([("a.npy", objects), ("b.npy", plain)], ""),
        ([("a.npy", plain), ("a.npy", objects)], "two members"),
        ([("a.npy", plain), ("a", objects)], "two of its members stand for 'a'"),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with zipfile.ZipFile(path, "w") as archive:
                for name, content in members:
                    archive.writestr(name, content.getvalue())
        if said:
            with pytest.raises(ww.UnreadableCheckpoint, match=said):
                ww.scan(path)
        else:
            told = ww.scan(path).set_index("longname")["reason"]
            assert "pickled" in told["a"]
        assert not trap.exists()


def test_a_full_disk_keeps_what_is_there(checkpoint, tmp_path, monkeypatch):
    """SQLite's own refusal, by a limit on its pages; rows that come one by one."""
    monkeypatch.setattr(plan, "SMALL", 0)
    out = tmp_path / "layers.csv"
    reference = ww.scan(checkpoint)
    original = Store.open.__func__

    def small(cls, *arguments, **options):
        store = original(cls, *arguments, **options)
        store.connection.execute("PRAGMA max_page_count = 10")
        return store

    with monkeypatch.context() as patch:
        patch.setattr(Store, "open", classmethod(small))
        with pytest.raises(OSError, match=r"disk is full.*finished rows in it are intact") as caught:
            ww.scan(checkpoint, out)
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(store_path(out))
    left = ww.merge_scans([out], partial=True)
    assert 0 < len(left) < len(reference)
    assert_same_table(ww.scan(checkpoint, out), reference)


def test_no_room_for_the_table_keeps_the_store_and_the_old_table(checkpoint, tmp_path, monkeypatch):
    out = tmp_path / "layers.csv"
    out.write_text("an older table")

    def full(frame, path):
        path.write_text("half a table")
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setitem(exports.WRITERS, ".csv", full)
        with pytest.raises(OSError, match="No space left"):
            ww.scan(checkpoint, out)
    assert out.read_text() == "an older table"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["layers.csv", "layers.csv.setol.sqlite", "model"]
    monkeypatch.setattr(rows, "read_matrices", lambda job: pytest.fail("computed again"))
    ww.scan(checkpoint, out)
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["layers.csv"]


# Shards.


@given(st.lists(st.floats(0, 1e12), min_size=1, max_size=40), st.integers(1, 7))
def test_shares_are_a_partition_in_balance(costs, number):
    owner = shares(costs, number)
    assert len(owner) == len(costs)
    assert owner == shares(costs, number)
    loads = [sum(c for c, o in zip(costs, owner) if o == shard) for shard in range(number)]
    # The heaviest shard took its last job when it was the lightest.
    assert max(loads) <= sum(costs) / number + max(costs) * (1 + 1e-9)


def test_shares_are_grahams_rule_as_it_is_written():
    """The dearest job first, always to the shard with the least work so far, the first of equal ones."""
    rng = np.random.default_rng(0)
    for number in (1, 2, 3, 7, 40):
        costs = [*rng.integers(1, 6, 30).astype(float), *rng.exponential(size=30), *[0.0] * 5]
        load, plain = [0.0] * number, [0] * len(costs)
        for job in sorted(range(len(costs)), key=lambda job: (-costs[job], job)):
            plain[job] = load.index(min(load))
            load[plain[job]] += costs[job]
        assert shares(costs, number) == plain


def test_cost_grows_with_the_cube():
    assert cost(8192, 8192) / cost(4096, 4096) == pytest.approx(8, rel=0.02)
    assert cost(4096, 1024) == cost(1024, 4096)


@pytest.mark.parametrize("number", [2, 5])
def test_shards_merged_are_the_whole(checkpoint, tmp_path, number):
    whole = ww.scan(checkpoint)
    outs = [
        tmp_path / f"shard{i}{ending}" for i, ending in zip(range(number), (".csv", ".sqlite", ".db", ".json", ".csv"))
    ]
    parts = [ww.scan(checkpoint, out, shard=(i, number)) for i, out in enumerate(outs)]
    assert sum(map(len, parts)) == len(whole)
    merged = ww.merge_scans(outs, tmp_path / "all.parquet")
    assert_same_table(merged, whole)
    assert_same_table(pd.read_parquet(tmp_path / "all.parquet"), whole)
    with pytest.raises(ww.InvalidInput, match=rf"the shards \[{number - 1}\] are missing"):
        ww.merge_scans(outs[:-1])
    assert len(ww.merge_scans(outs[:-1], partial=True)) == len(whole) - len(parts[-1])
    with pytest.raises(ww.InvalidInput, match="each once"):
        ww.merge_scans([outs[0], *outs])
    foreign = tmp_path / "foreign.sqlite"
    ww.scan(checkpoint, foreign, shard=(number, number + 1))
    with pytest.raises(ww.InvalidInput, match=r"are in another file already|accepted are shards of one number"):
        ww.merge_scans([*outs, foreign])
    other = tmp_path / "other.sqlite"
    ww.scan(checkpoint, other, shard=(0, number), seed=3)
    with pytest.raises(ww.InvalidInput, match="they differ in seed"):
        ww.merge_scans([other, *outs[1:]])


# Workers.


@pytest.fixture
def processes(monkeypatch):
    """Workers are processes, however little there is to do."""
    monkeypatch.setattr(pools, "PROCESSES_FROM", 0)


@pytest.mark.parametrize("threads", [True, False], ids=["threads", "processes"])
def test_jobs_change_no_number(checkpoint, tmp_path, monkeypatch, threads):
    made = []
    for kind in (pools.ThreadPool, pools.LocalPool):
        monkeypatch.setattr(kind, "close", lambda self, plain=kind.close: (made.append(type(self)), plain(self)))
    if not threads:
        monkeypatch.setattr(pools, "PROCESSES_FROM", 0)
    out = tmp_path / "layers.parquet"
    assert_same_table(ww.scan(checkpoint, out, n_jobs=2), ww.scan(checkpoint))
    assert_same_table(pd.read_parquet(out), ww.scan(checkpoint))
    assert made == [pools.ThreadPool if threads else pools.LocalPool]


@pytest.mark.parametrize("number", [2, 5])
def test_threads_change_no_trap_and_no_interval(tmp_path, number):
    """A layer of every fate: fused, a kernel, rank one, not finite, zero."""
    rng = np.random.default_rng(0)
    weights = {f"{n}.weight": rng.normal(size=(60 + 10 * n, 40)) for n in range(6)}
    weights |= {"conv.weight": rng.normal(size=(16, 12, 3, 3)), "zero.weight": np.zeros((30, 20))}
    weights |= {"one.weight": np.outer(np.arange(1.0, 41), np.ones(30)), "nan.weight": np.full((20, 20), np.nan)}
    weights["2.weight"][3, 4] = 50
    np.savez(tmp_path / "model.npz", **weights)
    options = {"randomize": True, "uncertainty": 5}
    alone = ww.scan(tmp_path / "model.npz", **options)
    assert_same_table(ww.scan(tmp_path / "model.npz", n_jobs=number, **options), alone)
    assert alone["trap_count"].max() > 0


def test_little_work_is_done_by_threads():
    make = pools.pool_maker(3)
    for units, kind in ((0.0, pools.ThreadPool), (9e9, pools.ThreadPool), (1e13, pools.LocalPool)):
        pool = make(2, units)
        assert (type(pool), pool.size()) == (kind, 2)
        pool.close()


def test_threads_work_at_once_under_the_callers_error_state():
    """Two jobs wait for each other; what a job raises is raised where its result is asked."""
    together, pool = threading.Barrier(2), pools.ThreadPool(2)
    with np.errstate(divide="raise"):
        handles = [pool.submit(lambda: together.wait(timeout=60)) for _ in range(2)]
        handles.append(pool.submit(np.divide, np.ones(1), np.zeros(1)))
    done: list = []
    while len(done) < 3:
        done += [one for one in pool.wait([one for one in handles if one not in done]) if one not in done]
    assert sorted(pool.result(one) for one in handles[:2]) == [0, 1]
    with pytest.raises(FloatingPointError):
        pool.result(handles[2])
    pool.close()


def test_jobs_are_small_and_hold_no_weights(tmp_path):
    save_file({f"{n}.weight": torch.randn(300, 300) for n in range(2)}, tmp_path / "model.safetensors")
    for job in jobs.jobs_of(tmp_path / "model.safetensors"):
        assert len(pickle.dumps(job)) < 1000


@pytest.fixture
def dying(request, tmp_path, monkeypatch, processes):
    """A checkpoint with layers `dies_N`, which kill their workers N times."""
    from spec_tests.product import dying_work

    folder = tmp_path / "dying"
    folder.mkdir()
    names = ("a", "b", *request.param, "c", "d")
    save_file({f"{name}.weight": torch.randn(60, 40) for name in names}, folder / "model.safetensors")
    original = streaming.finished
    monkeypatch.setattr(
        streaming, "finished", lambda left, options, pool: original(left, options, pool, dying_work.work)
    )
    return folder / "model.safetensors"


def check_deaths(frame: pd.DataFrame, reference: pd.DataFrame) -> None:
    status = frame.set_index("longname")["status"]
    assert status.drop("dies_99").eq("analyzed").all()
    assert status["dies_99"] == "failed"
    reason = frame.set_index("longname").loc["dies_99", "reason"]
    assert "given up" in reason
    assert "workers died of it" in reason
    sound = frame["longname"] != "dies_99"
    # Counts are floats in a table with a row without them.
    kept = [one[sound].reset_index(drop=True) for one in (frame, reference)]
    assert_same_table(*(one.astype(dict.fromkeys(one.select_dtypes("number"), float)) for one in kept))


@pytest.mark.parametrize("dying", [("dies_1", "dies_99")], indirect=True)
def test_a_worker_that_dies_costs_no_layer(dying, tmp_path, monkeypatch):
    out = tmp_path / "layers.csv"
    frame = ww.scan(dying, out, n_jobs=2)
    assert (dying.parent / "dies_99.tries").read_text() == "xx"
    assert (dying.parent / "dies_1.tries").read_text() == "xx"
    assert store_path(out).exists()
    monkeypatch.undo()
    reference = ww.scan(dying)
    check_deaths(frame, reference)
    # The layer that was given up is tried again, and nothing else is.
    computed = []
    original = rows.read_matrices
    monkeypatch.setattr(rows, "read_matrices", lambda job: (computed.append(job.longname), original(job))[1])
    assert_same_table(ww.scan(dying, out), reference)
    assert computed == ["dies_99"]
    assert not store_path(out).exists()


class Mortal:
    """A pool in this process whose workers die of layers, each as often as it says; it tells what each was given."""

    death = (BrokenProcessPool,)
    is_here = False

    def __init__(self, dying: dict[str, int]) -> None:
        self.dying, self.given = dict(dying), []

    def size(self):
        return 2

    def submit(self, work, group, asked):
        self.given.append([job.longname for job in group])
        return lambda: self.done(work, group, asked)

    def done(self, work, group, asked):
        for job in group:
            if self.dying.get(job.longname, 0):
                self.dying[job.longname] -= 1
                raise BrokenProcessPool
        return work(group, asked)

    def wait(self, handles):
        return handles[:1]

    def result(self, handle):
        return handle()

    def deaths(self, error):
        return 1


@pytest.mark.parametrize("shapes", [1, 3])
def test_of_a_few_that_a_worker_died_of_each_is_tried_alone(tmp_path, shapes):
    """Groups are no larger than leaves some for every worker."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "m.npz", **{f"l{n}.weight": rng.normal(size=(20 + n % shapes, 12)) for n in range(40)})
    left = jobs.jobs_of(tmp_path / "m.npz")
    pool = Mortal({"l3": 1, "l4": 1, "l5": 99})
    found = [record for group in dispatch.finished(left, Asked(Options()), pool) for record in group]
    status = {record.identity["longname"]: record.status for record in found}
    assert len(found) == len(status) == 40
    assert {name for name, one in status.items() if one != "analyzed"} == {"l5"}
    (given_up,) = (record for record in found if record.status == "failed")
    assert "given up, 2 workers died of it" in given_up.reason
    assert max(len(group) for group in pool.given) == len(pool.given[0]) == 10
    tries = [sum(group == [name] for group in pool.given) for name in ("l3", "l4", "l5")]
    # Where all are of one shape the first group died of l3, else each group of its own.
    assert tries == ([1, 2, 2] if shapes == 1 else [1, 1, 2])


PARENT = """
import os, sys, time
from setol_ww.scanning.pools import LocalPool
if __name__ == "__main__":
    pool = LocalPool(1)
    (handle,) = pool.wait([pool.submit(os.getpid)])
    print(pool.result(handle), flush=True)
    pool.submit(time.sleep, 600)
    time.sleep(600)
"""


def test_workers_end_with_the_process_that_began_them():
    """In the middle of a layer, within seconds: the pipe that they inherited is closed, and their number is free."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env=environment)
    worker = int(parent.stdout.readline())
    assert Path(f"/proc/{worker}").exists()
    parent.send_signal(signal.SIGKILL)
    assert parent.communicate(timeout=60) == ("", None)
    until = time.monotonic() + 60
    while Path(f"/proc/{worker}/exe").exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert not Path(f"/proc/{worker}/exe").exists()


def children() -> set[int]:
    """Worker processes of loky that this process began."""
    listed = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True
    )
    return {int(line.split()[0]) for line in listed.stdout.splitlines() if "popen_loky" in line}


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_no_worker_is_left_at_the_end(checkpoint, tmp_path, monkeypatch, error, processes):
    """They are gone when the scan returns, and when it is interrupted too."""
    before, began = children(), set()
    plain = streaming.Store.add_all

    def add_all(store, records):
        began.update(children() - before)
        if error and began:
            raise error
        plain(store, records)

    monkeypatch.setattr(streaming.Store, "add_all", add_all)
    with pytest.raises(error) if error else nullcontext():
        ww.scan(checkpoint, tmp_path / "layers.setol", n_jobs=2)
    assert began
    assert not children() & began


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_no_thread_is_left_at_the_end(checkpoint, tmp_path, monkeypatch, error):
    before = set(threading.enumerate())
    plain = streaming.Store.add_all
    monkeypatch.setattr(streaming.Store, "add_all", broken(error) if error else plain)
    with pytest.raises(error) if error else nullcontext():
        ww.scan(checkpoint, tmp_path / "layers.setol", n_jobs=2)
    assert set(threading.enumerate()) <= before


def broken(error):
    def call(*_):
        raise error

    return call


def test_a_pool_is_closed_without_waiting_for_its_work():
    before = children()
    pool = pools.LocalPool(1)
    handle = pool.submit(time.sleep, 300)
    while not handle.running():
        time.sleep(0.01)
    busy = children() - before
    start = time.monotonic()
    pool.close()
    assert time.monotonic() - start < 60
    assert busy
    assert not children() & busy


def test_what_is_under_way_on_a_cluster_is_dropped():
    """A cluster is somebody else's: its workers stay, our work goes."""

    class Client:
        def __init__(self):
            self.cancelled = []

        def submit(self, work, *arguments, pure):
            assert not pure
            return (work, *arguments)

        def cancel(self, futures):
            self.cancelled += futures

    pytest.importorskip("distributed", reason="needs dask[distributed]")
    client = Client()
    pool = pools.DaskPool(client)
    handles = [pool.submit(abs, number) for number in range(2)]
    pool.close()
    assert client.cancelled == handles


@pytest.mark.parametrize("dying", [("dies_99",)], indirect=True)
def test_dask(dying, checkpoint, monkeypatch):
    """Two worker processes with their own memory limits: the same numbers; deaths as above."""
    distributed = pytest.importorskip("distributed", reason="needs dask[distributed]")
    import dask
    import joblib

    environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    told = {"distributed.scheduler.allowed-failures": 0, "distributed.nanny.environ": environment}
    # A machine at work may take its time to begin a process.
    told |= {"distributed.comm.timeouts.connect": "180s", "distributed.comm.timeouts.tcp": "180s"}
    with (
        dask.config.set(told),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, memory_limit="1GiB", dashboard_address=":0", silence_logs=50
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        frame = ww.scan(dying)
        monkeypatch.undo()
        many = ww.scan(checkpoint)
    assert (dying.parent / "dies_99.tries").read_text() == "xx"
    check_deaths(frame, ww.scan(dying))
    assert_same_table(many, ww.scan(checkpoint))


def test_the_next_large_tensor_is_read_ahead(tmp_path, monkeypatch):
    """Its bytes, or those of its slice, before the one that is computed; none of a small one."""
    large = torch.randn(1025, 1024)
    weights = {"a": large, "b": large.clone(), "experts": torch.randn(2, 1025, 1024), "tiny": large[:9].clone()}
    save_file({f"{name}.weight": tensor for name, tensor in weights.items()}, tmp_path / "model.safetensors")
    told = []

    def work(group, asked):
        told.extend(job.title for job in group)
        return [rows.given_up(job, "not asked") for job in group]

    monkeypatch.setattr(Handle, "foresee", lambda handle, offset, size: told.append(size))
    list(dispatch.finished(jobs.jobs_of(tmp_path / "model.safetensors"), rows.Asked(), work=work))
    size = large.nbytes
    assert told == [size, "a", size, "b", size, "experts [0]", "experts [1]", "tiny"]


def started(ray) -> None:
    """A cluster on this machine; Ray gives its own processes half a minute to begin, in which others may be at work."""
    for left in (2, 1, 0):
        try:
            ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
        except Exception as error:
            ray.shutdown()
            if not left or "timed out" not in str(error):
                raise
        else:
            return


@pytest.fixture
def ray_cluster(monkeypatch):
    """Two Ray workers on this machine, which are joblib's while the test runs."""
    # No statistics are sent to anyone; workers find the package where this process does.
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    ray = pytest.importorskip("ray", reason="needs ray")
    import joblib
    from ray.util.joblib import register_ray

    started(ray)
    register_ray()
    with joblib.parallel_config(backend="ray"):
        yield ray
    ray.shutdown()


@pytest.mark.parametrize("dying", [("dies_99",)], indirect=True)
def test_ray(ray_cluster, dying, tmp_path, monkeypatch):
    """Deaths as above, resumed by another call; the same numbers; what is under way when a pool closes ends."""
    from spec_tests.product import dying_work

    out = tmp_path / "layers.csv"
    frame = ww.scan(dying, out)
    assert (dying.parent / "dies_99.tries").read_text() == "xx"
    monkeypatch.setattr(streaming, "finished", dispatch.finished)
    resumed = ww.scan(dying, out)
    pool = pools.RayPool()
    assert pool.size() == 2
    begun = pool.submit(dying_work.sleep, 600)
    pool.close()
    with pytest.raises(ray_cluster.exceptions.RayError):
        ray_cluster.get(begun, timeout=60)
    reference = ww.scan(dying)
    check_deaths(frame, reference)
    assert_same_table(resumed, reference)


def test_other_backends_are_refused(checkpoint):
    import joblib

    with (
        joblib.parallel_config(backend="threading", n_jobs=2),
        pytest.raises(ww.InvalidInput, match="accepted are loky, dask and ray"),
    ):
        ww.scan(checkpoint)


# Command line.


def test_command_line(checkpoint, tmp_path, capsys):
    out = tmp_path / "layers.csv"
    assert main(["scan", str(checkpoint), "--out", str(out), "--layers", "fc*", "conv2d"]) == 0
    said = capsys.readouterr().out
    assert "fc10" in said
    assert str(out) in said
    frame = pd.read_csv(out)
    assert sorted(frame.loc[frame["status"] == "analyzed", "longname"]) == ["conv", "fc10", "fc2"]
    shard_files = [str(tmp_path / f"{i}.sqlite") for i in range(2)]
    for i, file in enumerate(shard_files):
        assert main(["scan", str(checkpoint), "--out", file, "--shard", f"{i}/2", "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["merge", *shard_files, "--out", str(tmp_path / "all.csv")]) == 0
    assert_same_table(pd.read_csv(tmp_path / "all.csv"), pd.read_csv(_written_whole(checkpoint, tmp_path)))
    assert main(["scan", str(checkpoint), "--out", shard_files[0], "--quiet"]) == 2
    assert "another checkpoint or other options" in capsys.readouterr().err
    assert main(["scan", str(checkpoint), "--out", shard_files[0], "--no-resume", "--quiet"]) == 0
    for wrong in (["--shard", "2"], ["--shard", "a/b"]):
        with pytest.raises(SystemExit):
            main(["scan", str(checkpoint), "--out", str(out), *wrong])
        assert "is not of the form I/N" in capsys.readouterr().err


def _written_whole(checkpoint: Path, tmp_path: Path) -> Path:
    ww.scan(checkpoint, tmp_path / "whole.csv")
    return tmp_path / "whole.csv"


@pytest.mark.parametrize("command", ["scan", "merge"])
def test_help_has_an_example(capsys, command):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert f"setol-ww {command} " in capsys.readouterr().out.split("example")[1]


def test_progress_has_an_estimate_before_the_first_layer(checkpoint, capsys):
    ww.scan(checkpoint, progress=True)
    shown = capsys.readouterr().err.replace("\r", "\n").split("\n")
    first = next(line for line in shown if "layers, about" in line)
    assert "0 of " in first
    assert "about ? left" not in first
    ww.scan(checkpoint)
    assert capsys.readouterr().err == ""


def test_time_of_each_layer(checkpoint, tmp_path):
    started = time.perf_counter()
    out = tmp_path / "times.setol"
    frame = ww.scan(checkpoint, out)
    spent = time.perf_counter() - started
    seconds = np.array(ww.open_results(out).seconds)
    assert len(seconds) == len(frame)
    assert (seconds[frame["status"] == "analyzed"] > 0).all()
    assert seconds.sum() <= spent


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "0 s"),
        (99.4, "99 s"),
        (100, "2 min"),
        (99.4 * 60, "99 min"),
        (100 * 60, "1 h 40 min"),
        (47.4 * 3600, "47 h 24 min"),
        (48 * 3600, "2 d 0 h"),
        (2401 * 3600, "100 d 1 h"),
        (math.inf, "?"),
    ],
)
def test_a_duration_in_words_at_its_limits(seconds, said):
    assert in_words(seconds) == said
