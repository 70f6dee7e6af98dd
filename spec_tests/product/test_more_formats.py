"""Chapter 8: formats of other libraries: their matrices are those that were written, and broken files are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import setol_ww as ww
from setol_ww.formats.checkpoints import checkpoint_tensors

ERRORS = (ww.InvalidInput, ww.UnreadableCheckpoint)
RNG = np.random.default_rng(0)


def values(path: Path) -> dict[str, np.ndarray]:
    return {one.name: np.asarray(one.read()) for one in checkpoint_tensors(path)}


def largest(matrix: np.ndarray) -> float:
    return float(np.linalg.svd(np.asarray(matrix, float), compute_uv=False)[0] ** 2)


def assert_rows(path: Path, truth: dict[str, np.ndarray], **more) -> None:
    """The rows of `analyze` and `scan` are those of the matrices, by numpy's SVD."""
    for frame in (ww.analyze(path), ww.scan(path)):
        rows = frame[frame["longname"].isin(truth)].set_index("longname")
        assert sorted(rows.index) == sorted(truth), list(frame["longname"])
        for name, matrix in truth.items():
            sides = sorted(matrix.shape)
            assert (rows.loc[name, "M"], rows.loc[name, "N"]) == tuple(sides), name
            top = rows.loc[name, "lambda_max"]
            np.testing.assert_allclose(top, largest(matrix), rtol=1e-4, err_msg=name)
            for column in more.keys() & rows.columns:
                assert more[column] in rows.loc[name, column], (name, rows.loc[name, column])


def assert_damage_is_named(path: Path, number: int = 60) -> None:
    """Cut short or with bytes turned it gives values or one of the two errors."""
    content = path.read_bytes()
    rng = np.random.default_rng(1)
    broken = path.with_name(f"broken{path.suffix}")
    said: list[str] = []
    for at in range(number):
        damaged = bytearray(content[: int(rng.integers(len(content)))] if at % 3 == 0 else content)
        for _ in range(at % 3):
            damaged[int(rng.integers(min(len(damaged), 2048)))] = int(rng.integers(256))
        broken.write_bytes(bytes(damaged))
        try:
            for tensor in checkpoint_tensors(broken):
                if not tensor.unfit:
                    assert np.asarray(tensor.read()).shape == tensor.shape
        except ERRORS as error:
            said.append(str(error))
    assert all(broken.name in sentence for sentence in said), said
    assert len(said) > number // 4


# GGUF.

gguf = pytest.importorskip("gguf", reason="the extra setol-ww[gguf] is not installed")
QUANTISED = sorted(kind.name for kind, (per_block, _) in gguf.GGML_QUANT_SIZES.items() if per_block > 1)


def gguf_file(path: Path, tensors: dict[str, tuple[np.ndarray, object]], arch: str = "llama") -> Path:
    writer = gguf.GGUFWriter(path, arch)
    writer.add_array("tokenizer.ggml.tokens", ["a", "bc"])
    for name, (data, kind) in tensors.items():
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def packed(kind: object, rows: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    """Codes of a type: quantised values where the package writes it, else random bytes with small scales."""
    per_block, size = gguf.GGML_QUANT_SIZES[kind]
    try:
        return gguf.quants.quantize(rng.normal(size=(rows, columns)).astype(np.float32), kind)
    except NotImplementedError:
        return rng.integers(0, 60, size=(rows, columns // per_block * size)).astype(np.uint8)


@pytest.mark.parametrize("name", QUANTISED)
def test_gguf_types_are_those_of_the_package(tmp_path, name):
    kind = gguf.GGMLQuantizationType[name]
    codes = packed(kind, 24, 512, np.random.default_rng(len(name)))
    path = gguf_file(tmp_path / "m.gguf", {"blk.0.ffn_up.weight": (codes, kind)})
    (tensor,) = checkpoint_tensors(path)
    assert (tensor.shape, tensor.dtype) == ((24, 512), name)
    try:
        truth = gguf.quants.dequantize(codes, kind)
    except NotImplementedError:
        assert "no rule" in tensor.unfit
        return
    assert not tensor.unfit
    np.testing.assert_array_equal(np.asarray(tensor.read()), truth)
    for index in ((slice(3, 9),), (slice(None), slice(250, 300)), (5,), (slice(0, 20, 3), slice(7, 400, 11)), (2, 300)):
        np.testing.assert_array_equal(np.asarray(tensor.read(index)), truth[index], err_msg=str(index))


def test_gguf_rows_experts_and_plain_types(tmp_path):
    rng = np.random.default_rng(3)
    q8 = gguf.GGMLQuantizationType.Q8_0
    wide = rng.normal(size=(96, 64)).astype(np.float32)
    experts = gguf.quants.quantize(rng.normal(size=(3, 40, 64)).astype(np.float32), q8)
    half = rng.normal(size=(50, 60)).astype(np.float16)
    path = gguf_file(
        tmp_path / "m.gguf",
        {
            "blk.0.attn_q.weight": (gguf.quants.quantize(wide, q8), q8),
            "blk.0.ffn_up_exps.weight": (experts, q8),
            "output.weight": (half, None),
            "blk.0.attn_norm.weight": (np.ones(64, np.float32), None),
        },
    )
    assert_rows(path, {"blk.0.attn_q": gguf.quants.dequantize(gguf.quants.quantize(wide, q8), q8)}, dtype="Q8_0")
    assert_rows(path, {"output": half.astype(float)}, dtype="float16")
    found = ww.scan(path).set_index("longname")
    assert "order of GGUF" in found.loc["blk.0.attn_q", "reason"]
    truth = gguf.quants.dequantize(experts, q8)
    rows = found[found.index.str.contains("ffn_up_exps")]
    np.testing.assert_allclose(sorted(rows["lambda_max"]), sorted(map(largest, truth)), rtol=1e-4)
    assert_damage_is_named(path)


def test_gguf_shards_are_one_model(tmp_path):
    for number in (1, 2):
        weight = {f"blk.{number}.ffn_up.weight": (np.ones((30, 20), np.float32), None)}
        gguf_file(tmp_path / f"m-0000{number}-of-00002.gguf", weight)
    assert list(values(tmp_path)) == ["blk.1.ffn_up.weight", "blk.2.ffn_up.weight"]
    (tmp_path / "m-00001-of-00002.gguf").unlink()
    with pytest.raises(ww.UnreadableCheckpoint, match="1 of 2 shards are missing"):
        checkpoint_tensors(tmp_path)


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    path = gguf_file(tmp_path / "m.gguf", {"a.weight": (np.ones((3, 2), np.float32), None)})
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    with pytest.raises(ww.InvalidInput, match=r"reading \.gguf needs: pip install 'setol-ww\[gguf\]'"):
        ww.scan(path)
