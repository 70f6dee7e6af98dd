"""The fast engine: its eigensolvers, its weightwatcher fits to the last bit, its weights as they are stored."""

from __future__ import annotations

import ctypes
import itertools
import logging
import math
import sys
import threading

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import threadpoolctl
import torch

import setol_ww as ww
from fixtures.ensembles import gaussian_matrix, matrix_with_eigenvalues, signed_pareto_matrix
from fixtures.oracles import singular_value_squares
from setol_ww.linalg import device as gpu
from setol_ww.linalg import eigenvalues as eigen
from setol_ww.linalg import leading, scaled, shuffles
from setol_ww.linalg import routines as fortran
from setol_ww.linalg import symmetric as lapack
from setol_ww.traps import search
from setol_ww.watcher import model as given
from setol_ww.watcher import subclass
from setol_ww.watcher.mp import mp_columns
from setol_ww.watcher.numerics import first_below_one
from spec_tests.plain import assert_same_columns, plain_analyze, plain_detX, weightwatcher
from spec_tests.quietly import quiet


def lower_gram(side: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """The lower triangle of a Gram matrix with rubbish above, and its eigenvalues by the SVD."""
    W = gaussian_matrix(side + 20, side, seed=side)
    if kind == "heavy":
        W = signed_pareto_matrix(side + 20, side, 1.5, seed=side)
    gram = np.asfortranarray(W.T @ W)
    gram[np.triu_indices(side, 1)] = 1e9
    return gram, singular_value_squares(W)


@pytest.mark.parametrize("kind", ["gaussian", "heavy"])
@pytest.mark.parametrize("side", [1, 2, 3, 31, 32, 33, 64, 65, 200])
def test_two_stage_solver_agrees_with_the_svd(side, kind):
    routine = lapack.two_stage_routine()
    if routine is None:
        pytest.skip("the BLAS that is loaded has no dsyevd_2stage")
    lower, truth = lower_gram(side, kind)
    values = lapack.eigenvalues_by(routine, lower)
    np.testing.assert_allclose(values, truth, rtol=1e-10, atol=200 * np.finfo(float).eps * truth[-1])


def test_the_solver_is_the_same_whichever_routine_is_there(monkeypatch):
    monkeypatch.setattr(lapack, "TWO_STAGE_FROM", 50)
    values = []
    for routine in (lapack.two_stage_routine(), None):
        monkeypatch.setattr(lapack, "two_stage_routine", lambda routine=routine: routine)
        values.append(lapack.symmetric_eigenvalues(lower_gram(120, "gaussian")[0]))
    np.testing.assert_allclose(values[0], values[1], rtol=1e-11)


def test_a_solver_that_does_not_converge_says_so():
    def failing(*arguments):
        # The status is the last argument.
        ctypes.c_int64.from_address(arguments[10].value).value = 3

    with pytest.raises(np.linalg.LinAlgError, match=r"did not converge \(info 3\)"):
        lapack.eigenvalues_by(failing, np.eye(4, order="F"))


@pytest.mark.parametrize("side", [1, 2, 40, 300, 1400])
def test_the_usual_solver_is_scipys_to_the_last_bit(side):
    """With panels of eight columns below 1400, which its workspace tells LAPACK, and LAPACK's own from there on."""
    lower, _ = lower_gram(side, "gaussian")
    panels = 8 if side < 1400 else 32
    _, diagonal, beside, _, _ = scipy.linalg.lapack.dsytrd(lower, lower=1, lwork=panels * side)
    plain, _ = scipy.linalg.lapack.dsterf(diagonal, beside) if side > 1 else (diagonal, 0)
    usual = scipy.linalg.eigh(lower, lower=True, eigvals_only=True, driver="evd")
    found = lapack.symmetric_eigenvalues(lower)
    assert np.array_equal(found, plain)
    np.testing.assert_allclose(found, usual, rtol=0, atol=4e-15 * usual[-1])
    assert np.array_equal(found, usual) == (side in (1, 2, 1400))


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (60, 40), (40, 60), (2100, 130)])
def test_singular_values_are_scipys_of_the_same_triangle(shape):
    W = gaussian_matrix(*shape, seed=3)
    W[:, : shape[1] // 2] = 0
    plain = scipy.linalg.svdvals(eigen.triangle(W))
    np.testing.assert_array_equal(eigen.singular_values(W), plain[::-1])
    np.testing.assert_allclose(eigen.singular_values(W)[::-1], scipy.linalg.svdvals(W), atol=1e-13 * plain[0])


def test_singular_values_leave_pythons_lock_to_others():
    """Another thread goes on counting, which it could a few times only if each routine held the lock for its time."""
    over, count = threading.Event(), itertools.count()

    def others():
        while not over.wait(0.0005):
            next(count)

    thread = threading.Thread(target=others)
    thread.start()
    eigen.singular_values(gaussian_matrix(1000, 1000, seed=0))
    over.set()
    thread.join()
    assert next(count) > 20


def test_a_routine_that_scipy_lacks_is_named():
    with pytest.raises(LookupError, match="scipy has no nosuch"):
        fortran.scipys("nosuch")
    assert fortran.loaded(("nosuch_",), strings=0) is None


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("shape", [(90, 40), (40, 90), (50, 50)])
def test_the_devices_path_gives_the_same_numbers(shape, dtype, monkeypatch):
    """The code that runs on a GPU, on the CPU device of the same torch functions."""
    monkeypatch.setattr(gpu, "DEVICE_BLOCK_ELEMENTS", 7 * 40)
    W = torch.from_numpy(signed_pareto_matrix(*shape, 2.0, seed=1)).to(getattr(torch, dtype))
    on_device = gpu.device_eigenvalues(W, "cpu")
    np.testing.assert_allclose(on_device, eigen.eigenvalues(W), rtol=1e-9)
    if dtype in ("float64", "float32"):
        np.testing.assert_allclose(gpu.device_eigenvalues(W.numpy(), "cpu"), on_device, rtol=1e-12)
    W[3, 5] = float("nan")
    assert np.isnan(gpu.device_eigenvalues(W, "cpu")).all()


def test_a_device_reaches_every_spectrum(monkeypatch):
    """Both spectra of a layer and its windows; rank deficiency is told apart on a device too."""
    asked = []

    def device_eigenvalues(matrix, device, exponent):
        asked.append(device)
        return computed(matrix, "cpu", exponent)

    computed = gpu.device_eigenvalues
    monkeypatch.setattr(gpu, "device_eigenvalues", device_eigenvalues)
    monkeypatch.setattr(gpu, "free_memory", lambda device: math.inf)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    uploaded = search.tall_entries_there
    monkeypatch.setattr(search, "tall_entries_there", lambda matrix, device: uploaded(matrix, "cpu"))
    weights = {"a.weight": torch.from_numpy(gaussian_matrix(160, 120, seed=0)).float()}
    frame = ww.analyze(weights, randomize=True, farms=True, device="cuda:0")
    # The layer, its two windows; the spectrum of its shuffle comes with the traps.
    assert asked == ["cuda:0"] * 3
    assert_same_columns(frame, plain_analyze({name: value.clone() for name, value in weights.items()}, randomize=True))
    deficient = np.outer(np.arange(1.0, 41), np.arange(1.0, 13))
    assert ww.Spectrum.from_matrix(deficient, device="cuda").rank == 1


def test_what_does_not_fit_a_device_is_left_to_the_cpu(monkeypatch, caplog):
    """A stand-in for the GPU: its memory is told, or its allocation fails; the numbers are those of the CPU."""
    W, small = gaussian_matrix(90, 60, seed=0), gaussian_matrix(20, 10, seed=0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu, "free_memory", lambda device: gpu.memory_needed(90, 60) - 1)
    computed, asked = gpu.device_eigenvalues, []

    def device_eigenvalues(matrix, device, exponent):
        asked.append(matrix.shape)
        return computed(matrix, "cpu", exponent)

    monkeypatch.setattr(gpu, "device_eigenvalues", device_eigenvalues)
    with caplog.at_level(logging.WARNING, logger="setol_ww"):
        np.testing.assert_array_equal(eigen.eigenvalues(W, "cuda"), eigen.eigenvalues(W))
        eigen.eigenvalues(small, "cuda")
    assert asked == [(20, 10)]
    assert "a 90 x 60 matrix takes about 0 MiB on cuda" in caplog.text

    def full(matrix, device, exponent):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore")

    monkeypatch.setattr(gpu, "device_eigenvalues", full)
    with caplog.at_level(logging.WARNING, logger="setol_ww"):
        frame = ww.analyze({"a.weight": small}, device="cuda")
    assert frame["status"].tolist() == ["success"]
    assert "cuda ran out of memory (CUDA out of memory. Tried to allocate 2 GiB.), the CPU does it" in caplog.text


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps", "meta", "nonsense", 3])
def test_a_device_that_is_not_there_is_refused(device):
    if torch.cuda.is_available() and str(device).startswith("cuda"):
        pytest.skip("there is a GPU")
    with pytest.raises(ww.InvalidInput, match="accepted are 'cpu'"):
        ww.analyze(np.eye(5), device=device)
    with pytest.raises(ww.InvalidInput, match="accepted are 'cpu'"):
        ww.Spectrum.from_matrix(np.eye(5), device=device)


def test_a_device_needs_the_fast_engine(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ww.InvalidInput, match="engine='fast'"):
        ww.analyze(np.eye(5), device="cuda", engine="reference")


SPECTRA = [("gaussian", 60, 60), ("heavy", 60, 60), ("heavy", 90, 30), ("gaussian", 90, 30), ("half zero", 70, 35)]


@pytest.mark.parametrize(("kind", "N", "M"), SPECTRA)
def test_mp_fit_is_weightwatchers_to_the_last_bit(kind, N, M):
    W = signed_pareto_matrix(N, M, 1.5, seed=2) if kind == "heavy" else gaussian_matrix(N, M, seed=3)
    if kind == "half zero":
        W[:, : M // 2] = 0
    evals = singular_value_squares(0.1 * W)
    with quiet():
        theirs = weightwatcher.WeightWatcher().mp_fit(
            evals, N, M, 1, "", "", 0, False, False, "", "b", 1, True, evals, randomize=False
        )
        ours = mp_columns(evals, N, M, True)
    assert ours == theirs


def test_mp_fit_fails_where_weightwatchers_does():
    with quiet():
        plain = weightwatcher.WeightWatcher()
        for evals in (np.zeros(30), np.full(30, np.nan)):
            with pytest.raises(ValueError):  # noqa: PT011
                plain.mp_fit(evals, 60, 30, 1, "", "", 0, False, False, "", "b", 1, True, evals)
            with pytest.raises(ValueError):  # noqa: PT011
                mp_columns(evals, 60, 30, True)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n", [2, 3, 40, 900])
def test_detX_scan_is_weightwatchers(n, seed):
    rng = np.random.default_rng(seed)
    spectra = [rng.exponential(size=n), rng.pareto(0.7, n), np.ones(n), np.arange(n), np.full(n, 2.0)]
    spectra += [np.exp(rng.normal(size=n) * 20), np.repeat(rng.exponential(size=n // 2 + 1), 2)[:n]]
    for spectrum in spectra:
        scaled = np.sort(spectrum) / spectrum.mean()
        with quiet():
            count = weightwatcher.RMT_Util.detX_constraint(scaled, rescale=False)
        assert first_below_one(scaled) == count
        assert count[0] == plain_detX(scaled) or not np.isclose(scaled.sum(), n)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float8_e4m3fn"])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("is_large", [False, True])
def test_a_shuffle_draws_the_same_in_every_dtype(dtype, transposed, is_large, monkeypatch):
    monkeypatch.setattr(shuffles, "IN_CACHE", 0 if is_large else 100)
    stored = torch.arange(60.0).reshape(5, 12).to(getattr(torch, dtype))
    stored = stored.T if transposed else stored
    wide = stored.float().numpy().flatten()
    np.random.default_rng((7, 1)).shuffle(wide)
    drawn = shuffles.shuffle(stored, (7, 1))
    assert drawn.dtype == (stored.dtype if is_large else torch.float64)
    assert drawn.shape == stored.shape
    np.testing.assert_array_equal(drawn.float().numpy().flatten(), wide)


def test_every_order_of_a_shuffle_is_equally_likely():
    """24 orders of four entries over 4 800 seeds, by Pearson's test at .001."""
    orders = [tuple(shuffles.shuffle(np.arange(4.0).reshape(2, 2), (seed, 0)).ravel()) for seed in range(4800)]
    counts = np.unique(np.array(orders), axis=0, return_counts=True)[1]
    assert counts.size == 24
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_one_shuffle_serves_the_random_columns_and_the_traps(monkeypatch):
    """Two spectra a layer, its own and that of the shuffle; below 100 eigenvalues four shuffles more."""
    asked = []
    monkeypatch.setattr(
        subclass, "eigenvalues", lambda W, device: asked.append(W.shape) or eigen.eigenvalues(W, device)
    )
    large = ww.analyze(gaussian_matrix(160, 120, seed=0), randomize=True, mp_fit=True)
    assert asked == [(160, 120)]
    report = ww.find_traps(gaussian_matrix(160, 120, seed=0))
    assert large["max_rand_eval"].item() == report.shuffled[-1] == pytest.approx(report.lambda_max, rel=1e-12)
    assert report.shuffled == pytest.approx(
        eigen.eigenvalues(shuffles.shuffle(gaussian_matrix(160, 120, seed=0), (0, 0))), rel=1e-12
    )
    asked.clear()
    small = ww.analyze(gaussian_matrix(60, 40, seed=0), randomize=True)
    assert asked == [(60, 40)] * 5
    assert small["max_rand_eval"].item() >= ww.find_traps(gaussian_matrix(60, 40, seed=0)).lambda_max


def test_another_seed_is_another_shuffle():
    layer = gaussian_matrix(160, 120, seed=0)
    first, again, other = (ww.analyze(layer, randomize=True, seed=seed)["max_rand_eval"].item() for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("side", [1, 2, 3, 40])
def test_leading_and_all_eigenvalues_of_one_reduction(side, monkeypatch):
    W = np.random.default_rng(side).normal(size=(side + 5, side))
    truth, vectors = np.linalg.eigh(W.T @ W)
    for dense in (leading.DENSE_SIDE, 10):
        monkeypatch.setattr(leading, "DENSE_SIDE", dense)
        pairs = leading.Leading(eigen.gram(W))
        for number in {1, min(side, 3), side}:
            values, found = pairs.largest(number)
            np.testing.assert_allclose(values, truth[::-1][:number], rtol=1e-9)
            np.testing.assert_allclose(np.abs(found.T @ vectors[:, ::-1][:, :number]), np.eye(number), atol=1e-6)
        np.testing.assert_allclose(pairs.all(), truth, rtol=1e-9, atol=1e-12)


def test_nothing_converts_a_whole_layer(monkeypatch):
    """bfloat16 stays bfloat16: a module, a mapping, a convolution, a tensor weightwatcher passes over."""
    monkeypatch.setattr(given, "to_numpy", None)
    model = torch.nn.Sequential(
        torch.nn.Linear(40, 30), torch.nn.Conv2d(8, 8, 3), torch.nn.Conv1d(8, 12, 3), torch.nn.Embedding(60, 20)
    ).bfloat16()
    seen = set()
    real = eigen.blocks

    def watched(matrix, axis, exponent):
        seen.add(matrix.dtype)
        return real(matrix, axis, exponent)

    monkeypatch.setattr(eigen, "blocks", watched)
    assert len(ww.analyze(model)) == 4
    assert len(ww.analyze(model.state_dict())) == 4
    assert seen == {torch.bfloat16}


def test_a_file_in_half_precision_has_weightwatchers_columns(tmp_path):
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(1)
    tensors = {
        "a.weight": torch.randn(50, 120, generator=generator).bfloat16(),
        "b.weight": (torch.randn(16, 16, 3, 3, generator=generator) ** 3).half(),
        "c.weight": torch.randn(40, 40, generator=generator).double(),
    }
    save_file(tensors, tmp_path / "model.safetensors")
    options = {"detX": True, "randomize": True}
    theirs = plain_analyze(tensors, **options)
    assert_same_columns(ww.analyze(tmp_path / "model.safetensors", **options), theirs)
    assert_same_columns(ww.analyze(tensors, **options), theirs)


def test_blocks_of_a_wide_and_a_tall_matrix_make_the_same_gram(monkeypatch):
    monkeypatch.setattr(eigen, "BLOCK_ELEMENTS", 64)
    W = np.asfortranarray(gaussian_matrix(301, 12, seed=5)[::-1])
    truth = np.tril(W.T @ W)
    for matrix in (W, W.T, torch.from_numpy(W.copy()), torch.from_numpy(W.copy()).T):
        np.testing.assert_allclose(np.tril(eigen.gram(matrix)), truth, rtol=1e-12, atol=1e-12)


def test_a_large_layer_goes_through_the_two_stage_solver(monkeypatch):
    """At a lowered threshold the whole analysis keeps weightwatcher's numbers."""
    monkeypatch.setattr(lapack, "TWO_STAGE_FROM", 30)
    raw = np.random.default_rng(0).pareto(1.5, 100) + 0.01
    weights = {"a.weight": torch.from_numpy(matrix_with_eigenvalues(raw, 150, seed=0)).float()}
    assert_same_columns(ww.analyze(weights), plain_analyze(dict(weights), detX=True))


CONVOLUTIONS = {
    "Conv1d": lambda: torch.nn.Conv1d(24, 40, 3),
    "Conv2d": lambda: torch.nn.Conv2d(24, 40, (3, 2)),
    "Conv3d": lambda: torch.nn.Conv3d(12, 20, 2),
    "ConvTranspose1d": lambda: torch.nn.ConvTranspose1d(40, 24, 3),
    "ConvTranspose2d": lambda: torch.nn.ConvTranspose2d(40, 24, (3, 2)),
    "ConvTranspose3d": lambda: torch.nn.ConvTranspose3d(20, 12, 2),
}


@pytest.mark.parametrize("engine", ["fast", "reference"])
@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_every_convolution_has_half_the_squares_of_its_kernel_slices(kind, engine):
    """weightwatcher's scale of a convolution holds for its own rows and for those that are ours."""
    torch.manual_seed(1)
    net = torch.nn.Sequential(CONVOLUTIONS[kind]())
    weight = net[0].weight.detach().double().numpy()
    slices = weight.reshape(*weight.shape[:2], -1)
    squares = np.concatenate([singular_value_squares(slices[..., place]) for place in range(slices.shape[2])])
    found = ww.examine(net, engine=engine, progress=False)
    row = found.table().iloc[0]
    assert row["row_origin"] == ("weightwatcher" if kind == "Conv2d" else "setol_ww")
    assert row["num_evals"] == squares.size
    assert row["lambda_max"] == pytest.approx(squares.max() / 2, rel=1e-5)
    kept = found.layer(row["longname"]).spectrum.raw
    np.testing.assert_allclose(kept, np.sort(squares) / 2, rtol=1e-4)


def test_a_routine_is_found_where_a_blas_has_it():
    libraries = [one["filepath"] for one in threadpoolctl.threadpool_info() if one["user_api"] == "blas"]
    names = [*lapack.SYMBOLS, "dsyevd_", "scipy_dsyevd_", "dsyevd_64_", "scipy_dsyevd_64_"]
    there = [name for name in names if any(hasattr(ctypes.CDLL(path), name) for path in libraries)]
    for name in names:
        assert (fortran.loaded([name], 2) is not None) == (name in there and sys.byteorder == "little")
    assert fortran.loaded(["no_such_routine"], 2) is None


@pytest.mark.parametrize(
    ("shape", "axis", "elements", "sizes"),
    [((10, 4), 0, 12, [3, 3, 3, 1]), ((10, 4), 1, 20, [2, 2]), ((10, 4), 0, 3, [1] * 10), ((3, 4), 0, 99, [3])],
)
def test_blocks_have_as_many_lines_as_have_room(shape, axis, elements, sizes):
    matrix = np.arange(math.prod(shape), dtype=np.float32).reshape(shape)
    found = [block.copy() for block in eigen.blocks(matrix, axis, elements=elements)]
    assert [block.shape[axis] for block in found] == sizes
    assert np.array_equal(np.concatenate(found, axis=axis), matrix)


@pytest.mark.parametrize("size", [1e-170, 1.0, 1e170])
def test_what_another_device_squares_out_of_range_is_scaled_first(size, monkeypatch):
    """A stand-in for the device: the Gram matrix in float64, as it comes out there."""

    def on_device(device, matrix, exponent):
        scaled = np.ldexp(matrix, -exponent)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            gram = scaled.T @ scaled
        return np.linalg.eigvalsh(gram) if np.isfinite(gram).all() else np.full(len(gram), np.inf)

    W = np.random.default_rng(0).normal(size=(30, 20))
    monkeypatch.setattr(eigen, "eigenvalues_on", on_device)
    found = eigen.scaled_eigenvalues(W * size, "stand-in")
    roots = np.sqrt(found.values) * 2.0 ** (found.exponent / 2)
    assert roots / size == pytest.approx(np.linalg.svd(W, compute_uv=False)[::-1], rel=1e-9)


def test_parts_without_numbers_have_no_exponent():
    empty = scaled.Scaled(np.empty(0), 6)
    assert scaled.with_one_exponent([]) == ([], 0)
    values, exponent = scaled.with_one_exponent([empty, empty])
    assert (exponent, [part.size for part in values]) == (0, [0, 0])
    values, exponent = scaled.with_one_exponent(
        [empty, scaled.Scaled(np.array([1.0, 2.0]), 4), scaled.Scaled(np.ones(1))]
    )
    assert (exponent, values[1].tolist(), values[2].tolist()) == (4, [1.0, 2.0], [1 / 16])


@pytest.mark.parametrize("exponent", [0, 1, 7, -5])
@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (20, 20)])
def test_a_device_scales_the_matrix_first(shape, exponent):
    W = np.random.default_rng(0).normal(size=shape)
    truth = np.sort(np.linalg.svd(W, compute_uv=False) ** 2) * 2.0 ** (-2 * exponent)
    assert gpu.device_eigenvalues(W, "cpu", exponent) == pytest.approx(truth, rel=1e-9)


def test_scaled_blocks_underflow_in_silence():
    with np.errstate(all="raise"):
        (block,) = eigen.blocks(np.array([[1e-300, 1.0]]), 0, exponent=100)
    assert block.tolist() == [[0.0, 2.0**-100]]


@pytest.mark.parametrize(("side", "asked"), [(4, False), (5, True), (6, True)])
def test_two_stages_are_asked_for_from_a_side_on(side, asked, monkeypatch):
    calls = []
    monkeypatch.setattr(lapack, "TWO_STAGE_FROM", 5)
    monkeypatch.setattr(lapack, "two_stage_routine", lambda: calls.append(side))
    matrix = np.asfortranarray(np.diag(np.arange(1.0, side + 1)))
    assert lapack.symmetric_eigenvalues(matrix) == pytest.approx(np.arange(1.0, side + 1))
    assert calls == [side] * asked


def test_the_middle_of_the_range_has_its_ends():
    limit = 2.0**scaled.MODERATE_EXPONENT
    assert [scaled.is_moderate(value) for value in (limit, limit * 2, 1 / limit, 0.5 / limit, 0.0)] == [
        *(True, False, True, False, False)
    ]
