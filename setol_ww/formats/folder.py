"""Which files of a folder are the model: those an index names, else those called as hubs call them, else all of a kind.

Every decision about files of a folder is taken here.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from ..core.errors import InvalidInput, UnreadableCheckpoint
from ..weights.tensors import natural_key
from .handle import Handle, reading
from .registry import NUMPY, SAFETENSORS, TORCH, accepted

# Kinds of files, the first that is there counts: endings, what hubs call them, their index. Other formats follow.
KINDS = (
    (SAFETENSORS, "model*.safetensors", "*.safetensors.index.json"),
    (TORCH, "pytorch_model*.bin", "*.bin.index.json"),
    (NUMPY, "", ""),
)
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


def directory_files(folder: Path) -> tuple[list[Path], dict[str, Path]]:
    """The files of a checkpoint directory, and by its index which file holds which tensor (empty without one).

    Safetensors before torch files before numpy files; of each kind those that an index names, else those called as
    hubs call them (`model*.safetensors`, `pytorch_model*.bin`), else all.
    """
    with reading(folder):
        listed = sorted((file for file in folder.iterdir() if file.is_file()), key=lambda file: natural_key(file.name))
    others = tuple(ending for ending in accepted() if all(ending not in endings for endings, _, _ in KINDS))
    for endings, usual, index_name in (*KINDS, (others, "", "")):
        files = [file for file in listed if file.suffix in endings]
        indices = [file for file in listed if index_name and file.match(index_name)]
        if indices and (files or endings == SAFETENSORS or not _has_weights(listed)):
            return indexed_files(indices[0])
        named = [file for file in files if usual and file.match(usual)]
        if files:
            return named or files, {}
    raise InvalidInput(f"the directory {str(folder)!r} was asked; it holds no file ending in {', '.join(accepted())}")


def _has_weights(files: list[Path]) -> bool:
    return any(file.suffix in accepted() for file in files)


def indexed_files(index: Path) -> tuple[list[Path], dict[str, Path]]:
    """The files that an index names, and which of them holds which tensor."""
    with reading(index), Handle(index) as handle:
        if handle.size > MAX_INDEX:
            raise handle.unreadable(f"an index of {handle.size} bytes")
        weight_map = json.loads(handle.text(0, handle.size).decode())["weight_map"]
        if not isinstance(weight_map, dict):
            raise handle.unreadable("its weight_map is no mapping of tensors to files")
        files = {file: _beside(index, file) for file in weight_map.values() if _is_name(file, index)}
        expected = {name: files[file] for name, file in weight_map.items()}
    found = sorted(set(expected.values()), key=lambda file: natural_key(file.name))
    for file in found:
        with reading(file):
            there = file.exists()
        if not there:
            raise UnreadableCheckpoint(f"{file}: named in {index.name} but not there")
    return found, expected


def _is_name(file: Any, index: Path) -> bool:
    if not isinstance(file, str):
        raise UnreadableCheckpoint(f"{index}: it names a {type(file).__name__} where a file belongs")
    return True


def _beside(index: Path, file: str) -> Path:
    """A file that an index names, which has to lie beside or below it; where a link leads is not asked."""
    parts = Path(file).parts
    outside = not parts or Path(file).is_absolute() or ".." in parts or "\\" in file or "\0" in file
    if outside or Path(file).suffix not in accepted():
        raise UnreadableCheckpoint(
            f"{index}: it names the file {ascii(file)[:200]}; accepted are files beside it ending in "
            f"{', '.join(accepted())}"
        )
    return index.parent / file


def config_of(path: Path) -> dict[str, Any]:
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
    weights = path if path.is_file() else next(iter(sorted(folder.glob("*.safetensors"))), path)
    written_by = _writer_of(weights) if weights.suffix in SAFETENSORS and weights.is_file() else ""
    return {**said, "weights_format": written_by} if written_by else said


def _json_of(file: Path) -> dict[str, Any]:
    try:
        if not file.is_file() or file.stat().st_size > MAX_CONFIG:
            return {}
        said = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        logger.warning("%s cannot be read (%s): layouts are told without it", file, error)
        return {}
    return said if isinstance(said, dict) else {}


def _writer_of(file: Path) -> str:
    """What the header of a safetensors file says of its format; what is wrong with a file is told when it is opened."""
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(length)) if length <= MAX_CONFIG else {}
    except (OSError, ValueError, RecursionError):
        return ""
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    found = metadata.get("format") if isinstance(metadata, dict) else None
    return found if isinstance(found, str) and found != "pt" else ""
