"""Which files of a folder are the model, as transformers and diffusers read it.

| order | files |
|---|---|
| 0 | the file or index that `config.json` names as `transformers_weights` |
| 1 | `model.safetensors`, where it is not there its index; `pytorch_model.bin` and its index; the same of diffusers |
| 2 | `.metadata` of torch.distributed.checkpoint; an adapter (`adapter_model.safetensors`, `.bin`) |
| 3 | the one variant there is (`model.fp16.safetensors`), shards without an index (`model*.safetensors`, ...) |
| 4 | all files of one kind but those that training leaves beside a model (`optimizer.pt`, `training_args.bin`, ...) |

A single file comes before an index beside it, which an older save may have left. Every decision about files of a folder
is taken here.
"""

from __future__ import annotations

import json
import logging
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..core.errors import InvalidInput, UnreadableCheckpoint
from ..weights.tensors import natural_key
from .handle import reading
from .places import Place, handle_of
from .registry import NUMPY, SAFETENSORS, TORCH, accepted, refuse_notes
from .remote import Info, RemotePath

# Names of a whole model in one file, in the order in which libraries look for them; each with `.index.json` behind it
# names its shards.
MODELS = (
    "model.safetensors",
    "diffusion_pytorch_model.safetensors",
    "pytorch_model.bin",
    "diffusion_pytorch_model.bin",
    "adapter_model.safetensors",
    "adapter_model.bin",
)
INDEX = ".index.json"
#: The key of `config.json` under which transformers looks first for the name of the file or index.
NAMED = "transformers_weights"
METADATA = ".metadata"
VARIANT = re.compile(r"^(diffusion_pytorch_model|pytorch_model|model)\.(?P<variant>[\w-]+)\.(safetensors|bin)$")
USUAL = ("model*.safetensors", "pytorch_model*.bin", "diffusion_pytorch_model*")
SHARD = re.compile(r"^(?P<stem>.*?)-?(?P<number>\d{5})-of-(?P<count>\d{5})(?P<rest>.*)$")
# What Trainer, accelerate and others leave beside a model, and copies of the model in a native format.
NO_MODEL = re.compile(
    r"^((optimizer|(lr_)?scheduler|(grad_)?scaler|train(ing|er)?_args|rng_state|random_states|trainer_state|sampler|"
    r"custom_checkpoint)[\w.-]*|optim(_state(_dict)?)?|args)"
    r"\.(pt|pth|bin|pkl|ckpt|npz|safetensors)$|optim_states\.pt$|^consolidated[\w.-]*$"
)
# Of these a folder may hold nothing else.
NATIVE = "consolidated"
# Kinds of files, the first that is there counts. Other formats follow.
KINDS = (SAFETENSORS, TORCH, NUMPY)
MAX_INDEX = 2**30
MAX_CONFIG = 2**24
CONFIG = "config.json"
# Where tools write of quantisation and adapters when not into the config, and under which of its keys it belongs.
BESIDE = {
    "quantize_config.json": "quantization_config",
    "quant_config.json": "quantization_config",
    "hf_quant_config.json": "quantization_config",
    "adapter_config.json": "adapter_config",
}

logger = logging.getLogger(__name__)


