"""What is said without a number of a spectrum: helps, what a command answers, what a tensor holds. In `files/told/`.

`python -m spec_tests.golden.told` writes the files anew; look at the difference before it is committed.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import itertools
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

import setol_ww as ww
from setol_ww.core.errors import InvalidInput
from setol_ww.core.options import Options, parameters
from setol_ww.core.outcomes import Outcome
from setol_ww.weights.kinds import Kind, block_of, is_head, is_table, kind_of
from setol_ww.weights.naming import bare
from setol_ww.weights.plan import Job, plan
from setol_ww.weights.schemes import joined
from setol_ww.weights.tensors import WeightTensor

from . import situations
from . import stocks as stocks_module
from .situations import MODELS, SAID
from .stocks import TOLD, stocks
from .told_modules import modules
from .told_tables import TABLES
from .told_text import texts

#: Parts of one tensor that are all told.
MANY = 6


def helps() -> str:
    """The help of every command."""
    from setol_ww.cli.main import parser

    root = parser()
    below = next(action for action in root._actions if isinstance(action, argparse._SubParsersAction))
    return "\n".join(f"{one.format_help()}\n{'=' * 80}" for one in (root, *below.choices.values()))


#: Command lines in their order: later ones read what earlier ones wrote.
COMMANDS: dict[str, str] = {
    "analyze": """
analyze mixed.npz
analyze mixed.npz --reasons --layers dense -twin
analyze one.npz two.npz --out both.csv
analyze one.npz --out one.setol --quiet
analyze two.npz --out two.setol
analyze one.npz two.npz --out both.setol
analyze one.npz --json --out -
analyze one.npz --out one.txt
analyze one.npz --out there/one.csv
analyze nothing.npz
analyze --layers
analyze
analyze one.npz --layers=other
analyze one.npz --layout fc1
analyze one.npz --seed -1
analyze one.npz --out - --layers fc3 --no-detX --no-quality
""",
    "scan": """
scan mixed.npz --out mixed.csv
scan mixed.npz --out shard.setol --shard 0/2 --quiet
scan mixed.npz --out shard.setol --shard 0-2
scan mixed.npz --out shard.setol --shard 2/2
scan one.npz two.npz --out both.csv
merge shard.setol --out some.csv
merge shard.setol --out some.csv --partial
""",
    "summary": """
summary one.setol
summary one.setol --fail-on failed>0 --fail-on under-trained>=0
summary one.setol --fail-on failed>0
summary one.setol --fail-on failed
summary one.setol --seed 3 --layers fc1
summary both.csv
""",
    "report": """
report one.setol --out one.html
report two.setol --out two.html --compare one.setol
report one.npz --out both.html --compare two.npz --layers fc3
report one.setol --out one.csv
""",
    "compare": """
compare one.setol two.setol
compare one.setol two.setol --out changes.csv --fail-on unmatched>0 --fail-on failed==0
compare one.npz two.npz --layers fc3 --no-update
compare one.npz two.npz --layers fc3
compare two.setol
compare one.setol two.setol one.setol --out run.csv
compare one.setol two.setol one.setol --json
compare one.setol two.setol one.setol --fail-on failed>0
compare one.setol two.setol --out there/changes.csv
compare one.setol two.setol --out changes.txt
""",
    "recommend": """
recommend one.setol --target sparsity --set sparsity=0.7 --out ratios.csv
recommend one.setol --target unfreeze --set share=0.34 --out unfrozen.yaml
recommend one.setol --target truncate --set parameters=0.4 --out plan.json
recommend one.setol --target sparsity --set sparsity
recommend one.setol --target sparsity --set =1
recommend one.setol --target sparsity --out ratios.html
recommend one.setol --target sparsity --set other=1
recommend one.setol --target sparsity --set alpha=tail_alpha --layers fc1
recommend one.setol --target sparsity --set alpha=peak
""",
    "truncate": """
recommend one.setol --target truncate --set parameters=0.4 --out plan.json --quiet
truncate one.npz --rule rank:3 --layers fc3 --out small
truncate one.npz --plan plan.json --out planned
truncate one.npz --plan plan.json --rule erg --out again
truncate one.npz --out small
""",
    "watch": """
watch run --once --out history.csv
watch run --once --out history.csv
watch run --once --quiet
watch nowhere --once
""",
    "others": """
