"""The universality class against ensembles whose truth is known, and the classes of trained layers.

Claim      Independent noise of any row and column strengths is random-like at the level of the edge test and never
           heavy-tailed; noise with spikes is bulk+spikes; signed Pareto matrices of mu <= 1.5 and inverse
           Marchenko-Pastur spectra of kappa <= .5 are heavy-tailed from 100 eigenvalues on.
Command    python scripts/class_table.py            resumable: a cell that is in the table is not drawn again
           python scripts/class_table.py --sizes 20 50 100 200
           python scripts/class_table.py --pages    the page from the tables that are there
Run time   about 10 minutes on one core; the page has --sizes 20 50 100 200.
Output     docs/figures/class_table/synthetic.csv (a row an ensemble, shape), layers.csv (a row a trained layer),
           untrained.csv (noise of the same shapes and strengths), power.csv (planted heavy tails), batches.csv (FC1 of
           MLP3 by batch size), docs/classes.md
Seeds      thresholds were chosen on draws of other seeds: those of the tables contain SEED_BASE, and no threshold has
           been changed for what they show. Whoever changes a threshold takes a new base (`--seed-base`).
Data       the demonstration nets of the package; ResNet-20 and -32 and stories260K where `SETOL_DATA` (or the
           `shared/data` beside the checkout) is there
"""

from __future__ import annotations

import argparse
import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from fixtures import ensembles, matrices
from setol_ww import LayerResult, Spectrum, UniversalityClass
from setol_ww.cli.demo import demo_nets
from setol_ww.layer.classes import POWER_DISTANCE, largest_distance
from setol_ww.layer.result import analyze_spectrum
from setol_ww.layer.verdict import looks_like_noise
from setol_ww.spectrum.strengths import strengths_of

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "figures" / "class_table"
DATA = Path(os.environ.get("SETOL_DATA", ROOT.parent / "shared" / "data"))
SIZES = (20, 50, 100, 200, 500)
DRAWS = {20: 20, 50: 20, 100: 20, 200: 10, 500: 2}
RATIOS = (1, 2, 8)
# Random initialisations are drawn so many times as often: their rate is to be known to some tenths of a per cent.
INITIALISATIONS, MORE_DRAWS = ("normal", "uniform", "orthogonal"), 10
# Of the draws of the tables; thresholds were chosen on draws without it.
SEED_BASE = 20_261_129
WORDS = [word.value for word in UniversalityClass]
AIMED = (
    *(f"Pareto mu = {mu}" for mu in (0.5, 1.0, 1.5)),
    "inverse Marchenko-Pastur 0.1",
    "inverse Marchenko-Pastur 0.5",
)
R, S, W, H, V, C, U = WORDS
HEAVY = (W, H, V)

INTRODUCTION = """# Universality classes, measured

Made by `python scripts/class_table.py`. The rule stands in `setol_ww/layer/classes.py`: independent entries with the
strengths of the layer's own rows, columns and slices are asked first; a heavy tail needs evidence. alpha chooses
among the heavy tails, very heavy and weakly heavy where its whole interval is below 2 or above 6, and decides nothing
else. `bulk+spikes` ends at a quarter of the eigenvalues.

What to know before trusting a word:

- Seeds: thresholds were chosen on other draws than these; the script's head says how that is kept.
- Power: below 20 eigenvalues, and of slices of one column or row, there is no class. At 20 to 50 a heavy tail is often
  taken for spikes: mu = 1.5 and 2 need 100 eigenvalues and more.
- On the tails of trained layers, some tens of eigenvalues, the likelihood ratio of a heavy tail and noise with spikes
  is seldom significant (`z_against_noise_and_spikes`). The number of eigenvalues above the layer's own edge decides
  then: 10 and 5 % of them are spikes, more are a tail, and the sentence says that likelihood does not decide. Fewer
  are one too where likelihood leans to it and the rest is more than twice as far from its law as noise is.
- Where only eigenvalues are at hand the noise has one variance, and unevenness looks like a heavy tail: the sentence
  says that the entries are not known.
- A spectrum narrower than any noise, as that of an orthogonal layer with a little noise, has no class but where its
  spikes are plain: a heavy tail reaches beyond the edge of the noise without a gap.
- Rows and columns are two profiles. Unevenness that is no product (a block of strong entries) is no noise here, and
  may be called heavy-tailed; so may strong directions in noise of very uneven rows and columns, whose strengths they
  change.
- Few rows, or columns, each far stronger than all others, have eigenvalues of their own. They are told apart and are no
  spikes; where both a row and a column are so, there is no class.
- Elements of heavy tails with finite variance (Student t of 3 and 4, mu of 2 to 4) have a few eigenvalues above the
  edge, some M^(2 - mu/2), and a bulk below: bulk+spikes is the truth of such a size. A product of two Gaussian
  matrices is heavy-tailed by this rule: its spectrum reaches far, and no independent entries have it.
""".splitlines()