def directory_files(folder: Place) -> tuple[list[Place], dict[str, Place]]:
    """The files of a checkpoint directory, and by its index which file holds which tensor (empty without one).

    Raises
    ------
    InvalidInput
        There are no weights, or several variants of which one is to be named.
    UnreadableCheckpoint
        Shards are missing, by an index or by the number in their names.
    """
    with reading(folder):
        listed = sorted((file for file in folder.iterdir() if file.is_file()), key=lambda file: natural_key(file.name))
    there = {file.name: file for file in listed}
    said = _json_of(there[CONFIG]).get(NAMED) if CONFIG in there else None
    if isinstance(said, str) and said in there and said.endswith((*SAFETENSORS, *(end + INDEX for end in SAFETENSORS))):
        return indexed_files(there[said]) if said.endswith(INDEX) else ([there[said]], {})
    for name in MODELS:
        if name in there:
            return [there[name]], {}
        if name + INDEX in there:
            return indexed_files(there[name + INDEX])
    if METADATA in there:
        return [there[METADATA]], {}
    if any(name.endswith(".distcp") for name in there):
        raise UnreadableCheckpoint(f"{folder}: it holds *.distcp without the {METADATA} that says what lies in them")
    others = ((ending,) for ending in accepted() if all(ending not in endings for endings in KINDS))
    for endings in (*KINDS, *others):
        files = [file for file in listed if file.suffix in endings and not NO_MODEL.search(file.name)]
        indices = [file for file in listed if file.name.endswith(INDEX) and file.name[: -len(INDEX)].endswith(endings)]
        if indices and endings:
            return indexed_files(indices[0])
        if files:
            return _all_shards(_one_variant(folder, files)), {}
    native = [file for file in listed if file.name.startswith(NATIVE) and file.suffix in accepted()]
    if native:
        return native, {}
    beside = ", ".join(file.name for file in listed if NO_MODEL.search(file.name))
    but = f" but {beside}, which training leaves beside a model" if beside else ""
    raise InvalidInput(
        f"the directory {str(folder)!r} was asked; it holds no file ending in {', '.join(accepted())}{but}"
    )


def _one_variant(folder: Place, files: list[Place]) -> list[Place]:
    """The one variant of a model, else the files that are called as hubs call them, else all."""
    variants = [file for file in files if VARIANT.match(file.name)]
    if len({_variant_of(file) for file in variants}) > 1:
        raise InvalidInput(
            f"the directory {str(folder)!r} was asked; it holds the variants "
            f"{', '.join(file.name for file in variants)}. Accepted is one of them: name the file"
        )
    return variants or [file for file in files if any(file.match(usual) for usual in USUAL)] or files


def _variant_of(file: Place) -> str:
    """The file's name without the number of its shard, which all shards of a variant have in common."""
    shard = SHARD.match(file.name)
    return shard["stem"] + shard["rest"] if shard else file.name


def _all_shards(files: list[Place]) -> list[Place]:
    """The files, none of a numbered set missing."""
    sets: dict[tuple[str, str, str], set[int]] = {}
    for file in files:
        match = SHARD.match(file.name)
        if match:
            sets.setdefault((match["stem"], match["count"], match["rest"]), set()).add(int(match["number"]))
    for (stem, count, rest), numbers in sets.items():
        first = 0 if 0 in numbers else 1
        missing = sorted(set(range(first, first + int(count))) - numbers)
        if missing:
            absent = ", ".join(f"{stem}-{number:05d}-of-{count}{rest}" for number in missing[:4])
            raise UnreadableCheckpoint(
                f"{files[0].parent}: {len(missing)} of {int(count)} shards are missing ({absent}). Fetch them, or name "
                "one file"
            )
    return files


def snapshot_of(path: Place) -> Place:
    """The folder of files in a hub cache (`models--org--name`), the snapshot of `main`; other paths as they are.

    Raises
    ------
    InvalidInput
        There are several snapshots and no `refs/main` that names one of them.
    """
    snapshots = path / "snapshots"
    if not path.name.startswith("models--") or not snapshots.is_dir():
        return path
    found = sorted(one for one in snapshots.iterdir() if one.is_dir())
    main = path / "refs" / "main"
    commit = main.read_text(encoding="utf-8").strip() if main.is_file() else ""
    named = [one for one in found if one.name == commit]
    if len(found) != 1 and not named:
        names = ", ".join(one.name for one in found) or "none"
        raise InvalidInput(f"the path {str(path)!r} was asked; its snapshots are {names}. Accepted is one of them")
    return (named or found)[0]


