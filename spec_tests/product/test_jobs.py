"""`analyze(n_jobs=...)`: threads change nothing in the numbers, and begin work before it is asked for."""

from __future__ import annotations

import logging
import threading

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from threadpoolctl import threadpool_limits

import setol_ww as ww
from fixtures.ensembles import gaussian_matrix, signed_pareto_matrix
from setol_ww.watcher import ahead, subclass
from setol_ww.watcher.ahead import Ahead
from spec_tests.product.test_parity import MODELS


def damaged() -> dict[str, torch.Tensor]:
    """Layers of every fate among sound ones: NaN, zero, rank one, a kernel, a fused projection, too small."""
    weights = {
        "a.weight": signed_pareto_matrix(120, 60, 2.5, seed=1),
        "nan.weight": np.full((40, 30), np.nan),
        "b.weight": gaussian_matrix(90, 130, seed=2),
        "zero.weight": np.zeros((30, 30)),
        "conv.weight": gaussian_matrix(32, 9 * 24, seed=3).reshape(32, 24, 3, 3),
        "rank.weight": np.outer(np.arange(1.0, 41.0), np.ones(35)),
        "attn.qkv_proj.weight": gaussian_matrix(192, 64, seed=4),
        "tiny.weight": gaussian_matrix(4, 3, seed=5),
        "c.weight": signed_pareto_matrix(150, 110, 1.5, seed=6),
    }
    return {name: torch.from_numpy(values).to(torch.bfloat16) for name, values in weights.items()}


@pytest.fixture(params=[1, 2], ids=["one BLAS thread", "two BLAS threads"])
def blas(request):
    with threadpool_limits(request.param, user_api="blas"):
        yield request.param


def assert_same_bytes(first: pd.DataFrame, second: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    assert first.attrs["coverage"] == second.attrs["coverage"]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("options", [{}, {"randomize": True, "mp_fit": True}], ids=["detX", "randomize"])
def test_the_table_does_not_depend_on_the_number_of_jobs(name, options, blas):
    alone = ww.analyze(MODELS[name](), **options)
    for n_jobs in (2, 5):
        assert_same_bytes(ww.analyze(MODELS[name](), n_jobs=n_jobs, **options), alone)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"randomize": True},
        {"farms": True},
        {"vectors": True},
        {"engine": "reference"},
    ],
    ids=lambda options: "+".join(options) or "detX",
)
def test_layers_that_fail_fail_alike(options, blas):
    assert_same_bytes(ww.analyze(damaged(), n_jobs=3, **options), ww.analyze(damaged(), **options))


def test_a_checkpoint_read_lazily(tmp_path, blas):
    save_file(damaged(), tmp_path / "model.safetensors")
    alone = ww.analyze(tmp_path, randomize=True)
    assert_same_bytes(ww.analyze(tmp_path, randomize=True, n_jobs=2), alone)
    assert set(alone["status"]) == {"failed", "success"}


def test_every_core_and_numpys_integers():
    model = MODELS["dense"]()
    for n_jobs in (-1, np.int64(2), -100):
        assert_same_bytes(ww.analyze(model, n_jobs=n_jobs), ww.analyze(model))


@pytest.mark.parametrize("n_jobs", [0, 1.5, "two", None, True])
def test_what_is_no_number_of_jobs_is_refused(n_jobs):
    with pytest.raises(ww.InvalidInput, match=r"n_jobs=.* was asked; accepted is an integer other than 0"):
        ww.analyze(gaussian_matrix(20, 20, seed=0), n_jobs=n_jobs)


def test_spectra_are_begun_before_they_are_asked_for(monkeypatch):
    """Two decompositions are under way at once: each waits for another."""
    together = threading.Barrier(2)
    plain = subclass.eigenvalues

    def meeting(matrix, device):
        together.wait(timeout=60)
        return plain(matrix, device)

    monkeypatch.setattr(subclass, "eigenvalues", meeting)
    with threadpool_limits(1, user_api="blas"):
        frame = ww.analyze({f"{name}.weight": gaussian_matrix(40, 30, seed=1) for name in "abcd"}, n_jobs=2)
    assert len(frame) == 4
    assert not together.broken


def test_blas_with_threads_of_its_own_decomposes_one_at_a_time(caplog):
    with threadpool_limits(2, user_api="blas"), caplog.at_level(logging.INFO, logger="setol_ww"), Ahead(4) as work:
        assert work.threads == 1
    assert "BLAS has 2 threads: one decomposition at a time" in caplog.text
    with threadpool_limits(1, user_api="blas"), Ahead(4) as work:
        assert ahead.blas_threads() == 1
        assert work.threads == 4


def test_no_thread_is_left_behind():
    before = threading.active_count()
    with threadpool_limits(1, user_api="blas"):
        ww.analyze(gaussian_matrix(60, 40, seed=0), n_jobs=4)
        with pytest.raises(ww.InvalidInput):
            ww.analyze({"a.weight": gaussian_matrix(60, 40, seed=0)}, n_jobs=4, layers=[1, -2])
    assert threading.active_count() == before


def test_items_are_made_in_order_and_few_of_them_wait():
    made: list[int] = []

    def items():
        for number in range(20):
            made.append(number)
            yield number

    with threadpool_limits(1, user_api="blas"), Ahead(3) as work:
        for position, result in enumerate(work.map(lambda number: number**2, items())):
            assert result == position**2
            assert len(made) <= position + 4
    with Ahead(1) as alone:
        assert list(alone.map(str, [1, 2])) == ["1", "2"]
        assert alone.later(divmod, 7, 2)() == (3, 1)
