"""Checkpoints on the leading singular directions of their weights, written as safetensors, full or in factors.

A folder that `truncate_checkpoint` writes holds

| file | what |
|---|---|
| `model.safetensors`, or a shard for every file of the input and `model.safetensors.index.json` | the tensors |
| configuration, tokenizer, templates | as they lie beside the input |
| `manifest.json` | rule, how to load, and for each layer rank, kept energy, parameters before and after; written last |

The weights are called as transformers looks for them, those of diffusers and of adapters as these do: a folder loads
where the input did.

With factors a matrix `X.weight` of rank r that saves parameters, r (rows + columns) < rows x columns, is stored as
`X.weight.left` (rows, r) and `X.weight.right` (r, columns); their product is the truncated weight.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..core.checks import path_of, seed_of
from ..core.errors import InvalidInput, UnreadableCheckpoint
from ..core.progress import progress_bar
from ..formats.checkpoints import checkpoint_files, checkpoint_tensors, file_tensors
from ..formats.folder import config_of
from ..formats.handle import reading
from ..formats.places import Place, place_of
from ..formats.registry import SAFETENSORS
from ..formats.safetensors_file import BITS, SAFETENSORS_DTYPES
from ..linalg.directions import factors
from ..weights.plan import Job
from ..weights.tensors import WeightTensor
from .folders import copy_small_files, loader_of, weight_names
from .models import Bench, LayerCut
from .pieces import piece_of, planned
from .plans import Plan, as_rules
from .rules import Rule

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
LEFT, RIGHT = ".left", ".right"
CODES = {name: code for code, name in SAFETENSORS_DTYPES.items()} | {"bool": "BOOL", "complex64": "C64"}


def truncate_checkpoint(
    path: str | Path,
    out: str | Path,
    rule: Any = "erg",
    layers: Any = None,
    *,
    factorised: bool = False,
    layouts: Mapping[str, str] | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> dict[str, Any]:
    """Write a truncated copy of a checkpoint, one tensor in memory at a time.

    Parameters
    ----------
    path : str or Path
        As in `analyze`: a file or a directory, sharded or not.
    out : str or Path
        A folder that is not there yet or empty.
    rule, layers, seed
        As in `truncate`.
    factorised : bool
        Store matrices in two factors where that saves parameters.
    layouts : mapping of str to str, optional
        As in `truncate`.
    progress : bool, optional
        A bar on the standard error; None shows it on a terminal.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    InvalidInput
        Unknown rule or layers, a folder that is not empty, no weights.
    UnreadableCheckpoint
        A file cannot be read; what was written until then is removed.

    Examples
    --------
    >>> import tempfile, torch, setol_ww as ww
    >>> folder = tempfile.mkdtemp()
    >>> torch.save({"fc.weight": torch.randn(60, 40)}, f"{folder}/net.pt")
    >>> manifest = ww.truncate_checkpoint(f"{folder}/net.pt", f"{folder}/small", "rank:5", factorised=True)
    >>> manifest["parameters_before"], manifest["parameters_after"]
    (2400, 500)
    >>> ww.load_factorised(f"{folder}/small")["fc.weight"].shape
    torch.Size([60, 40])
    """
    chosen, source, folder, seed = as_rules(rule), place_of(path), path_of("out", out), seed_of(seed)
    entries = checkpoint_tensors(source)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInput(f"--out {folder} was asked; accepted is a folder that is not there yet or empty")
    if not folder.resolve().parent.is_dir():
        raise InvalidInput(f"--out {folder} was asked; it cannot be written: there is no such parent folder")
    listed = planned(entries, layers, layouts, config_of(source))
    if not listed:
        raise InvalidInput(f"truncating {str(source)!r} was asked; it holds no weight of two or more dimensions")
    chosen.refuse_strangers(job.title for job in listed)
    work = _Work(chosen, [job for job in listed if not job.left_out], factorised, seed, entries)
    fresh = not folder.exists()
    folder.mkdir(exist_ok=True)
    try:
        _write_all(source, folder, entries, work, progress)
    except BaseException:
        for file in folder.iterdir():
            file.unlink()
        if fresh:
            shutil.rmtree(folder)
        raise
    return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))


class _Work:
    """What is to be done to the tensors, and the lines of the manifest so far."""

    def __init__(
        self, rule: Rule | Plan, jobs: list[Job], factorised: bool, seed: int, entries: Iterable[WeightTensor]
    ) -> None:
        self.rule, self.factorised, self.seed = rule, factorised, seed
        # Weights that are put together, by the stored tensor in whose place they stand.
        self.made = {entry.recipe.main.name: entry for entry in entries if entry.recipe is not None}
        self.jobs: dict[str, list[Job]] = {}
        for job in jobs:
            self.jobs.setdefault(job.tensor, []).append(job)
        self.lines: list[dict[str, Any]] = []
        self.left_out: list[str] = []
        self.before = self.after = 0

    def result(self, entry: WeightTensor) -> Iterator[tuple[str, Any]]:
        """The tensors that stand for one: itself, truncated, or its two factors."""
        tensor = _loaded(entry)
        if tensor is None:
            self.left_out.append(f"{entry.name}: values of type {entry.dtype} have no place in safetensors")
            return
        # A tied weight in a torch file is written out under each of its names, the same values as its first one.
        made = self.made.get(entry.same_as or entry.name)
        jobs = self.jobs.get(made.name if made is not None else entry.same_as or entry.name, [])
        self.before += entry.n_params
        results = [(entry.name, tensor)]
        if made is not None:
            self.worked(made, tensor, Bench([piece_of(made, job, tensor) for job in jobs], self.seed))
        elif jobs:
            tensor = tensor if entry.unfit else tensor.clone().contiguous()
            bench = Bench([piece_of(entry, job, tensor) for job in jobs], self.seed)
            results = self.worked(entry, tensor, bench)
        self.after += sum(result.numel() for _, result in results)
        yield from results

    def worked(self, entry: WeightTensor, tensor: Any, bench: Bench) -> list[tuple[str, Any]]:
        """Truncate every part of a tensor and note it."""
        results = [(entry.name, tensor)]
        for piece in bench.pieces:
            line, kept = bench.cut(piece, self.rule)
            part = piece.part
            size = part.rows * part.columns * part.count if part else tensor.numel()
            stored = size
            if part is not None and kept is not None:
                small = kept.size * sum(tensor.shape)
                if self.factorised and part.kind == "whole" and tensor.dim() == 2 and small < size:
                    pair = factors(piece.matrices()[0], bench.components(piece).slices[0], kept)
                    results = [(f"{entry.name}{end}", _like(tensor, one)) for end, one in zip((LEFT, RIGHT), pair)]
                    stored = small
                else:
                    bench.write(piece, kept)
            self.note(entry, line, size, stored)
            bench.forget(piece)
        return results

    def note(self, entry: WeightTensor, line: LayerCut, before: int, after: int) -> None:
        """A line of the manifest."""
        row = asdict(line) | {"kept_energy": line.kept_energy if line.kept_energy == line.kept_energy else None}
        if line.num_evals == 0:
            row["rank_fraction"] = None
        row.pop("rule")
        sizes = {"parameters_before": before, "parameters_after": after, "factorised": after < before}
        self.lines.append({"layer": row.pop("layer"), "tensor": entry.name, **row, **sizes})


def _loaded(entry: WeightTensor) -> Any:
    """The tensor as torch's; None for what is no numbers (strings in an npz file)."""
    tensor = entry.load()
    if hasattr(tensor, "detach"):
        return tensor
    import torch

    array = np.array(tensor, dtype=tensor.dtype.newbyteorder("="))
    return torch.from_numpy(array) if array.dtype.kind in "fiubc" else None


