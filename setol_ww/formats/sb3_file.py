"""Stable-Baselines3: a zip archive with the policy's state dict; what else it holds, pickles too, is let be."""

from __future__ import annotations

from dataclasses import replace

from .base import Contents, Format
from .blocks import InsideBlock
from .handle import Handle, Window
from .state import named_tensors
from .torch_zip import open_zip
from .zip_members import archive_of, is_zip

POLICY = "policy.pth"


def open_sb3(handle: Handle) -> Contents:
    """The policy's tensors."""
    archive = archive_of(handle)
    where = archive.place(POLICY, "Stable-Baselines3")
    window = Window(handle, *where)
    contents = open_zip(window)
    tensors = named_tensors(contents, window)
    inside = {
        name: replace(one, block=None if one.block is None else InsideBlock(one.block, *where))
        for name, one in tensors.items()
    }
    return Contents(inside, archive.structure() + contents.structure)


FORMAT = Format("Stable-Baselines3", (".zip",), "the policy in an archive of Stable-Baselines3", open_sb3, is_zip)
