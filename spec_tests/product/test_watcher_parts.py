"""Parts of the watcher: stand-ins for the process, threads that work ahead, weightwatcher's numbers at limits."""

from __future__ import annotations

import logging
import math
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import setol_ww as ww
from setol_ww.watcher import standins, threads, upstream
from setol_ww.watcher.combined import mode_of, why_left_out
from setol_ww.watcher.model import LazyStateDict, adapt
from setol_ww.watcher.numerics import default_fit, first_below_one, matrix_rank, pooled_eigenvalues
from setol_ww.watcher.subclass import mean_of
from setol_ww.watcher.upstream import parameters, rooms
from setol_ww.weights.plan import layer_ids
from setol_ww.weights.tensors import WeightTensor, mapping_tensors

# In place of the things of the process.


@pytest.mark.parametrize("level", [0, logging.DEBUG, logging.WARNING, logging.ERROR])
def test_weightwatchers_log_passes_errors_and_what_the_host_asks_for(level, caplog):
    logger, host = standins.Logger("weightwatcher.x"), logging.getLogger("weightwatcher.x")
    before = host.level
    host.setLevel(level)
    try:
        with caplog.at_level(logging.DEBUG):
            for name in ("debug", "info", "warning", "error", "exception", "fatal", "critical"):
                getattr(logger, name)("%s of %d", name, 3)
    finally:
        host.setLevel(before)
    passed = [record.levelno for record in caplog.records]
    levels = [10, 20, 30, 40, 40, 50, 50]
    assert passed == [one for one in levels if one >= 40 or (level and one >= level)]
    names = ("debug", "info", "warning", "error", "exception", "fatal", "critical")
    said = [f"{name} of 3" for name, one in zip(names, levels) if one in passed]
    assert [record.getMessage() for record in caplog.records] == said


def test_who_listens_hears_warnings_and_nobody_else_does(caplog):
    logger = standins.Logger()
    with caplog.at_level(logging.DEBUG), standins.listening() as said:
        logger.info("not told")
        logger.warning(" a warning ")
        logger.error("no place for", "it", 3)
        with standins.listening() as inner:
            logger.error("inside")
    assert said == ["a warning", "no place for it 3"]
    assert inner == ["inside"]
    assert not caplog.records
    logger.error("heard")
    assert [record.getMessage() for record in caplog.records] == ["heard"]


def test_weightwatcher_draws_from_the_generator_of_its_analysis():
    source = standins.Random()
    generator, other = np.random.RandomState(3), np.random.RandomState(4)
    with standins.drawing_from(generator):
        first = source.rand()
        with standins.drawing_from(other):
            assert source.rand() == np.random.RandomState(4).rand()
        assert [first, source.rand()] == np.random.RandomState(3).rand(2).tolist()
    assert source.rand == np.random.rand


def test_means_of_nothing_and_frames_without_columns():
    assert math.isnan(standins.mean([]))
    assert math.isnan(standins.variance(np.empty(0)))
    assert standins.mean([1, 2, 6]) == 3
    assert standins.mean(np.eye(2), axis=0).tolist() == [0.5, 0.5]
    assert standins.variance([1, 3], ddof=1) == 2
    full, empty = pd.DataFrame({"a": [1]}), pd.DataFrame()
    assert standins.concat([empty, full, full], ignore_index=True).index.tolist() == [0, 1]
    assert standins.concat([empty]).empty
    assert standins.Frames().from_records({"a": [1, 2]})["a"].tolist() == [1, 2]
    twin = standins.with_others(math, pi=3)
    assert (twin.pi, twin.sqrt(4), twin.__name__) == (3, 2, "math")


