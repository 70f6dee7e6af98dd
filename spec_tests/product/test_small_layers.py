"""Layers that are worked on together: each is to the bit what it is alone, and what goes wrong costs one row."""

from __future__ import annotations

import sqlite3

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from threadpoolctl import threadpool_limits

import setol_ww as ww
from setol_ww.layer import columns, quality
from setol_ww.layer import result as analyses
from setol_ww.linalg import eigenvalues as eigen
from setol_ww.results.store import Store
from setol_ww.scanning import dispatch
from setol_ww.spectrum import starts
from setol_ww.spectrum.bulk import fit_bulk
from setol_ww.spectrum.strengths import _Sums, strengths_of, strengths_of_each
from setol_ww.theory.resolvents import Points, sums_of_integrated_r
from setol_ww.watcher import records, subclass, together, walk
from setol_ww.weights import plan


def experts(number: int = 20) -> dict[str, torch.Tensor]:
    """Experts of two shapes by turns, among them uneven, flat, rank-deficient, heavy-tailed, and ones with a NaN."""
    generator = torch.Generator().manual_seed(0)
    found = {}
    for place in range(number):
        rows, side = ((64, 48), (90, 40))[place % 2]
        weight = torch.randn(rows, side, generator=generator)
        if place in (3, 8):
            weight *= torch.exp(torch.randn(rows, 1, generator=generator))
        if place in (4, 9):
            weight = weight[:, :7] @ torch.randn(7, side, generator=generator)
        if place == 5:
            weight = torch.eye(rows, side)
        if place == 6:
            weight[1, 2] = torch.nan
        if place in (7, 12):
            weight *= torch.rand(rows, side, generator=generator) ** -0.8
        if place == 10:
            weight = torch.zeros(rows, side)
        if place == 11:
            weight *= 1e30
        found[f"experts.{place}.weight"] = weight.to(torch.bfloat16)
    return found


def assert_same(one: pd.DataFrame, other: pd.DataFrame, left_out: tuple[str, ...] = ()) -> None:
    """Numbers byte for byte, words by themselves."""
    assert list(one) == list(other)
    for name in one.columns.difference(left_out):
        first, second = one[name].tolist(), other[name].tolist()
        assert list(map(repr, first)) == list(map(repr, second)), name


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(experts(), path)
    return path


def one_by_one(monkeypatch, run):
    with monkeypatch.context() as patch:
        patch.setattr(records, "TOGETHER", 1)
        patch.setattr(dispatch, "TOGETHER", 1)
        patch.setattr(walk, "TOGETHER", 1)
        return run()


@pytest.mark.parametrize("options", [{}, {"randomize": True, "uncertainty": 3}], ids=["plain", "all"])
def test_together_is_as_alone(file, monkeypatch, options):
    for run in (lambda: ww.analyze(experts(), **options), lambda: ww.scan(file, **options)):
        together = run()
        assert (together["status"] == "failed").sum() >= 1
        assert_same(together, one_by_one(monkeypatch, run))


@pytest.mark.parametrize("size", [3, 7])
def test_how_many_are_together_changes_nothing(file, monkeypatch, size):
    whole, scanned = ww.analyze(experts()), ww.scan(file)
    monkeypatch.setattr(records, "TOGETHER", size)
    monkeypatch.setattr(dispatch, "TOGETHER", size)
    assert_same(ww.analyze(experts()), whole)
    assert_same(ww.scan(file), scanned)
    assert_same(ww.scan(file, n_jobs=2), scanned)


def test_a_row_of_many_is_that_of_its_matrix(file):
    frame = ww.scan(file).set_index("longname")
    for name, weight in experts().items():
        row = frame.loc[name.removesuffix(".weight")]
        if row["status"] == "analyzed":
            told = columns.row(ww.analyze_matrix(weight))
            other = [
                key for key in told if row[key] != told[key] and not (row[key] != row[key] and told[key] != told[key])
            ]
            assert not other


