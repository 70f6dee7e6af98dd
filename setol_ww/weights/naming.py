"""Names of one tensor under the wrappers of training and of adapters: what is left without them."""

from __future__ import annotations

import re

from .schemes.lora import PEFT

#: Where PEFT keeps a layer that is trained whole beside an adapter.
SAVED = re.compile(r"\.modules_to_save\.[^.]+(?=\.)")
#: What torch.compile, FSDP, checkpointed activations and PEFT put into a name, at any place.
INSIDE = frozenset(("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "base_layer"))
#: What DataParallel and PEFT put before it.
BEFORE = ("module.", PEFT)


def titled(longname: str, part: str = "") -> str:
    """A layer's name with the slice behind it.

    >>> titled("attn.qkv", "q"), titled("fc")
    ('attn.qkv [q]', 'fc')
    """
    return f"{longname} [{part}]" if part else longname


def bare(name: str) -> str:
    """A tensor's or a layer's name without wrappers.

    Examples
    --------
    >>> bare("module._orig_mod.fc.weight"), bare("base_model.model.fc.base_layer.weight"), bare("model.fc.weight")
    ('fc.weight', 'fc.weight', 'model.fc.weight')
    """
    left = ".".join(word for word in SAVED.sub("", name).split(".") if word not in INSIDE)
    begin = next((one for one in BEFORE if left.startswith(one)), "")
    return bare(left.removeprefix(begin)) if begin else left