def test_the_linear_kernel_density_by_its_definition(monkeypatch):
    draw = np.random.default_rng(0)
    points, x, width = draw.normal(size=37), np.linspace(-2, 2, 23), 0.25
    share = np.maximum(0, 1 - np.abs(x[:, None] - points) / width).sum(axis=1) / (points.size * width)
    with np.errstate(divide="ignore"):
        expected = np.log(share)
    for block in (2**20, 37 * 23, 37 * 5, 37, 1):
        monkeypatch.setattr(standins.KernelDensity, "BLOCK", block)
        found = standins.KernelDensity("linear", width).fit(points[:, None]).score_samples(x[:, None])
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    one = standins.KernelDensity("linear", 0.5).fit(np.zeros((1, 1)))
    np.testing.assert_allclose(
        one.score_samples(np.array([[0.0], [0.25], [0.5], [0.75]])), [np.log(2), 0, -np.inf, -np.inf]
    )
    with pytest.raises(ValueError, match="the kernel 'gaussian' was asked; accepted is 'linear'"):
        standins.KernelDensity("gaussian", 0.1)
    for wrong in (np.empty((0, 1)), np.array([[np.nan]]), np.array([[1.0], [np.inf]])):
        with pytest.raises(ValueError, match="no density of no points, or of points that are not finite"):
            standins.KernelDensity("linear", 0.1).fit(wrong)
    with pytest.raises(ValueError, match="no density where x is not finite"):
        one.score_samples(np.array([[np.nan]]))


def test_figures_are_of_their_thread_and_of_no_window(tmp_path, monkeypatch):
    figures = standins.Figures()
    figures.title("title")
    figures.xlabel("x")
    figures.ylabel("y")
    figures.xscale("log")
    axes = figures.gca()
    assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel(), axes.get_xscale()) == ("title", "x", "y", "log")
    figures.legend()
    assert axes.get_legend() is None
    figures.plot([1, 2], label="line")
    figures.legend()
    assert axes.get_legend() is not None
    seen = []
    thread = threading.Thread(target=lambda: seen.append(figures.figure))
    thread.start()
    thread.join(60)
    assert seen == [None]
    monkeypatch.delitem(__import__("sys").modules, "IPython", raising=False)
    figures.show()
    standins.save_figure(figures, "esd", 3, str(tmp_path / "ww-img"))
    standins.save_figure(figures, "esd", 4, str(tmp_path / "ww-img"))
    assert sorted(path.name for path in (tmp_path / "ww-img").iterdir()) == ["ww.layer3.esd.png", "ww.layer4.esd.png"]
    figures.clf()
    assert figures.figure is None
    figure, grid = figures.subplots(2, 3, figsize=(3, 2))
    assert grid.shape == (2, 3)
    assert figure is figures.figure
    assert figure.get_size_inches().tolist() == [3, 2]
    with pytest.raises(AttributeError, match="_private"):
        figures._private  # noqa: B018


def test_one_picture_is_written_at_a_time():
    """matplotlib's caches of fonts are of the process: the lock is held while a figure is written."""
    held = []
    figures = standins.Figures()
    figures.figure = SimpleNamespace(savefig=lambda name, **told: held.append((name, figures.writing.locked(), told)))
    figures.savefig("a.png")
    assert held == [("a.png", True, {"bbox_inches": "tight"})]
    assert not figures.writing.locked()


# Threads that work ahead.


@pytest.mark.parametrize(("n_jobs", "ahead"), [(1, 0), (2, 2), (3, 3)])
def test_work_is_begun_so_far_ahead_and_comes_in_its_order(n_jobs, ahead, monkeypatch):
    monkeypatch.setattr(
        threads, "blas_pools", lambda: [{"num_threads": 1, "internal_api": "openblas", "prefix": "lib"}]
    )
    made: list[int] = []

    def items():
        for number in range(8):
            made.append(number)
            yield number

    with threads.Ahead(n_jobs) as found:
        assert (found.threads, found.pool is not None) == (ahead, n_jobs > 1)
        seen = []
        for value in found.map(lambda item: item * item, items()):
            assert len(made) == min(8, len(seen) + 1 + ahead)
            seen.append(value)
        assert seen == [number**2 for number in range(8)]
        assert found.later(pow, 2, 5)() == 32
        for most in (0, 1, 2, 9):
            begun: list[int] = []
            taken = []
            for item in found.foreseen(range(6), begun.append, most):
                taken.append(item)
                assert len(begun) == min(6, len(taken) + min(most, ahead))
            assert taken == list(range(6))
    if found.pool is not None:
        with pytest.raises(RuntimeError, match="shutdown"):
            found.pool.submit(int)


