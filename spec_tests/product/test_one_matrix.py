"""One matrix has one spectrum: whatever library, dtype, byte order, memory order, slicing or scale it comes in."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import setol_ww as ww
from fixtures import scales
from fixtures.ensembles import gaussian_matrix, signed_pareto_matrix
from setol_ww.core.arrays import EPS_FLOAT32, EPS_FLOAT64, as_weightwatcher_reads, precision
from setol_ww.core.plain import as_computed
from setol_ww.linalg import eigenvalues as room
from setol_ww.linalg.device import device_eigenvalues
from setol_ww.linalg.directions import directions, factors, project
from setol_ww.linalg.eigenvalues import eigenvalues, scaled_eigenvalues
from spec_tests.odd_tensors import Dequantised, Loud, Wrapped

DTYPES = ("float64", "float32", "float16")
SHAPES = ((60, 40), (40, 60), (33, 33), (700, 5), (9, 1))


def deficient(shape, seed):
    """A matrix whose smaller singular values a Gram matrix does not resolve."""
    side = min(shape)
    left, _ = np.linalg.qr(gaussian_matrix(shape[0], side, seed=seed))
    right, _ = np.linalg.qr(gaussian_matrix(shape[1], side, seed=seed + 1))
    return (left * np.geomspace(1, 1e-9, side)) @ right.T


MATRICES = {
    "Gaussian": lambda shape, seed: gaussian_matrix(*shape, seed=seed),
    "Pareto": lambda shape, seed: signed_pareto_matrix(*shape, 1.5, seed=seed),
    "ill-conditioned": deficient,
}
matrices = st.builds(
    lambda kind, shape, seed: MATRICES[kind](shape, seed),
    st.sampled_from(sorted(MATRICES)),
    st.sampled_from(SHAPES),
    st.integers(0, 50),
)


def columns_of_a_larger(W):
    whole = np.full((W.shape[0], 3 * W.shape[1]), 7, dtype=W.dtype)
    whole[:, W.shape[1] : 2 * W.shape[1]] = W
    return whole[:, W.shape[1] : 2 * W.shape[1]]


def every_other(W):
    whole = np.full((2 * W.shape[0], 3 * W.shape[1]), 7, dtype=W.dtype)
    whole[::2, ::3] = W
    return whole[::2, ::3]


def read_only(W):
    W = W.copy()
    W.flags.writeable = False
    return W


# Each gives the same numbers lying otherwise.
WAYS = {
    "C order": np.ascontiguousarray,
    "Fortran order": np.asfortranarray,
    "other byte order": lambda W: W.astype(W.dtype.newbyteorder("S")),
    "columns of a larger one": columns_of_a_larger,
    "every other element": every_other,
    "backwards": lambda W: W[::-1, ::-1].copy()[::-1, ::-1],
    "kernel slice": lambda W: np.stack([W, W + 1], axis=2)[:, :, 0],
    "read only": read_only,
    "matrix": np.asmatrix,
    "mask of nothing": lambda W: np.ma.masked_array(W, mask=False),
    "torch": lambda W: torch.from_numpy(W.copy()),
    "torch transposed": lambda W: torch.from_numpy(W.T.copy()).T,
    "torch rows of a larger one": lambda W: torch.from_numpy(np.concatenate([W, W + 1]))[: W.shape[0]],
    "torch kernel slice": lambda W: torch.from_numpy(np.stack([W, W + 1], axis=2))[:, :, 0],
    "parameter": lambda W: torch.nn.Parameter(torch.from_numpy(W.copy())),
    "result with a gradient": lambda W: 1 * torch.nn.Parameter(torch.from_numpy(W.copy())),
    "negated view": lambda W: (
        torch.complex(torch.from_numpy(W * 0), torch.from_numpy(-W)).conj().imag
        if W.dtype != np.float16
        else torch.from_numpy(W.copy())
    ),
    "subclass": lambda W: torch.from_numpy(W.copy()).as_subclass(Loud),
}


def numbers(W):
    """The spectrum, of which everything else is a function, to the last bit."""
    found = ww.Spectrum.from_matrix(W)
    return found.values.tobytes(), found.exponent, found.N, found.M, found.slices, found.eps


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("dtype", DTYPES)
@given(W=matrices, way=st.sampled_from(sorted(WAYS)))
@settings(max_examples=150)
def test_to_the_last_bit(dtype, W, way):
    W = W.astype(dtype)
    assert numbers(WAYS[way](W)) == numbers(W)


@pytest.mark.parametrize("dtype", DTYPES)
def test_blocks_end_where_the_shape_says(dtype, monkeypatch):
    monkeypatch.setattr(room, "BLOCK_ELEMENTS", 7 * 40)
    W = gaussian_matrix(60, 40, seed=0).astype(dtype)
    for way in ("C order", "Fortran order", "other byte order", "every other element", "torch transposed", "subclass"):
        assert numbers(WAYS[way](W)) == numbers(W)
        assert numbers(WAYS[way](W.T)) == numbers(W)


@pytest.mark.parametrize("way", ["C order", "Fortran order", "other byte order", "torch transposed", "subclass"])
def test_traps_to_the_last_bit(way):
    W = gaussian_matrix(60, 40, seed=0)
    W[13, 17] = 30
    assert ww.find_traps(WAYS[way](W)).to_dict() == ww.find_traps(W).to_dict()


@given(W=matrices, power=st.integers(-1000, 1015))
def test_powers_of_two_change_the_exponent_alone(W, power):
    scaled = np.ldexp(W, power)
    assume(np.isfinite(scaled).all())
    assume((np.ldexp(scaled, -power) == W).all())
    one, other = ww.analyze_matrix(W), ww.analyze_matrix(scaled)
    assert one.spectrum.unit_mean.tobytes() == other.spectrum.unit_mean.tobytes()
    assert (one.spectrum.rank, one.verdict) == (other.spectrum.rank, other.verdict)
    # NaN is not equal to itself, its words are.
    assert repr(dataclasses.asdict(one.quality)) == repr(dataclasses.asdict(other.quality))
    for before, after in ((one.tail, other.tail), (one.erg, other.erg), (one.bulk, other.bulk)):
        for field in dataclasses.fields(before):
            a, b = getattr(before, field.name), getattr(after, field.name)
            if field.name.endswith("_raw"):
                assert_scaled(a, b, power if field.name == "sigma_raw" else 2 * power)
            else:
                assert a == b or (a != a and b != b), field.name


def assert_scaled(one, other, power):
    """`other` is `one` times 2^power, or NaN where that is beyond float64."""
    try:
        expected = math.ldexp(one, power)
    except OverflowError:
        expected = math.nan
    if expected == 0 and one:
        expected = math.nan
    assert other == expected or (other != other and expected != expected)


@given(W=matrices, power=st.floats(-150, 150))
def test_any_scale_is_the_same_to_rounding(W, power):
    """The entries are rounded anew, and eigenvalues move by no more than that."""
    one, other = (ww.Spectrum.from_matrix(V).unit_mean for V in (W, W * 10.0**power))
    np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-13 * one[-1])


@pytest.mark.parametrize("scale", [1.0, 3e152, 1e307, 1e-160, 1e-300, 1e-310, 5e-324])
@pytest.mark.parametrize("shape", [(12, 8), (8, 12)])
def test_extreme_scales_against_exact_exponents(scale, shape):
    W = np.round(4 * gaussian_matrix(*shape, seed=3)) * scale
    truth = scales.unit_mean_eigenvalues(W)
    spectrum = ww.Spectrum.from_matrix(W)
    np.testing.assert_allclose(spectrum.unit_mean, truth, rtol=1e-11)
    logs = np.log(spectrum.values) + spectrum.exponent * math.log(2)
    np.testing.assert_allclose(logs, scales.log_eigenvalues(W), rtol=1e-12, atol=1e-11)
    assert spectrum.rank == min(shape)
    found = scaled_eigenvalues(W)
    np.testing.assert_allclose(device_eigenvalues(W, "cpu", found.exponent // 2), found.values, rtol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float8_e5m2"])
def test_narrow_types_at_their_ends(dtype):
    kind = getattr(torch, dtype)
    for end in (torch.finfo(kind).max, torch.finfo(kind).tiny):
        W = (torch.from_numpy(gaussian_matrix(30, 20, seed=0)).clamp(-2, 2) * (end / 2)).to(kind)
        truth = scales.unit_mean_eigenvalues(W.double().numpy())
        np.testing.assert_allclose(ww.Spectrum.from_matrix(W).unit_mean, truth, rtol=1e-10)


def test_slices_of_very_different_scale_are_pooled():
    W = gaussian_matrix(20, 10, seed=0)
    pooled = ww.Spectrum.from_slices([W * 1e-300, np.zeros((20, 10)), W * 1e200, W * 1e200])
    assert pooled.num_evals == 40
    assert pooled.rank == 20
    usual = ww.Spectrum.from_slices([np.zeros((20, 10)), np.zeros((20, 10)), W, W])
    np.testing.assert_allclose(pooled.unit_mean[20:], usual.unit_mean[20:], rtol=1e-12)
    assert ww.Spectrum.from_slices([np.zeros((4, 3)), np.zeros((4, 3))]).rank == 0


def test_eigenvalues_beyond_float64_are_inf_or_zero_and_nan_means_bad_entries():
    W = gaussian_matrix(20, 10, seed=0)
    assert np.isinf(eigenvalues(W * 1e200)).all()
    assert (eigenvalues(W * 1e-200) == 0).all()
    W[3, 4] = np.inf
    assert np.isnan(eigenvalues(W)).all()
    assert directions(W) is None


@given(raw=st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=40), power=st.integers(-500, 500))
def test_known_eigenvalues_of_any_scale(raw, power):
    one, other = (ww.Spectrum.from_eigenvalues(np.ldexp(raw, 2 * p)) for p in (0, power))
    assert one.unit_mean.tobytes() == other.unit_mean.tobytes()
    assert other.raw.tolist() == sorted(np.ldexp(raw, 2 * power).tolist())


@pytest.mark.parametrize("power", [-1000, 0, 900])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_projections_and_factors_at_any_scale(power, dtype):
    W = signed_pareto_matrix(30, 20, 2.0, seed=0).astype(dtype)
    power = power if dtype == "float64" else power // 10
    scaled = np.ldexp(W, power)
    assert (project(scaled, 4) == np.ldexp(project(W, 4), power)).all()
    found = directions(scaled)
    left, right = factors(scaled, found, np.arange(20))
    np.testing.assert_allclose(np.ldexp(left @ right, -power), W, atol=1e-6 * np.abs(W).max())


@pytest.mark.parametrize("rule", ["erg", "energy:0.5", "mp", "gavish-donoho", "powerlaw"])
def test_truncation_at_any_scale(rule):
    """The same rank and the same weights times a power of two, also where float64 has no square of them."""
    W = torch.from_numpy(signed_pareto_matrix(60, 40, 2.0, seed=0))

    def truncated(power):
        layer = torch.nn.Linear(40, 60, bias=False).double()
        layer.weight.data = torch.from_numpy(np.ldexp(W.numpy(), power))
        return ww.truncate(torch.nn.Sequential(layer), rule)[0].weight.detach().numpy()

    for power in (-900, 900):
        assert (truncated(power) == np.ldexp(truncated(0), power)).all()


def test_long_double_is_rounded_and_beyond_float64_is_infinite():
    W = gaussian_matrix(20, 10, seed=0)
    assert numbers(W.astype(np.longdouble)) == numbers(W)
    assert precision(as_computed(W.astype(np.longdouble))) == EPS_FLOAT64
    if np.finfo(np.longdouble).max > np.finfo(np.float64).max:
        assert np.isnan(ww.Spectrum.from_matrix(W * np.longdouble(10) ** 400).raw).all()


@pytest.mark.parametrize("order", "<>")
def test_precision_does_not_see_the_byte_order(order):
    for code, eps in (("f8", EPS_FLOAT64), ("f4", EPS_FLOAT32), ("f2", EPS_FLOAT32), ("i8", EPS_FLOAT64)):
        assert precision(np.ones((2, 2), dtype=order + code)) == eps


def test_integers_and_truth_values_are_numbers():
    W = gaussian_matrix(20, 10, seed=0) > 0
    for dtype in (np.int8, np.uint16, np.int32, np.float32):
        assert ww.Spectrum.from_matrix(W.astype(dtype)).raw.tobytes() == ww.Spectrum.from_matrix(W).raw.tobytes()
    assert ww.Spectrum.from_matrix(torch.from_numpy(W)).raw.tobytes() == ww.Spectrum.from_matrix(W).raw.tobytes()


def test_a_wrapped_tensor_gives_its_values_or_its_name():
    W = torch.from_numpy(gaussian_matrix(20, 10, seed=0))
    assert numbers(Dequantised(W)) == numbers(W)
    with pytest.raises(ww.InvalidInput, match=r"type .*odd_tensors\.Wrapped was given, which holds no values"):
        ww.analyze_matrix(Wrapped(W))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda: np.ma.masked_array(np.eye(3), mask=np.eye(3)), "3 of whose 9 entries have no value"),
        (lambda: torch.eye(3).to_sparse(), "a sparse_coo tensor was given"),
        (lambda: torch.eye(3, device="meta"), "on the meta device"),
        (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "a nested tensor was given"),
    ],
)
def test_what_has_no_values_is_refused_by_its_name(given, said):
    with pytest.raises(ww.InvalidInput, match=said):
        ww.analyze_matrix(given())


@pytest.mark.filterwarnings("ignore:The PyTorch API of MaskedTensors")
def test_masked_tensors_of_torch():
    W, mask = torch.from_numpy(gaussian_matrix(20, 10, seed=0)), torch.ones(20, 10, dtype=torch.bool)
    assert numbers(torch.masked.masked_tensor(W, mask)) == numbers(W)
    mask[3, 4] = False
    partly = torch.masked.masked_tensor(W, mask)
    with pytest.raises(ww.InvalidInput, match="1 of whose 200 entries have no value"):
        ww.analyze_matrix(partly)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_quantised_tensors_of_torch_are_what_they_stand_for():
    W = torch.quantize_per_tensor(torch.from_numpy(gaussian_matrix(20, 10, seed=0)).float(), 0.02, 0, torch.qint8)
    assert numbers(W) == numbers(W.dequantize())


def test_weightwatcher_reads_float32_of_torch_and_arrays_as_they_are():
    W = gaussian_matrix(20, 10, seed=0)
    assert as_weightwatcher_reads(torch.from_numpy(W)).dtype == torch.float32
    assert as_weightwatcher_reads(torch.from_numpy(W).bfloat16()).dtype == torch.bfloat16
    assert as_weightwatcher_reads(W.astype(">f8")).dtype == np.float64
    assert as_weightwatcher_reads(W.astype(np.float16)).dtype == np.float16


@pytest.mark.parametrize("quality", [True, False])
def test_a_record_as_json_has_the_columns_that_were_asked_for(quality):
    W = np.random.default_rng(0).standard_t(3, size=(60, 40))
    told = ww.analyze_matrix(W, ww.Settings(quality=quality)).to_dict()
    assert ("q2_norm" in told) == quality
    assert "tail_alpha" in told
    assert not [name for name in told if name.startswith("trap_")]
