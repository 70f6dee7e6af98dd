"""Which files of a folder are the model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import setol_ww as ww
from setol_ww.formats.checkpoints import checkpoint_files

LAYER = "fc.weight"


def layer(size: float = 1.0) -> dict[str, torch.Tensor]:
    return {LAYER: size * torch.randn(30, 20, generator=torch.Generator().manual_seed(0))}


def put(folder: Path, name: str, size: float = 1.0, tensors: dict | None = None) -> Path:
    tensors = layer(size) if tensors is None else tensors
    folder.mkdir(parents=True, exist_ok=True)
    if name.endswith(".safetensors"):
        save_file(tensors, folder / name)
    else:
        torch.save(tensors, folder / name)
    return folder / name


def index(folder: Path, name: str, weight_map: dict[str, str]) -> Path:
    (folder / name).write_text(json.dumps({"weight_map": weight_map}))
    return folder / name


def largest(path: Path) -> float:
    """Largest eigenvalue of the one layer, in units of that of the layer of size 1."""
    (value,) = ww.scan(path)["lambda_max"].dropna()
    return value / float(np.linalg.svd(layer()[LAYER].double().numpy(), compute_uv=False)[0] ** 2)


def test_a_single_file_comes_before_an_index_that_an_older_save_left(tmp_path):
    put(tmp_path, "model-00001-of-00001.safetensors", 2)
    index(tmp_path, "model.safetensors.index.json", {LAYER: "model-00001-of-00001.safetensors"})
    assert largest(tmp_path) == pytest.approx(4)
    put(tmp_path, "model.safetensors", 3)
    assert largest(tmp_path) == pytest.approx(9)
    (tmp_path / "model-00001-of-00001.safetensors").unlink()
    assert largest(tmp_path) == pytest.approx(9)


@pytest.mark.parametrize("told", ["{}", "[1]", '"a"', '{"weight_map": ["a"]}'])
def test_an_index_that_maps_nothing_is_said_to_be_none(told, tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text(told)
    with pytest.raises(ww.UnreadableCheckpoint, match=r"index\.json.*it has no weight_map, a mapping"):
        ww.scan(tmp_path)


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["model.safetensors", "pytorch_model.bin"], ["model.safetensors"]),
        (["diffusion_pytorch_model.safetensors", "other.safetensors"], ["diffusion_pytorch_model.safetensors"]),
        (["pytorch_model.bin", "adapter_model.safetensors"], ["pytorch_model.bin"]),
        (["adapter_model.bin", "training_args.bin"], ["adapter_model.bin"]),
        (["model.fp16.safetensors", "consolidated.safetensors"], ["model.fp16.safetensors"]),
        (["net.pt", "optimizer.pt", "scheduler.pt", "rng_state_0.pth", "scaler.pt"], ["net.pt"]),
        (["net.pt", "optim.pt", "lr_scheduler.pt", "grad_scaler.pth", "args.bin", "trainer_args.bin"], ["net.pt"]),
        (["optics.pt", "args_net.pt"], ["args_net.pt", "optics.pt"]),
        (
            ["model-00002-of-00002.safetensors", "model-00001-of-00002.safetensors"],
            ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
        ),
        (["a.safetensors", "b.safetensors", "c.pt"], ["a.safetensors", "b.safetensors"]),
    ],
)
def test_the_files_that_are_the_model(tmp_path, names, wanted):
    for name in names:
        put(tmp_path, name, tensors={f"{name}.weight": torch.zeros(3, 2)})
    assert [file.name for file in checkpoint_files(tmp_path)] == wanted


def test_shards_that_are_missing_are_told_by_the_number_in_their_names(tmp_path):
    for number in (1, 2, 4):
        put(tmp_path, f"model-{number:05d}-of-00005.safetensors", tensors={f"l{number}.weight": torch.zeros(3, 2)})
    with pytest.raises(
        ww.UnreadableCheckpoint, match=r"2 of 5 shards are missing \(model-00003-of-00005.safetensors, "
    ):
        ww.scan(tmp_path)


def test_of_several_variants_one_is_to_be_named(tmp_path):
    put(tmp_path, "model.fp16.safetensors", 2)
    put(tmp_path, "model.ema.safetensors", 3)
    with pytest.raises(ww.InvalidInput, match=r"variants model\.ema\.safetensors, model\.fp16\.safetensors"):
        ww.scan(tmp_path)
    assert largest(tmp_path / "model.fp16.safetensors") == pytest.approx(4)


def test_an_index_can_be_given_itself(tmp_path):
    put(tmp_path, "part.safetensors", 2)
    put(tmp_path, "model.safetensors", 3)
    assert largest(index(tmp_path, "model.safetensors.index.json", {LAYER: "part.safetensors"})) == pytest.approx(4)


def test_a_model_in_a_hub_cache(tmp_path):
    """Files are links into `blobs`, and `refs/main` names the snapshot."""
    root = tmp_path / "models--org--name"
    for commit, size in (("a1", 2), ("b2", 3)):
        blob = put(root / "blobs", f"{commit}.safetensors", size)
        folder = root / "snapshots" / commit
        folder.mkdir(parents=True)
        (folder / "model.safetensors").symlink_to(blob)
    with pytest.raises(ww.InvalidInput, match="its snapshots are a1, b2"):
        ww.scan(root)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("b2")
    assert largest(root) == pytest.approx(9)


def test_a_git_lfs_pointer_is_called_so(tmp_path):
    file = tmp_path / "model.safetensors"
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4665\nsize 1234\n")
    with pytest.raises(ww.UnreadableCheckpoint, match=r"Git LFS pointer.*git lfs pull"):
        ww.scan(file)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    put(tmp_path, "model.safetensors")

    def refused(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(ww.UnreadableCheckpoint, match=f"{tmp_path}: PermissionError"):
        ww.scan(tmp_path)
