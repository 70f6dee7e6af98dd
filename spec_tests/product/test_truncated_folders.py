"""Folders that `truncate_checkpoint` writes load where the original loaded."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import setol_ww as ww
from setol_ww.formats.checkpoints import checkpoint_tensors
from setol_ww.truncation.folders import loader_of, weight_names

TOKENS = {"vocab_size": 60, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
LLAMA = {"hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 2}
LLAMA |= {"intermediate_size": 48, "tie_word_embeddings": False, **TOKENS}
GPT2 = {"n_embd": 32, "n_head": 4, "n_layer": 2, "n_positions": 16, **TOKENS}


@pytest.fixture(name="transformers", scope="module")
def _transformers():
    return pytest.importorskip("transformers", reason="transformers is not installed: pip install 'setol-ww[test]'")


def small(transformers, kind: str):
    config = transformers.AutoConfig.for_model(kind, **(LLAMA if kind == "llama" else GPT2))
    torch.manual_seed(3)
    return transformers.AutoModelForCausalLM.from_config(config).eval()


def truncated_by_hand(model, names: set[str], rank: int):
    """The model with each of these weights on its leading directions, by numpy."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name in names:
                left, values, right = np.linalg.svd(weight.double().numpy(), full_matrices=False)
                weight.copy_(torch.from_numpy(left[:, :rank] * values[:rank] @ right[:rank]))
    return model


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("shards", [1, 3])
def test_a_dense_result_loads_by_from_pretrained(transformers, tmp_path, kind, shards):
    model = small(transformers, kind)
    size = sum(weight.numel() * 4 for weight in model.parameters()) // shards
    model.save_pretrained(tmp_path / "net", max_shard_size=size + 100 if shards > 1 else "5GB")
    (tmp_path / "net" / "tokenizer.json").write_text('{"version": "1.0"}')
    (tmp_path / "net" / "README.md").write_text("about the original")
    manifest = ww.truncate_checkpoint(tmp_path / "net", tmp_path / "out", "rank:5", layers=["*mlp*"], progress=False)
    assert manifest["load"] == f"transformers.{type(model).__name__}.from_pretrained(FOLDER)"
    loaded, told = type(model).from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    names = {line["tensor"] for line in manifest["layers"] if line["rank"] == 5}
    assert len(names) == 2 * (3 if kind == "llama" else 2)
    ids = torch.arange(12)[None]
    wanted = truncated_by_hand(model, names, 5)(ids).logits
    assert torch.allclose(loaded.eval()(ids).logits, wanted, atol=1e-4)
    there = {file.name for file in (tmp_path / "out").iterdir()}
    original = {file.name for file in (tmp_path / "net").iterdir()}
    assert there == original - {"README.md"} | {"manifest.json"}
    assert (len(list((tmp_path / "out").glob("*.safetensors"))) > 1) == (shards > 1)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_factorised_result_says_how_it_loads_and_does(transformers, tmp_path, kind):
    model = small(transformers, kind)
    model.save_pretrained(tmp_path / "net")
    manifest = ww.truncate_checkpoint(
        tmp_path / "net", tmp_path / "out", "rank:5", layers=["*mlp*"], factorised=True, progress=False
    )
    names = {line["tensor"] for line in manifest["layers"] if line["factorised"]}
    assert len(names) == 2 * (3 if kind == "llama" else 2)
    loaded = eval(manifest["load"], {"transformers": transformers, "setol_ww": ww, "FOLDER": tmp_path / "out"})
    ids = torch.arange(12)[None]
    wanted = truncated_by_hand(model, names, 5)(ids).logits
    assert torch.allclose(loaded.eval()(ids).logits, wanted, atol=1e-4)


def stored(folder: Path, name: str) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    state = {"fc.weight": torch.randn(20, 12, generator=generator)}
    folder.mkdir(exist_ok=True)
    if name.endswith(".bin"):
        torch.save(state, folder / name)
    else:
        save_file(state, folder / name, metadata={"format": "pt"})
    return state


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("pytorch_model.bin", "model.safetensors"),
        ("diffusion_pytorch_model.bin", "diffusion_pytorch_model.safetensors"),
        ("model.fp16.safetensors", "model.fp16.safetensors"),
        ("adapter_model.safetensors", "adapter_model.safetensors"),
        ("net.bin", "model.safetensors"),
    ],
)
def test_weights_are_called_as_they_are_looked_for(tmp_path, name, wanted):
    stored(tmp_path / "net", name)
    ww.truncate_checkpoint(tmp_path / "net", tmp_path / "out", "rank:3", progress=False)
    assert torch.linalg.matrix_rank(load_file(tmp_path / "out" / wanted)["fc.weight"]) == 3