def indexed_files(index: Place) -> tuple[list[Place], dict[str, Place]]:
    """The files that an index names, and which of them holds which tensor."""
    with reading(index), handle_of(index) as handle:
        if handle.size > MAX_INDEX:
            raise handle.unreadable(f"an index of {handle.size} bytes")
        refuse_notes(handle)
        told = json.loads(handle.text(0, handle.size).decode())
        weight_map = told.get("weight_map") if isinstance(told, dict) else None
        if not isinstance(weight_map, dict):
            raise handle.unreadable("it has no weight_map, a mapping of tensors to files")
        files = {file: _beside(index, file) for file in weight_map.values() if _is_name(file, index)}
        expected = {name: files[file] for name, file in weight_map.items()}
    found = sorted(set(expected.values()), key=lambda file: natural_key(file.name))
    for file in found:
        with reading(file):
            there = file.exists()
        if not there:
            raise UnreadableCheckpoint(f"{file}: named in {index.name} but not there")
    return found, expected


def _is_name(file: Any, index: Place) -> bool:
    if not isinstance(file, str):
        raise UnreadableCheckpoint(f"{index}: it names a {type(file).__name__} where a file belongs")
    return True


def _beside(index: Place, file: str) -> Place:
    """A file that an index names, which has to lie beside or below it; where a link leads is not asked."""
    parts = Path(file).parts
    outside = not parts or Path(file).is_absolute() or ".." in parts or "\\" in file or "\0" in file
    if outside or Path(file).suffix not in accepted():
        raise UnreadableCheckpoint(
            f"{index}: it names the file {ascii(file)[:200]}; accepted are files beside it ending in "
            f"{', '.join(accepted())}"
        )
    return index.parent / file


def config_of(path: Place) -> dict[str, Any]:
    """The `config.json` in a directory or beside a file, which says what its tensors hold; empty without one.

    What `quantize_config.json`, `hf_quant_config.json` and `adapter_config.json` beside it say is in it too. One that
    cannot be read is told to the log: tensors are then read as their names and shapes say. The key
    `weights_format` is the word that a safetensors file has for what wrote it (`pt`, `mlx`, ...), where it has one.

    >>> import json, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     config = Path(folder) / "config.json"
    ...     _ = config.write_text(json.dumps({"model_type": "gpt_neox"}))
    ...     config_of(Path(folder))
    {'model_type': 'gpt_neox'}
    """
    folder = path if path.is_dir() else path.parent
    said = _json_of(folder / CONFIG)
    for file, key in BESIDE.items():
        more = {} if key in said else _json_of(folder / file)
        if more:
            said[key] = more["quantization"] if isinstance(more.get("quantization"), dict) else more
    listed: list[Place] = [path] if path.is_file() else sorted(folder.glob("*.safetensors"), key=str)
    weights = listed[0] if listed else path
    written_by = _writer_of(weights) if weights.suffix in SAFETENSORS and weights.is_file() else ""
    return {**said, "weights_format": written_by} if written_by else said


def _json_of(file: Place) -> dict[str, Any]:
    try:
        if not file.is_file() or file.stat().st_size > MAX_CONFIG:
            return {}
        said = json.loads(file.read_text(encoding="utf-8"))
    except UnreadableCheckpoint:
        raise  # a server that does not answer now may answer the next time, with other layouts
    except (OSError, ValueError, RecursionError) as error:
        logger.warning("%s cannot be read (%s): layouts are told without it", file, error)
        return {}
    return said if isinstance(said, dict) else {}


def _writer_of(file: Place) -> str:
    """What the header of a safetensors file says of its format; what is wrong with a file is told when it is opened."""
    return _writer_told(file, file.info()) if isinstance(file, RemotePath) else _writer_in(file)


@lru_cache(maxsize=256)
def _writer_told(file: RemotePath, _info: Info) -> str:
    """The header of a remote file is fetched once while its server says the same of it."""
    return _writer_in(file)


def _writer_in(file: Place) -> str:
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(length)) if length <= MAX_CONFIG else {}
    except UnreadableCheckpoint:
        raise
    except (OSError, ValueError, RecursionError):
        return ""
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    found = metadata.get("format") if isinstance(metadata, dict) else None
    return found if isinstance(found, str) and found != "pt" else ""
