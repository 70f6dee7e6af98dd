"""The committed figures: each has its script, its numbers and its picture, and follows from the code as it stands."""

from __future__ import annotations

import gzip
import os
import re
import struct
import subprocess
import sys
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

import setol_ww as ww
from spec_tests.conftest import ROOT
from spec_tests.kept_scripts import load_script

FIGURES = ROOT / "docs" / "figures"
SCRIPTS = sorted(path.stem for path in (ROOT / "scripts").glob("*.py") if "\nPLOTS = {" in path.read_text("utf-8"))
SHAPES = {"FC1": (300, 784), "FC2": (100, 300)}
READ = ("alpha", "alpha_sigma", "delta_lambda_min", "pl_lambda_min", "erg_lambda_min", "pl_rank", "erg_rank")


def ours() -> dict[str, ModuleType]:
    """The scripts that keep their figures in `PLOTS`, by figure."""
    modules = [load_script(name) for name in SCRIPTS]
    return {stem: module for module in modules for stem in module.PLOTS}


PLOTTED = ours()


def test_the_figures_of_section_6_are_all_there():
    asked = {f"figure{number}" for number in (14, 15, 16, 17, 18, 19, 20, 21, 26, 27, 28)}
    assert asked | {"figure3b", "figure12b", "figure22_23"} <= set(PLOTTED)


@pytest.mark.parametrize("picture", sorted(path.stem for path in FIGURES.glob("*.png")))
def test_every_picture_has_its_numbers_and_a_script(picture):
    assert list(FIGURES.glob(f"{picture}*.csv"))
    assert (FIGURES / f"{picture}.png").stat().st_size > 5000
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "scripts").glob("*.py")]
    assert picture in PLOTTED or any(f"{picture}.png" in text for text in texts)


@pytest.mark.parametrize("stem", sorted(stem for stem in PLOTTED if stem.startswith("figure")))
def test_the_page_tells_the_verdict_of_the_committed_numbers(stem):
    cache = load_script("mlp3_cache")
    claims = PLOTTED[stem].PLOTS[stem].claims(cache.read_csv(stem))
    page = (ROOT / "scripts" / "README.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\|[^|]*\| Figs?\. {stem.removeprefix('figure').replace('_', ', ')}:.*$", page, flags=re.M)
    held = sum(claim.holds for claim in claims)
    assert f"**{cache.verdict(claims)}** ({held} of {len(claims)} claims)" in row


def test_the_two_knobs_follow_from_the_eigenvalues_and_the_page_tells_their_verdict():
    """Of the nets with all layers trained, whose eigenvalues are kept here."""
    cache, spectra = load_script("mlp3_cache"), final_spectra()
    frame = cache.read_csv("one_knob")
    named = {(row.train, cache.net_name(row.knob, row.value, row.seed)) for row in frame.itertuples(index=False)}
    for setting in frame[frame["train"] == "all"].itertuples(index=False):
        net = spectra[cache.net_name(setting.knob, setting.value, setting.seed)]
        for layer in SHAPES:
            alpha = cache.reading(net[layer])["alpha"]
            assert getattr(setting, f"alpha_{layer}") == pytest.approx(alpha, rel=1e-8)
    claims = PLOTTED["one_knob"].PLOTS["one_knob"].claims(frame)
    (row,) = re.findall(r"^\| `one_knob.py` .*$", (ROOT / "scripts" / "README.md").read_text("utf-8"), flags=re.M)
    assert f"**{cache.verdict(claims)}** ({sum(c.holds for c in claims)} of {len(claims)} claims)" in row
    assert f"all {len(named)} nets" in row


def test_the_findings_point_to_numbers_that_are_there():
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / "docs" / "findings.md").read_text(encoding="utf-8"))
    assert len([link for link in links if link.endswith(".csv")]) > 10
    assert not [link for link in links if not (ROOT / "docs" / link).exists()]


def final_spectra() -> dict[str, dict[str, ww.Spectrum]]:
    """Spectra by net and layer from the committed eigenvalues."""
    with np.load(ROOT / "fixtures" / "mlp3_final_spectra.npz") as kept:
        names, raw = kept["name"].tolist(), {"FC1": kept["fc1"], "FC2": kept["fc2"]}
    eps = float(np.finfo(np.float32).eps)
    return {
        name: {layer: ww.Spectrum.from_eigenvalues(raw[layer][row], shape, eps=eps) for layer, shape in SHAPES.items()}
        for row, name in enumerate(names)
    }


def net_names(frame: pd.DataFrame) -> list[str]:
    """File names of the nets of a table by its `knob, value, seed`."""
    cache = load_script("mlp3_cache")
    return [cache.net_name(*row) for row in frame[["knob", "value", "seed"]].itertuples(index=False)]


