"""Tensors that belong together: every scheme of storage against the matrix that is meant, whichever way it comes."""

from __future__ import annotations

import json
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils import parametrizations, prune

import setol_ww as ww
from fixtures import schemes as zoo
from fixtures.oracles import singular_value_squares
from setol_ww.formats.checkpoints import checkpoint_tensors, read_job
from setol_ww.formats.reader import FileReader
from setol_ww.scanning.jobs import jobs_of
from setol_ww.weights.schemes import joined, registry, schemes
from setol_ww.weights.tensors import mapping_tensors

SHARDS = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


def written(folder: Path, stored: zoo.Stored, shards: dict[str, int] | None = None) -> Path:
    """A checkpoint folder: config, and one file or two, the tensors in the one that `shards` says."""
    folder.mkdir(exist_ok=True, parents=True)
    config = dict(stored.config)
    adapter = config.pop("adapter_config", None)
    (folder / "config.json").write_text(json.dumps(config))
    if adapter:
        (folder / "adapter_config.json").write_text(json.dumps(adapter))
    tensors = {name: values.contiguous() for name, values in stored.tensors.items()}
    if shards is None:
        save_file(tensors, folder / "model.safetensors")
        return folder
    for number, file in enumerate(SHARDS):
        save_file({name: values for name, values in tensors.items() if shards[name] == number}, folder / file)
    weight_map = {name: SHARDS[shards[name]] for name in tensors}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def in_turn(stored: zoo.Stored) -> dict[str, int]:
    """Every tensor in another shard than the one before it."""
    return {name: position % 2 for position, name in enumerate(stored.tensors)}


def check(frame: pd.DataFrame, stored: zoo.Stored, rel: float = 2e-6) -> None:
    """One row with numbers, of the layer, and they are those of the matrix that is meant."""
    rows = frame.dropna(subset=["lambda_max"])
    assert rows["longname"].tolist() == [stored.layer]
    truth = singular_value_squares(stored.weight)
    assert rows["lambda_max"].iloc[0] == pytest.approx(truth.max(), rel=rel)
    assert rows["norm"].iloc[0] == pytest.approx(truth.sum(), rel=rel)


@pytest.mark.parametrize("name", zoo.ZOO)
def test_a_scheme_is_read_as_the_matrix_that_is_meant(name, tmp_path):
    stored = zoo.ZOO[name](np.random.default_rng(3))
    needs_config = name.startswith(("mlx", "gptq v2", "lora", "dora", "fp8 blocks")) and stored.config
    folder = written(tmp_path / "model", stored, in_turn(stored))
    watcher = ww.WeightWatcher(folder)
    check(watcher.analyze(), stored)
    every = {one: values.numel() for one, values in stored.tensors.items() if values.dim() >= 2}
    coverage = watcher.coverage.set_index("longname")
    assert dict(coverage["n_params"]) == every
    assert set(coverage["status"]) == {"analyzed"}
    frame = ww.scan(folder)
    check(frame, stored)
    if not needs_config:
        check(ww.analyze(stored.tensors), stored)


@pytest.mark.parametrize("name", zoo.ZOO)
def test_a_part_is_the_part_of_the_whole(name, tmp_path):
    """In another process a job is read by files and names; a few rows or columns equal those of the whole."""
    stored = zoo.ZOO[name](np.random.default_rng(4))
    folder = written(tmp_path / "model", stored, in_turn(stored))
    (job,) = [job for job in jobs_of(folder) if not job.skipped]
    job = pickle.loads(pickle.dumps(job))
    whole = read_job(job)
    assert tuple(whole.shape) == stored.weight.shape
    assert whole.numpy() == pytest.approx(stored.weight, rel=1e-5, abs=1e-5 * abs(stored.weight).max())
    for index in ((slice(3, 11),), (slice(None), slice(5, 13)), (7,), (slice(1, 2), 4)):
        assert torch.equal(read_job(job, index), whole[index])


