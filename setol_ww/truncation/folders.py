"""What lies around the weights of a checkpoint: their names in a copy, and the small files that it is loaded with."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ..formats.checkpoints import is_directory
from ..formats.folder import CONFIG, INDEX, MODELS, SHARD, VARIANT, config_of, snapshot_of
from ..formats.places import Place

# Names by which libraries look for weights, beside `model`, which transformers takes for all that it saves.
STEMS = ("diffusion_pytorch_model", "adapter_model", "pytorch_lora_weights")
# Configuration, tokenizer and templates; what tells of the weights themselves is written anew.
SMALL = (".json", ".txt", ".model", ".jinja", ".tiktoken", ".spm", ".bpe", ".vocab")
CODE = ".py"
NO_PART = re.compile(r"\.index(\.[\w-]+)?\.json$|^(manifest|trainer_state|(all|train|eval)_results)\.json$")
MOST = 2**28
ENDING = ".safetensors"


def weight_names(files: list[Place]) -> tuple[list[str], str]:
    """The names of the weights in a copy, one for each file, and that of their index (empty for a single file).

    >>> weight_names([Path("pytorch_model.bin")])
    (['model.safetensors'], '')
    >>> weight_names([Path("a/diffusion_pytorch_model-00001-of-00002.bin"), Path("a/diffusion_pytorch_model-2.bin")])[1]
    'diffusion_pytorch_model.safetensors.index.json'
    """
    stem = next((stem for stem in STEMS if files[0].name.startswith(stem)), "model")
    shard = SHARD.match(files[0].name)
    found = VARIANT.match(f"{shard['stem']}{shard['rest']}" if shard else files[0].name)
    variant, count = f".{found['variant']}" if found else "", len(files)
    if count == 1:
        return [f"{stem}{variant}{ENDING}"], ""
    names = [f"{stem}{variant}-{number:05d}-of-{count:05d}{ENDING}" for number in range(1, count + 1)]
    return names, f"{stem}{ENDING}.index{variant}.json"


def small_files(source: Place) -> list[Place]:
    """The files beside weights that they are loaded with: none of a file that only lies among others.

    Code comes along where the configuration says that the model needs it (`auto_map`).
    """
    if is_directory(source):
        folder = snapshot_of(source)
    elif (source.name in MODELS or source.name.endswith(INDEX)) and (source.parent / CONFIG).is_file():
        folder = source.parent
    else:
        return []
    endings = (*SMALL, CODE) if "auto_map" in config_of(source) else SMALL
    listed = [file for file in folder.iterdir() if file.suffix in endings and not NO_PART.search(file.name)]
    found: list[Place] = [file for file in listed if file.is_file() and file.stat().st_size <= MOST]
    return sorted(found, key=str)


def copy_small_files(source: Place, folder: Path) -> list[str]:
    """Copy them into a folder, byte by byte; their names."""
    found = small_files(source)
    for file in found:
        (folder / file.name).write_bytes(file.read_bytes())
    return [file.name for file in found]


def loader_of(folder: Path, factorised: bool) -> str:
    """How a folder is loaded, as a line of Python."""
    config = folder / CONFIG
    said = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
    of_transformers = isinstance(said, dict) and isinstance(said.get("model_type"), str)
    named = said.get("architectures") if of_transformers else None
    model = named[0] if isinstance(named, list) and named and isinstance(named[0], str) else "AutoModel"
    if not of_transformers:
        return "setol_ww.install_factorised(model, FOLDER)" if factorised else "as the original"
    if factorised:
        made = f"transformers.{model}(transformers.AutoConfig.from_pretrained(FOLDER))"
        made = made.replace("AutoModel(", "AutoModel.from_config(")
        return f"setol_ww.install_factorised({made}, FOLDER)"
    return f"transformers.{model}.from_pretrained(FOLDER)"