def test_the_readings_of_figure_21_follow_from_the_eigenvalues():
    cache = load_script("mlp3_cache")
    frame, spectra = cache.read_csv("figure21"), final_spectra()
    again = [cache.reading(spectra[name][layer]) for name, layer in zip(net_names(frame), frame["layer"], strict=True)]
    assert len(again) >= 2 * 36
    for column in READ:
        np.testing.assert_allclose(frame[column], [row[column] for row in again], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("stem", ["figure15", "figure16"])
def test_the_alphas_of_figures_15_and_16_follow_from_the_eigenvalues(stem):
    cache = load_script("mlp3_cache")
    frame, spectra = cache.read_csv(stem), final_spectra()
    for layer in SHAPES:
        again = [cache.reading(spectra[name][layer])["alpha"] for name in net_names(frame)]
        np.testing.assert_allclose(frame[f"alpha_{layer}"], again, rtol=1e-8)


def test_figure_24_follows_from_the_eigenvalues():
    """Every reading of the quality of all 70 layers, five seeds at seven batch sizes."""
    cache, figure = load_script("mlp3_cache"), load_script("figure24")
    frame, spectra = cache.read_csv("figure24"), final_spectra()
    assert len(frame) == 70
    rows = frame[["batch_size", "seed", "layer"]].itertuples(index=False)
    again = [
        figure.readings(layer, spectra[cache.net_name("batch_size", size, seed)][layer]) for size, seed, layer in rows
    ]
    for column in again[0]:
        if column != "layer":
            np.testing.assert_allclose(
                frame[column].astype(float), [float(row[column]) for row in again], rtol=1e-8, atol=1e-8, err_msg=column
            )


def test_a_verdict_is_what_the_claims_make_it():
    cache = load_script("mlp3_cache")
    yes, no = cache.Claim("a", True), cache.Claim("b", False)
    assert [cache.verdict(claims) for claims in ([yes, yes], [yes, no], [no])] == ["reproduced", "partly", "not"]


def test_bins_and_trajectories_are_of_the_net(tmp_path):
    cache = load_script("mlp3_cache")
    frame = pd.DataFrame({"epoch": [5, 6, 7], "alpha": [2.01, 2.04, 2.06], "train_error": [3.0, 1.0, 0.5]})
    got = cache.binned(frame.assign(test_error=0.0), 0.05)
    assert got["alpha"].tolist() == pytest.approx([2.025, 2.075])
    assert (got["train_error"].tolist(), got["epochs"].tolist(), got["last_epoch"].tolist()) == (
        [2, 0.5],
        [2, 1],
        [6, 7],
    )


def test_the_bent_line_finds_a_planted_knee():
    alpha = np.linspace(1.6, 3.4, 73)
    error = 0.02 + 0.01 * alpha + 0.03 * np.maximum(alpha - 2.2, 0)
    knee, below, above, left = load_script("figure27").bent_line(alpha, error)
    assert (knee, below, above) == pytest.approx((2.2, 0.01, 0.04), abs=0.01)
    assert left < 1e-6


def write_idx(path, array: np.ndarray) -> None:
    """One gzipped IDX file of unsigned bytes, as MNIST comes."""
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}i", *array.shape)
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


def test_the_quick_run_trains_a_net_that_the_figures_read(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "mnist").mkdir()
    for part, n in (("train", 600), ("t10k", 100)):
        labels = rng.integers(0, 10, n)
        images = rng.integers(0, 60, (n, 28, 28)) * (rng.random((n, 28, 28)) < 0.2)
        images[np.arange(n), labels] = 255
        write_idx(tmp_path / "mnist" / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / "mnist" / f"{part}-labels-idx1-ubyte.gz", labels)
    command = [sys.executable, str(ROOT / "scripts" / "mlp3.py"), "--quick", "--cache", str(tmp_path / "nets")]
    command += ["--lr-scale", "16", "--batch-size", "8"]
    env = {**os.environ, "SETOL_DATA": str(tmp_path)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert "mlp3_lr16_bs8_seed0: 2 epochs" in done.stderr
    net = load_script("mlp3_cache").read_net(tmp_path / "nets" / "quick" / "mlp3_lr16_bs8_seed0.npz")
    assert net.meta["data"] == "first 6000 of MNIST"
    assert (net.meta["epochs"], net.meta["lr_scale"], net.meta["batch_size"]) == (2, 16, 8)
    errors = net.history["held_out_error"]
    assert errors[-1] < 0.5, "a row of white pixels says the label: two epochs are enough to see it"
    trajectory = load_script("mlp3_cache").trajectory(net, "FC1", first=2)
    assert trajectory["epoch"].tolist() == [2]
    assert trajectory["alpha"].item() == ww.fit_tail(net.spectrum("FC1")).alpha


def test_without_mnist_the_digits_of_scikit_learn_are_used_and_said_so(tmp_path, monkeypatch, caplog):
    sklearn_datasets = pytest.importorskip("sklearn.datasets")
    mlp3 = load_script("mlp3")

    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setenv("SETOL_DATA", str(tmp_path))
    monkeypatch.setattr(sklearn_datasets, "fetch_openml", offline)
    with caplog.at_level("WARNING"):
        data = mlp3.load_data()
    assert "not MNIST" in data.source
    assert "an illustration only" in caplog.text
    assert data.x.shape == (1500, 64)
    assert data.x.max() == 1


def test_one_shuffle_has_the_laws_of_weightwatchers_two():
    """No column differs beyond chance over the family of tests, and the first draws are those of the code as it is."""
    script = load_script("one_shuffle")
    table = pd.read_csv(script.OUT)
    assert len(table) == len(script.SHAPES) * len(script.COLUMNS)
    assert (table["draws"] == 200).all()
    assert table["p"].min() > script.LEVEL / len(table)
    for shape in script.SHAPES[:2]:
        rows = table[table["shape"] == " x ".join(map(str, shape))].set_index("column")
        for engine in ("fast", "reference"):
            now = script.draws(shape, engine, range(1)).iloc[0]
            np.testing.assert_allclose(rows.loc[now.index, f"first_{engine}"], now.astype(float), rtol=1e-5)