POWER_TEXT = f"""## Power: heavy tails that are there

Normal entries whose columns are correlated, a power law of this exponent along random directions, rows even or of
lognormal strength; 20 draws each. `heavy` is the share called heavy-tailed, `denied` the share called random-like or
noise with fewer than 8 weak spikes, which is what a layer is `under-trained` for; the rest is undetermined or more
spikes. `distance` is the KS distance from its law that noise of this size and these strengths may have (median): the
fewer the eigenvalues and the more uneven the rows, the larger.

Above a distance of {POWER_DISTANCE} (little) a tail of alpha = 3 is often denied: such a layer has the flag
`little power`, and where no heavy tail is seen its state is `undetermined` and not `under-trained`.
""".splitlines()

Drawn = np.ndarray | list[np.ndarray]
Draw = Callable[[np.random.Generator, int, int], Drawn]


def _signal(rng: np.random.Generator, N: int, M: int, spikes: int) -> np.ndarray:
    """Rank-one signals of 1.6 to 4 times the BBP threshold."""
    theta = np.linspace(1.6, 4, spikes) * (M / N) ** 0.25
    left, _ = np.linalg.qr(rng.normal(size=(N, spikes)))
    right, _ = np.linalg.qr(rng.normal(size=(M, spikes)))
    return np.sqrt(N) * (left * theta) @ right.T


def _spiked(spikes: int) -> Draw:
    return lambda rng, N, M: rng.normal(size=(N, M)) + _signal(rng, N, M, spikes)


def _uneven(rows: float, columns: float) -> Draw:
    """Noise whose rows and columns are of lognormal strength with these spreads."""

    def draw(rng: np.random.Generator, N: int, M: int) -> np.ndarray:
        noise = rng.normal(size=(N, M))
        return noise * np.exp(rows * rng.normal(size=(N, 1))) * np.exp(columns * rng.normal(size=(1, M)))

    return draw


