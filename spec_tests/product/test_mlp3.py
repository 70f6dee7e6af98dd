"""The trainer of `scripts/mlp3.py`: its compiled step is the textbook step, and its files say what they hold."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from spec_tests.conftest import ROOT
from spec_tests.kept_scripts import load_script

mlp3 = load_script("mlp3")


def synthetic(n: int = 96, pixels: int = 40, seed: int = 0) -> mlp3.Data:
    """Images of four fifths zeros and ten labels."""
    rng = np.random.default_rng(seed)
    x = (rng.random((n, pixels)) * (rng.random((n, pixels)) < 0.2)).astype(np.float32)
    y = rng.integers(0, 10, n)
    return mlp3.Data(x, y, x[:20], y[:20], "synthetic")


def autograd_epoch(net, data, order, batch: int, rate: float, moves) -> tuple[float, list[np.ndarray]]:
    """The same epoch by torch's autograd and SGD in float64."""
    params = [torch.tensor(array.astype(np.float64), requires_grad=True) for layer in net for array in layer]
    moving = [param for param, moved in zip(params, np.repeat(moves, 2), strict=True) if moved]
    optimiser = torch.optim.SGD(moving, lr=rate)
    x, y = torch.tensor(data.x, dtype=torch.float64), torch.tensor(data.y)
    losses = []
    for part in torch.tensor(order).split(batch):
        hidden = x[part]
        for depth in range(3):
            hidden = hidden @ params[2 * depth] + params[2 * depth + 1]
            hidden = torch.relu(hidden) if depth < 2 else hidden
        loss = torch.nn.functional.cross_entropy(hidden, y[part])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return float(np.mean(losses)), [param.detach().numpy() for param in params]


@pytest.mark.parametrize(("batch", "train"), [(1, "all"), (7, "all"), (32, "all"), (4, "fc1"), (4, "fc2")])
def test_the_compiled_epoch_is_that_of_autograd(batch, train):
    data = synthetic()
    net = mlp3.initial_net(torch.Generator().manual_seed(3), data.x.shape[1])
    start = [array.copy() for layer in net for array in layer]
    order = np.random.default_rng(1).permutation(len(data.x))
    moves = np.array(mlp3.TRAINED[train])
    loss, truth = autograd_epoch(net, data, order, batch, 0.05, moves)
    flat = [array for layer in net for array in layer]
    hidden = mlp3.activations(net[0], data.x) if train == "fc2" else np.empty((0, 300), np.float32)
    got, _ = mlp3.sgd_epoch(*mlp3.sparse_rows(data.x), hidden, data.y, order, batch, 0.05 * moves, np.zeros(3), *flat)
    assert got == pytest.approx(loss, rel=1e-5)
    for moved, before, array, want in zip(np.repeat(moves, 2), start, flat, truth, strict=True):
        np.testing.assert_allclose(array, want, atol=2e-5)
        assert np.array_equal(array, before) != moved


def test_a_net_comes_back_as_it_was_trained(tmp_path):
    data, recipe = synthetic(), mlp3.Recipe(4, 8, 2, "fc1")
    net, history, steps = mlp3.train(data, recipe, max_epochs=3)
    mlp3.save_net(tmp_path, recipe, net, history, steps, data.source)
    with np.load(tmp_path / "mlp3_fc1_lr4_bs8_seed2.npz") as kept:
        meta = json.loads(str(kept["meta"]))
        assert (meta["lr_scale"], meta["batch_size"], meta["seed"], meta["train"]) == (4, 8, 2, "fc1")
        assert kept["history.epoch"].tolist() == [1, 2, 3]
        assert np.array_equal(kept["fc1.weight"], net[0][0].T)
        last = np.linalg.svd(kept["fc2.weight"].astype(float), compute_uv=False)[::-1] ** 2
        np.testing.assert_allclose(kept["history.fc2_spectrum"][-1], last, rtol=1e-10, atol=1e-12)
        assert meta["test_error"] == mlp3.error_rate(net, data.x_test, data.y_test)
    with np.load(tmp_path / "mlp3_fc1_lr4_bs8_seed2.steps.npz") as kept:
        assert kept["epoch"].tolist() == [1, 2, 3]
        assert kept["fc1.weight"].shape == (3, 300, 40)
    assert not list(tmp_path.glob(".*"))


def test_the_grid_is_the_study_with_three_seeds_before_five():
    grid = mlp3.grid()
    assert len(grid) == len(set(grid)) == 12 * 3 * 5
    alone = [recipe for recipe in grid if recipe.train != "all"]
    assert {recipe.seed for recipe in alone[: len(alone) * 3 // 5]} == {0, 1, 2}


def test_the_command_runs_and_resumes(data, tmp_path):
    """Two epochs on a tenth of MNIST, taken from the cache the second time."""
    command = [sys.executable, str(ROOT / "scripts" / "mlp3.py"), "--quick", "--cache", str(tmp_path)]
    first = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "mlp3_lr1_bs32_seed0: 2 epochs" in first.stderr
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "is there" in again.stderr
    assert "epochs" not in again.stderr
    with np.load(tmp_path / "quick" / "mlp3_lr1_bs32_seed0.npz") as net:
        assert net["fc1.weight"].shape == (300, 784)
        assert json.loads(str(net["meta"]))["epochs"] == 2