def test_rows_that_are_read_are_all_that_is_read(tmp_path, monkeypatch):
    """Of scales by blocks of rows only those of the rows asked for are read, and none of the other codes."""
    stored = zoo.float8_blocks(np.random.default_rng(0), 64, 48, (16, 16))
    folder = written(tmp_path / "model", stored)
    (job,) = [job for job in jobs_of(folder) if not job.skipped]
    asked = []
    original = FileReader.read
    monkeypatch.setattr(
        FileReader, "read", lambda self, name, index=(): (asked.append((name, index)), original(self, name, index))[1]
    )
    values = read_job(job, (slice(20, 40),))
    assert values.numpy() == pytest.approx(stored.weight[20:40], rel=1e-6)
    assert sorted(asked) == [("m.fc.weight", (slice(20, 40),)), ("m.fc.weight_scale_inv", (slice(1, 3),))]


def test_blocks_of_rows_are_put_together_in_turn(monkeypatch):
    stored = zoo.float8_blocks(np.random.default_rng(0), 40, 48, (16, 16))
    (whole, _) = joined(mapping_tensors(stored.tensors), stored.config)
    expected = whole.load()
    monkeypatch.setattr(registry, "BLOCK", 7 * 48)
    assert torch.equal(whole.load(), expected)
    assert torch.equal(whole.read((slice(3, 30, 2), slice(1, 9))), expected[3:30:2, 1:9])


