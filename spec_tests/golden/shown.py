"""Results that print: made of numbers that are the same on every machine. What each prints is kept in `files/printed/`.

`python -m spec_tests.golden.shown` writes the golden files anew; look at the difference before it is committed.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import setol_ww as ww
from setol_ww.core.tones import Tone
from setol_ww.results.record import LayerRecord
from setol_ww.scanning.row import FORM
from setol_ww.views.notebook import COLOURS

GOLDEN = Path(__file__).parent / "files" / "printed"
WIDTH = 100
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{name}</title></head>
<body style="font-family:sans-serif;background:{background};color:{text}">{body}</body></html>
"""


def power_law(alpha: float, start: float, tail: int, number: int) -> ww.Spectrum:
    """Quantiles of a power law above `start`, and evenly spaced eigenvalues below: no random numbers."""
    ranks = (np.arange(tail) + 0.5) / tail
    head = start * (1 - ranks) ** (-1 / (alpha - 1))
    return ww.Spectrum.from_eigenvalues([*np.linspace(0.02, 0.9 * start, number - tail), *head], (2 * number, number))


def report(count: int) -> ww.TrapReport:
    """A report of traps, its numbers written down."""
    trap = ww.find_traps(np.zeros((4, 4)))
    if not count:
        return trap
    W = np.sin(np.arange(6000.0) ** 2).reshape(100, 60)
    W[13, 17] = 40
    return ww.find_traps(W)


def layers() -> dict[str, ww.Spectrum]:
    """Spectra of every kind."""
    return {
        "near ideal": power_law(2.0, 0.36, 60, 200),
        "short of ideal": power_law(3.4, 0.6, 80, 200),
        "heavy": power_law(1.5, 0.2, 90, 200),
        "tiny": ww.Spectrum.from_eigenvalues([0.5, 1.0, 3.0], (4, 3)),
        "flat": ww.Spectrum.from_eigenvalues(np.ones(30), (30, 30)),
        "<b>&\x1b[31m": power_law(2.6, 0.5, 50, 120),
    }


def some_results() -> ww.Results:
    """Results of these layers, of one that failed and of one that was skipped."""
    records = of(layers())
    count = len(records)
    records.append(LayerRecord(count, {"longname": "broken"}, "failed", "layer broken: 3 entries are not finite"))
    records.append(LayerRecord(count + 1, {"longname": "packed"}, "skipped", "no scheme for int4"))
    return ww.Results.from_records(records, form=FORM)


def of(spectra: dict[str, ww.Spectrum]) -> list[LayerRecord]:
    """Records of layers with their sizes."""
    return [
        LayerRecord(i, {"longname": name, "slice": "", "N": one.N, "M": one.M, "rf": 1}, spectrum=one)
        for i, (name, one) in enumerate(spectra.items())
    ]


def some_changes() -> ww.Comparison:
    """The same results with two layers changed, and what is not in both."""
    first, spectra = some_results(), layers()
    spectra["heavy"], spectra["near ideal"] = spectra["near ideal"], power_law(2.9, 0.5, 80, 200)
    return ww.compare(first, ww.Results.from_records(of(spectra)[:-1], form=FORM))


def an_effect() -> ww.TrapEffect:
    """What two traps do, its numbers written down."""
    from setol_ww.advice.trap_effect import Removal

    one = Removal("fc1", "element", "(3, 7)", 1e-30, 5.0, 0.03, 1.0, 1.0, 0.2, 0.31, 0.02, 0.05, 1.0)
    return ww.TrapEffect((one, replace(one, carrier="mean shift", place="", js=0.01)), 256, True, 20, 0)


def shown() -> dict[str, Any]:
    """Every kind of result by the name of its golden files."""
    from setol_ww.layer.result import analyze_spectrum

    found = {name.split()[0]: analyze_spectrum(spectrum) for name, spectrum in list(layers().items())[:5]}
    ideal, sure = found["near"], analyze_spectrum(layers()["short of ideal"], ww.Settings(uncertainty=40))
    results = some_results()
    return {
        **{f"layer-{name}": layer for name, layer in found.items()},
        "layer-with-trap": found["short"].with_traps(report(1)),
        "tail": ideal.tail,
        "tail-none": found["flat"].tail,
        "tail-sure": sure.tail,
        "erg": ideal.erg,
        "ecs": ideal.ecs,
        "bulk": ideal.bulk,
        "intervals": sure.intervals,
        "quality": ideal.quality,
        "quality-none": analyze_spectrum(ww.Spectrum.from_eigenvalues(np.zeros(9))).quality,
        "universality": ideal.universality,
        "verdict": ideal.verdict,
        "traps": report(1),
        "traps-none": report(0),
        "submatrices": ww.SubmatrixFit(2.31, 0.12, 8, 512, 512, 340, ww.Outcome.OK),
        "cut": ww.LayerCut("erg", "fc1 [q]", 31, 0.31, 0.82, 100),
        "cut-none": ww.LayerCut("erg", "fc2", 100, 1.0, math.nan, 100, "no ERG cut: all eigenvalues are equal"),
        "comparison": some_changes(),
        "comparison-summary": some_changes().summary(),
        "effect": an_effect(),
        "effect-none": ww.TrapEffect((), 256, True, 20, 0, "no trap in any of the 3 layers"),
        "results": results,
        "summary": results.summary(),
        "advice": ww.recommend(results, "sparsity"),
    }


@contextmanager
def columns(width: int) -> Iterator[None]:
    """A terminal of so many columns."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(width)
    try:
        yield
    finally:
        os.environ.pop("COLUMNS") if before is None else os.environ.__setitem__("COLUMNS", before)


def golden(result: Any) -> dict[str, str]:
    """What is kept of a result, by ending."""
    with columns(WIDTH):
        return {
            ".txt": f"{result}\n\nrepr:\n{result!r}\n",
            ".html": result._repr_html_().replace("</tr>", "</tr>\n").replace("</div>", "</div>\n"),
        }


def page(background: str, text: str) -> str:
    """All of them on a page, to be looked at."""
    body = "".join(f"<h3>{name}</h3>{result._repr_html_()}" for name, result in shown().items())
    return PAGE.format(name="shown", background=background, text=text, body=body)


def tones_in(html: str) -> set[Tone]:
    """Which tones a piece of HTML has."""
    return {tone for tone, colour in COLOURS.items() if colour in html}


def main() -> None:
    """Write every golden file, and take away those of nothing."""
    GOLDEN.mkdir(exist_ok=True)
    for old in GOLDEN.glob("*"):
        old.unlink()
    for name, result in shown().items():
        for ending, text in golden(result).items():
            (GOLDEN / f"{name}{ending}").write_text(text, encoding="utf-8")
    sys.stdout.write(f"{len(list(GOLDEN.iterdir()))} files are in {GOLDEN}\n")


if __name__ == "__main__":
    main()