def _envelope(rng: np.random.Generator, N: int, M: int) -> list[np.ndarray]:
    """Nine kernel slices, the centre twice as strong as the edges and three times as strong as the corners."""
    strengths = np.array([1, 1.5, 1, 1.5, 3, 1.5, 1, 1.5, 1])
    return [k * rng.normal(size=(N, max(3, M // 9))) for k in strengths]


def _depthwise(rng: np.random.Generator, N: int, M: int) -> list[np.ndarray]:
    """A depthwise kernel: slices of one column."""
    return [np.exp(rng.normal()) * rng.normal(size=(N, 1)) for _ in range(M)]


def real_strengths() -> dict[str, np.ndarray]:
    """Strengths of trained nets: folded batch norms of ResNet-20, gains of stories260K's RMSNorms, mean 1 a layer."""
    found: dict[str, list[np.ndarray]] = {"folded batch norms": [], "RMSNorm gains": []}
    if not DATA.is_dir():
        return {}
    import torch

    state = torch.load(DATA / "resnet_cifar10" / "resnet20-12fca82f.th", map_location="cpu", weights_only=True)
    state = state["state_dict"]
    for name, gamma in state.items():
        if name.endswith("weight") and gamma.ndim == 1:
            folded = gamma.abs() / (state[name.replace("weight", "running_var")] + 1e-5).sqrt()
            found["folded batch norms"].append((folded / folded.square().mean().sqrt()).numpy())
    with np.load(DATA / "transformers" / "stories260K.npz") as arrays:
        for name in arrays.files:
            if name.startswith("rms"):
                found["RMSNorm gains"] += [
                    np.abs(gain) / np.sqrt(np.mean(gain**2)) for gain in np.atleast_2d(arrays[name])
                ]
    return {name: np.concatenate(values) for name, values in found.items() if values}


def _merged(strengths: np.ndarray, side: int) -> Draw:
    """Kaiming noise with strengths drawn from those of trained nets, on rows (0) or columns (1)."""

    def draw(rng: np.random.Generator, N: int, M: int) -> np.ndarray:
        drawn = rng.choice(strengths, (N, M)[side])
        return rng.normal(size=(N, M)) * (drawn[:, None] if side == 0 else drawn)

    return draw


def _third_doubled(rng: np.random.Generator, N: int, M: int) -> np.ndarray:
    return rng.normal(size=(N, M)) * np.where(np.arange(N) % 3, 1, 2)[:, None]


def _exponential(rng: np.random.Generator, N: int, M: int) -> np.ndarray:
    return rng.normal(size=(N, M)) * rng.exponential(size=(N, 1))


def _loud(side: int, number: int, strength: float) -> Draw:
    """A few rows (0) or columns (1) far stronger than all others."""

    def draw(rng: np.random.Generator, N: int, M: int) -> np.ndarray:
        W = rng.normal(size=(N, M))
        (W if side == 0 else W.T)[:number] *= strength
        return W

    return draw


def _half_dead(rng: np.random.Generator, N: int, M: int) -> np.ndarray:
    return rng.normal(size=(N, M)) * np.where(rng.random(M) < 0.5, 1e-3, 1)


def _student(degrees: float) -> Draw:
    return lambda rng, N, M: rng.standard_t(degrees, size=(N, M))


def _pareto(mu: float) -> Draw:
    return lambda rng, N, M: matrices.signed_pareto(N, M, mu, int(rng.integers(2**31)))[0]


def _inverse(kappa: float) -> Draw:
    """Inverse Marchenko-Pastur eigenvalues between Haar vectors."""

    def draw(rng: np.random.Generator, N: int, M: int) -> np.ndarray:
        raw = matrices.inverse_marchenko_pastur_eigenvalues(M, kappa, int(rng.integers(2**31)))[0]
        return ensembles.matrix_with_eigenvalues(raw, N, int(rng.integers(2**31)))

    return draw


def _rank(share: float) -> Draw:
    def draw(rng: np.random.Generator, N: int, M: int) -> np.ndarray:
        rank = max(1, int(share * M))
        return rng.normal(size=(N, rank)) @ rng.normal(size=(rank, M))

    return draw


def _flat(spikes: int) -> Draw:
    """Orthogonal columns, `spikes` of them strengthened, with noise of a twentieth to half of their norm on them."""

    def draw(rng: np.random.Generator, N: int, M: int) -> np.ndarray:
        strengths = np.ones(M)
        strengths[:spikes] = 4
        left, right = (np.linalg.qr(rng.normal(size=(rows, M)))[0] for rows in (N, M))
        return (left * strengths) @ right.T + rng.uniform(0.05, 0.5) * rng.normal(size=(N, M)) / np.sqrt(N)

    return draw


#: Exponents of planted tails, and draws of each.
PLANTED, POWER_DRAWS = (2.0, 2.5, 3.0), 20

#: Name -> draw, the classes that are right. A list is pooled slices.
ENSEMBLES: dict[str, tuple[Draw, tuple[str, ...]]] = {
    "normal": (lambda rng, N, M: rng.normal(size=(N, M)), (R,)),
    "uniform": (lambda rng, N, M: rng.uniform(-1, 1, size=(N, M)), (R,)),
    "orthogonal": (lambda rng, N, M: np.linalg.qr(rng.normal(size=(N, M)))[0], (R,)),
    "Laplace": (lambda rng, N, M: rng.laplace(size=(N, M)), (R,)),
    **{f"rows lognormal {s}": (_uneven(s, 0), (R,)) for s in (0.1, 0.3, 0.5)},
    **{f"columns lognormal {s}": (_uneven(0, s), (R,)) for s in (0.1, 0.3, 0.5)},
    **{f"both lognormal {s}": (_uneven(s, s), (R,)) for s in (0.1, 0.3, 0.5)},
    "a third of rows doubled": (_third_doubled, (R,)),
    **{f"{side} lognormal 1": (_uneven(*spreads), (R,)) for side, spreads in (("rows", (1, 0)), ("columns", (0, 1)))},
    "rows exponential": (_exponential, (R,)),
    "one row x 30": (_loud(0, 1, 30), (R,)),
    "three columns x 10": (_loud(1, 3, 10), (R,)),
    "half of columns x .001": (_half_dead, (R,)),
    **{name: (_merged(found, int(name.startswith("RMS"))), (R,)) for name, found in real_strengths().items()},
    "kernel with an envelope": (_envelope, (R,)),
    "depthwise kernel": (_depthwise, (U,)),
    "tied rows": (lambda rng, N, M: np.repeat(rng.normal(size=(N // 2, M)), 2, axis=0), (R, C)),
    "sparse, one in ten": (lambda rng, N, M: rng.normal(size=(N, M)) * (rng.random((N, M)) < 0.1), (R,)),
    "ReLU of normal": (lambda rng, N, M: np.maximum(rng.normal(size=(N, M)), 0), (S,)),
    **{f"Student t, {d} degrees": (_student(d), (R, S)) for d in (5, 4, 3)},
    "Student t, 2.2 degrees": (_student(2.2), (S, H, V)),
    "product of two normal": (lambda rng, N, M: rng.normal(size=(N, M)) @ rng.normal(size=(M, M)), (H, W, V, U)),
    "noise + 1 spike": (_spiked(1), (S,)),
    "noise + 3 spikes": (_spiked(3), (S,)),
    "noise + 10 spikes": (_spiked(10), (S,)),
    "rows lognormal 0.3 + 3 spikes": (lambda rng, N, M: _uneven(0.3, 0)(rng, N, M) + 2 * _signal(rng, N, M, 3), (S,)),
    **{f"Pareto mu = {mu}": (_pareto(mu), (V, H)) for mu in (0.5, 1.0, 1.5)},
    "both lognormal 0.5 + 3 spikes": (lambda rng, N, M: _uneven(0.5, 0.5)(rng, N, M) + 2 * _signal(rng, N, M, 3), (S,)),
    "Pareto mu = 2.0": (_pareto(2.0), (V, H)),
    **{f"Pareto mu = {mu}": (_pareto(mu), (H, W, S)) for mu in (2.5, 3.0)},
    "Pareto mu = 4.0": (_pareto(4.0), (R, S)),
    "inverse Marchenko-Pastur 0.1": (_inverse(0.1), (V, H)),
    "inverse Marchenko-Pastur 0.5": (_inverse(0.5), (V, H)),
    "inverse Marchenko-Pastur 1": (_inverse(1.0), (H, U)),
    "inverse Marchenko-Pastur 3": (_inverse(3.0), (H, W, U)),
    "product of rank M/4": (_rank(0.25), (C,)),
    "orthogonal with noise": (_flat(0), (R, U)),
    "orthogonal with noise + 3 spikes": (_flat(3), (S, U)),
}  # fmt: skip


def analysed(drawn: Drawn) -> LayerResult:
    """Of a matrix or pooled slices, their entries known."""
    slices = drawn if isinstance(drawn, list) else [drawn]
    return analyze_spectrum(Spectrum.from_slices(slices), strengths=strengths_of(slices))


def synthetic(sizes: list[int], base: int, path: Path) -> pd.DataFrame:
    """Draws every cell that is missing, and writes the table after each."""
    table = (
        pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["ensemble", "N", "M", "draws", "right", *WORDS])
    )
    known = set(zip(table["ensemble"], table["N"], table["M"]))
    for M in sizes:
        for Q in RATIOS if M < 500 else RATIOS[:2]:
            for number, (name, (draw, right)) in enumerate(ENSEMBLES.items()):
                N = Q * M
                if (name, N, M) in known or (M < 50 and name == "noise + 10 spikes"):
                    continue
                counted: Counter = Counter()
                draws = DRAWS[M] * (MORE_DRAWS if name in INITIALISATIONS else 1)
                for seed in range(draws):
                    rng = np.random.default_rng([base, number, N, M, seed])
                    counted[analysed(draw(rng, N, M)).universality.universality_class.value] += 1
                row = {
                    "ensemble": name,
                    "N": N,
                    "M": M,
                    "draws": draws,
                    "right": sum(counted[word] for word in right),
                }
                table.loc[len(table)] = {**row, **{word: counted[word] for word in WORDS}}
                table.to_csv(path, index=False)
            print(f"{N} x {M}", flush=True)
    return table


def trained() -> Iterator[tuple[str, str, list[np.ndarray]]]:
    """Model, layer and matrices of every trained layer at hand."""
    for rate, (weights, _) in demo_nets().items():
        for name, values in weights.items():
            if values.ndim == 2:
                yield f"MLP3 x{rate}", name, [values]
    if not DATA.is_dir():
        print(f"no data at {DATA}: the ResNets and stories260K are left out")
        return
    import torch

    for depth, file in (("20", "resnet20-12fca82f.th"), ("32", "resnet32-d509ac18.th")):
        state = torch.load(DATA / "resnet_cifar10" / file, map_location="cpu", weights_only=True)["state_dict"]
        for name, tensor in state.items():
            values = tensor.numpy()
            if values.ndim == 4:
                slices = [values[:, :, i, j] for i in range(values.shape[2]) for j in range(values.shape[3])]
                yield f"ResNet-{depth}", name, slices
            elif values.ndim == 2:
                yield f"ResNet-{depth}", name, [values]
    with np.load(DATA / "transformers" / "stories260K.npz") as arrays:
        for name in arrays.files:
            stack = arrays[name] if arrays[name].ndim == 3 else arrays[name][None]
            if arrays[name].ndim >= 2 and not name.startswith("rms"):
                for index, values in enumerate(stack):
                    yield "stories260K", f"{name} {index}", [values]


def untrained(layers: list[tuple[str, str, list[np.ndarray]]], base: int, path: Path) -> pd.DataFrame:
    """Kaiming noise of every real shape with the strengths of the trained layer's own rows and columns."""
    rows = []
    for number, (model, layer, slices) in enumerate(layers):
        rng = np.random.default_rng([base, number])
        whole = np.mean([part**2 for part in slices], axis=0)
        strengths = np.sqrt(np.outer(whole.mean(axis=1), whole.mean(axis=0)) / whole.mean() ** 2)
        result = analysed([rng.normal(size=part.shape) * strengths for part in slices])
        rows.append({"model": model, "layer": layer, "class": result.universality.universality_class.value})
    table = pd.DataFrame(rows)
    table.to_csv(path, index=False)
    return table


def power(base: int, path: Path) -> pd.DataFrame:
    """Share of planted heavy tails that are called heavy, by size and by the strengths of the rows."""
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    known = {(one["slices"], one["N"], one["M"], one["row spread"]) for one in rows}
    for slices, sizes in ((1, (32, 50, 64, 100, 150, 200, 300)), (9, (16, 32, 48, 64))):
        for M, ratio, spread in itertools.product(sizes, (1, 2), (0.0, 0.3)):
            if (slices, ratio * M, M, spread) in known:
                continue
            made: dict[str, object] = {"slices": slices, "N": ratio * M, "M": M, "row spread": spread}
            distances = []
            for number, alpha in enumerate(PLANTED):
                heavy = denied = 0
                for seed in range(POWER_DRAWS):
                    rng = np.random.default_rng([base, number, slices, M, ratio, round(10 * spread), seed])
                    result = analysed([_planted(rng, ratio * M, M, alpha, spread) for _ in range(slices)])
                    heavy += result.universality.universality_class.is_heavy
                    denied += looks_like_noise(result.universality)
                    distances.append(largest_distance(result.bulk))
                made[f"heavy {alpha}"], made[f"denied {alpha}"] = heavy / POWER_DRAWS, denied / POWER_DRAWS
            rows.append({**made, "distance": round(float(np.median(distances)), 3)})
            pd.DataFrame(rows).to_csv(path, index=False)
    return pd.DataFrame(rows)


def _planted(rng: np.random.Generator, N: int, M: int, alpha: float, spread: float) -> np.ndarray:
    """Correlated columns: normal entries times a covariance of random directions with a power law of this exponent."""
    directions, _ = np.linalg.qr(rng.normal(size=(M, M)))
    W = (rng.normal(size=(N, M)) * np.sqrt(ensembles.power_law_quantiles(M, alpha))) @ directions
    return W * np.exp(spread * rng.normal(size=(N, 1)))


def batches(path: Path) -> pd.DataFrame:
    """Class of FC1 of the kept MLP3 nets, five seeds a batch size, by eigenvalues: the entries are not kept."""
    rows = []
    with np.load(ROOT / "fixtures" / "mlp3_final_spectra.npz") as arrays:
        for name, raw in zip(arrays["name"], arrays["fc1"]):
            setting, _, seed = str(name).partition("_seed")
            if setting.startswith("mlp3_lr1_bs"):
                word = analyze_spectrum(Spectrum.from_eigenvalues(raw, (784, 300))).universality.universality_class
                rows.append({"batch": int(setting.removeprefix("mlp3_lr1_bs")), "seed": int(seed), "class": word.value})
    table = pd.DataFrame(rows).sort_values(["batch", "seed"])
    table.to_csv(path, index=False)
    return table


def layer_row(model: str, layer: str, result: LayerResult) -> dict[str, object]:
    """The class of a trained layer with its numbers."""
    kind, spectrum, strengths = result.universality, result.spectrum, result.strengths
    assert strengths is not None
    return {
        "model": model,
        "layer": layer,
        "N": spectrum.N,
        "M": spectrum.M,
        "slices": spectrum.slices,
        "class": kind.universality_class.value,
        "spikes": kind.spikes,
        "trace_in_spikes": round(kind.spike_share, 3),
        "ks_over_critical": round(kind.bulk_ks / kind.bulk_critical_ks, 2),
        "heavy_law": kind.heavy_law,
        "z_against_noise_and_spikes": round(kind.heavy_against_bulk.z, 2),
        "carrier": kind.carrier,
        "row_spread": round(strengths.row_spread, 3),
        "column_spread": round(strengths.column_spread, 3),
        "alpha": round(result.tail.alpha, 3),
        "tail": result.tail.rank,
        "state": result.verdict.state.value,
        "flags": ", ".join(result.flags),
    }


def page(
    table: pd.DataFrame,
    layers: pd.DataFrame,
    noise_of_shapes: pd.DataFrame,
    planted: pd.DataFrame,
    by_batch: pd.DataFrame,
) -> str:
    """The page of all tables."""
    lines = [
        *INTRODUCTION,
        "",
        "## Ensembles of known truth",
        "",
        f"Draws of each ensemble at {table['M'].min()} to {table['M'].max()} eigenvalues, N/M of 1, 2, 8 (1 and 2 at "
        "500), in per cent; the classes that count as right are in bold. "
        "By size and shape: [synthetic.csv](figures/class_table/synthetic.csv).",
        "",
        f"| ensemble | M | draws | {' | '.join(WORDS)} | right |",
        "|---|---|---|" + "---|" * (len(WORDS) + 1),
    ]
    for name, (_, right) in ENSEMBLES.items():
        rows = table[table["ensemble"] == name]
        for label, least, most in (("20, 50", 0, 99), ("100, 200", 100, 499), ("500 on", 500, 9999)):
            some = rows[rows["M"].between(least, most)]
            draws = int(some["draws"].sum())
            if draws:
                shares = [_cell(100 * some[word].sum() / draws, word in right) for word in WORDS]
                good = 100 * some["right"].sum() / draws
                lines.append(f"| {name} | {label} | {draws} | {' | '.join(shares)} | {good:.1f} |")
    lines += ["", *_aims(table), "", *_power_section(planted), "", *_batch_section(by_batch), ""]
    lines += [
        "Untrained layers of the real shapes below, with the strengths of the trained rows and columns (folded norms, "
        "merged gains): "
        + ", ".join(f"{count} {word}" for word, count in Counter(noise_of_shapes["class"]).most_common())
        + ". By layer: [untrained.csv](figures/class_table/untrained.csv).",
        "",
        "## Trained layers",
        "",
        "Every layer: [layers.csv](figures/class_table/layers.csv).",
        "",
        f"| model | layers | {' | '.join(WORDS)} |",
        "|---|---|" + "---|" * len(WORDS),
    ]
    for model, rows in layers.groupby("model", sort=False):
        counted = Counter(rows["class"])
        lines.append(f"| {model} | {len(rows)} | {' | '.join(str(counted[word] or '') for word in WORDS)} |")
    return "\n".join(lines) + "\n"


def _aims(table: pd.DataFrame) -> list[str]:
    """What the tables say to the rates that the rule is held to, of 100 and more eigenvalues."""
    large = table[table["M"] >= 100]
    start = large["ensemble"].isin(INITIALISATIONS)
    names = large["ensemble"].str
    uneven = names.contains("row|columns|both|folded|RMSNorm") & ~names.contains("spike|tied")
    noise, starts = large[uneven], large[start]
    heavy = {name: large[large["ensemble"] == name] for name in AIMED}
    told = int(starts["draws"].sum() - starts[R].sum())
    return [
        "Rates of 100 and more eigenvalues, on seeds that no threshold was chosen on:",
        "",
        f"- random initialisations (normal, uniform, orthogonal): {told} of {int(starts['draws'].sum())} "
        f"({100 * told / starts['draws'].sum():.2f} %) are anything but random-like, "
        f"{int(starts[list(HEAVY)].to_numpy().sum())} heavy-tailed;",
        f"- independent noise of uneven rows and columns: {int(noise[list(HEAVY)].to_numpy().sum())} of "
        f"{int(noise['draws'].sum())} heavy-tailed, {int(noise['draws'].sum() - noise[R].sum())} anything but "
        "random-like;",
        "- heavy-tailed by this rule: "
        + ", ".join(
            f"{name} {100 * rows[list(HEAVY)].to_numpy().sum() / rows['draws'].sum():.0f} %"
            for name, rows in heavy.items()
        )
        + ".",
    ]


def _power_section(planted: pd.DataFrame) -> list[str]:
    """Planted tails by size."""
    names = [f"{what} {alpha}" for what in ("denied", "heavy") for alpha in PLANTED]
    lines = [
        *POWER_TEXT,
        "",
        f"| slices | N x M | row spread | distance | {' | '.join(names)} |",
        "|---|---|---|---|" + "---|" * len(names),
    ]
    for _, one in planted.iterrows():
        shares = " | ".join(f"{one[name]:.2f}" for name in names)
        little = " (little)" if one["distance"] > POWER_DISTANCE else ""
        size = f"{one['slices']:.0f} | {one['N']:.0f} x {one['M']:.0f} | {one['row spread']}"
        lines.append(f"| {size} | {one['distance']:.3f}{little} | {shares} |")
    return lines


def _batch_section(by_batch: pd.DataFrame) -> list[str]:
    """FC1 of MLP3 by batch size."""
    told = []
    for batch, rows in by_batch.groupby("batch"):
        heavy = int(rows["class"].isin(HEAVY).sum())
        told.append(f"{batch}: {heavy} of {len(rows)}")
    return [
        f"FC1 of MLP3 at the base rate, five seeds, heavy-tailed by batch size (eigenvalues alone): {', '.join(told)}."
    ]


def _cell(share: float, right: bool) -> str:
    return "" if not share else f"**{share:.1f}**" if right else f"{share:.1f}"


def main() -> None:
    """Tables first, the page from the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--seed-base", type=int, default=SEED_BASE, help="part of every seed of the tables")
    parser.add_argument("--pages", action="store_true", help="only the page, from the tables that are there")
    asked = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not asked.pages:
        layers = list(trained())
        rows = [layer_row(model, name, analysed(slices)) for model, name, slices in layers]
        pd.DataFrame(rows).to_csv(FOLDER / "layers.csv", index=False)
        untrained(layers, asked.seed_base, FOLDER / "untrained.csv")
        power(asked.seed_base, FOLDER / "power.csv")
        batches(FOLDER / "batches.csv")
        synthetic(asked.sizes, asked.seed_base, FOLDER / "synthetic.csv")
    names = ("synthetic", "layers", "untrained", "power", "batches")
    text = page(*(pd.read_csv(FOLDER / f"{name}.csv") for name in names))
    (ROOT / "docs" / "classes.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
