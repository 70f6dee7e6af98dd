"""Correlation traps in trained nets, and planted ones: what they do, and what removal restores.

Claim      Section 6.5 and Figs. 5 and 25 of arXiv 2507.17912: at learning rate x32 (and batch size 1) FC1 of MLP3 has a
           correlation trap, at x16 it has none, and traps come with the degraded accuracy.
Command    python scripts/correlation_trap.py             every part that is not there yet
           python scripts/correlation_trap.py --redraw    pictures and words from the tables
           python scripts/correlation_trap.py --quick     few nets, placements and images, into a folder of its own
Run time   10 minutes on one core, most of it forward passes of ResNet-20; --quick half a minute.
Output     docs/figures/correlation_trap/: trained.csv (every net of the cache), planted_mlp3.csv, planted_resnet20.csv,
           spectra.csv, figure25.png, trained.png, planted.png, correlation_trap.md

Planted in one layer: w = theta sqrt(N) sigma in one element or m = theta sigma / sqrt(M) in all, theta given in
thresholds (M/N)^(1/4); of a convolution in its central kernel slice. MLP3: FC1 of a net trained at x1, all 10 000 test
images. ResNet-20: layer3.1.conv1, every tenth of the JPEG test images (errors are for comparison with one another).
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from mlp3 import CACHE, data_folder, error_rate, load_idx

import setol_ww as ww
from setol_ww.layer.result import analyze_spectrum
from setol_ww.linalg.shuffles import shuffle
from setol_ww.traps.search import tall_entries

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "figures" / "correlation_trap"
LAYERS = ("fc1.weight", "fc2.weight")
SHOWN = {"x16": "mlp3_lr16_bs32_seed0", "x32": "mlp3_lr32_bs32_seed0", "batch 1": "mlp3_lr1_bs1_seed0"}
STRENGTHS = (0.0, 0.8, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0)
CARRIERS = ("element", "mean shift")
BASE_NET = "mlp3_lr1_bs32_seed0"
PLACES = 5
RESNET_LAYER = "layer3.1.conv1.weight"
RESNET_PLACES = 2
IMAGES = 1000
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def read(path: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """Record and weights of a trained net."""
    with np.load(path, allow_pickle=False) as arrays:
        weights = {name: arrays[name] for name in arrays.files if name.startswith("fc")}
        return json.loads(str(arrays["meta"])), weights


def mlp3_error(weights: dict[str, np.ndarray], images: np.ndarray, labels: np.ndarray) -> float:
    """Test error of MLP3."""
    net = [(weights[f"fc{depth}.weight"].T, weights[f"fc{depth}.bias"]) for depth in (1, 2, 3)]
    return error_rate(net, images, labels)


def readings(W: np.ndarray, seed: int = 0) -> dict[str, float | str]:
    """Traps, tail and ERG cut of one layer."""
    report = ww.find_traps(W, seed=seed)
    parts = [W] if W.ndim == 2 else [W[:, :, i, j] for i in range(W.shape[2]) for j in range(W.shape[3])]
    result = analyze_spectrum(ww.Spectrum.from_slices(parts))
    shift = report.mean / report.sigma if any(trap.carrier == "mean shift" for trap in report.traps) else 0.0
    return {
        "trap_count": report.count,
        "trap_strength": report.strength / report.threshold,
        "trap_pvalue": report.pvalue,
        "lambda_over_edge": report.lambda_max / report.edge,
        "mean_in_sigma": report.mean / report.sigma,
        "trap_shift": shift,
        "alpha": result.tail.alpha,
        "alpha_sigma": result.tail.sigma,
        "delta_lambda_min": result.ecs.delta_lambda_min,
        "erg_rank_gap": result.ecs.rank_gap,
        "where": report.sentence,
    }


def trained_table(data, cache: Path, quick: bool) -> pd.DataFrame:
    """Every finished net of the cache with all layers trained: traps of FC1 and FC2, errors with and without them."""
    rows = []
    named = [path for path in sorted(cache.glob("mlp3_lr*_bs*_seed*.npz")) if not path.name.endswith(".steps.npz")]
    for path in named[:4] if quick else named:
        meta, weights = read(path)
        cleaned = {name: ww.remove_traps(weights[name]) if name in LAYERS else weights[name] for name in weights}
        changed = any((cleaned[name] != weights[name]).any() for name in LAYERS)
        error = mlp3_error(weights, data.x_test, data.y_test)
        without = mlp3_error(cleaned, data.x_test, data.y_test) if changed else error
        for name in LAYERS:
            row = {key: meta[key] for key in ("lr_scale", "batch_size", "seed", "train_error", "epochs")}
            rows.append({**row, "layer": name[:3].upper(), **readings(weights[name]), "test_error": error,
                         "test_error_removed": without})  # fmt: skip
    return pd.DataFrame(rows)


def spectra_table(cache: Path) -> pd.DataFrame:
    """Eigenvalues of FC1 over N, as it is and shuffled, of the nets of Fig. 25."""
    parts = []
    for label, name in SHOWN.items():
        _, weights = read(cache / f"{name}.npz")
        W = weights["fc1.weight"].astype(float)
        tall = tall_entries(W)[0]
        report = ww.find_traps(W)
        for what, matrix in (("trained", tall), ("shuffled", shuffle(tall, (0, 0)))):
            values = ww.Spectrum.from_matrix(matrix).raw / max(W.shape)
            parts.append(pd.DataFrame({"net": label, "what": what, "eigenvalue": values}))
        parts.append(pd.DataFrame({"net": label, "what": "edge", "eigenvalue": [report.edge / max(W.shape)]}))
    return pd.concat(parts, ignore_index=True)


def planted(W: np.ndarray, carrier: str, thresholds: float, rng: np.random.Generator) -> np.ndarray:
    """A copy with a trap of that many thresholds; in the central slice of a kernel."""
    result = W.copy()
    part = result if result.ndim == 2 else result[:, :, result.shape[2] // 2, result.shape[3] // 2]
    M, N = sorted(part.shape)
    theta = thresholds * (M / N) ** 0.25
    sigma = float(part.std())
    if carrier == "mean shift":
        part += theta * sigma / math.sqrt(M)
    else:
        place = int(rng.integers(part.shape[0])), int(rng.integers(part.shape[1]))
        part[place] = theta * math.sqrt(N) * sigma * rng.choice((-1, 1))
    return result


def planted_rows(W: np.ndarray, error: Callable[[np.ndarray], float], places: int) -> Iterator[dict]:
    """Errors and readings with a planted trap, and after its removal."""
    for carrier in CARRIERS:
        for thresholds in STRENGTHS:
            for place in range(places if carrier == "element" else 1):
                if not thresholds and (place or carrier == "mean shift"):
                    continue
                trapped = planted(W, carrier, thresholds, np.random.default_rng(place))
                report = ww.find_traps(trapped)
                cleaned = ww.remove_traps(trapped, report)
                before, after = readings(trapped), readings(cleaned)
                yield {
                    "carrier": carrier,
                    "planted": thresholds,
                    "place": place,
                    **before,
                    "test_error": error(trapped),
                    "test_error_removed": error(cleaned) if report.count else error(trapped),
                    "alpha_removed": after["alpha"],
                    "delta_lambda_min_removed": after["delta_lambda_min"],
                    "trap_count_removed": after["trap_count"],
                    "moved": int((cleaned != trapped).sum()),
                }


def planted_mlp3(data, cache: Path, quick: bool) -> pd.DataFrame:
    """FC1 of a net trained at x1."""
    _, weights = read(cache / f"{BASE_NET}.npz")

    def error(W: np.ndarray) -> float:
        return mlp3_error({**weights, "fc1.weight": W}, data.x_test, data.y_test)

    return pd.DataFrame(planted_rows(weights["fc1.weight"], error, 1 if quick else PLACES))


def resnet20(state: dict):
    """Forward pass of He et al.'s CIFAR ResNet-20 (zero-padded shortcuts), batch norm in evaluation mode."""
    import torch
    from torch.nn import functional as F

    def norm(x, name):
        return F.batch_norm(x, *(state[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")))

    def block(x, name, stride):
        y = torch.relu(norm(F.conv2d(x, state[f"{name}.conv1.weight"], stride=stride, padding=1), f"{name}.bn1"))
        y = norm(F.conv2d(y, state[f"{name}.conv2.weight"], padding=1), f"{name}.bn2")
        if stride > 1:
            extra = (y.shape[1] - x.shape[1]) // 2
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, extra, extra))
        return torch.relu(x + y)

    def until(x, stop: str):
        """Activations entering block `stop` (the planted layer is in it), which do not change with what is planted."""
        x = torch.relu(norm(F.conv2d(x, state["conv1.weight"], padding=1), "bn1"))
        return blocks(x, "layer1.0", stop)

    def blocks(x, start: str, stop: str):
        names = [f"layer{stage}.{index}" for stage in (1, 2, 3) for index in range(3)]
        end = names.index(stop) if stop else len(names)
        for name in names[names.index(start) : end]:
            x = block(x, name, 2 if name in ("layer2.0", "layer3.0") else 1)
        return x

    def rest(x, start: str):
        pooled = blocks(x, start, "").mean((2, 3))
        return F.linear(pooled, state["linear.weight"], state["linear.bias"])

    return until, rest


def planted_resnet(quick: bool) -> pd.DataFrame:
    """layer3.1.conv1 of the published ResNet-20."""
    import torch

    torch.set_num_threads(1)
    folder = data_folder()
    file = next((folder / "resnet_cifar10").glob("resnet20-*.th"))
    stored = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
    state = {name.removeprefix("module."): value for name, value in stored.items()}
    with np.load(folder / "cifar10_jpg" / "test.npz") as test:
        # The images lie class by class.
        step = len(test["y"]) // (100 if quick else IMAGES)
        images, labels = test["x"][::step], test["y"][::step]
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    x = (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    until, rest = resnet20(state)
    entry = RESNET_LAYER.removesuffix(".conv1.weight")
    with torch.inference_mode():
        inside = until(x, entry)

    def error(W: np.ndarray) -> float:
        state[RESNET_LAYER] = torch.from_numpy(W)
        with torch.inference_mode():
            return float(np.mean(rest(inside, entry).argmax(1).numpy() != labels))

    return pd.DataFrame(planted_rows(state[RESNET_LAYER].numpy().copy(), error, 1 if quick else RESNET_PLACES))


def draw_figure25(spectra: pd.DataFrame, path: Path) -> None:
    """Fig. 25: spectrum of FC1 and of its shuffle."""
    plt = pyplot()
    labels = list(dict.fromkeys(spectra["net"]))
    figure, panels = plt.subplots(1, len(labels), figsize=(4.6 * len(labels), 4), constrained_layout=True, sharey=True)
    bins = np.logspace(-4, math.log10(spectra["eigenvalue"].max() * 1.3), 70)
    for axes, label in zip(panels, labels):
        rows = spectra[spectra["net"] == label]
        for what, color in (("trained", "tab:green"), ("shuffled", "tab:red")):
            values = rows.loc[rows["what"] == what, "eigenvalue"]
            axes.hist(values, bins=bins, color=color, alpha=0.55, label=f"FC1, {what}")
        edge = rows.loc[rows["what"] == "edge", "eigenvalue"].iloc[0]
        largest = rows.loc[rows["what"] == "shuffled", "eigenvalue"].max()
        axes.axvline(edge, color="0.3", ls="--", lw=1, label="end of the bulk")
        axes.axvline(largest, color="tab:orange", lw=1.5, label=r"$\lambda^{max}_{rand}$")
        what = f"learning rate {label}" if label.startswith("x") else f"{label}, learning rate x1"
        axes.set(xscale="log", title=f"{what}: $\\lambda^{{max}}_{{rand}}$ = {largest / edge:.2f} x edge")
        axes.set_xlabel(r"eigenvalue of $W^TW/N$")
        tidy(axes)
    panels[0].set_ylabel("eigenvalues per bin")
    panels[0].legend(fontsize=8)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_trained(trained: pd.DataFrame, path: Path) -> None:
    """Where traps appear, and what they have to do with the test error."""
    plt = pyplot()
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.6), constrained_layout=True)
    for layer, marker in (("FC1", "o"), ("FC2", "^")):
        rows = trained[trained["layer"] == layer]
        pushed = rows["lr_scale"] * 32 / rows["batch_size"]
        seen = rows["trap_count"] > 0
        left.plot(
            pushed[~seen], rows["lambda_over_edge"][~seen], marker, color="0.55", mfc="none", label=f"{layer}, no trap"
        )
        left.plot(pushed[seen], rows["lambda_over_edge"][seen], marker, color="tab:red", label=f"{layer}, trap")
    left.axhline(1, color="0.4", ls="--", lw=1)
    left.set(
        xscale="log",
        xlabel="learning rate / 0.01 x 32 / batch size",
        ylabel=r"$\lambda^{max}_{rand}$ / end of the bulk",
        title="Where traps appear",
    )
    left.set_xscale("log", base=2)
    ticks = [0.5, 1, 2, 4, 8, 16, 32]
    left.set_xticks(ticks, [f"x{tick:g}" for tick in ticks])
    left.legend(fontsize=8)
    rows = trained[trained["layer"] == "FC1"]
    colors = {True: "tab:red", False: "0.55"}
    for seen in (False, True):
        some = rows[(rows["trap_count"] > 0) == seen]
        finished = some["train_error"] < 1e-3
        for done, face in ((True, colors[seen]), (False, "none")):
            shown = some[finished == done]
            name = f"{'trap' if seen else 'no trap'}, {'trained to 0' if done else 'train error above .1 %'}"
            if len(shown):
                right.plot(
                    shown["lambda_over_edge"], 100 * shown["test_error"], "o", color=colors[seen], mfc=face, label=name
                )
    moved = rows[rows["test_error_removed"] != rows["test_error"]]
    right.plot(moved["lambda_over_edge"], 100 * moved["test_error_removed"], "k_", ms=9, label="the trap removed")
    right.set(
        xlabel=r"$\lambda^{max}_{rand}$ / end of the bulk, FC1", ylabel="test error, %", title="And what they cost"
    )
    right.legend(fontsize=8)
    tidy(left), tidy(right)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_planted(tables: dict[str, pd.DataFrame], path: Path) -> None:
    """Errors, alpha and the gap of the tails against the strength planted, before and after removal."""
    plt = pyplot()
    figure, panels = plt.subplots(
        len(tables), 3, figsize=(13, 3.9 * len(tables)), constrained_layout=True, squeeze=False
    )
    for (name, table), line in zip(tables.items(), panels):
        for axes, (column, label) in zip(
            line, (("test_error", "test error, %"), ("alpha", "alpha"), ("delta_lambda_min", r"$\Delta\lambda_{min}$"))
        ):
            unit = 100 if column == "test_error" else 1
            for carrier, color in zip(CARRIERS, ("tab:blue", "tab:orange")):
                rows = table[(table["carrier"] == carrier) | (table["planted"] == 0)]
                for suffix, style in (("", "o-"), ("_removed", "x--")):
                    mean = unit * rows.groupby("planted")[column + suffix].mean()
                    state = "removed" if suffix else "planted"
                    axes.plot(mean.index, mean, style, color=color, ms=4, lw=1.3, label=f"{carrier}, {state}")
            axes.axvline(1, color="0.6", lw=1, ls=":")
            axes.set_xscale("symlog", linthresh=1)
            axes.set_xlim(-0.1, 28)
            axes.set_xticks([0, 1, 2, 4, 8, 16], ["0", "1", "2", "4", "8", "16"])
            axes.minorticks_off()
            axes.set(xlabel="strength planted, in thresholds", ylabel=label, title=name)
            tidy(axes)
    panels[0][0].legend(fontsize=8)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def pyplot():
    """matplotlib without a screen."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def tidy(axes) -> None:
    """No box, a faint grid."""
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def summary(trained: pd.DataFrame, planted_tables: dict[str, pd.DataFrame]) -> str:
    """What the tables say, in words that are computed from them."""
    first = trained[trained["layer"] == "FC1"].assign(
        pushed=lambda rows: rows["lr_scale"] * 32 / rows["batch_size"], trap=lambda rows: rows["trap_count"] > 0
    )
    lines = ["# Correlation traps in MLP3 and ResNet-20", "", "Made by `python scripts/correlation_trap.py`.", ""]
    lines += [f"{len(first)} nets. Test error in percent, mean over seeds; FC1 unless said.", ""]
    lines += heading(
        *("rate", "batch", "seeds", "FC1 with trap", "FC2 with trap", "strength / threshold", "mean shift, sigma"),
        *("alpha", "test error", "trap removed", "train error"),
    )
    second = trained[trained["layer"] == "FC2"]
    for (rate, size), rows in first.groupby(["lr_scale", "batch_size"]):
        other = second[(second["lr_scale"] == rate) & (second["batch_size"] == size)]
        lines.append(
            f"| x{rate:g} | {size} | {len(rows)} | {int(rows['trap'].sum())} | "
            f"{int((other['trap_count'] > 0).sum())} | "
            f"{rows['trap_strength'].mean():.2f} | {rows['mean_in_sigma'].mean():+.3f} | {rows['alpha'].mean():.2f} | "
            f"{100 * rows['test_error'].mean():.2f} ({100 * rows['test_error'].min():.2f} to "
            f"{100 * rows['test_error'].max():.2f}) | {100 * rows['test_error_removed'].mean():.2f} | "
            f"{100 * rows['train_error'].mean():.2f} |"
        )
    lines += ["", "## Does the claim hold?", "", verdict(first), ""]
    for name, table in planted_tables.items():
        lines += [
            f"## Planted in {name}",
            "",
            *heading(
                *("carrier", "thresholds", "traps found", "test error", "after removal", "alpha", "after"),
                *("delta_lambda_min", "after", "entries moved"),
            ),
        ]
        for (carrier, strength), rows in table.groupby(["carrier", "planted"]):
            lines.append(
                f"| {carrier if strength else 'none'} | {strength:g} | {rows['trap_count'].mean():.1f} | "
                f"{100 * rows['test_error'].mean():.2f} | {100 * rows['test_error_removed'].mean():.2f} | "
                f"{rows['alpha'].mean():.2f} | {rows['alpha_removed'].mean():.2f} | "
                f"{rows['delta_lambda_min'].mean():+.3f} | {rows['delta_lambda_min_removed'].mean():+.3f} | "
                f"{rows['moved'].mean():.0f} |"
            )
        lines += ["", effect(table), ""]
    return "\n".join(lines)


def effect(table: pd.DataFrame) -> str:
    """What planting does to the readings, and what removal gives back, in words."""
    plain = table[table["planted"] == 0].iloc[0]
    said = []
    for carrier in CARRIERS:
        rows = table[(table["carrier"] == carrier) & (table["planted"] == 8)]
        said.append(
            f"{carrier.capitalize()} of 8 thresholds: test error {100 * plain['test_error']:.2f} to "
            f"{100 * rows['test_error'].mean():.2f} %, alpha {plain['alpha']:.2f} to {rows['alpha'].mean():.2f}, "
            f"delta_lambda_min {plain['delta_lambda_min']:+.2f} to {rows['delta_lambda_min'].mean():+.2f}; "
            f"removal gives {100 * rows['test_error_removed'].mean():.2f} %, {rows['alpha_removed'].mean():.2f}, "
            f"{rows['delta_lambda_min_removed'].mean():+.2f}."
        )
    seen = table[table["trap_count"] > 0]
    clean = int((seen["trap_count_removed"] == 0).sum())
    said.append(
        f"Found from {seen['planted'].min():g} thresholds on; no trap is left in {clean} of {len(seen)} treated "
        "layers. The stronger the trap, the smaller alpha, while the error grows: a trapped layer looks better trained "
        "than it is."
    )
    return "\n".join(f"- {sentence}" for sentence in said)


def heading(*names: str) -> list[str]:
    """First two lines of a markdown table."""
    return [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]


def verdict(first: pd.DataFrame) -> str:
    """The claim of 6.5 against the nets, part by part."""
    hard, mild = first[first["pushed"] == 32], first[first["pushed"] < 32]
    trapped, free = first[first["trap"]], first[~first["trap"]]
    said = [
        f"Where: FC1 is trapped in {int(hard['trap'].sum())} of {len(hard)} nets at x32 or batch size 1 and in "
        f"{int(mild['trap'].sum())} of {len(mild)} others."
    ]
    if len(trapped):
        share = trapped["where"].str.contains("mean shift").mean()
        said.append(f"The carrier is a mean shift in {100 * share:.0f} % of the trapped nets.")
        best = first[first["pushed"] == 16]["test_error"]
        finished = trapped[trapped["train_error"] < 1e-3]
        said.append(
            f"Cost: trapped nets have {100 * trapped['test_error'].mean():.2f} % test error on average "
            f"({len(finished)} of {len(trapped)} that reached a train error below .1 %: "
            f"{100 * finished['test_error'].mean():.2f} %, the other {len(trapped) - len(finished)}: "
            f"{100 * trapped.drop(finished.index)['test_error'].mean():.2f} %), nets without one "
            f"{100 * free['test_error'].mean():.2f} %, those at x16 or batch size 2 {100 * best.mean():.2f} %."
        )
        change = 100 * (trapped["test_error_removed"] - trapped["test_error"])
        said.append(
            f"Removing the trap changes the test error by {change.mean():+.3f} points on average "
            f"({change.min():+.2f} to {change.max():+.2f})."
        )
        better = int((trapped["test_error"] < best.mean()).sum())
        worse = int((change > 0).sum())
        said.append(
            f"So traps appear {'exactly' if hard['trap'].all() and not mild['trap'].any() else 'mostly'} at the "
            f"setting the paper names, but not exactly where accuracy degrades: {better} of the {len(trapped)} trapped "
            f"nets are better than the mean of the setting before it, and {worse} of the {len(trapped)} become worse "
            "when the trap is taken out: it goes with large steps and is not what costs accuracy."
        )
    return "\n".join(f"- {sentence}" for sentence in said)


def kept(path: Path, make: Callable[[], pd.DataFrame], redraw: bool) -> pd.DataFrame:
    """The table on disk, made where it is missing."""
    if not path.exists() and not redraw:
        make().to_csv(path, index=False, float_format="%.6g")
    return pd.read_csv(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few nets and images, into correlation_trap_quick")
    parser.add_argument("--redraw", action="store_true", help="pictures and words from the tables that are there")
    parser.add_argument("--cache", type=Path, default=CACHE, help=f"trained nets; default {CACHE}")
    parser.add_argument("--out", type=Path, default=None, help=f"default {FOLDER}")
    args = parser.parse_args()
    folder = args.out or (FOLDER.with_name("correlation_trap_quick") if args.quick else FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    data = None if args.redraw else load_idx(data_folder() / "mnist")
    trained = kept(folder / "trained.csv", lambda: trained_table(data, args.cache, args.quick), args.redraw)
    spectra = kept(folder / "spectra.csv", lambda: spectra_table(args.cache), args.redraw)
    tables = {
        "FC1 of MLP3": kept(
            folder / "planted_mlp3.csv", lambda: planted_mlp3(data, args.cache, args.quick), args.redraw
        ),
        "layer3.1.conv1 of ResNet-20": kept(
            folder / "planted_resnet20.csv", lambda: planted_resnet(args.quick), args.redraw
        ),
    }
    draw_figure25(spectra, folder / "figure25.png")
    draw_trained(trained, folder / "trained.png")
    draw_planted(tables, folder / "planted.png")
    page = summary(trained, tables)
    (folder / "correlation_trap.md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
