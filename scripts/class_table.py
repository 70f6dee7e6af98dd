"""The universality class against ensembles whose truth is known, and the classes of trained layers.

Claim      Random initialisations are random-like at the level of the edge test and never heavy-tailed; noise with
           spikes is bulk+spikes; signed Pareto matrices of mu <= 2 are heavy-tailed from 100 eigenvalues on, those of
           mu <= 1.5 very heavy-tailed where their fitted alpha is below 2.
Command    python scripts/class_table.py            resumable: a cell that is in the table is not drawn again
           python scripts/class_table.py --sizes 50 100 200
           python scripts/class_table.py --pages    the page from the tables that are there
Run time   7 minutes on one core, most of it the eigenvalues of the sizes from 500 on.
Output     docs/figures/class_table/synthetic.csv (a row an ensemble, shape), layers.csv (a row a trained layer),
           docs/classes.md
Data       the demonstration nets of the package; ResNet-20 and -32 and stories260K where `SETOL_DATA` (or the
           `shared/data` beside the checkout) is there
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from fixtures import matrices
from setol_ww import LayerResult, Spectrum, UniversalityClass
from setol_ww.cli.demo import demo_nets
from setol_ww.layer.result import analyze_spectrum

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "figures" / "class_table"
DATA = Path(os.environ.get("SETOL_DATA", ROOT.parent / "shared" / "data"))
SIZES = (20, 50, 100, 200, 500, 1000, 2000)
DRAWS = {20: 60, 50: 60, 100: 40, 200: 20, 500: 6, 1000: 3, 2000: 1}
RATIOS = (1, 2, 8)
WORDS = [word.value for word in UniversalityClass]
R, S, W, H, V, C, U = WORDS
HEAVY = (W, H, V)

INTRODUCTION = """# Universality classes, measured

Made by `python scripts/class_table.py`. The rule stands in `setol_ww/layer/classes.py`: eigenvalues above the Tracy-
Widom edge of the noise, the distance of the others to a Marchenko-Pastur law, and likelihood ratios of a power law, a
truncated power law and a lognormal against Marchenko-Pastur with spikes on the layer's own tail. alpha chooses among
the heavy tails and decides nothing else.

What to know before trusting a word:

- On the tails of trained layers, some tens of eigenvalues, the likelihood ratio of a heavy tail and a bulk with spikes
  is seldom significant: of the 84 layers below where it was taken (`z_against_bulk_and_spikes`) in three. The number
  of eigenvalues above the edge decides then: up to 5 % of them are spikes, more are a tail.
- The edge is that of independent entries of one variance. Entries of heavier laws (Laplace, Student t) have an
  eigenvalue above it more often than the level says; rows and columns of unequal strength have several. Both come out
  as bulk+spikes up to N/M = 2. At N/M = 8 columns that differ by a tenth are taken for a heavy tail in most draws.
- Kernel slices are pooled and taken to have one variance. Where the centre of a kernel is stronger than its corners,
  the pooled bulk is not Marchenko-Pastur.
- Below 100 eigenvalues mu = 1.5 and 2 are as often spikes as tails. For mu of 2 to 4 the bulk is Marchenko-Pastur and
  the tail some M^(2 - mu/2) eigenvalues: bulk+spikes is the truth of such a size.
