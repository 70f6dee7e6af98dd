"""The config beside a checkpoint: what its files say of the model without a look at the weights."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from ..core.errors import UnreadableCheckpoint
from .handle import Handle, reading

logger = logging.getLogger(__name__)

MAX_CONFIG = 2**26
CONFIG = "config.json"
# Where tools write about quantisation when not into config.json, and under which of its keys it belongs.
BESIDE = {
    "quantize_config.json": "quantization_config",
    "quant_config.json": "quantization_config",
    "hf_quant_config.json": "quantization_config",
    "adapter_config.json": "adapter_config",
}


def config_beside(path: Path) -> dict[str, Any]:
    """What `config.json` and its companions in the folder of a checkpoint say; empty where there is none.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "config.json").write_text('{"model_type": "llama"}')
    ...     config_beside(Path(folder))
    {'model_type': 'llama'}
    """
    folder = path if path.is_dir() else path.parent
    config = _mapping(folder / CONFIG)
    for file, key in BESIDE.items():
        if key not in config:
            found = _mapping(folder / file)
            if found:
                config[key] = found.get("quantization", found) if file == "hf_quant_config.json" else found
    return config


def _mapping(file: Path) -> dict[str, Any]:
    """A JSON object; empty for none, and for a file that is something else, which is logged."""
    try:
        if not file.is_file():
            return {}
        with reading(file), Handle(file) as handle:
            if handle.size > MAX_CONFIG:
                raise handle.unreadable(f"a config of {handle.size} bytes")
            found = json.loads(handle.text(0, handle.size).decode())
    except (UnreadableCheckpoint, PermissionError) as error:
        logger.warning("%s; it says nothing of the weights beside it", error)
        return {}
    return found if isinstance(found, dict) else {}
