"""A training run followed while it runs: one layer at a time, on copies, within a budget of time.

May use everything below; nothing of the run changes by it.

| module | what it follows |
|---|---|
| `live` | a training loop: `Monitor` |
| `on_disk` | the history of either, written while the run goes on |
| `folder` | a folder of checkpoints: `watch`, the command `setol-ww watch` |
| `hf`, `lightning` | the trainers of transformers and Lightning: callbacks around `Monitor` |
| `tensorboard`, `wandb` | where the numbers go: `log=` of `Monitor` |
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

#: Modules that need a library of their own, loaded when they are first named.
ADAPTERS = ("hf", "lightning", "tensorboard", "wandb")


def __getattr__(name: str) -> ModuleType:
    if name in ADAPTERS:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