def failing(monkeypatch, name: str) -> None:
    """The bulk of one expert fails."""
    bad = ww.Spectrum.from_matrix(experts()[name]).values[-1]

    def broken(spectrum, **options):
        if spectrum.values[-1] == bad:
            raise ZeroDivisionError("this one")
        return fit_bulk(spectrum, **options)

    monkeypatch.setattr(analyses, "fit_bulk", broken)


def test_what_fails_among_many_costs_its_own_row(file, monkeypatch):
    runs = (lambda: ww.analyze(experts()), lambda: ww.scan(file))
    sound = [run() for run in runs]
    failing(monkeypatch, "experts.13.weight")
    for before, run in zip(sound, runs):
        after = run()
        broken = after["longname"] == "experts.13"
        assert after.loc[broken, "status"].tolist() == ["failed"]
        assert "ZeroDivisionError: this one" in after.loc[broken, "reason"].iloc[0]
        ours = ("tail_alpha", "q2_norm", "universality_class", "status", "reason")
        for name in ours:
            rest = after.loc[~broken, name].map(repr).tolist()
            assert rest == before.loc[~broken, name].map(repr).tolist(), name


def test_the_records_of_a_group_are_kept_all_or_none(file, tmp_path, monkeypatch):
    """A kill within the transaction of a group: the file opens, and the next scan does the group again."""
    reference, out = ww.scan(file), tmp_path / "layers.setol"
    real, calls = Store.add_all, []

    def killed(store, group):
        def dying():
            yield from list(group)[:2]
            raise KeyboardInterrupt

        calls.append(len(group))
        real(store, dying() if len(calls) == 2 else group)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "add_all", killed)
        with pytest.raises(KeyboardInterrupt):
            ww.scan(file, out)
    assert calls[1] > 2
    with sqlite3.connect(f"file:{out}?mode=ro", uri=True) as connection:
        assert connection.execute("SELECT count(*) FROM rows").fetchone() == (calls[0],)
    connection.close()
    assert len(ww.merge_scans(out, partial=True)) == calls[0]
    assert_same(ww.scan(file, out), reference)


# The parts.


def laws() -> list[Points]:
    """Laws of many sizes and widths: few points, a common size, a gap, many decades, one value alone."""
    rng = np.random.default_rng(1)
    found = []
    for count, decades in ((30, 1), (33, 1), (40, 6), (64, 0.1), (200, 2), (200, 9), (10, 1)):
        atoms = np.sort(10 ** rng.uniform(0, decades, count))
        found.append(Points(atoms / count, atoms, np.full(count, 1 / count)))
        found.append(Points(atoms, np.append(0.0, atoms), np.append(0.5, np.full(count, 0.5 / count))))
    found.append(Points(np.ones(40), np.ones(40), np.full(40, 1 / 40)))
    return found


def test_sums_of_many_laws_are_those_of_each():
    asked = laws()
    alone = [sums_of_integrated_r([points])[0] for points in asked]
    assert sums_of_integrated_r(asked) == alone
    order = np.random.default_rng(2).permutation(len(asked))
    assert sums_of_integrated_r([asked[place] for place in order]) == [alone[place] for place in order]
    assert sums_of_integrated_r(asked * 3) == alone * 3
    assert alone == pytest.approx([points.one_by_one() for points in asked], rel=1e-11)


def test_readings_of_many_are_those_of_each():
    spectra = [ww.Spectrum.from_matrix(weight) for weight in experts().values()]
    asked = [(one, ww.fit_tail(one), ww.erg_cut(one)) for one in spectra]
    assert list(map(repr, quality.qualities(asked))) == [repr(ww.quality(*one)) for one in asked]
    assert quality.qualities([]) == []


