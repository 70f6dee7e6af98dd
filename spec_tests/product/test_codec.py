"""Chapter 14: what is kept comes back bit for bit."""

from __future__ import annotations

import dataclasses
import json
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import setol_ww as ww
from setol_ww.core.outcomes import Outcome
from setol_ww.results import codec
from setol_ww.results.codec import Undecodable, pack, unpack
from setol_ww.results.record import LayerRecord

#: Any text, lone surrogates and pairs of them among it.
TEXT = st.text(st.characters(exclude_categories=()))
FLOATS = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", bits.to_bytes(8, "little"))[0])
SCALARS = st.one_of(
    arrays.arrays(dtype, ()).map(lambda array: array[()]) for dtype in ("<f8", ">f4", "f2", "i1", ">i8", "u2", "?")
)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), FLOATS, TEXT, SCALARS, st.sampled_from(Outcome))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner),
        st.lists(inner).map(tuple),
        st.dictionaries(st.one_of(TEXT, st.just("!"), st.integers()), inner),
    ),
    max_leaves=12,
)


def assert_same(one, other) -> None:
    """Equal in type and bits; every NaN is the same."""
    assert type(one) is type(other)
    if dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, np.ndarray):
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    elif isinstance(one, np.generic):
        native = one.dtype.newbyteorder("=")
        assert native == other.dtype
        assert one.astype(native).tobytes() == other.tobytes()
    elif isinstance(one, float):
        assert (math.isnan(one) and math.isnan(other)) or struct.pack("<d", one) == struct.pack("<d", other)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for mine, yours in zip(one, other):
            assert_same(mine, yours)
    else:
        assert one == other


@given(VALUES)
def test_values_come_back(value):
    assert_same(unpack(pack(value)), value)


@given(
    arrays.arrays(
        st.sampled_from(["<f8", "<f4", "<f2", "<i8", "u1", "?"]),
        arrays.array_shapes(min_dims=0, max_dims=3, min_side=0),
    )
)
def test_arrays_come_back(array):
    assert_same(unpack(pack([array, array.T]))[0], array)
    assert_same(unpack(pack([array, array.T]))[1], np.ascontiguousarray(array.T).reshape(array.T.shape))


@pytest.mark.parametrize("text", ["\ud83d\ude00", "😀", "\0", "\x7f\u2028"])
def test_surrogates_one_after_the_other_stay_two(text):
    back = unpack(pack({text: text}))
    assert [(len(key), key == text, value == text) for key, value in back.items()] == [(len(text), True, True)]


def test_other_byte_orders_become_this_machines():
    array = np.array([1.5, -0.0, np.inf], dtype=">f8")
    assert_same(unpack(pack(array)), array.astype("f8"))


def test_a_record_comes_back_with_all_that_is_in_it():
    W = np.random.default_rng(0).normal(size=(80, 60))
    W[3, 4] = 40
    spectrum, traps = ww.Spectrum.from_matrix(W), ww.find_traps(W)
    assert traps.count
    record = LayerRecord(
        3,
        {"longname": "a\ud800\x1b[0m", "N": 80, "Q": np.float64(4 / 3)},
        spectrum=spectrum,
        extras={"traps": traps, "farms": ww.fit_submatrices(W)},
        theirs={"alpha": np.float32(2.1), "warning": "", "none": None},
        cells={"x": -0.0, "y": math.nan},
    )
    back = unpack(pack(record))
    assert_same(back, record)
    assert_same(back.result(), record.result())


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", 1j, np.complex64(1), np.array(["a"]), np.array([None])])
def test_what_cannot_be_kept_is_refused(value):
    with pytest.raises(TypeError, match="cannot be kept; accepted are"):
        pack([value])


def test_only_what_is_listed_is_ever_imported():
    class Spectrum:
        """Of the same name and not ours."""

    with pytest.raises(TypeError, match="cannot be kept"):
        pack([dataclasses.make_dataclass("Spectrum", [])()])
    told = json.dumps({"!": "record", "of": "os.system", "fields": {}}).encode()
    blob = codec.HEAD.pack(codec.MAGIC, codec.VERSION, 0, len(told), len(told)) + told
    with pytest.raises(Undecodable, match="newer version"):
        unpack(blob)


def test_newer_fields_kinds_and_versions_are_named(monkeypatch):
    Later = dataclasses.make_dataclass("Trap", ["eigenvalue", "pvalue", "strength", "slice", "carrier", "colour"])
    Later.__module__ = "setol_ww.traps.find"
    blob = pack(Later(1.0, 0.5, 2.0, 0, "element", "red"))
    with pytest.raises(Undecodable, match="colour: a newer version"):
        unpack(blob)
    with monkeypatch.context() as patch:
        patch.setattr(codec, "VERSION", 2)
        later = pack(1)
    with pytest.raises(Undecodable, match="version 2, this one reads 1"):
        unpack(later)


def test_fields_that_an_older_version_lacked_have_their_default():
    fields = {"values": np.array([1.0, 2.0]), "N": 3, "M": 2}
    buffers: list[bytes] = []
    told = json.dumps({"!": "record", "of": "Spectrum", "fields": codec._plain(fields, buffers)}).encode()
    blob = codec.HEAD.pack(codec.MAGIC, codec.VERSION, 0, len(told), len(told)) + told + b"".join(buffers)
    assert unpack(blob).slices == 1


@given(st.binary(max_size=200))
def test_noise_is_no_record(noise):
    for blob in (noise, pack({"a": np.arange(9.0)})[: len(noise)]):
        with pytest.raises(Undecodable):
            unpack(blob)


@given(st.data())
def test_a_wrong_byte_gives_a_value_or_a_named_error(data):
    """The checksum is the store's; a record that lies all the same must not raise anything else."""
    blob = bytearray(pack({"a": np.arange(40.0), "b": ("x", -0.0, Outcome.OK), "c": LayerRecord(0, {})}))
    place = data.draw(st.integers(0, len(blob) - 1))
    blob[place] ^= data.draw(st.integers(1, 255))
    try:
        unpack(bytes(blob))
    except Undecodable:
        pass


def test_eigenvalues_take_less_than_they_are():
    raw = np.sort(np.random.default_rng(0).pareto(2.0, 4096))
    assert len(pack(raw)) < 0.95 * raw.nbytes


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ({"!": "scalar", "dtype": "<f8", "hex": ""}, "IndexError"),
        ({"!": "scalar", "dtype": "<f8"}, "KeyError"),
        ({"!": "scalar", "dtype": "<f8", "hex": "zz"}, "ValueError"),
        ({"!": "tuple", "of": 3}, "TypeError"),
        ({"!": "scalar", "dtype": ["<f8"], "hex": ""}, "TypeError"),
    ],
)
def test_a_record_that_makes_no_sense_says_of_which_kind(told, error):
    plain = json.dumps(told).encode()
    blob = codec.HEAD.pack(codec.MAGIC, codec.VERSION, 0, len(plain), len(plain)) + plain
    with pytest.raises(Undecodable, match=f"its record makes no sense \\({error}: "):
        unpack(blob)
