"""Train MLP3 (784-300-100-10) on MNIST by the recipe of the SETOL paper.

Claim      The nets whose FC1 alpha, read by WeightWatcher, runs from 3.6 (batch 32, learning rate 0.01)
           to 1.9 (learning rate 0.32): the material of section 6 of arXiv 2507.17912.
Command    python scripts/mlp3.py --lr-scale 1 16 32 --batch-size 32 --seeds 0 --cache DIR
           python scripts/mlp3.py --quick
Run time   about 1.5 s an epoch and 30 to 120 epochs a net on one core at batch size 32; --quick some seconds.

Recipe: ReLU, Xavier-normal weights, biases from 0, pixels in [0, 1], plain SGD on the mean cross-entropy of
a batch, base rate 0.01, 10 % of the training images held out; training stops once the epoch's mean
training loss has not fallen by more than 1e-4 for 3 epochs.

Every net is one file `mlp3_lr{scale}_bs{batch}_seed{seed}.npz` in the cache folder (weights, biases, errors,
epochs); a net that is there already is not trained again.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

logger = logging.getLogger("mlp3")

SIZES = (784, 300, 100, 10)
BASE_RATE = 0.01
HELD_OUT = 0.1
MIN_DROP = 1e-4
PATIENCE = 3
MAX_EPOCHS = 500


@dataclass(frozen=True)
class Mnist:
    """Pixels in [0, 1] as float32 rows of 784, labels as int64."""

    x: torch.Tensor
    y: torch.Tensor
    x_test: torch.Tensor
    y_test: torch.Tensor


def data_folder() -> Path:
    """`SETOL_DATA`, else the `shared/data` beside the checkout."""
    named = os.environ.get("SETOL_DATA")
    return Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"


def read_idx(path: Path) -> np.ndarray:
    """One gzipped IDX file of unsigned bytes."""
    raw = gzip.decompress(path.read_bytes())
    ndim = raw[3]
    shape = np.frombuffer(raw, ">i4", count=ndim, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * ndim).reshape(shape)


def load_mnist(folder: Path) -> Mnist:
    """MNIST from the four gzipped IDX files in `folder`."""

    def images(name: str) -> torch.Tensor:
        pixels = read_idx(folder / f"{name}-images-idx3-ubyte.gz")
        return torch.from_numpy(pixels.reshape(len(pixels), -1).astype(np.float32) / 255)

    def labels(name: str) -> torch.Tensor:
        return torch.from_numpy(read_idx(folder / f"{name}-labels-idx1-ubyte.gz").astype(np.int64))

    return Mnist(images("train"), labels("train"), images("t10k"), labels("t10k"))


def initial_net(rng: torch.Generator) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Xavier-normal weights (out x in) and zero biases."""
    return [
        (torch.randn(n_out, n_in, generator=rng) * (2 / (n_in + n_out)) ** 0.5, torch.zeros(n_out))
        for n_in, n_out in itertools.pairwise(SIZES)
    ]


def forward(net, x):
    """Activations of every layer, the logits last."""
    activations = [x]
    for depth, (weight, bias) in enumerate(net):
        x = torch.addmm(bias, x, weight.T)
        if depth < len(net) - 1:
            x = x.clamp_min(0)
        activations.append(x)
    return activations


def sgd_step(net, x, y, rate: float) -> float:
    """One step of plain SGD on the mean cross-entropy, by hand: at these sizes autograd costs more than the sums."""
    activations = forward(net, x)
    log_p = torch.log_softmax(activations[-1], dim=1)
    loss = -log_p[torch.arange(len(y)), y].mean()
    delta = log_p.exp()
    delta[torch.arange(len(y)), y] -= 1
    delta /= len(y)
    for depth in reversed(range(len(net))):
        weight, bias = net[depth]
        inner = (delta @ weight) * (activations[depth] > 0) if depth else None
        weight.addmm_(delta.T, activations[depth], alpha=-rate)
        bias.sub_(delta.sum(0), alpha=rate)
        delta = inner
    return float(loss)


def error_rate(net, x, y) -> float:
    """Share of wrong labels."""
    return float((forward(net, x)[-1].argmax(1) != y).float().mean())


def train(data: Mnist, *, lr_scale: float, batch_size: int, seed: int, max_epochs: int = MAX_EPOCHS):
    """One net trained to the stopping rule; returns `(net, history)`."""
    rng = torch.Generator().manual_seed(seed)
    net = initial_net(rng)
    order = torch.randperm(len(data.x), generator=rng)
    kept = order[int(HELD_OUT * len(order)) :]
    held_out = order[: int(HELD_OUT * len(order))]
    best, waited, history = float("inf"), 0, []
    for epoch in range(1, max_epochs + 1):
        started = time.perf_counter()
        shuffled = kept[torch.randperm(len(kept), generator=rng)]
        losses = [
            sgd_step(net, data.x[batch], data.y[batch], BASE_RATE * lr_scale) for batch in shuffled.split(batch_size)
        ]
        loss = float(np.mean(losses))
        history.append(
            {
                "epoch": epoch,
                "train_loss": loss,
                "train_error": error_rate(net, data.x[kept], data.y[kept]),
                "held_out_error": error_rate(net, data.x[held_out], data.y[held_out]),
                "test_error": error_rate(net, data.x_test, data.y_test),
            }
        )
        logger.info(
            "epoch %3d loss %.5f test error %.4f %.1f s",
            epoch,
            loss,
            history[-1]["test_error"],
            time.perf_counter() - started,
        )
        waited = 0 if best - loss > MIN_DROP else waited + 1
        best = min(best, loss)
        if waited >= PATIENCE:
            break
    return net, history


def save_net(path: Path, net, history, recipe: dict) -> None:
    """Weights as `fc1.weight` ..., metrics of the last epoch and the recipe as one JSON string."""
    arrays = {}
    for depth, (weight, bias) in enumerate(net, start=1):
        arrays[f"fc{depth}.weight"], arrays[f"fc{depth}.bias"] = weight.numpy(), bias.numpy()
    meta = {**recipe, "epochs": len(history), **history[-1], "torch": torch.__version__}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(partial, meta=np.array(json.dumps(meta)), **arrays)
    partial.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lr-scale", type=float, nargs="+", default=[1.0], help="multiples of the rate 0.01")
    parser.add_argument("--batch-size", type=int, nargs="+", default=[32])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "setol_ww" / "mlp3")
    parser.add_argument("--quick", action="store_true", help="two epochs on 6000 images, to see that it runs")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    data = load_mnist(data_folder() / "mnist")
    if args.quick:
        data = Mnist(data.x[:6000], data.y[:6000], data.x_test, data.y_test)
    for lr_scale in args.lr_scale:
        for batch_size in args.batch_size:
            for seed in args.seeds:
                name = f"mlp3_lr{lr_scale:g}_bs{batch_size}_seed{seed}{'_quick' if args.quick else ''}.npz"
                if (args.cache / name).exists():
                    logger.info("%s is there", name)
                    continue
                logger.info("training %s", name)
                net, history = train(
                    data,
                    lr_scale=lr_scale,
                    batch_size=batch_size,
                    seed=seed,
                    max_epochs=2 if args.quick else MAX_EPOCHS,
                )
                recipe = {"lr_scale": lr_scale, "batch_size": batch_size, "seed": seed}
                save_net(args.cache / name, net, history, recipe)


if __name__ == "__main__":
    main()