def test_where_blas_has_threads_one_decomposition_is_made_at_a_time(monkeypatch, caplog):
    pools = [
        {"num_threads": 1, "internal_api": "openblas", "prefix": "a", "threading_layer": "pthreads"},
        {"num_threads": 4, "internal_api": "mkl", "prefix": "b"},
        {"num_threads": 2, "internal_api": "openblas", "prefix": "c", "threading_layer": "openmp"},
    ]
    assert threads.limits_of_a_thread(pools) == {"b": 4, "c": 2}
    monkeypatch.setattr(threads, "blas_pools", lambda: pools[1:2])
    monkeypatch.setattr(threads.threadpoolctl, "threadpool_limits", lambda limits: None)
    with caplog.at_level(logging.INFO, "setol_ww.watcher.threads"), threads.Ahead(3) as found:
        assert found.threads == 1
        assert list(found.map(int, "123")) == [1, 2, 3]
    assert [record.getMessage() for record in caplog.records] == [
        "BLAS has 4 threads: one decomposition at a time; OMP_NUM_THREADS=1 lets more run"
    ]
    monkeypatch.setattr(threads, "blas_pools", list)
    with threads.Ahead(2) as found:
        assert found.threads == 2


def test_the_error_state_of_numpy_is_the_callers_in_a_thread():
    with threads.Ahead(2) as found:
        with np.errstate(divide="ignore"):
            assert found.later(np.geterr)()["divide"] == "ignore"
        with np.errstate(divide="raise"):
            assert found.later(np.geterr)()["divide"] == "raise"


# weightwatcher's arguments and numbers.


def test_arguments_of_analyze_are_parameters_of_weightwatcher():
    renamed = {"deltas": upstream.DELTA_ES, "glorot_fix": "glorot_fit", "start_ids": upstream.START_IDS}
    usual = parameters({})
    assert usual["detX"] is True
    for name, value in {"glorot_fix": True, "start_ids": 3, "mp_fit": True, "min_evals": 5, "deltas": True}.items():
        told = parameters({name: value, "plot": True} if name == "deltas" else {name: value})
        assert told[renamed.get(name, name)] == value, name
    assert parameters({"max_fingers": 3, "fix_fingers": "clip_xmax"})["MAX_FINGERS"] == 3
    assert parameters({"detX": False, "ERG": True})["detX"] is True
    assert parameters({"detX": False})["detX"] is False
    two = parameters({"ww2x": True, "pool": True})
    assert (two["ww2x"], two["pool"]) == (False, False)
    assert parameters({"pool": True})["pool"] is True
    assert parameters({"min_size": 3, "max_size": 4, "model": 1, "base_model": 2}) == usual
    with pytest.raises(
        ww.InvalidInput, match=r"^the options \{'min_evals': 9, 'max_evals': 3\} were asked; weightwatcher ref"
    ):
        parameters({"min_evals": 9, "max_evals": 3, "model": "x"})


def spectrum(count: int, seed: int = 0) -> np.ndarray:
    """Ascending positive numbers."""
    return np.sort(np.random.default_rng(seed).pareto(1.5, count) + 0.1)


@pytest.mark.parametrize("count", [19, 20, 21, 60])
def test_the_default_fit_at_the_number_of_eigenvalues_from_which_it_is_ours(count):
    evals = spectrum(count)
    fit = default_fit(evals, (), {})
    assert (fit is None) == (count < 20)
    if fit is not None:
        reference = rooms.WeightWatcher().fit_powerlaw(evals, plot=False)
        np.testing.assert_allclose(
            [float(one) for one in fit[:7]], [float(one) for one in reference[:7]], rtol=1e-9, atol=1e-12
        )
        assert list(fit[7:]) == list(reference[7:])
    # What is below the threshold counts for nothing, and as a spike of none.
    small = np.concatenate([[1e-9, 1e-5], evals])
    again = default_fit(small, (), {})
    assert (again is None) == (fit is None)
    assert again is None or again == fit


@pytest.mark.parametrize(
    "told", [{"xmin": 1}, {"xmax": 2.0}, {"plot": True}, {"fix_fingers": "xmin_peak"}, {"fit_type": "TPL"}]
)
def test_another_fit_is_weightwatchers(told):
    evals = spectrum(40)
    assert default_fit(evals, (), told) is None
    assert default_fit(evals, (1,), {}) is None
    usual = {"xmin": -1, "xmax": False, "plot": False, "fix_fingers": None, "fit_type": "power_law"}
    assert default_fit(evals, (), usual) == default_fit(evals, (), {}) is not None
    doubled = np.sort(np.concatenate([evals, evals[-1:]]))
    assert default_fit(doubled, (), {}) is None