def test_a_shared_scan_answers_as_a_new_one():
    rng = np.random.default_rng(3)
    for _ in range(20):
        values = np.sort(rng.pareto(2, 80)) + 0.1
        log_x, scan = np.log(values), starts.Scan(np.log(values))
        for some in (np.arange(79), np.arange(30), np.sort(rng.choice(79, 40, replace=False))):
            assert scan.best(some) == starts.best_start(log_x, some)
        assert starts.peak_alpha(values, starts.Scan(log_x - 3)) == pytest.approx(starts.peak_alpha(values), rel=1e-12)


def test_the_peak_is_that_of_a_histogram():
    rng = np.random.default_rng(4)
    for _ in range(20):
        values = np.sort(rng.lognormal(sigma=rng.uniform(0.1, 3), size=rng.integers(20, 300)))
        logs = np.log10(values)
        counts, edges = np.histogram(logs, bins=100, range=(logs[0], logs[-1]))
        peak = 10 ** edges[np.argmax(counts)]
        allowed = (values >= np.log10(0.95 * peak)) & (values <= 1.5 * peak) & (logs < logs[-1])
        start = starts.best_start(np.log(values), np.flatnonzero(allowed))
        tail = np.log(values[start:] / values[start])
        assert starts.peak_alpha(values) == pytest.approx(1 + tail.size / tail.sum(), rel=1e-10)


def test_strengths_of_float32_are_those_of_float64():
    """To a millionth where they are uneven; the same verdict of even; and by float64 where float32 overflows."""
    rng = np.random.default_rng(5)
    even = rng.normal(size=(300, 200)).astype(np.float32)
    uneven = even * np.exp(0.4 * rng.normal(size=(300, 1))).astype(np.float32)
    for weight in (even, uneven):
        found, wide = strengths_of([weight]), strengths_of([weight.astype(np.float64)])
        assert (found.row_spread, found.column_spread) == pytest.approx((wide.row_spread, wide.column_spread), rel=1e-6)
        assert (found.k4, found.k6) == pytest.approx((wide.k4, wide.k6), abs=1e-4)
        assert found.row == pytest.approx(wide.row, rel=1e-5)
    assert strengths_of([even]).is_even
    apart = np.concatenate([1e-20 * np.ones((1000, 300)), rng.normal(size=(1000, 300))]).astype(np.float32)
    assert not _Sums.of([apart], np.float32).are_finite
    assert strengths_of([apart]) == strengths_of([apart.astype(np.float64)])


def test_strengths_together_are_as_alone():
    """Even, uneven, of loud and of dead lines, pooled, empty and not finite, in any order and number."""
    rng = np.random.default_rng(6)
    layers = [[rng.normal(size=(60, 40))] for _ in range(6)]
    layers[1][0] *= np.exp(0.5 * rng.normal(size=(60, 1)))
    layers[2][0][7] *= 50
    layers[3][0][:, 5] = 0
    layers[4][0] *= rng.random((60, 40)) < 0.5
    layers[5] = [layers[5][0], 3 * rng.normal(size=(60, 40))]
    layers += [[np.full((60, 40), np.nan)], [np.zeros((60, 40))], [np.empty((0, 4))], [layers[1][0].astype(np.float32)]]
    alone = [strengths_of(layer) for layer in layers]
    assert strengths_of_each(layers) == alone
    assert strengths_of_each(layers[::-1]) == alone[::-1]
    assert strengths_of_each([]) == []
    assert [one.row.size for one in alone] == [1, 60, 60, 1, 1, 1, 1, 1, 1, 60]
    assert [one.slice.size for one in alone] == [1, 1, 1, 1, 1, 2, 1, 1, 1, 1]
    assert [one.columns for one in alone[3:9]] == [39, 40, 40, 40, 40, 4]


