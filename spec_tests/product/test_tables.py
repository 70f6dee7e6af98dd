"""Chapter 10: the published tables, our register of columns, the command line and the demonstration."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import setol_ww as ww
from fixtures.ensembles import gaussian_matrix, matrix_with_eigenvalues, pareto_eigenvalues
from setol_ww.cli.demo import RATES, demo_nets, demo_table, demo_text
from setol_ww.cli.main import main
from setol_ww.layer import columns as table
from spec_tests.kept_scripts import load_script


@pytest.mark.parametrize(("name", "rows"), [("falcon-7b", 128), ("llama-13b", 282)])
def test_published_tables(data, name, rows):
    """The paper's own layers: their delta is Eq. 164 in unit-mean scale, and F1 fixes its sign from alpha and xmin."""
    published = pd.read_csv(data / "setol_tables" / f"{name}.csv")
    assert len(published) == rows
    mean = published["norm"] / published["num_evals"]
    delta = (published["xmin"] - published["detX_val"]) / mean
    np.testing.assert_allclose(delta, published["detX_delta"], atol=1e-5)
    np.testing.assert_allclose(published["sigma"], (published["alpha"] - 1) / np.sqrt(published["num_pl_spikes"]))
    erg_metric = 1 / (published["alpha"] - 1) + np.log(published["xmin"] / mean)
    assert (np.sign(erg_metric) == np.sign(published["detX_num"] - published["num_pl_spikes"])).all()
    assert (np.sign(erg_metric) == np.sign(delta)).all()
    assert (np.sign(published["alpha"] - 2) == np.sign(delta)).all()


@pytest.mark.parametrize("seed", range(3))
def test_a_row_follows_the_definitions(seed):
    raw = pareto_eigenvalues(120, 1.9, seed)
    frame = ww.analyze(matrix_with_eigenvalues(raw, 200, seed))
    row = frame.iloc[0]
    x = np.sort(raw)[::-1] / raw.mean()
    k, n = int(row["erg_rank"]), int(row["tail_rank"])
    assert row["erg_lambda_min"] == pytest.approx(x[k - 1], rel=1e-6)
    assert row["pl_lambda_min"] == pytest.approx(x[n - 1], rel=1e-6)
    assert row["delta_lambda_min"] == pytest.approx(x[n - 1] - x[k - 1], abs=1e-6)
    assert row["erg_rank_gap"] == k - n
    assert row["erg_fraction"] == pytest.approx(k / 120)
    assert row["erg_log_det"] == pytest.approx(np.log(x[:k]).sum(), abs=1e-4)
    assert row["erg_metric"] == pytest.approx(np.log(x[:n]).mean(), abs=1e-5)
    assert row["alpha_erg"] == pytest.approx(1 + k / np.log(x[:k] / x[k - 1]).sum(), rel=1e-5)
    assert row["tail_alpha"] == pytest.approx(row["alpha"], rel=1e-9)
    assert row["erg_lambda_min_raw"] == pytest.approx(np.sort(raw)[-k], rel=1e-6)
    assert row["detX_num_error"] == row["detX_num"] - row["detX_num_exact"] == 0


def test_weightwatchers_error_is_in_the_table():
    """3000 Gaussian eigenvalues: weightwatcher's product loses its exponent, and the table says by how much."""
    frame = ww.analyze(torch.from_numpy(gaussian_matrix(3000, 3000, seed=0)).float())
    row = frame.iloc[0]
    assert row["detX_num_error"] == row["detX_num"] - row["detX_num_exact"]
    assert abs(row["detX_num_error"]) >= 3
    assert abs(row["detX_num_exact"] - row["erg_rank"]) <= 1
    assert row["erg_fraction"] == pytest.approx(0.7311, abs=0.002)


def test_wide_bfloat16_layer():
    """The widest layer of a 7B model. Peak memory beyond the weights: scripts/bench/memory.py."""
    weight = torch.randn(4096, 11008, generator=torch.Generator().manual_seed(0)).mul_(0.02).bfloat16()
    layer = nn.Linear(1, 1, bias=False)
    layer.weight = nn.Parameter(weight)
    row = ww.analyze(layer).iloc[0]
    assert (row["N"], row["M"], row["num_evals"]) == (11008, 4096, 4096)
    assert row["erg_status"] == "ok"
    q = 4096 / 11008
    assert row["lambda_max"] == pytest.approx(11008 * 0.02**2 * (1 + math.sqrt(q)) ** 2, rel=0.01)
    assert abs(row["erg_log_det"]) < 1
    assert layer.weight.dtype is torch.bfloat16


def test_register_of_columns():
    frame = ww.analyze(nn.Linear(40, 30))
    names = table.names()
    assert [name for name in frame if name in names] == names == list(frame)[-len(names) :]
    assert len(set(names)) == len(names)
    only_tail = ww.analyze(nn.Linear(40, 30), detX=False)
    assert not {"erg_rank", "setol_state", "detX_num"} & set(only_tail)
    assert {"tail_alpha", "tail_outcome"} <= set(only_tail)