@pytest.mark.parametrize(
    ("first", "names", "index"),
    [
        ("pytorch_model-00001-of-00002.bin", "model-0000{}-of-00002.safetensors", "model.safetensors.index.json"),
        (
            "model.fp16-00001-of-00002.safetensors",
            "model.fp16-0000{}-of-00002.safetensors",
            "model.safetensors.index.fp16.json",
        ),
        (
            "diffusion_pytorch_model-00001-of-00002.fp16.safetensors",
            "diffusion_pytorch_model.fp16-0000{}-of-00002.safetensors",
            "diffusion_pytorch_model.safetensors.index.fp16.json",
        ),
    ],
)
def test_shards_and_their_index_are_called_as_they_are_looked_for(first, names, index):
    files = [Path(first), Path(first.replace("00001", "00002"))]
    assert weight_names(files) == ([names.format(1), names.format(2)], index)


def test_small_files_come_along_and_others_do_not(tmp_path):
    folder = tmp_path / "net"
    state = stored(folder, "model.safetensors")
    along = {
        "config.json": json.dumps({"model_type": "own", "auto_map": {"AutoModel": "modeling_own.Own"}}),
        "tokenizer.model": "sentences",
        "merges.txt": "a b",
        "chat_template.jinja": "{{ x }}",
        "modeling_own.py": "class Own: ...",
    }
    left = {"README.md": "x", "LICENSE": "x", "trainer_state.json": "{}", "pytorch_model.bin.index.json": "{}"}
    for name, text in {**along, **left}.items():
        (folder / name).write_text(text)
    torch.save({}, folder / "optimizer.pt")
    manifest = ww.truncate_checkpoint(folder, tmp_path / "out", "rank:3", progress=False)
    assert {file.name for file in (tmp_path / "out").iterdir()} == {*along, "manifest.json", "model.safetensors"}
    assert all((tmp_path / "out" / name).read_text() == text for name, text in along.items())
    assert sorted(manifest["copied"]) == sorted(along)
    again = ww.truncate_checkpoint(folder / "model.safetensors", tmp_path / "again", "rank:3", progress=False)
    assert again["copied"] == manifest["copied"]
    assert state.keys() == {one.name for one in checkpoint_tensors(tmp_path / "again")}


def test_of_a_file_among_others_nothing_is_copied(tmp_path):
    stored(tmp_path / "net", "net.bin")
    (tmp_path / "net" / "config.json").write_text("{}")
    (tmp_path / "net" / "diary.txt").write_text("mine")
    manifest = ww.truncate_checkpoint(tmp_path / "net" / "net.bin", tmp_path / "out", "rank:3", progress=False)
    assert manifest["copied"] == []
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"manifest.json", "model.safetensors"}


@pytest.mark.parametrize(
    ("config", "factorised", "line"),
    [
        (None, True, "setol_ww.install_factorised(model, FOLDER)"),
        (None, False, "as the original"),
        ([], False, "as the original"),
        ({"model_type": "bert"}, False, "transformers.AutoModel.from_pretrained(FOLDER)"),
        (
            {"model_type": "bert"},
            True,
            "setol_ww.install_factorised(transformers.AutoModel.from_config("
            "transformers.AutoConfig.from_pretrained(FOLDER)), FOLDER)",
        ),
        (
            {"model_type": "bert", "architectures": ["BertModel"]},
            True,
            "setol_ww.install_factorised(transformers.BertModel("
            "transformers.AutoConfig.from_pretrained(FOLDER)), FOLDER)",
        ),
        (
            {"model_type": "bert", "architectures": ["BertModel"]},
            False,
            "transformers.BertModel.from_pretrained(FOLDER)",
        ),
        ({"model_type": "bert", "architectures": [7]}, False, "transformers.AutoModel.from_pretrained(FOLDER)"),
    ],
)
def test_how_a_folder_is_loaded(tmp_path, config, factorised, line):
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config))
    assert loader_of(tmp_path, factorised) == line
