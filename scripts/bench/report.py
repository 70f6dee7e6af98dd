"""Size of the HTML report and the time to open it, for models of 300 and 2 000 layers.

Claim      Under 3 MB for 300 layers; under 12 MB and 3 s to open for 2 000.
Command    python scripts/bench/report.py [--out docs/figures/bench]
Run time   about a minute. Needs Chromium (`SETOL_CHROMIUM`, else chromium or google-chrome on the path) and playwright.
Output     report.csv: layers, bytes, seconds to write, milliseconds until the page has its table, until it lies still
           (no task of the page for half a second), milliseconds of a processor that the page has used by then, and
           milliseconds until a layer that is asked for is open; medians of three.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from machine import FIGURES, keep, wall_seconds
from playwright.sync_api import Browser, CDPSession, sync_playwright

import setol_ww as ww
from setol_ww.core.options import Options
from setol_ww.results.findings import with_cells
from setol_ww.results.record import STRENGTHS, TRAPS, LayerRecord, settings_of
from setol_ww.results.results import Results
from setol_ww.scanning.row import FORM
from setol_ww.spectrum.strengths import strengths_of

LAYERS, REPEATS, KINDS = (300, 2000), 3, 40
SIDES = (256, 512, 768)
MADE = """() => new Promise(done => {
  const row = () => document.querySelector('#grid .tabulator-row');
  const seen = () => row() ? done(performance.now()) : requestAnimationFrame(seen);
  seen();
})"""
STILL = """() => new Promise(done => {
  let last = performance.now(), before = last;
  const look = () => {
    const now = performance.now();
    if (now - before > 60) last = now;
    before = now;
    now - last > 500 ? done(last) : requestAnimationFrame(look);
  };
  look();
})"""
OPENED = """() => new Promise(done => {
  const start = performance.now();
  location.hash = '#layer-100';
  const picture = () => document.querySelector('#panel[open] .density svg');
  const seen = () => picture() ? done(performance.now() - start) : requestAnimationFrame(seen);
  seen();
})"""


def results_of(layers: int) -> Results:
    """A model of `layers` layers of forty kinds: noise, spikes, heavy tails, on several sides."""
    rng = np.random.default_rng(0)
    kinds = [_record(number, rng) for number in range(KINDS)]
    records = []
    for number in range(layers):
        name = f"model.layers.{number // 7}.block.part_{number % 7}"
        kind = kinds[number % KINDS]
        records.append(replace(kind, position=number, identity={**kind.identity, "longname": name, "layer_id": number}))
    return Results.from_records(records, Options(randomize=True), {"path": "model"}, form=FORM)


def _record(number: int, rng: np.random.Generator) -> LayerRecord:
    side = int(rng.choice(SIDES))
    W = rng.normal(size=(2 * side, side)) + (number % 3 == 1) * rng.standard_t(2.5, size=(2 * side, side))
    W[:, : number % 4] *= 4
    identity = {"longname": "", "slice": "", "layer_type": "dense", "N": 2 * side, "M": side, "dtype": "float32"}
    extras = {STRENGTHS: strengths_of([W]), TRAPS: ww.find_traps(W)}
    plain = LayerRecord(number, identity, seconds=1.0, spectrum=ww.Spectrum.from_matrix(W), extras=extras)
    return with_cells(plain, settings_of(Options()))


def opened(browser: Browser, path: Path) -> tuple[float, float, float, float]:
    """Milliseconds to the table, to rest, of the page's process by then, and to an opened layer."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    asked = page.context.new_cdp_session(page)
    asked.send("Performance.enable")
    before = _process_ms(asked)
    page.goto(path.as_uri(), wait_until="commit")
    table, still = float(page.evaluate(MADE)), float(page.evaluate(STILL))
    used = _process_ms(asked)
    layer = float(page.evaluate(OPENED))
    page.close()
    return table, still, used - before if used > before else used, layer


def _process_ms(asked: CDPSession) -> float:
    metrics = {one["name"]: one["value"] for one in asked.send("Performance.getMetrics")["metrics"]}
    return 1000 * float(metrics["ProcessTime"])


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--out", type=Path, default=FIGURES)
    out = asked.parse_args().out
    found = os.environ.get("SETOL_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    rows = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        for layers in LAYERS:
            results, path = results_of(layers), Path(folder) / f"{layers}.html"
            seconds = wall_seconds(lambda results=results, path=path: results.report(path))
            with playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"]) as browser:
                opened(browser, path)
                times = [statistics.median(column) for column in zip(*(opened(browser, path) for _ in range(REPEATS)))]
            made, still, used, layer = (round(time) for time in times)
            rows.append(
                {"layers": layers, "bytes": path.stat().st_size, "write_s": round(seconds, 2), "table_ms": made}
                | {"still_ms": still, "cpu_ms": used, "layer_ms": layer}
            )
            print(rows[-1])
    print(keep("report", rows, out))


if __name__ == "__main__":
    main()
