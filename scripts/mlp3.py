"""Train MLP3 (784-300-100-10) on MNIST by the recipe of the SETOL paper.

Claim      The nets whose FC1 alpha, read by WeightWatcher, runs from 3.6 (batch 32, learning rate 0.01)
           to 1.9 (batch 1, or learning rate 0.32): the material of section 6 of arXiv 2507.17912.
Command    python scripts/mlp3.py --grid                       the whole grid, resumable, see below
           python scripts/mlp3.py --lr-scale 1 16 32 --seeds 0 single nets
           python scripts/mlp3.py --quick                      two epochs on 6000 images, to see that it runs
Run time   on one core, at every batch size, .5 s an epoch (.2 s where FC2 alone moves), 17 to 500 epochs a net;
           the grid of 180 nets three to four hours. --quick some seconds.

Recipe: ReLU, Xavier-normal weights, biases from 0, pixels in [0, 1], plain SGD on the mean cross-entropy of
a batch, base rate 0.01, 10 % of the training images held out; training stops once the epoch's mean
training loss has not fallen by more than 1e-4 for 3 epochs. `--train fc1` moves the first layer alone.

The grid: batch sizes 1 to 64 at rate x1 and rates x1 to x32 at batch size 32, each with all layers trained, FC1 alone
and FC2 alone, five seeds; three seeds of a setting before five of any (but batch sizes with all layers, which Fig. 24
asks five seeds of, come first). At most 500 epochs, which FC2 alone reaches at the coldest settings.

Every net is two files in the cache folder: `NAME.npz` (last weights and biases, metrics and raw eigenvalues of FC1 and
FC2 of every epoch) and `NAME.steps.npz` (weights at epochs 1, 2, 3, 4, 6, 8, 11, 16, 23, ... and the training error
there). A net that is there already is not trained again; a killed run goes on with the net it was at.

Data: MNIST from `SETOL_DATA` or the `shared/data` beside the checkout (IDX files), else scikit-learn's `fetch_openml`,
else scikit-learn's bundled 8 x 8 digits: figures are then an illustration and say so.
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
from mlp3_kernel import epoch as sgd_epoch
from mlp3_kernel import sparse_rows

logger = logging.getLogger("mlp3")

HIDDEN = (300, 100, 10)
BASE_RATE = 0.01
HELD_OUT = 0.1
MIN_DROP = 1e-4
PATIENCE = 3
MAX_EPOCHS = 500

TRAINED = {"all": (True, True, True), "fc1": (True, False, False), "fc2": (False, True, False)}
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)
LR_SCALES = (1, 2, 4, 8, 16, 32)
CACHE = Path(os.environ.get("SETOL_CACHE", Path.home() / ".cache" / "setol_ww")) / "mlp3"


@dataclass(frozen=True)
class Data:
    """Pixels in [0, 1] as float32 rows, labels as int64; `source` says whose."""

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    source: str = "MNIST"


@dataclass(frozen=True)
class Recipe:
    """What is varied: the rate as a multiple of 0.01, the batch size, the seed, the layers trained."""

    lr_scale: float = 1
    batch_size: int = 32
    seed: int = 0
    train: str = "all"

    @property
    def name(self) -> str:
        """Name of its files."""
        alone = "" if self.train == "all" else f"_{self.train}"
        return f"mlp3{alone}_lr{self.lr_scale:g}_bs{self.batch_size}_seed{self.seed}"


def grid() -> list[Recipe]:
    """All nets of the study, in the order in which they are trained."""

    def batches(seeds, train="all"):
        return [Recipe(1, size, seed, train) for seed in seeds for size in BATCH_SIZES]

    def rates(seeds, train="all"):
        return [Recipe(rate, 32, seed, train) for seed in seeds for rate in LR_SCALES]

    ordered = batches(range(5))
    for seeds in (range(3), range(3, 5)):
        for train in TRAINED:
            ordered += rates(seeds, train) + batches(seeds, train)
    return list(dict.fromkeys(ordered))


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


def load_idx(folder: Path) -> Data:
    """MNIST from the four gzipped IDX files in `folder`."""

    def images(name: str) -> np.ndarray:
        pixels = read_idx(folder / f"{name}-images-idx3-ubyte.gz")
        return pixels.reshape(len(pixels), -1).astype(np.float32) / 255

    def labels(name: str) -> np.ndarray:
        return read_idx(folder / f"{name}-labels-idx1-ubyte.gz").astype(np.int64)

    return Data(images("train"), labels("train"), images("t10k"), labels("t10k"))


def load_data() -> Data:
    """MNIST from disk, else from OpenML, else scikit-learn's digits with a warning."""
    folder = data_folder() / "mnist"
    if folder.is_dir():
        return load_idx(folder)
    from sklearn.datasets import fetch_openml, load_digits

    try:
        x, y = fetch_openml("mnist_784", version=1, as_frame=False, return_X_y=True)
        x, y = (x / 255).astype(np.float32), y.astype(np.int64)
        return Data(x[:60000], y[:60000], x[60000:], y[60000:], "MNIST from OpenML")
    except OSError as error:
        logger.warning("no MNIST on disk, none from OpenML (%s): scikit-learn's digits, an illustration only", error)
    x, y = load_digits(return_X_y=True)
    x, y = (x / 16).astype(np.float32), y.astype(np.int64)
    return Data(x[:1500], y[:1500], x[1500:], y[1500:], "scikit-learn's 8 x 8 digits, not MNIST")