""".splitlines()

Draw = Callable[[np.random.Generator, int, int], np.ndarray]


def _signal(rng: np.random.Generator, N: int, M: int, spikes: int) -> np.ndarray:
    """Rank-one signals of 1.6 to 4 times the BBP threshold."""
    theta = np.linspace(1.6, 4, spikes) * (M / N) ** 0.25
    left, _ = np.linalg.qr(rng.normal(size=(N, spikes)))
    right, _ = np.linalg.qr(rng.normal(size=(M, spikes)))
    return np.sqrt(N) * (left * theta) @ right.T


def _spiked(spikes: int) -> Draw:
    return lambda rng, N, M: rng.normal(size=(N, M)) + _signal(rng, N, M, spikes)


def _uneven(rng: np.random.Generator, N: int, M: int) -> np.ndarray:
    """Noise whose rows and columns differ in strength by a tenth: no exact Marchenko-Pastur bulk."""
    return rng.normal(size=(N, M)) * np.exp(0.1 * rng.normal(size=(N, 1))) * np.exp(0.1 * rng.normal(size=(1, M)))


def _pareto(mu: float) -> Draw:
    return lambda rng, N, M: matrices.signed_pareto(N, M, mu, int(rng.integers(2**31)))[0]


def _inverse(kappa: float) -> Draw:
    """Square root of inverse Marchenko-Pastur eigenvalues on the diagonal: the spectrum is all that counts."""

    def draw(rng: np.random.Generator, N: int, M: int) -> np.ndarray:
        return np.sqrt(matrices.inverse_marchenko_pastur_eigenvalues(M, kappa, int(rng.integers(2**31)))[0])

    return draw


def _rank(share: float) -> Draw:
    def draw(rng: np.random.Generator, N: int, M: int) -> np.ndarray:
        rank = max(1, int(share * M))
        return rng.normal(size=(N, rank)) @ rng.normal(size=(rank, M))

    return draw


#: Name -> draw, the classes that are right. A matrix of one dimension is a list of singular values.
ENSEMBLES: dict[str, tuple[Draw, tuple[str, ...]]] = {
    "normal": (lambda rng, N, M: rng.normal(size=(N, M)), (R,)),
    "uniform": (lambda rng, N, M: rng.uniform(-1, 1, size=(N, M)), (R,)),
    "orthogonal": (lambda rng, N, M: np.linalg.qr(rng.normal(size=(N, M)))[0], (R,)),
    "Laplace": (lambda rng, N, M: rng.laplace(size=(N, M)), (R,)),
    "Student t, 5 degrees": (lambda rng, N, M: rng.standard_t(5, size=(N, M)), (R, S)),
    "uneven noise": (_uneven, (R, S)),
    "noise + 1 spike": (_spiked(1), (S,)),
    "noise + 3 spikes": (_spiked(3), (S,)),
    "noise + 10 spikes": (_spiked(10), (S,)),
    "uneven noise + 3 spikes": (lambda rng, N, M: _uneven(rng, N, M) + _signal(rng, N, M, 3), (S,)),
    **{f"Pareto mu = {mu}": (_pareto(mu), (V,)) for mu in (0.5, 1.0, 1.5)},
    "Pareto mu = 2.0": (_pareto(2.0), (V, H)),
    **{f"Pareto mu = {mu}": (_pareto(mu), (H, W, S)) for mu in (2.5, 3.0)},
    "Pareto mu = 4.0": (_pareto(4.0), (R, S)),
    "Pareto mu = 6.0": (_pareto(6.0), (R,)),
    "inverse Marchenko-Pastur 0.1": (_inverse(0.1), (V,)),
    "inverse Marchenko-Pastur 0.5": (_inverse(0.5), (V, H)),
    "inverse Marchenko-Pastur 1": (_inverse(1.0), (H, U)),
    "inverse Marchenko-Pastur 3": (_inverse(3.0), (W, U)),
    "product of rank M/4": (_rank(0.25), (C,)),
}  # fmt: skip


def spectrum_of(drawn: np.ndarray, N: int, M: int) -> Spectrum:
    """Of a matrix, or of singular values."""
    return Spectrum.from_matrix(drawn) if drawn.ndim == 2 else Spectrum.from_eigenvalues(drawn**2, (N, M))


def synthetic(sizes: list[int], path: Path) -> pd.DataFrame:
    """Draws every cell that is missing, and writes the table after each."""
    table = (
        pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["ensemble", "N", "M", "draws", "right", *WORDS])
    )
    known = set(zip(table["ensemble"], table["N"], table["M"]))
    for M in sizes:
        for Q in RATIOS if M <= 500 else RATIOS[:2]:
            for number, (name, (draw, right)) in enumerate(ENSEMBLES.items()):
                N = Q * M
                if (name, N, M) in known or (M > 1000 and Q > 1) or (M < 50 and name == "noise + 10 spikes"):
                    continue
                counted: Counter = Counter()
                for seed in range(DRAWS[M]):
                    rng = np.random.default_rng([number, N, M, seed])
                    counted[_class(spectrum_of(draw(rng, N, M), N, M))] += 1
                row = {
                    "ensemble": name,
                    "N": N,
                    "M": M,
                    "draws": DRAWS[M],
                    "right": sum(counted[word] for word in right),
                }
                table.loc[len(table)] = {**row, **{word: counted[word] for word in WORDS}}
                table.to_csv(path, index=False)
            print(f"{N} x {M}", flush=True)
    return table


def _class(spectrum: Spectrum) -> str:
    return analyze_spectrum(spectrum).universality.universality_class.value


def trained() -> Iterator[tuple[str, str, Spectrum]]:
    """Model, layer and spectrum of every trained layer at hand."""
    for rate, (weights, _) in demo_nets().items():
        for name, values in weights.items():
            if values.ndim == 2:
                yield f"MLP3 x{rate}", name, Spectrum.from_matrix(values)
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
                yield f"ResNet-{depth}", name, Spectrum.from_slices(slices)
            elif values.ndim == 2:
                yield f"ResNet-{depth}", name, Spectrum.from_matrix(values)
    with np.load(DATA / "transformers" / "stories260K.npz") as arrays:
        for name in arrays.files:
            stack = arrays[name] if arrays[name].ndim == 3 else arrays[name][None]
            if arrays[name].ndim >= 2 and not name.startswith("rms"):
                for index, values in enumerate(stack):
                    yield "stories260K", f"{name} {index}", Spectrum.from_matrix(values)


def layer_row(model: str, layer: str, spectrum: Spectrum, result: LayerResult) -> dict[str, object]:
    """The class of a trained layer with its numbers."""
    kind = result.universality
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
        "z_against_bulk_and_spikes": round(kind.heavy_against_bulk.z, 2),
        "alpha": round(result.tail.alpha, 3),
        "tail": result.tail.rank,
        "state": result.verdict.state.value,
    }


def page(table: pd.DataFrame, layers: pd.DataFrame) -> str:
    """The page of both tables."""
    lines = [
        *INTRODUCTION,
        "",
        "## Ensembles of known truth",
        "",
        f"Draws of each ensemble at {table['M'].min()} to {table['M'].max()} eigenvalues, N/M of 1, 2, 8 (1 and 2 at "
        "1000, 1 at 2000), in per cent; the classes that count as right are in bold. "
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
    noise = table[table["ensemble"].isin(["normal", "uniform", "orthogonal"])]
    draws, heavy = int(noise["draws"].sum()), int(noise[list(HEAVY)].to_numpy().sum())
    spiked = int(noise[S].sum())
    lines += [
        "",
        f"Of {draws} normal, uniform and orthogonal initialisations {heavy} are called heavy-tailed and {spiked} "
        f"({100 * spiked / draws:.2f} %) bulk+spikes, at a level of the edge test of 1 %.",
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


def _cell(share: float, right: bool) -> str:
    return "" if not share else f"**{share:.1f}**" if right else f"{share:.1f}"


def main() -> None:
    """Tables first, the page from the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--pages", action="store_true", help="only the page, from the tables that are there")
    asked = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not asked.pages:
        rows = [layer_row(model, name, spectrum, analyze_spectrum(spectrum)) for model, name, spectrum in trained()]
        pd.DataFrame(rows).to_csv(FOLDER / "layers.csv", index=False)
        synthetic(asked.sizes, FOLDER / "synthetic.csv")
    text = page(pd.read_csv(FOLDER / "synthetic.csv"), pd.read_csv(FOLDER / "layers.csv"))
    (ROOT / "docs" / "classes.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
