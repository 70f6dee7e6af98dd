"""What only a GPU can show: the numbers of CUDA are those of the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import setol_ww as ww
from fixtures.ensembles import gaussian_matrix
from setol_ww.linalg.device import device_eigenvalues, memory_needed
from setol_ww.linalg.eigenvalues import eigenvalues
from setol_ww.linalg.filtered import leading_vectors
from setol_ww.linalg.shuffled import ShuffledThere, memory_of_a_shuffle
from setol_ww.traps.find import find_traps_of

if not torch.cuda.is_available():
    pytest.skip("torch sees no CUDA device here", allow_module_level=True)

DTYPES = ("float64", "float32", "bfloat16", "float16", "float8_e4m3fn", "int8")


def weight(rows: int, columns: int, dtype: str = "bfloat16") -> torch.Tensor:
    W = torch.from_numpy(gaussian_matrix(rows, columns, seed=rows))
    return (20 * W).to(torch.int8) if dtype == "int8" else W.to(getattr(torch, dtype))


@pytest.mark.parametrize("shape", [(64, 64), (300, 90), (90, 300), (700, 513)])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("where", ["cpu", "cuda"])
def test_eigenvalues_are_those_of_the_cpu(shape, dtype, where):
    W = weight(*shape, dtype)
    here, there = eigenvalues(W), device_eigenvalues(W.to(where), "cuda")
    np.testing.assert_allclose(there, here, rtol=1e-9, atol=1e-14 * here[-1])


def test_vectors_are_those_of_a_full_decomposition():
    W = weight(900, 600, "float64").cuda()
    total = W.T @ W
    values = torch.linalg.eigvalsh(total)
    found = leading_vectors(total, values, 6)
    off = torch.linalg.vector_norm(total @ found - found * values[-6:].flip(0), dim=0)
    assert bool((off <= 2e-8 * values[-6]).all())
    assert torch.allclose(found.T @ found, torch.eye(6, dtype=torch.float64, device="cuda"), atol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_a_shuffle_has_the_entries_of_its_matrix(dtype):
    W = weight(120, 90, dtype)
    found, again = (ShuffledThere(W.cuda(), (1, 2)) for _ in range(2))
    entries = torch.cat(list(found.blocks())).cpu().numpy()
    np.testing.assert_array_equal(W.double().numpy().ravel()[found.sources(np.arange(W.numel()))], entries.ravel())
    assert not np.array_equal(entries, W.double().numpy())
    np.testing.assert_array_equal(entries, torch.cat(list(again.blocks())).cpu().numpy())


@pytest.mark.parametrize("shape", [(1024, 1024), (5000, 400), (400, 5000)])
@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_no_more_memory_is_taken_than_was_told(shape, dtype):
    W = weight(*shape, dtype)

    def taken(run) -> int:
        run()
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before

    assert 0 < taken(lambda: device_eigenvalues(W, "cuda")) <= memory_needed(*shape)
    assert 0 < taken(lambda: find_traps_of([W], whole=True, device="cuda")) <= memory_of_a_shuffle(*shape)


@pytest.mark.parametrize("where", ["cpu", "cuda"])
def test_a_table_is_that_of_the_cpu(where):
    """Own columns to 1e-9, a planted element in both draws, for any number of threads, wherever the weights are."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(400, 300), torch.nn.Linear(300, 200), torch.nn.Conv2d(64, 96, 3), torch.nn.Linear(200, 90)
    )
    with torch.no_grad():
        model[1].weight[7, 11] = 3.0
    here = ww.analyze(model, randomize=True)
    tables = [ww.analyze(model.to(where), randomize=True, device="cuda", n_jobs=jobs) for jobs in (1, 4)]
    for name in here:
        if here[name].dtype == float:
            np.testing.assert_array_equal(tables[0][name], tables[1][name], err_msg=name)
            if not name.startswith(("rand_", "trap_", "ww_", "max_rand")):
                np.testing.assert_allclose(tables[0][name], here[name], rtol=1e-9, err_msg=name)
    assert tables[0]["trap_count"].tolist() == here["trap_count"].tolist()
    assert here["trap_count"].tolist()[1] == 1
    np.testing.assert_allclose(tables[0]["trap_lambda_max"], here["trap_lambda_max"], rtol=0.1)


def test_a_scan_is_that_of_the_cpu(tmp_path):
    np.savez(
        tmp_path / "m.npz",
        **{"a.weight": gaussian_matrix(200, 120, seed=0), "b.weight": gaussian_matrix(90, 150, seed=1)},
    )
    here, there = (ww.scan(tmp_path / "m.npz", randomize=True, device=device) for device in ("cpu", "cuda"))
    for name in ("lambda_max", "tail_alpha", "erg_rank", "bulk_sigma"):
        np.testing.assert_allclose(there[name], here[name], rtol=1e-9, err_msg=name)
    assert there["trap_count"].tolist() == here["trap_count"].tolist()