def _like(tensor: Any, values: Any) -> Any:
    import torch

    return torch.from_numpy(values).to(tensor.dtype).contiguous()


def _write_all(source: Place, folder: Path, entries: list[WeightTensor], work: _Work, progress: bool | None) -> None:
    files = checkpoint_files(source)
    names, index = weight_names(files)
    size = 0
    weight_map: dict[str, str] = {}
    with progress_bar(sum(not entry.effective for entry in entries), "tensors", progress) as bar:
        for name, file in zip(names, files):
            listed = file_tensors(file)
            with Writer(folder / name, [entry.name for entry in listed]) as writer:
                for entry in listed:
                    for tensor_name, tensor in work.result(entry):
                        writer.add(tensor_name, tensor, _code(entry))
                        weight_map[tensor_name] = name
                    bar.update()
                size += writer.offset
    if index:
        said = {"metadata": {"total_size": size}, "weight_map": weight_map}
        (folder / index).write_text(json.dumps(said, indent=1), encoding="utf-8")
    copied = copy_small_files(source, folder)
    manifest = {
        "made_by": f"setol_ww {__version__}",
        "source": str(source),
        "rule": work.rule.name,
        "seed": work.seed,
        "factorised": work.factorised,
        "load": loader_of(folder, any(line["factorised"] for line in work.lines)),
        "copied": copied,
        "parameters_before": work.before,
        "parameters_after": work.after,
        "left_out": work.left_out,
        "layers": work.lines,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _code(entry: WeightTensor) -> str:
    """The word of safetensors for a dtype; what it has no word for came from safetensors itself, or is refused."""
    code = CODES.get(entry.dtype, entry.dtype.upper())
    if code not in BITS or entry.dtype.startswith(("q", "complex128")):
        raise InvalidInput(f"writing {entry.name} of type {entry.dtype} was asked; safetensors has no such type")
    return code


class Writer:
    """A safetensors file written tensor by tensor, so that none but the present one is in memory.

    The header stands before the data but is known last: room for it is kept and filled with blanks, as the format
    allows.

    Parameters
    ----------
    path : Path
    names : iterable of str
        Of the tensors; one may become two, named after it.
    """

    ROOM_PER_TENSOR = 300

    def __init__(self, path: Path, names: Iterable[str]) -> None:
        self.path, self.room = path, 64 + sum(2 * (self.ROOM_PER_TENSOR + len(_as_json(name))) for name in names)
        self.header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        self.offset = 0

    def __enter__(self) -> Writer:
        self.partial = self.path.with_suffix(".partial")
        self.file = self.partial.open("wb")
        self.file.write(b" " * (8 + self.room))
        return self

    def add(self, name: str, tensor: Any, code: str) -> None:
        """Append a tensor."""
        import torch

        if name in self.header:
            raise InvalidInput(f"writing the tensor {name!r} was asked; accepted is one of each name")
        self.file.write(memoryview(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()))
        stop = self.offset + tensor.numel() * tensor.element_size()
        self.header[name] = {"dtype": code, "shape": list(tensor.shape), "data_offsets": [self.offset, stop]}
        self.offset = stop

    def __exit__(self, kind: Any, *rest: Any) -> None:
        if kind is None:
            text = _as_json(self.header)
            self.file.seek(0)
            self.file.write(self.room.to_bytes(8, "little") + text.ljust(self.room))
        self.file.close()
        if kind is None:
            if len(text) > self.room:
                raise InvalidInput(f"writing {self.path} was asked; its names and shapes need {len(text)} bytes")
            self.partial.replace(self.path)


def _as_json(value: Any) -> bytes:
    """JSON in UTF-8, which has a place for every name that was read."""
    return json.dumps(value, ensure_ascii=False).encode()


def load_factorised(path: str | Path) -> dict[str, Any]:
    """The tensors of a folder that `truncate_checkpoint` wrote, factors multiplied back (in float64).

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    dict of str to torch.Tensor
        A state dict with the names, shapes and dtypes of the input.

    Raises
    ------
    InvalidInput, UnreadableCheckpoint
        There is no such folder; it cannot be read, or a factor is alone.
    """
    import torch

    state = _stored(path)
    for name in _in_factors(path):
        left, right = _pair(state, name, path)
        state[name] = (left.double() @ right.double()).to(torch.promote_types(left.dtype, right.dtype))
    return state


def install_factorised(model: Any, path: str | Path) -> Any:
    """Load a folder that `truncate_checkpoint` wrote into a model whose layers then multiply by the factors.

    Every `torch.nn.Linear` and `torch.nn.Embedding` whose weight is stored in factors is replaced, in place, by a
    module that holds `weight.left` and `weight.right` under the names of the checkpoint; a weight in factors of any
    other module is multiplied back.

    Parameters
    ----------
    model : torch.nn.Module
        Of the architecture the checkpoint is of.
    path : str or Path

    Returns
    -------
    torch.nn.Module
        The same model; a new module when it was itself a Linear or an Embedding.

    Raises
    ------
    InvalidInput
        Names or shapes of the checkpoint are not those of the model, whose layers are then as they were.
    UnreadableCheckpoint
        As `load_factorised`.
    """
    state = _stored(path)
    pairs = {name: _pair(state, name, path) for name in _in_factors(path)}
    _refuse_other_shapes(model, state, pairs, path)
    modules = list(model.named_modules(remove_duplicate=False))
    try:
        return _installed(model, state, pairs, path)
    except InvalidInput:
        for name, module in modules[1:]:
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, module)
        raise