@pytest.mark.parametrize("alpha", [1.8, 2.2, 5.8, 6.3])
def test_weightwatchers_words_for_an_exponent(alpha):
    ranks = (np.arange(400) + 0.5) / 400
    fit = default_fit(np.sort((1 - ranks) ** (-1 / (alpha - 1))), (), {})
    assert fit is not None
    assert fit[0] == pytest.approx(alpha, abs=0.1)
    assert fit[-1] == ("over-trained" if alpha < 2 else "under-trained" if alpha > 6 else "")


@pytest.mark.parametrize(
    "values",
    [
        [0.5, 2.0], [0.5, 1.0, 2.0], [1.0, 1.0], [2.0, 3.0], [0.1, 0.2, 0.3], [0.25, 0.5, 8.0], [1.0], [0.0, 2.0],
        [0.1, 0.4, 0.5, 3.0], [0.1, 0.2, 0.5, 1.0, 2.0], [1e-200, 1e200], [1e-3] * 200 + [5.0],
        *(list(np.sort(np.random.default_rng(seed).chisquare(3, 30)) / 3) for seed in range(6)),
    ],
)  # fmt: skip
def test_where_the_product_of_the_largest_falls_below_one(values):
    scaled = np.array(values)
    with np.errstate(all="ignore"):
        assert first_below_one(scaled) == rooms.detX_constraint(scaled, rescale=False)


def test_eigenvalues_of_slices_together():
    spectra = [np.array([0.0, 1.0, 4.0]), np.array([0.25, 9.0, 16.0])]
    evals, largest, smallest, lost = pooled_eigenvalues(iter(spectra), N=5, n_comp=3, scale=4.0)
    assert evals.tolist() == [0.0, 1.0, 4.0, 16.0, 36.0, 64.0]
    assert (largest, smallest, lost) == (8.0, 1.0, 1)
    one, largest, smallest, lost = pooled_eigenvalues([spectra[1]], 5, 2)
    assert one.tolist() == [9.0, 16.0]
    assert (largest, smallest, lost) == (4.0, 3.0, 0)
    eps = np.finfo(float).eps
    assert matrix_rank(np.array([2 * 5 * eps, 3 * 5 * eps, 2.0]), 5) == 2


def test_means_of_what_is_finite():
    values = np.array([1.0, 3.0, np.nan, np.inf, -np.inf])
    assert mean_of(values) == 2.0
    assert mean_of(values, least=-math.inf) == -math.inf
    assert math.isnan(mean_of(np.array([np.nan])))


def test_the_summary_by_its_definition():
    """Fits that failed enter no mean of fits, small layers none of ours, and quality is a geometric mean."""
    frame = pd.DataFrame(
        {
            "status": ["success", "failed", "success", "success"],
            "row_origin": ["weightwatcher", "weightwatcher", "weightwatcher", "setol_ww"],
            "num_evals": [8, 20, 7, 30],
            "alpha": [2.0, -1.0, 4.0, 9.0],
            "log_norm": [1.0, 2.0, 6.0, 9.0],
            "stable_rank": [np.inf, 2.0, 4.0, 9.0],
            "tail_alpha": [2.0, 3.0, 100.0, 7.0],
            "erg_metric": [np.nan, np.nan, 1.0, np.nan],
            "q2_norm": [2.0, 8.0, 100.0, -1.0],
            "q2": [0.0, 8.0, 1.0, 2.0],
        }
    )
    found = ww.WeightWatcher({"a.weight": np.eye(3)}).get_summary(frame)
    assert found == {
        "alpha": 3.0, "log_norm": 3.0, "stable_rank": 3.0, "tail_alpha": 4.0, "q2_norm": pytest.approx(4.0), "q2": 0.0,
    }  # fmt: skip
    plain = frame[["alpha", "tail_alpha"]]
    assert ww.WeightWatcher({"a.weight": np.eye(3)}).get_summary(plain) == {"alpha": 3.5, "tail_alpha": 28.0}
    assert ww.WeightWatcher({"a.weight": np.eye(3)}).get_summary(frame[:0]) == {}