def walked_order(monkeypatch, weights, **options):
    """What is decomposed (d) and whose fit is made (f), by the rows of the layer."""
    seen = []
    decompose, steps = eigen.eigenvalues, ww.WeightWatcher.apply_detX

    def decomposed(matrix, **options):
        seen.append(f"d{matrix.shape[0]}")
        return decompose(matrix, **options)

    def fitted(self, layer, params=None):
        seen.append(f"f{layer.Wmats[0].shape[0]}")
        return steps(self, layer, params)

    with monkeypatch.context() as patch:
        for module in (subclass, together):
            patch.setattr(module, "eigenvalues", decomposed)
        patch.setattr(ww.WeightWatcher, "apply_detX", fitted)
        ww.analyze(weights, **options)
    return " ".join(seen)


def test_small_layers_are_decomposed_before_the_first_is_fitted(monkeypatch):
    """Large ones and those beside them one by one; a layer that fails, and one of which not all is asked, by itself."""
    monkeypatch.setattr(plan, "SMALL", 30 * 20)
    weights = {f"{rows}.weight": np.random.default_rng(rows).normal(size=(rows, 20)) for rows in (25, 26, 31, 27, 32)}
    assert walked_order(monkeypatch, weights) == "d25 d26 f25 f26 d31 f31 d27 f27 d32 f32"
    monkeypatch.setattr(walk, "TOGETHER", 1)
    assert walked_order(monkeypatch, weights) == "d25 f25 d26 f26 d31 f31 d27 f27 d32 f32"


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("stage", ["eigenvalues", "strengths_of"])
def test_what_fails_of_small_layers_together_costs_one_row(monkeypatch, stage, n_jobs):
    weights = {f"{rows}.weight": np.random.default_rng(rows).normal(size=(rows, 20)) for rows in range(25, 41)}
    usual, plain = ww.analyze(weights), getattr(together, stage)

    def failing(matrices, *arguments, **options):
        first = matrices[0] if stage == "strengths_of" else matrices
        if first.shape[0] == 26:
            raise MemoryError("7 GiB")
        return plain(matrices, *arguments, **options)

    monkeypatch.setattr(together, stage, failing)
    if stage == "strengths_of":
        monkeypatch.setattr(together, "strengths_of_each", lambda layers: list(map(failing, layers)))
    with threadpool_limits(1, user_api="blas"):
        found = ww.analyze(weights, n_jobs=n_jobs)
    assert found["reason"].tolist() == ["", "layer 26: not analysed, MemoryError: 7 GiB", *[""] * 14]
    pd.testing.assert_frame_equal(found.drop(index=1), usual.drop(index=1), check_dtype=False, check_exact=True)


@pytest.mark.parametrize(("layers", "n_jobs", "sizes"), [(7, 2, [1] * 7), (16, 2, [2] * 8), (18, 1, [16, 2])])
def test_every_thread_has_some_of_the_small_layers(monkeypatch, layers, n_jobs, sizes):
    """With threads a quarter of what each could have at a time, the last of them as many as are left."""
    begun, plain = [], ww.WeightWatcher._begin

    def counted(self, group, *arguments, **options):
        begun.append(len(group))
        return plain(self, group, *arguments, **options)

    weights = {f"{place}.weight": np.random.default_rng(place).normal(size=(25, 20)) for place in range(layers)}
    usual = ww.analyze(weights)
    monkeypatch.setattr(ww.WeightWatcher, "_begin", counted)
    with threadpool_limits(1, user_api="blas"):
        assert_same(ww.analyze(weights, n_jobs=n_jobs), usual)
    assert begun == sizes


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_cumulants_are_those_of_the_entries_zeros_among_them(share):
    """Of even lines they are the moments of all entries, in units of their variance."""
    rng = np.random.default_rng(7)
    weight = rng.normal(size=(600, 400)) * (rng.random((600, 400)) < share)
    found = strengths_of([weight])
    unit = weight / np.sqrt(np.mean(weight**2))
    fourth, sixth = np.mean(unit**4), np.mean(unit**6)
    assert found.is_even
    assert (found.k4, found.k6) == pytest.approx((fourth - 3, sixth - 15 * fourth + 30), abs=1e-9)