def _refuse_other_shapes(model: Any, state: dict[str, Any], pairs: dict[str, tuple[Any, Any]], path: Any) -> None:
    """Before anything is installed: a weight in factors that the model has not, a shape that is not the model's."""
    have = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items() if hasattr(tensor, "shape")}
    given = {name: tuple(tensor.shape) for name, tensor in state.items()}
    for name, (left, right) in pairs.items():
        given[name] = (left.shape[0], right.shape[1])
        if name not in have:
            raise InvalidInput(f"installing {path} was asked; the model has no {name}")
    for name in given.keys() & have.keys():
        if given[name] != have[name]:
            raise InvalidInput(
                f"installing {path} was asked; its {name} has the shape {given[name]}, the model's {have[name]}"
            )


def _installed(model: Any, state: dict[str, Any], pairs: dict[str, tuple[Any, Any]], path: Any) -> Any:
    from .factors import Factors, install

    for name, (left, right) in pairs.items():
        owner, _, last = name.rpartition(".")
        if last != "weight":
            new = None
        elif isinstance(model.get_submodule(owner).weight, Factors):
            new = model  # tied to one that was installed before
        else:
            new = install(model, owner, left, right)
        if new is None:
            state[name] = (left.double() @ right.double()).to(left.dtype)
        else:
            model, state = new, state | {f"{name}{LEFT}": left, f"{name}{RIGHT}": right}
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise InvalidInput(f"installing {path} was asked; its tensors are not those of the model: {error}") from None
    have = model.state_dict(keep_vars=True)
    loaded = {id(have[name]) for name in state if name in have}
    # Of tied weights a checkpoint may hold one.
    missing = [name for name in missing if id(have[name]) not in loaded]
    if missing or unexpected:
        raise InvalidInput(
            f"installing {path} was asked; the model's tensors {missing[:5]} are not in it, and its {unexpected[:5]} "
            "are not in the model"
        )
    return model