def test_memory_is_that_of_what_is_read(tmp_path):
    """16 million codes of four bits: 8 MB on disk, 64 MB as float32."""
    rng, side, mega = np.random.default_rng(0), 4096, 2**20
    state = {"quant_type": "nf4", "blocksize": 64, "shape": [side, side]}
    state = np.frombuffer(json.dumps(state).encode(), np.uint8).copy()
    tensors = {
        "fc.weight": torch.from_numpy(rng.integers(0, 256, (side * side // 2, 1)).astype(np.uint8)),
        "fc.weight.absmax": torch.ones(side * side // 64),
        "fc.weight.quant_map": torch.linspace(-1, 1, 16),
        "fc.weight.quant_state.bitsandbytes__nf4": torch.from_numpy(state),
    }
    save_file(tensors, tmp_path / "net.safetensors")
    (job,) = [job for job in jobs_of(tmp_path / "net.safetensors") if not job.skipped]
    for index, most in (((slice(0, 64),), 8 * mega), ((), (64 + 48) * mega)):
        tracemalloc.start()
        read_job(job, index)
        assert tracemalloc.get_traced_memory()[1] < most
        tracemalloc.stop()


def test_experts_are_dequantised_one_by_one(tmp_path):
    stored = zoo.mxfp4(np.random.default_rng(1), 24, 32, experts=3)
    folder = written(tmp_path / "model", stored)
    for frame in (ww.analyze(folder), ww.scan(folder), ww.analyze(stored.tensors)):
        rows = frame.dropna(subset=["lambda_max"])
        assert rows["slice"].tolist() == ["0", "1", "2"]
        assert set(rows["longname"]) == {"m.fc"}
        for (_, row), weight in zip(rows.iterrows(), stored.weight):
            assert row["lambda_max"] == pytest.approx(singular_value_squares(weight).max(), rel=1e-6)


@pytest.mark.parametrize("make", [nn.utils.weight_norm, parametrizations.weight_norm])
@pytest.mark.parametrize("layer", [nn.Linear(32, 24), nn.Conv2d(8, 12, 3), nn.ConvTranspose1d(12, 16, 3)])
@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_weight_norm_in_a_file_is_that_of_the_module(make, layer, dim, tmp_path):
    torch.manual_seed(0)
    module = make(type(layer)(*_sizes(layer)), dim=dim)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith(("_g", "original0")):
                parameter.mul_(torch.rand_like(parameter) + 0.5)
    if hasattr(module, "weight_g"):
        next(iter(module._forward_pre_hooks.values()))(module, None)
    check_state(nn.Sequential(module), module.weight, tmp_path)


@pytest.mark.parametrize("make", [nn.utils.spectral_norm, parametrizations.spectral_norm])
@pytest.mark.parametrize("layer", [nn.Linear(32, 24), nn.Conv2d(8, 12, 3), nn.ConvTranspose2d(8, 12, 3)])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_spectral_norm_in_a_file_is_that_of_the_module(make, layer, tmp_path):
    torch.manual_seed(0)
    module = make(type(layer)(*_sizes(layer)))
    image = torch.randn(2, 32) if isinstance(layer, nn.Linear) else torch.randn(2, 8, 6, 6)
    module(image)
    module.eval()
    module(image)
    check_state(nn.Sequential(module), module.weight, tmp_path)


def test_a_pruned_layer_in_a_file_is_that_of_the_module(tmp_path):
    torch.manual_seed(0)
    module = nn.Conv1d(12, 16, 3)
    prune.random_unstructured(module, "weight", 0.6)
    check_state(nn.Sequential(module), module.weight, tmp_path)


def _sizes(layer: nn.Module) -> tuple[int, ...]:
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    return layer.in_channels, layer.out_channels, layer.kernel_size[0]


def check_state(model: nn.Sequential, weight: torch.Tensor, folder: Path) -> None:
    """File and state dict hold the weight of the module bit by bit, and their tables agree with the module's."""
    torch.save(model.state_dict(), folder / "net.pt")
    (made,) = [one for one in checkpoint_tensors(folder / "net.pt") if one.recipe]
    assert made.name == "0.weight"
    assert torch.equal(made.load(), weight.detach())
    frames = [ww.analyze(given) for given in (model, model.state_dict(), folder / "net.pt")]
    frames.append(ww.scan(folder / "net.pt").dropna(subset=["lambda_max"]))
    for frame in frames:
        assert frame["longname"].tolist() == ["0"]
        assert frame["lambda_max"].iloc[0] == pytest.approx(frames[0]["lambda_max"].iloc[0], rel=1e-6)
    told = {row["longname"]: row["reason"] for row in frames[2].attrs["coverage"]}
    assert all(reason.endswith("0.weight, analysed there") for reason in told.values()), told


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_quantised_tensors_of_torch_bit_by_bit(tmp_path):
    torch.manual_seed(0)
    weight = torch.randn(24, 33)
    scales, zeros = torch.rand(24).double() * 0.1 + 0.01, torch.arange(24)
    channels = {
        "a.weight": torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8),
        "b.weight": torch.quantize_per_channel(weight.T.contiguous(), scales, zeros, 1, torch.qint8),
        "c.weight": torch.quantize_per_tensor(weight, 0.0313, 7, torch.quint8),
    }
    net = nn.Sequential(nn.Linear(32, 24), nn.ReLU(), nn.Linear(24, 16))
    module = torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)
    truth = {name: values.dequantize() for name, values in channels.items()}
    truth |= {f"{name}.weight": module[int(name)].weight().dequantize() for name in "02"}
    state = channels | dict(module.state_dict())
    torch.save(state, tmp_path / "net.pt")
    for stored in (joined(mapping_tensors(state)), checkpoint_tensors(tmp_path / "net.pt")):
        made = {one.name: one.load() for one in stored if one.recipe}
        assert made.keys() == truth.keys()
        assert all(torch.equal(made[name], values) for name, values in truth.items())
    frame = ww.analyze(module)
    assert frame["longname"].tolist() == ["0", "2"]
    assert [row["longname"] for row in frame.attrs["coverage"]] == ["0.weight", "2.weight"]


def test_embeddings_and_convolutions_with_lora(tmp_path):
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.normal(size=shape).astype("f4"))

    tensors = {
        "base_model.model.emb.lora_embedding_A": draw(4, 40),
        "base_model.model.emb.lora_embedding_B": draw(16, 4),
        "base_model.model.conv.lora_A.weight": draw(3, 8, 3, 3),
        "base_model.model.conv.lora_B.weight": draw(12, 3, 1, 1),
        "base_model.model.emb.weight": draw(40, 16),
    }
    (tmp_path / "adapter_config.json").write_text(json.dumps({"lora_alpha": 6, "use_rslora": True, "r": 4}))
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    made = {one.name: one for one in checkpoint_tensors(tmp_path) if one.recipe}
    a, b = (tensors[f"base_model.model.emb.lora_embedding_{word}"].double() for word in "AB")
    emb = tensors["base_model.model.emb.weight"].double() + 6 / 2 * (b @ a).T
    assert made["base_model.model.emb.weight"].load().double().numpy() == pytest.approx(emb.numpy(), abs=1e-4)
    a, b = (tensors[f"base_model.model.conv.lora_{word}.weight"].double() for word in "AB")
    conv = 6 / 3**0.5 * torch.einsum("or,rikl->oikl", b[:, :, 0, 0], a)
    assert made["conv.weight"].load().double().numpy() == pytest.approx(conv.numpy(), abs=1e-4)
    frame = ww.scan(tmp_path).set_index("longname")
    assert frame.loc["conv", "layout"] == "LoRA update r=3"


@pytest.mark.parametrize(
    ("tensors", "together"),
    [
        ({"m.fc.weight._data": torch.zeros(16, 16).to(torch.float8_e4m3fn)}, ["m.fc.weight._data"]),
        ({"m.fc.weight_v": torch.ones(16, 16)}, ["m.fc.weight_v", "m.fc.weight_g"]),
        ({"m.fc.lora_A.weight": torch.ones(4, 16)}, ["m.fc.lora_A.weight", "m.fc.lora_B.weight"]),
        ({"m.fc.weight_orig": torch.ones(16, 16)}, ["m.fc.weight_mask", "m.fc.weight_u"]),
        (
            {"m.fc.weight": torch.ones(16, 16).to(torch.float8_e4m3fn), "m.fc.weight_odd_scale": torch.ones(3)},
            ["m.fc.weight", "m.fc.weight_odd_scale"],
        ),
        (
            {"m.fc.W_q": torch.zeros(16, 16, dtype=torch.uint8), "m.fc.meta": torch.ones(4, 4)},
            ["m.fc.W_q", "scale", "zero"],
        ),
        (
            {
                "m.fc.weight": torch.zeros(16, 16, dtype=torch.int32).view(torch.uint32),
                "m.fc.scales": torch.ones(16, 2),
                "m.fc.biases": torch.ones(16, 2),
            },
            ["m.fc.weight", "m.fc.scales", "m.fc.biases", "config.json"],
        ),
        (
            {f"m.fc.hada_{one}": torch.ones(8, 8) for one in ("w1_a", "w1_b", "w2_a", "w2_b", "t1")},
            ["m.fc.hada_w1_a", "m.fc.hada_w2_b", "m.fc.hada_t1"],
        ),
    ],
)
def test_a_partner_that_is_missing_is_named(tensors, together, tmp_path):
    tensors = {name: values.contiguous() for name, values in tensors.items()} | {"other.weight": torch.randn(20, 16)}
    save_file(tensors, tmp_path / "net.safetensors")
    frame = ww.scan(tmp_path / "net.safetensors")
    assert frame.dropna(subset=["lambda_max"])["longname"].tolist() == ["other"]
    reasons = frame.loc[frame["status"] == "skipped", "reason"]
    for word in together:
        assert reasons.str.contains(word, regex=False).any(), (word, reasons.tolist())
    assert not ww.analyze(tensors)["longname"].ne("other").any()


@pytest.mark.parametrize(
    ("packed", "table"),
    [
        (("q.qweight", torch.int32), ("q.lookup_table", (64, 16))),
        (("q.codes", torch.int8), ("q.codebooks", (1, 256, 1, 8))),
        (("q.trellis", torch.int16), ("q.something", (64, 16))),
        (("q.weight", torch.int8), ("q.weight_zero_point", (64, 2))),
        (("q.weight", torch.int32), ("q.scales_and_zeros", (4, 64, 2))),
    ],
)
def test_tables_of_packers_that_are_not_known_are_no_weights(packed, table):
    tensors = {packed[0]: torch.zeros(8, 64, dtype=packed[1]), table[0]: torch.randn(table[1])}
    tensors["q.bias"], tensors["fc.weight"] = torch.randn(64), torch.randn(30, 20)
    frame = ww.analyze(tensors)
    assert frame["longname"].tolist() == ["fc"]
    reasons = {row["longname"]: row["reason"] for row in frame.attrs["coverage"]}
    for name in (packed[0], table[0]):
        assert f"{packed[0]}, {table[0]} belong together" in reasons[name]


def test_an_update_on_an_unknown_scale_is_not_added_to_its_base():
    stored = zoo.lora(np.random.default_rng(0), 24, 32)
    frame = ww.analyze(stored.tensors)
    assert sorted(frame["longname"]) == ["m.fc", "m.fc.lora"]
    base = singular_value_squares(stored.tensors["m.fc.weight"].double().numpy())
    update = frame[frame["longname"] == "m.fc.lora"].iloc[0]
    assert frame[frame["longname"] == "m.fc"]["lambda_max"].iloc[0] == pytest.approx(base.max(), rel=1e-6)
    assert "alpha is not stored" in update["reason"]
    assert update["layout"] == "LoRA update r=4"


def marked(rng: np.random.Generator, format_: str) -> dict[str, torch.Tensor]:
    stored = zoo.float8(rng, 24, 32, "compressed-tensors")
    marker = np.frombuffer(json.dumps({"format": format_}).encode(), np.uint8).copy()
    return stored.tensors | {"m.fc.comfy_quant": torch.from_numpy(marker)}


def test_the_marker_of_comfyui_decides():
    """`mxfp8` has its scales in tiles, which no shape tells."""
    plain, tiled = (marked(np.random.default_rng(0), one) for one in ("float8_e4m3fn", "mxfp8"))
    assert ww.analyze(plain)["longname"].tolist() == ["m.fc"]
    frame = ww.analyze(tiled | {"other.weight": torch.randn(20, 16)})
    assert frame["longname"].tolist() == ["other"]


@pytest.mark.parametrize(
    "tensors",
    [
        {f"m.weight_{one}": torch.randn(24, 16) for one in "qkv"},
        {f"m.weight_{one}": torch.randn(24, 16) for one in "vg"},
        {"m.in_proj_weight": torch.randn(24, 16), "m.mask": torch.ones(16, 16, dtype=torch.uint8)},
        {"m.weight": torch.randn(24, 16), "m.relative_position_index": torch.ones(16, 16, dtype=torch.int32)},
        {"m.weight": torch.randn(24, 16), "m.scale": torch.ones(24, 1)},
        {"m.a1.weight": torch.randn(24, 16), "m.b2.weight": torch.randn(24, 16)},
    ],
)
def test_names_that_only_look_like_parts_are_weights(tensors):
    frame = ww.analyze(tensors)
    floats = [name.removesuffix(".weight") for name in tensors if not name.endswith(("mask", "index", "scale"))]
    assert sorted(set(frame["longname"])) == sorted(floats)


def test_a_weight_that_is_here_too_is_not_made_a_second_time():
    weight = torch.randn(24, 16)
    frame = ww.analyze({"fc.weight": weight, "fc.weight_orig": weight + 1, "fc.weight_mask": torch.ones(24, 16)})
    assert frame["longname"].tolist() == ["fc"]
    assert frame["lambda_max"].iloc[0] == pytest.approx(singular_value_squares(weight.double().numpy()).max(), rel=1e-6)
    assert sum("which is here too" in row["reason"] for row in frame.attrs["coverage"]) == 2


def test_a_config_of_something_else_ends_nothing(tmp_path):
    stored = zoo.float8(np.random.default_rng(0), 24, 32, "ModelOpt")
    folder = written(tmp_path / "model", stored)
    for text in (
        "{",
        "[1]",
        '{"quantization_config": 3}',
        '{"quantization_config": {"config_groups": [], "dynamic": 1}}',
    ):
        (folder / "config.json").write_text(text)
        check(ww.scan(folder), stored)


@pytest.mark.parametrize("name", ["fp8 blocks", "gptq", "lora", "nf4"])
def test_truncation_leaves_whole_what_it_cannot_write_back(name, tmp_path):
    stored = zoo.ZOO[name](np.random.default_rng(5))
    stored.tensors["other.weight"] = torch.randn(20, 16)
    folder = written(tmp_path / "model", stored, in_turn(stored))
    manifest = ww.truncate_checkpoint(folder, tmp_path / "out", "rank:2")
    after = {}
    for file in (tmp_path / "out").glob("*.safetensors"):
        after |= load_file(file)
    assert after.keys() == stored.tensors.keys()
    for one, values in stored.tensors.items():
        same = (
            torch.equal(after[one].view(torch.uint8), values.contiguous().view(torch.uint8)) if values.dim() else True
        )
        assert same == (one != "other.weight"), one
    (line,) = [line for line in manifest["layers"] if line["layer"] == "m.fc"]
    assert "cannot be written back" in line["reason"]
    assert line["parameters_before"] == line["parameters_after"]
    with pytest.raises(AssertionError):
        assert torch.equal(ww.truncate(dict(stored.tensors), "rank:2")["other.weight"], stored.tensors["other.weight"])


def test_tied_quantised_weights_have_one_row(tmp_path):
    stored = zoo.float8(np.random.default_rng(0), 24, 32, "compressed-tensors")
    tied = {name.replace("m.fc", "n.fc"): values for name, values in stored.tensors.items()}
    torch.save(stored.tensors | tied, tmp_path / "net.pt")
    for frame in (ww.analyze(stored.tensors | tied), ww.analyze(tmp_path / "net.pt"), ww.scan(tmp_path / "net.pt")):
        check(frame, stored)


SIDES = st.integers(1, 6)


@settings(deadline=None)
@given(rows=st.integers(2, 70), columns=st.integers(2, 70), power=st.tuples(SIDES, SIDES), seed=st.integers(0, 9))
def test_blocks_of_any_size(rows, columns, power, seed):
    block = (2 ** power[0], 2 ** power[1])
    check_mapping(zoo.float8_blocks(np.random.default_rng(seed), rows, columns, block))


@settings(deadline=None)
@given(
    rows=st.integers(1, 4),
    groups=st.integers(1, 4),
    bits=st.sampled_from((2, 3, 4, 8)),
    order=st.booleans(),
    v2=st.booleans(),
    seed=st.integers(0, 9),
)
def test_gptq_of_any_size(rows, groups, bits, order, v2, seed):
    rng = np.random.default_rng(seed)
    check_mapping(zoo.gptq(rng, 32 * rows, 32 * groups, bits=bits, size=32, act_order=order, v2=v2))


@settings(deadline=None)
@given(
    rows=st.integers(2, 40),
    columns=st.integers(2, 40),
    block=st.sampled_from((16, 64, 128)),
    nested=st.sampled_from((0, 2, 256)),
    seed=st.integers(0, 9),
)
def test_nf4_of_any_size(rows, columns, block, nested, seed):
    check_mapping(zoo.bitsandbytes_4bit(np.random.default_rng(seed), rows, columns, block=block, nested=nested))


@settings(deadline=None)
@given(
    rows=st.integers(2, 20),
    groups=st.integers(1, 4),
    bits=st.sampled_from((2, 3, 4, 5, 6, 8)),
    size=st.sampled_from((32, 64)),
    seed=st.integers(0, 9),
)
def test_mlx_of_any_size(rows, groups, bits, size, seed):
    check_mapping(zoo.mlx(np.random.default_rng(seed), rows, groups * size, bits=bits, size=size))


@settings(deadline=None)
@given(rows=st.integers(2, 20), groups=st.integers(1, 4), experts=st.integers(0, 3), seed=st.integers(0, 9))
def test_mxfp4_of_any_size(rows, groups, experts, seed):
    check_mapping(zoo.mxfp4(np.random.default_rng(seed), rows, 32 * groups, experts))


@settings(deadline=None, max_examples=15)
@given(name=st.sampled_from(sorted(zoo.ZOO)), cut=st.randoms(use_true_random=False))
def test_shards_may_be_cut_anywhere(name, cut, tmp_path_factory):
    stored = zoo.ZOO[name](np.random.default_rng(6))
    shards = {one: cut.randrange(2) for one in stored.tensors}
    folder = written(tmp_path_factory.mktemp("cut"), stored, shards)
    (job,) = [job for job in jobs_of(folder) if not job.skipped]
    assert read_job(job).numpy() == pytest.approx(stored.weight, rel=1e-5, abs=1e-5 * abs(stored.weight).max())


def check_mapping(stored: zoo.Stored) -> None:
    """The weight that is put together from a mapping is the one that is meant."""
    (made,) = [one for one in joined(mapping_tensors(stored.tensors), stored.config) if one.recipe]
    assert made.shape == stored.weight.shape
    assert made.load().numpy() == pytest.approx(stored.weight, rel=1e-6, abs=1e-6 * abs(stored.weight).max())


def test_arrays_of_numpy_stay_arrays():
    stored = zoo.gptq(np.random.default_rng(0), 32, 64)
    arrays = {name: values.numpy() for name, values in stored.tensors.items()}
    (made,) = [one for one in joined(mapping_tensors(arrays), stored.config) if one.recipe]
    assert isinstance(made.load(), np.ndarray)
    check(ww.analyze(arrays), stored)


def test_what_the_config_says_comes_before_what_shapes_suggest(tmp_path):
    """200 x 300 in blocks of 128 has scales of 2 x 3, which is no 100 x 100."""
    stored = zoo.float8_blocks(np.random.default_rng(0), 200, 300, (100, 100))
    check(ww.analyze(written(tmp_path / "told", stored)), stored)
    other = zoo.float8_blocks(np.random.default_rng(0), 200, 300, (128, 128))
    check(ww.analyze(written(tmp_path / "usual", zoo.Stored(other.tensors, other.weight))), other)


def test_every_scheme_of_the_registry_is_in_the_zoo():
    used = set()
    for make in zoo.ZOO.values():
        stored = make(np.random.default_rng(0))
        used |= {one.recipe.scheme for one in joined(mapping_tensors(stored.tensors), stored.config) if one.recipe}
    elsewhere = {"weight-norm", "spectral-norm", "pruning", "torch.ao"}
    assert used | elsewhere == {scheme.name for scheme in schemes()}


def test_an_original_without_a_mask_does_not_hide_the_next():
    """A tensor called so that is no weight, before one that is: each is told for itself."""
    state = {
        "0.weight": torch.randn(5, 5),
        "a.noise_orig": torch.randn(4, 4),
        "b.weight_orig": torch.randn(6, 5),
        "c.weight_orig": torch.ones(6, 5),
        "c.weight_mask": torch.zeros(6, 5),
    }
    told = {row["longname"]: row["reason"] for row in ww.examine(state, progress=False).coverage_rows}
    assert "its mask b.weight_mask or its vector b.weight_u is not here" in told["b.weight_orig"]
    assert not [reason for name, reason in told.items() if name == "a.noise_orig" and "mask" in reason]


def test_integers_alone_do_not_hide_a_packer_behind_them():
    tensors = {"a.codes": torch.zeros(8, 64, dtype=torch.int32), "b.codes": torch.zeros(8, 64, dtype=torch.int32)}
    tensors["b.table"], tensors["fc.weight"] = torch.randn(64, 16), torch.randn(30, 20)
    frame = ww.analyze(tensors)
    reasons = {row["longname"]: row["reason"] for row in frame.attrs["coverage"]}
    assert "b.codes, b.table belong together" in reasons["b.codes"]
    assert "belong together" not in reasons["a.codes"]


@pytest.mark.parametrize(("down", "up"), [((16,), (24, 4)), ((4, 16), (24,))])
def test_a_factor_of_one_axis_is_none(down, up):
    tensors = {"m.fc.lora_A.weight": torch.ones(down), "m.fc.lora_B.weight": torch.ones(up)}
    frame = ww.analyze({**tensors, "m.fc.weight": torch.randn(24, 16)})
    reasons = [row["reason"] for row in frame.attrs["coverage"]]
    assert any("lora_A.weight and m.fc.lora_B.weight are no factors" in reason for reason in reasons)
    assert frame["longname"].tolist() == ["m.fc"]


def of_numpy() -> list[str]:
    """The schemes whose stored types numpy has too."""
    small = {torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e8m0fnu}
    made = {name: make(np.random.default_rng(3)) for name, make in zoo.ZOO.items()}
    kinds = {name: {values.dtype for values in stored.tensors.values()} for name, stored in made.items()}
    return [
        name for name, found in kinds.items() if not found & small and not any("q" in str(one)[6:7] for one in found)
    ]


@pytest.mark.parametrize("name", of_numpy())
def test_arrays_are_put_together_as_tensors_are(name):
    """The same weight, in numpy's own arrays."""
    stored = zoo.ZOO[name](np.random.default_rng(3))
    arrays = {key: values.numpy() for key, values in stored.tensors.items()}
    (tensor,) = [one for one in joined(mapping_tensors(stored.tensors), stored.config) if one.recipe is not None]
    (array,) = [one for one in joined(mapping_tensors(arrays), stored.config) if one.recipe is not None]
    found = array.load()
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, tensor.load().numpy())
    np.testing.assert_array_equal(array.read((slice(1, 3),)), found[1:3])
    np.testing.assert_array_equal(array.read((-1,)), found[-1])
    assert array.read((slice(0, 0),)).shape == (0, *found.shape[1:])


@pytest.mark.parametrize("kind", ["bfloat16", "float16", "float32", "int8"])
def test_codes_of_four_bits_may_be_kept_as_another_type(kind):
    stored = zoo.ZOO["nf4"](np.random.default_rng(3))
    (name,) = [one for one, values in stored.tensors.items() if values.dtype == torch.uint8 and one.endswith("weight")]
    others = {**stored.tensors, name: stored.tensors[name].reshape(-1).view(getattr(torch, kind)).reshape(-1, 1)}
    found, expected = (
        next(one for one in joined(mapping_tensors(tensors), stored.config) if one.recipe is not None)
        for tensors in (others, stored.tensors)
    )
    assert torch.equal(found.load(), expected.load())
    assert torch.equal(found.read((slice(1, 4),)), expected.load()[1:4])
    if kind != "bfloat16":
        arrays = {one: values.numpy() for one, values in others.items()}
        (array,) = [one for one in joined(mapping_tensors(arrays), stored.config) if one.recipe is not None]
        np.testing.assert_array_equal(array.load(), expected.load().numpy())