def test_modes_by_their_order():
    assert mode_of({"peft": True, "intra": True, "stacked": True}) == "stacked"
    assert mode_of({"peft": True, "intra": True}) == "intra"
    assert mode_of({"stacked": False}) == ""
    assert why_left_out("") == ""


# Models.


def tensor(name: str, place: int = -1, owner_index: int = -1) -> WeightTensor:
    """One without values."""
    return WeightTensor(name, (2, 2), "float32", lambda: None, place=place, owner_index=owner_index)


def test_ids_of_files_directories_and_modules():
    names = ["a.bias", "b.weight", "c.weight"]
    assert layer_ids([tensor(name) for name in names]) == [3, 1, 2]
    assert layer_ids([tensor(name) for name in names], 5) == [7, 5, 6]
    assert layer_ids([tensor("a.weight", place=0)]) == [0]
    assert layer_ids([tensor("a.weight", 1), tensor("b.weight", 0), tensor("c", 0)]) == [1, 0, 2]
    assert layer_ids([tensor("a.weight", owner_index=0)]) == [0]
    assert layer_ids([tensor("a.weight", owner_index=4), tensor("b", owner_index=2)], 3) == [7, 5]


def test_a_model_as_it_was_given(tmp_path):
    arrays = {"a.weight": np.ones((3, 2)), "b.weight": np.zeros((2, 2))}
    given = adapt(arrays)
    assert given.changeable() is arrays
    assert given.described == "builtins.dict"
    assert adapt({"state_dict": arrays}).changeable() is arrays
    np.savez(tmp_path / "net.npz", **arrays)
    stored = adapt(str(tmp_path / "net.npz"))
    assert (stored.is_on_disk, stored.described) == (True, str(tmp_path / "net.npz"))
    assert adapt(Path(tmp_path / "net.npz")).fingerprint == stored.fingerprint != ""
    changed = stored.changeable()
    assert type(changed) is dict
    assert {name: value.tolist() for name, value in changed.items()} == {
        name: one.tolist() for name, one in arrays.items()
    }
    assert [one.name for one in adapt(np.ones((3, 2))).entries] == ["matrix.weight"]
    for wrong in (np.ones(3), np.ones((2, 2, 2)), {"a": np.ones(3)}, 3, {"x": {"a.weight": 1}, "y": {}}):
        with pytest.raises(
            ww.InvalidInput, match=r"^analysing .* was asked; it holds no weight of two or more dimensions\. Acc"
        ):
            adapt(wrong)


def test_a_mapping_that_is_loaded_when_it_is_asked():
    loaded: list[str] = []
    entries = [
        WeightTensor(one.name, one.shape, one.dtype, lambda one=one: loaded.append(one.name) or one.load())
        for one in mapping_tensors({"a.weight": np.ones((3, 2)), "b.weight": np.zeros((2, 2), np.float16)})
    ]
    lazy = LazyStateDict(entries)
    assert list(lazy) == ["a.weight", "b.weight"]
    assert lazy["a.weight"] is lazy["a.weight"]
    assert loaded == ["a.weight"]
    assert lazy["b.weight"].dtype == np.float16
    assert lazy["a.weight"].tolist() == [[1, 1]] * 3
    assert loaded == ["a.weight", "b.weight", "a.weight"]
    lazy.forget()
    assert [name for name, _ in lazy.items()] == ["a.weight", "b.weight"]
    assert loaded[3:] == ["a.weight", "b.weight"]


def test_what_the_copies_of_weightwatcher_have_of_ours():
    """Its code draws, prints and warns through the stand-ins, in every module of it."""
    assert rooms is not upstream.module
    assert rooms.WeightWatcher is not upstream.package.WeightWatcher
    assert rooms.__name__.startswith("setol_ww.watcher.upstream")
    assert rooms.np.random is standins.random
    assert rooms.plt is standins.figures
    assert rooms.LAYER_TYPE is upstream.LAYER_TYPE
    assert isinstance(rooms.logger, standins.Logger)
    assert upstream.module.np.random is np.random
