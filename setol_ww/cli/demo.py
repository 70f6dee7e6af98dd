"""The demonstration: three nets trained at three learning rates, read without data.

The weights were trained by `scripts/mlp3.py` on MNIST and packed by `scripts/make_demo_weights.py`.
"""

from __future__ import annotations

import itertools
import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..core.errors import InvalidInput
from ..results.export import refuse_unwritable
from ..results.means import Mean, mean_of, told_apart
from ..views.text import legend, paragraph, text_table

if TYPE_CHECKING:
    from ..results.results import Results

RATES = (1, 16, 32)


def demo_nets() -> dict[int, tuple[dict[str, np.ndarray], dict]]:
    """Weights and training record of each demonstration net, by multiple of the base rate 0.01."""
    nets = {}
    for rate in RATES:
        file = resources.files("setol_ww.cli") / "demo_weights" / f"mlp3_lr{rate}_bs32_seed0.npz"
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            weights = {name: arrays[name] for name in arrays.files if name != "meta"}
            nets[rate] = weights, json.loads(str(arrays["meta"]))
    return nets


def demo_results() -> tuple[Results, dict[int, dict]]:
    """The analysis of the three nets as one (`fc1 @ x16` ...) and their training records."""
    from ..watcher import examine

    nets = demo_nets()
    weights = {
        f"{name.removesuffix('.weight')} @ x{rate}": values
        for rate, (net, _) in nets.items()
        for name, values in net.items()
        if values.ndim == 2
    }
    results = examine(weights, detX=True, progress=False)
    results.about["source"] = "three nets of the demonstration"
    return results, {rate: record for rate, (_, record) in nets.items()}


def demo_table() -> tuple[pd.DataFrame, dict[int, dict]]:
    """The table of `demo_results` and the training records."""
    results, records = demo_results()
    return results.table(), records


def demo_text(frame: pd.DataFrame, records: dict[int, dict], *, colour: bool = False) -> str:
    """What `setol-ww demo` prints of the nets."""
    nets = "; ".join(
        f"x{rate}: {record['epochs']} epochs, test error {100 * record['test_error']:.2f} %"
        for rate, record in records.items()
    )
    intro = (
        "Three MLPs (784-300-100-10) trained on MNIST with SGD at batch size 32 and 1, 16 and 32 times the learning "
        f"rate 0.01, read from their weights alone. {nets}."
    )
    texts = [_means_in_words(frame), *_in_words(frame)]
    return "\n\n".join([paragraph(intro), text_table(frame, colour=colour), legend(), *map(paragraph, texts)])


def write_demo(results: Results, folder: Path) -> dict[str, Path]:
    """The report, the picture and the results of the nets in a folder, which is made; what is there of them goes.

    Raises
    ------
    InvalidInput
        The folder cannot be made, or takes no files.
    """
    from ..views.demonstration import demo_picture

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"--out {folder} was asked; it cannot be made: {error}") from None
    files = {"report": folder / "report.html", "picture": folder / "nets.png", "results": folder / "nets.setol"}
    refuse_unwritable("--out", files["report"])
    results.report(files["report"])
    demo_picture(results, [f"fc1 @ x{rate}" for rate in RATES], files["picture"])
    results.save(files["results"])
    return files


def files_text(files: dict[str, Path]) -> str:
    """Where they are, and how to go on with a model of one's own."""
    where = (
        f"The report is in {files['report']}: open it in a browser. The picture of the three nets is in "
        f"{files['picture']}, their spectra for further questions in {files['results']}."
    )
    own = "The same of a model of your own, a file, a folder or hf://org/model:"
    return f"{paragraph(where)}\n\n{own}\n  setol-ww report model.safetensors --out report.html"


def _means_in_words(frame: pd.DataFrame) -> str:
    """The mean alpha of each net, and which of them their errors tell apart."""
    means = {
        rate: mean_of(frame.loc[frame["longname"].str.endswith(f"@ x{rate}"), "tail_alpha"].tolist(), "tail_alpha", "")
        for rate in RATES
    }
    told = "; ".join(f"x{rate}: {mean}" for rate, mean in means.items())
    pairs = [
        f"x{one} and x{other} {_apart(means[one], means[other])}" for one, other in itertools.combinations(RATES, 2)
    ]
    return (
        f"Mean alpha over the layers with its error: {told}. By these errors {', '.join(pairs)}: three layers say "
        "little of a net, and what a rate does is seen layer by layer."
    )


def _apart(first: Mean | None, second: Mean | None) -> str:
    if first is None or second is None:
        return "have no mean to compare"
    told = told_apart(first, second)
    return f"{'differ' if told else 'are indistinguishable'} (p = {told.pvalue:.2g})"


def _in_words(frame: pd.DataFrame) -> list[str]:
    """The layer nearest to each of the three states, chosen by the numbers, and whether it has reached it."""
    sound = frame[(frame["tail_outcome"] == "ok")]
    off_ideal = np.hypot((sound["tail_alpha"] - 2) / sound["tail_sigma"], sound["erg_metric"] / _metric_error(sound))
    texts: list[str] = []
    told: set[object] = set()
    for headline, index, state, why in (
        ("Nearest to ideal", off_ideal.idxmin(), "ideal", _why_ideal),
        ("Nearest to under-trained", sound["tail_alpha"].idxmax(), "under-trained", _why_under),
        ("Nearest to over-regularized", sound["tail_alpha"].idxmin(), "over-regularized", _why_over),
    ):
        row = sound.loc[index]
        reached = "" if row["setol_state"] == state else f" Its state is {row['setol_state']}, not yet {state}."
        numbers = "" if index in told else f" {row['setol_reason']}"
        told.add(index)
        texts.append(f"{headline}: {row['longname']}. {why(row)}{reached}{numbers}")
    return texts


def _metric_error(sound: pd.DataFrame) -> pd.Series:
    return sound["tail_sigma"] / (sound["tail_alpha"] - 1) ** 2


def _why_ideal(row: pd.Series) -> str:
    return (
        f"Two criteria that know nothing of each other meet here: the power law takes {row['tail_rank']:.0f} "
        f"eigenvalues as its tail, and the product of the leading {row['erg_rank']:.0f} is 1."
    )


def _why_under(row: pd.Series) -> str:
    return (
        f"Its tail falls most steeply (alpha = {row['tail_alpha']:.2f}; above 6 counts as under-trained) and holds "
        f"{row['tail_rank']:.0f} eigenvalues, where det X = 1 would take {row['erg_rank']:.0f}."
    )


def _why_over(row: pd.Series) -> str:
    side = "below" if row["tail_alpha"] < 2 else "not below"
    start = "below" if row["delta_lambda_min"] < 0 else "not below"
    return (
        f"Its alpha = {row['tail_alpha']:.2f} is the smallest, {side} 2, and its power-law tail starts {start} the "
        "ERG tail; over-regularized is both, by more than the error of the fit."
    )