def _stored(path: str | Path) -> dict[str, Any]:
    folder = path_of("path", path)
    if not (folder / MANIFEST).is_file():
        raise InvalidInput(f"loading {folder} was asked; accepted is a folder with a {MANIFEST}, written by truncate")
    state: dict[str, Any] = {}
    for file in sorted(file for file in folder.iterdir() if file.suffix in SAFETENSORS and file.is_file()):
        state |= {entry.name: entry.load() for entry in file_tensors(file)}
    return state


def _in_factors(path: str | Path) -> list[str]:
    """The tensors that a checkpoint has in factors, by its manifest."""
    manifest = Path(path) / MANIFEST
    with reading(manifest):
        lines = json.loads(manifest.read_text(encoding="utf-8"))["layers"]
        return [line["tensor"] for line in lines if line["factorised"]]


def _pair(state: dict[str, Any], name: str, path: str | Path) -> tuple[Any, Any]:
    for end in (LEFT, RIGHT):
        if f"{name}{end}" not in state:
            raise UnreadableCheckpoint(f"{path}: {name} is in factors by its {MANIFEST}, but {name}{end} is not there")
    left, right = state[f"{name}{LEFT}"], state[f"{name}{RIGHT}"]
    if left.dim() != 2 or right.dim() != 2 or left.shape[1] != right.shape[0]:
        raise UnreadableCheckpoint(f"{path}: the factors of {name} have the shapes {left.shape} and {right.shape}")
    return state.pop(f"{name}{LEFT}"), state.pop(f"{name}{RIGHT}")