def test_command_line_analyses_a_file(tmp_path, capsys):
    torch.save(nn.Sequential(nn.Linear(60, 40), nn.Linear(40, 30)).state_dict(), tmp_path / "net.pt")
    for ending, read in (
        (".csv", pd.read_csv),
        (".json", pd.read_json),
        (".parquet", pd.read_parquet),
        (".html", None),
    ):
        out = tmp_path / f"table{ending}"
        assert main(["analyze", str(tmp_path / "net.pt"), "--out", str(out), "--randomize", "--reasons"]) == 0
        printed = capsys.readouterr().out
        assert "2 of 2 weight tensors analysed (100.0 % of their parameters)" in printed
        assert max(len(line) for line in printed.splitlines() if str(out) not in line) <= 100
        assert "alpha = " in printed
        if read is None:
            assert out.read_text().count("<tr") == 3
            continue
        assert {"erg_rank", "setol_reason", "num_traps"} <= set(read(out))
        assert len(read(out)) == 2


def test_small_numbers_survive_in_every_file(tmp_path, capsys):
    torch.save({"fc.weight": torch.randn(60, 40) * 1e-7}, tmp_path / "small.pt")
    truth = ww.analyze(tmp_path / "small.pt").iloc[0]
    for ending, read in ((".csv", pd.read_csv), (".json", pd.read_json), (".parquet", pd.read_parquet)):
        main(["analyze", str(tmp_path / "small.pt"), "--out", str(tmp_path / f"t{ending}")])
        row = read(tmp_path / f"t{ending}").iloc[0]
        assert row["erg_lambda_min_raw"] == pytest.approx(truth["erg_lambda_min_raw"], rel=1e-12)
    main(["analyze", str(tmp_path / "small.pt"), "--out", str(tmp_path / "t.html")])
    assert repr(float(truth["erg_lambda_min_raw"])) in (tmp_path / "t.html").read_text()


def test_a_terminal_without_plus_minus(tmp_path):
    torch.save({"fc.weight": torch.randn(60, 40)}, tmp_path / "net.pt")
    command = [Path(sys.executable).with_name("setol-ww"), "analyze", tmp_path / "net.pt", "--out", tmp_path / "t.csv"]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}, check=True)
    assert b"+-" in done.stdout
    assert (tmp_path / "t.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["analyze", "nowhere.pt"], "there is no such file"),
        (["analyze", "net.pt", "--out", "table.xlsx"], "accepted endings are .csv, .json, .html, .parquet"),
        (["analyze", "net.pt", "--out", "no/such/folder/table.csv"], "cannot be written"),
    ],
)
def test_command_line_says_what_was_wrong(tmp_path, capsys, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    torch.save({"fc.weight": torch.randn(30, 20)}, "net.pt")
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["analyze"], ["demo"]])
def test_help_has_an_example(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    assert "example" in said or not command


def test_command_is_installed():
    command = Path(sys.executable).with_name("setol-ww")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"setol-ww {ww.__version__}\n"


def test_demo_reads_as_the_readme_says(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(demo_text(*demo_table()) + "\n\n")
    assert max(map(len, printed.splitlines())) <= 100
    for headline in (
        "Nearest to ideal: fc1 @ x32.",
        "Nearest to under-trained: fc1 @ x1.",
        "Nearest to over-regularized: fc1 @ x32.",
    ):
        assert headline in printed
    assert printed.endswith("\n  setol-ww report model.safetensors --out report.html\n")
    folder = tmp_path / "setol-ww-demo"
    assert list(tmp_path.iterdir()) == [folder]
    assert sorted(file.name for file in folder.iterdir()) == ["nets.png", "nets.setol", "report.html"]
    assert all(f"setol-ww-demo/{file.name}" in printed for file in folder.iterdir())
    assert (folder / "nets.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "report.html").read_text(encoding="utf-8").lower().startswith("<!doctype html>")
    assert ww.open_results(folder / "nets.setol").layers[0] == ("fc1 @ x1", "")


def test_demo_goes_where_it_is_told_and_again(capsys, tmp_path):
    folder = tmp_path / "a" / "b"
    for _ in range(2):
        assert main(["demo", "--out", str(folder), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert [row["longname"] for row in told["rows"]][:2] == ["fc1 @ x1", "fc2 @ x1"]
        assert all(Path(path).is_file() for path in told["files"].values())
    (tmp_path / "file").touch()
    assert main(["demo", "--out", str(tmp_path / "file")]) == 2
    assert "it cannot be made" in capsys.readouterr().err


def test_demo_nets_are_the_recipes(data):
    """The nets' own records, and their alphas beside the paper's: FC1 3.63, 2.47, 1.96 within .15 (one seed)."""
    frame, records = demo_table()
    alphas = frame.set_index("longname")["alpha"]
    for rate, paper in zip(RATES, (3.631, 2.469, 1.959)):
        assert alphas[f"fc1 @ x{rate}"] == pytest.approx(paper, abs=0.15)
        assert records[rate]["lr_scale"] == rate
        assert records[rate]["batch_size"] == 32
    mnist = load_script("mlp3").load_idx(data / "mnist")
    images, labels = mnist.x_test, mnist.y_test
    for rate, (weights, record) in demo_nets().items():
        x = images
        for depth in (1, 2, 3):
            x = x @ weights[f"fc{depth}.weight"].T + weights[f"fc{depth}.bias"]
            x = np.maximum(x, 0) if depth < 3 else x
        # The training ran on another BLAS order: one image may fall on the other side.
        assert np.mean(x.argmax(1) != labels) == pytest.approx(record["test_error"], abs=1.5e-4), rate