spec --implementation nothing.there:made --only ERG-01
spec --out report.txt
--verbose
--version --json
""",
    "demo": """
demo --out one.npz
demo --out nets
demo --out nets --quiet
""",
}


def commands(group: str) -> str:
    """What each command line answers, what it says of an error, and its exit status; of long numbers five digits."""
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            write_models()
            said = "\n".join(answered(line) for line in COMMANDS[group].strip().split("\n"))
        finally:
            os.chdir(here)
    return re.sub(r"in [\d.]+ s;", "in .. s;", re.sub(r"\d+\.\d{6,}", lambda found: f"{float(found[0]):.5g}", said))


def answered(line: str) -> str:
    """One command line as a terminal would show it."""
    from setol_ww.cli.main import main as run

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = run(shlex.split(line))
        except SystemExit as left:
            status = int(left.code or 0)
    shown = [f"$ setol-ww {line}", out.getvalue().rstrip("\n"), *(f"! {one}" for one in err.getvalue().splitlines())]
    return "\n".join(filter(None, [*shown, f"exit {status}" if status else ""]))


def write_models() -> None:
    """Two nets of the demonstration, and a file with a tensor of each kind."""
    from setol_ww.cli.demo import demo_nets

    nets = demo_nets()
    for name, rate in (("one", 32), ("two", 16)):
        np.savez(f"{name}.npz", **nets[rate][0])
        ww.examine(f"{name}.npz", progress=False).save(f"{name}.setol")
    Path("run").mkdir()
    for step in (1, 2):
        np.savez(f"run/step{step}.npz", **{"fc3.weight": nets[(1, 32)[step - 1]][0]["fc3.weight"]})
    draw = np.random.default_rng(4)
    broken = draw.normal(size=(20, 10))
    broken[3, 4], broken[5, 6] = np.nan, np.inf
    small = nets[32][0]["fc3.weight"]
    mixed = {
        "fc.weight": small,
        "twin.weight": small[:, ::-1],
        "broken.weight": broken,
        "conv.weight": draw.normal(size=(12, 8, 3, 3)),
        "experts.up": draw.normal(size=(2, 24, 16)),
        "ids": np.arange(6).reshape(2, 3),
        "qkv.weight": draw.normal(size=(48, 16)),
        "fc.bias": np.zeros(10),
        "empty.weight": np.zeros((0, 4)),
    }
    np.savez("mixed.npz", **mixed)


def put_together() -> str:
    """What becomes of the tensors of each small model."""
    texts = []
    for name, tensors, config in stocks():
        found = joined(tensors, config)
        texts.append("\n".join([f"# {name}{f' {config}' if config else ''}", *told_once([*map(line_of, found)])]))
    return "\n\n".join(texts)


def line_of(tensor: WeightTensor) -> str:
    """A tensor as it stands after the schemes."""
    recipe, said = tensor.recipe, ""
    if recipe is not None:
        parts = ", ".join(f"{part.role} {part.name}" for part in recipe.parts)
        settings = ", ".join(f"{key} {value}" for key, value in recipe.settings)
        said = f"\n  {recipe.scheme} of {parts}{f'; {settings}' if settings else ''}"
        said += f"\n  is the {recipe.layout}" if recipe.layout else ""
    sides = " x ".join(map(str, tensor.shape)) or "a number"
    more = {
        f"{tensor.role or 'tied to'} {tensor.same_as}": tensor.same_as,
        f"unfit: {tensor.unfit}": tensor.unfit,
        f"remark: {tensor.remark}": tensor.remark,
        f"known as {', '.join(sorted(tensor.known_as))}": tensor.known_as,
        "acts, is no parameter": tensor.effective,
    }
    return f"{tensor.name}: {tensor.dtype}, {sides}{said}" + "".join(f"\n  {one}" for one, held in more.items() if held)


def told_once(lines: list[str]) -> list[str]:
    """Lines of which a reason that stood above is not said again."""
    seen: set[str] = set()
    found = []
    for text in lines:
        head, unfit, reason = text.partition("\n  unfit: ")
        found.append(f"{head}: the same" if reason in seen else text)
        seen.update({reason} if unfit else ())
    return found


def planned() -> str:
    """What the plan makes of the tensors of each model."""
    texts = []
    for name, config, text in MODELS:
        jobs = plan(situations.tensors_of(text), config=config)
        texts.append("\n".join([f"# {name}{f' {config}' if config else ''}", *rows_of(jobs)]))
    return "\n\n".join(texts)


def rows_of(jobs: list[Job]) -> Iterator[str]:
    """The jobs, those of one tensor under it."""
    for tensor, group in itertools.groupby(jobs, key=lambda job: (job.tensor, job.shape, job.note)):
        yield f"{tensor[0]}, {' x '.join(map(str, tensor[1]))}{f': {tensor[2]}' if tensor[2] else ''}"
        parts = [f"  {part_of(job)}" for job in group if job.part is not None]
        yield from parts if len(parts) <= MANY else [*parts[: MANY - 1], f"  ... {len(parts)} in all", parts[-1]]


def part_of(job: Job) -> str:
    """Which matrices a job takes, where it finds them, and how that is known."""
    part = job.part
    assert part is not None
    number = f"{part.count} of {part.rows} x {part.columns}" if part.count > 1 else f"{part.rows} x {part.columns}"
    where = f"{part.kind} {part.start}:{part.stop} axes {part.axes}"
    more = {" period": part.period, " place": part.place, " groups": part.groups if part.groups > 1 else 0}
    where += "".join(f"{word} {value}" for word, value in more.items() if value)
    return f"[{part.label}] {part.layer_type}, {number}, {where}; {part.layout}; {job.layout_from}"


def said_of_tensors() -> str:
    """What is read of a tensor as a user says, or how it is refused."""
    texts = []
    for sides, words in SAID:
        tensors = situations.tensors_of(f"fc.weight {sides}")
        try:
            told = "\n".join(list(rows_of(plan(tensors, layouts={"fc.weight": words})))[1:]) or "  nothing"
        except InvalidInput as error:
            told = f"  {error}"
        texts.append(f"{sides} as {words!r}\n{told}")
    return "\n".join(texts)


#: Names of layers as models have them.
NAMES = """
model.layers.3.self_attn.q_proj model.layers.3.mlp.gate_proj model.layers.12.mlp.experts.7.w2 model.embed_tokens lm_head
transformer.h.0.attn.c_attn transformer.h.0.mlp.c_fc transformer.wte transformer.wpe transformer.h.3.mlp.fc_out
encoder.layer.0.attention.self.query encoder.layer.0.attention.output.dense encoder.layer.0.output.dense output.dense
encoder.block.2.layer.0.SelfAttention.q encoder.block.2.layer.1.DenseReluDense.wi_0 shared decoder.block.0.layer.1.wo
blk.0.attn_q blk.0.attn_output blk.0.ffn_down token_embd output embed_out gpt_neox.embed_in gpt_neox.layers.2.mlp.x
layers.1.blocks.0.attn.qkv layer1.0.conv1 layer1.0.downsample.0 features.0.conv conv_head stem.conv2d fc fc1 linear2
classifier cls.predictions score qa_outputs.head heads.head lstm1 rnn.weight_ih_l0 gru_cell.recurrent_kernel proj logits
bert.embeddings.word_embeddings position_embeddings patch_embed.proj emb.weight resblocks.3.x block.7 blocks.1 h.2.x
a/mlp rnn.weight_hh_l3_reverse to_qkv to_out.0 W_pack in_proj kv_a_proj_with_mqa feed_forward.w1 text_feedforward
shared_expert dense_h_to_4h dense_4h_to_h myattn x.lin1 w4 up_proj head_norm tok_embeddings
layers.0 layers.0.x.output cached.convx fc_out bert.embeddings.norm model.fc_out.x score.dense
"""


def words() -> str:
    """Outcomes, options, and what names of layers say."""
    outcomes = [f"{one.value}: {one.sentence}" for one in Outcome]
    kinds = [
        " | ".join([name, kind_of(name).value, block_of(name), *["table"] * is_table(name), *["head"] * is_head(name)])
        for name in NAMES.split()
    ]
    types = [
        f"fc of {kind}: {kind_of('fc', kind).value}" for kind in ("Conv1d", "conv2d", "conv3d", "embedding", "dense")
    ]
    return "\n".join([*outcomes, "", parameters(), "", *kinds, *types, "", *reprs()])


#: What may be asked for by `layers=`, in Python's own words.
ASKED = """
None | [] | () | 3 | [3, 4] | -3 | 0 | -0 | 99 | "3" | "-3" | "99" | "1234567890123456789" | "fc" | "-fc"
"fc.weight" | "attn [q]" | "attn" | "*.mlp" | "layers.?.mlp" | "layers.[01].mlp" | "layers.[!0].mlp"
"-layers.*" | "Linear" | "-Linear" | "dense" | "conv2d" | "attention" | "-attention" | ["dense", "-layers.*"]
["fc", "-fc"] | ["-fc", "-3"] | "7" | "-7" | "b[1]" | "mlp" | "MLP" | "mpl" | "layers" | "embed.weight" | "head"
"" | "-" | "--fc" | "*" | "-*" | True | 1.5 | ["fc", None] | b"fc" | nn.Linear | nn.Conv2d | [nn.Linear, "-fc"]
Kind.ATTENTION | Kind.HEAD | {"fc": 1} | iter(["fc", 3]) | np.int64(3)
""".replace("\n", " | ")

LISTED = """
embed.weight 40x8 Embedding
fc.weight 8x4 Linear
layers.0.mlp.weight 8x4 Linear
layers.1.mlp.weight 8x4 Linear
layers.2.mlp.weight 8x4 Linear
layers.10.mlp.weight 8x4 Linear
conv.weight 8x4x3x3 Conv2d
7.weight 8x4 Linear
b[1].weight 8x4 Linear
attn 24x8
one.weight 8x4 Linear
two.weight 8x4 Linear
"""


def chosen() -> str:
    """Which rows `layers=` means, whichever way it is asked."""
    import torch

    tensors = situations.tensors_of(LISTED)
    tensors = [replace(one, owner_index=-1) for one in tensors]
    tensors[0] = replace(tensors[0], known_as=("head.weight",))
    scope = {"nn": torch.nn, "Kind": Kind, "np": np, "iter": iter}
    lines = []
    for words in filter(None, map(str.strip, ASKED.split(" | "))):
        try:
            jobs = plan(tensors, eval(words, scope), {"attn": "qkv:8,8,8"})
            said = " | ".join(job.title for job in jobs if not job.skipped)
            notes = {job.note for job in jobs if job.skipped}
            said += f" ({len(jobs)} rows{f', others {notes.pop()}' if notes else ''})"
        except InvalidInput as error:
            said = str(error)
        lines.append(f"{words}: {said}")
    names = (
        "module.fc",
        "module.module.fc",
        "_orig_mod.a._fsdp_wrapped_module.b",
        "base_model.model.x.base_layer.weight",
        "a.modules_to_save.default.weight",
        "model.module.fc",
        "x._checkpoint_wrapped_module",
        "module",
        "base_layer.y",
    )
    return "\n".join([*lines, *(f"bare {name}: {bare(name)}" for name in names)])


def reprs() -> list[str]:
    """How small things show themselves: what is long or a function is left out."""
    from setol_ww.weights.layouts import layouts
    from setol_ww.weights.schemes import schemes

    stored = stocks_module.tensors_of("fc.weight_orig f32 4x3\nfc.weight_mask f32 4x3")
    (made, *_) = joined(stored)
    (job,) = [one for one in plan(joined(stored)) if one.part is not None]
    seen = [stored[0], made, made.recipe, job, job.part, Options(layers="fc"), *layouts()[:2], *schemes()[:2]]
    return list(map(repr, seen))


#: What is kept, by what it is about: a file each.
FILES: dict[str, Callable[[], str]] = {
    "put-together": put_together,
    "planned": planned,
    "said": said_of_tensors,
    "modules": modules,
    "chosen": chosen,
    "helps": helps,
    "words": words,
    "texts": texts,
    **{f"commands-{group}": functools.partial(commands, group) for group in COMMANDS},
    **TABLES,
}


def main(wanted: list[str]) -> None:
    """Write every file, or those that are wanted."""
    TOLD.mkdir(exist_ok=True)
    os.environ["COLUMNS"] = "110"
    for name, text in FILES.items():
        if wanted and name not in wanted:
            continue
        (TOLD / f"{name}.txt").write_text(text().rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