def initial_net(rng: torch.Generator, pixels: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Xavier-normal weights (inputs x outputs) and zero biases."""
    return [
        (
            np.ascontiguousarray((torch.randn(n_out, n_in, generator=rng) * (2 / (n_in + n_out)) ** 0.5).numpy().T),
            np.zeros(n_out, np.float32),
        )
        for n_in, n_out in itertools.pairwise((pixels, *HIDDEN))
    ]


def error_rate(net, x: np.ndarray, y: np.ndarray) -> float:
    """Share of wrong labels."""
    *hidden, (weight, bias) = net
    for layer in hidden:
        x = activations(layer, x)
    return float(np.mean((x @ weight + bias).argmax(1) != y))


def activations(layer, x: np.ndarray) -> np.ndarray:
    """What a hidden layer hands on."""
    weight, bias = layer
    x = x @ weight + bias
    return np.maximum(x, 0, out=x)


def spectrum(weight: np.ndarray) -> np.ndarray:
    """Raw eigenvalues of W^T W, ascending, float64."""
    return np.linalg.svd(weight.astype(np.float64), compute_uv=False)[::-1] ** 2


def is_step(number: int) -> bool:
    """True at epochs 1, 2, 3, 4, 6, 8, 11, 16, 23, 32, ...: two of them to a doubling."""
    return number in {round(2 ** (half / 2)) for half in range(20)}


def train(data: Data, recipe: Recipe, max_epochs: int = MAX_EPOCHS):
    """One net trained to the stopping rule; returns `(net, history, steps)`."""
    rng = torch.Generator().manual_seed(recipe.seed)
    net = initial_net(rng, data.x.shape[1])
    flat = [array for layer in net for array in layer]
    order = torch.randperm(len(data.x), generator=rng).numpy()
    held_out, kept = np.split(order, [int(HELD_OUT * len(order))])
    rows = sparse_rows(data.x)
    rates = BASE_RATE * recipe.lr_scale * np.array(TRAINED[recipe.train], dtype=float)
    # A first layer that does not move is applied once, and its spectrum is taken once.
    frozen = rates[0] == 0
    seen, x, x_test = net, data.x, data.x_test
    hidden = np.empty((0, HIDDEN[0]), np.float32)
    if frozen:
        seen, x, x_test = net[1:], activations(net[0], data.x), activations(net[0], data.x_test)
        hidden, fc1_spectrum = x, spectrum(net[0][0])
    step = (*rows, hidden, data.y)
    best, waited = float("inf"), 0
    history: list[dict] = []
    steps: list[dict] = []
    for number in range(1, max_epochs + 1):
        started = time.perf_counter()
        shuffled = kept[torch.randperm(len(kept), generator=rng).numpy()]
        loss, running = sgd_epoch(*step, shuffled, recipe.batch_size, rates, np.zeros(3), *flat)
        waited = 0 if best - loss > MIN_DROP else waited + 1
        best = min(best, loss)
        last = waited >= PATIENCE or number == max_epochs or not np.isfinite(loss)
        history.append(
            {
                "epoch": number,
                "train_loss": loss,
                "running_error": running,
                "held_out_error": error_rate(seen, x[held_out], data.y[held_out]),
                "test_error": error_rate(seen, x_test, data.y_test),
                "fc1_spectrum": fc1_spectrum if frozen else spectrum(net[0][0]),
                "fc2_spectrum": spectrum(net[1][0]),
            }
        )
        if is_step(number) or last:
            steps.append({"epoch": number, "train_error": error_rate(seen, x[kept], data.y[kept]), **named(net)})
        logger.debug(
            "epoch %3d loss %.5f test error %.4f %.2f s",
            number,
            loss,
            history[-1]["test_error"],
            time.perf_counter() - started,
        )
        if last:
            break
    return net, history, steps


def named(net) -> dict[str, np.ndarray]:
    """Copies of weights (outputs x inputs) and biases as `fc1.weight` ..."""
    arrays = {}
    for depth, (weight, bias) in enumerate(net, start=1):
        arrays[f"fc{depth}.weight"], arrays[f"fc{depth}.bias"] = np.ascontiguousarray(weight.T), bias.copy()
    return arrays


def save_net(folder: Path, recipe: Recipe, net, history, steps, source: str) -> None:
    """The two files of a net; the one that says that it is done comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = {key: np.array([step[key] for step in steps]) for key in steps[0]}
    write(folder / f"{recipe.name}.steps.npz", columns, compressed=False)
    curves = {f"history.{key}": np.array([line[key] for line in history]) for key in history[0]}
    meta = {
        **{"lr_scale": recipe.lr_scale, "batch_size": recipe.batch_size, "seed": recipe.seed, "train": recipe.train},
        **{key: history[-1][key] for key in ("train_loss", "held_out_error", "test_error")},
        "train_error": steps[-1]["train_error"],
        "epochs": len(history),
        "data": source,
    }
    write(folder / f"{recipe.name}.npz", {"meta": np.array(json.dumps(meta)), **named(net), **curves}, compressed=True)


def write(path: Path, arrays: dict[str, np.ndarray], *, compressed: bool) -> None:
    """An npz that is there whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial.npz")
    (np.savez_compressed if compressed else np.savez)(partial, **arrays)
    partial.replace(path)


def wanted(args: argparse.Namespace) -> list[Recipe]:
    """The nets asked for."""
    if args.grid:
        return grid()
    return [
        Recipe(rate, size, seed, layers)
        for layers in args.train
        for rate in args.lr_scale
        for size in args.batch_size
        for seed in args.seeds
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grid", action="store_true", help="the whole study")
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), metavar=("I", "N"), help="every N-th net from I")
    parser.add_argument("--lr-scale", type=float, nargs="+", default=[1.0], help="multiples of the rate 0.01")
    parser.add_argument("--batch-size", type=int, nargs="+", default=[32])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--train", nargs="+", choices=TRAINED, default=["all"], help="which layers move")
    parser.add_argument("--cache", type=Path, default=CACHE, help=f"default {CACHE}, or in SETOL_CACHE")
    parser.add_argument("--quick", action="store_true", help="two epochs on 6000 images, to see that it runs")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    data = load_data()
    folder = args.cache / "quick" if args.quick else args.cache
    if args.quick:
        data = Data(data.x[:6000], data.y[:6000], data.x_test, data.y_test, f"first 6000 of {data.source}")
    index, parts = args.part
    for recipe in wanted(args)[index::parts]:
        if (folder / f"{recipe.name}.npz").exists():
            logger.info("%s is there", recipe.name)
            continue
        started = time.perf_counter()
        net, history, steps = train(data, recipe, max_epochs=2 if args.quick else MAX_EPOCHS)
        save_net(folder, recipe, net, history, steps, data.source)
        logger.info(
            "%s: %d epochs, test error %.4f, %.0f s",
            recipe.name,
            len(history),
            history[-1]["test_error"],
            time.perf_counter() - started,
        )


if __name__ == "__main__":
    main()
