"""What is said is what was looked at: helps, answers of commands, readings of tensors; parts are where they say."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from setol_ww.core.errors import InvalidInput
from setol_ww.weights.layouts import Part
from setol_ww.weights.plan import plan
from setol_ww.weights.schemes import joined
from setol_ww.weights.tensors import WeightTensor

from ..golden import situations, told
from ..golden.situations import MODELS, SAID
from ..golden.stocks import stocks


@pytest.fixture(autouse=True)
def terminal(monkeypatch):
    """A width, and no wish for colours."""
    monkeypatch.setenv("COLUMNS", "110")
    for variable in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize("name", told.FILES)
def test_what_is_told_is_what_was_looked_at(name):
    """Of helps the words: versions of Python break lines in other places."""
    now, kept = told.FILES[name](), (told.TOLD / f"{name}.txt").read_text(encoding="utf-8")
    lines = (now.split(), kept.split()) if name == "helps" else (now.rstrip().split("\n"), kept.rstrip().split("\n"))
    assert lines[0] == lines[1], f"if it is meant: python -m spec_tests.golden.told {name}, and look at the difference"


def test_no_file_is_of_nothing():
    assert {path.stem for path in told.TOLD.glob("*.txt")} == {*told.FILES, "stocks.in"}


@pytest.mark.parametrize("turned", [False, True])
def test_what_becomes_of_a_model_does_not_depend_on_what_lies_beside_it(turned):
    """Every small model by itself, and as one block among all others of its config."""
    of_config: dict[str, list[list[WeightTensor]]] = {}
    for _, tensors, config in stocks():
        of_config.setdefault(json.dumps(config), []).append(tensors)
    for words, models in of_config.items():
        config = json.loads(words)
        blocks = [
            [replace(tensor, name=f"m{number}.{tensor.name}") for tensor in tensors]
            for number, tensors in enumerate(models if len(models) > 1 else models * 2)
        ]
        alone = {tensor.name: told.line_of(tensor) for block in blocks for tensor in joined(block, config)}
        every = [tensor for block in (blocks[::-1] if turned else blocks) for tensor in block]
        assert {tensor.name: told.line_of(tensor) for tensor in joined(every, config)} == alone
    assert max(map(len, of_config.values())) > 200


def entries_of(part: Part, shape: tuple[int, ...]) -> list[np.ndarray]:
    """The matrices of a part by their entries, one after the other, as the attributes say where they lie."""
    axes = [axis % len(shape) for axis in part.axes]
    others = [axis for axis in range(len(shape)) if axis not in axes]
    flat = np.arange(math.prod(shape)).reshape(shape)
    if part.kind == "fold":
        return [flat.reshape(part.rows, part.columns)]
    slices = []
    for place in np.ndindex(*(shape[axis] for axis in others)):
        index = dict(zip(others, place, strict=True))
        sides = [range(shape[axis]) for axis in axes]
        matrix = [
            [
                flat[tuple({**index, axes[0]: row, axes[1]: column}[axis] for axis in range(len(shape)))]
                for column in sides[1]
            ]
            for row in sides[0]
        ]
        slices.append(np.array(matrix))
    if part.kind in ("whole", "kernel"):
        height = part.rows
        return [one[first : first + height] for one in slices for first in range(0, len(one), height)]
    one = slices[part.start if part.kind == "index" else part.place]
    if part.kind == "index":
        return [one]
    turned = one if part.kind == "rows" else one.T
    period = part.period or len(turned)
    kept = [line for number, line in enumerate(turned) if part.start <= number % period < part.stop]
    return [np.array(kept) if part.kind == "rows" else np.array(kept).T]


def models() -> list[tuple[str, dict, str, dict[str, str]]]:
    """Every model of the page, and every reading that a user may say."""
    said = [("said", {}, f"fc.weight {shape}", {"fc.weight": words}) for shape, words in SAID]
    return [*((*model, {}) for model in MODELS), *said]


def test_every_part_is_where_it_says_and_has_the_size_it_says():
    seen = 0
    for _, config, text, layouts in models():
        try:
            jobs = plan(situations.tensors_of(text), layouts=layouts, config=config)
        except InvalidInput:
            continue
        for job in jobs:
            if job.part is None or math.prod(job.shape) > 3000:
                continue
            part, tensor = job.part, np.arange(math.prod(job.shape)).reshape(job.shape)
            expected = entries_of(part, job.shape)
            for found in (part.matrices(tensor), part.matrices_of_cut(tensor[part.index(job.shape)])):
                assert len(found) == part.count
                for one, other in zip(found, expected, strict=True):
                    assert one.shape == (part.rows, part.columns)
                    np.testing.assert_array_equal(one, other)
                    assert np.shares_memory(one, tensor) or not part.is_view
            assert job.n_params == sum(one.size for one in expected)
            assert part.num_evals == sum(min(one.shape) for one in expected)
            known = job.identity()
            sides = {"N": max(part.rows, part.columns), "M": min(part.rows, part.columns)}
            assert {**known, **sides, "Q": sides["N"] / sides["M"], "rf": part.count} == known
            seen += 1
    assert seen > 300


def test_the_parts_of_a_tensor_are_all_of_it():
    """Every entry once: in the parts where there are some, else in the whole."""
    for _, config, text, layouts in models():
        try:
            jobs = plan(situations.tensors_of(text), layouts=layouts, config=config)
        except InvalidInput:
            continue
        for name in {job.tensor for job in jobs if job.part is not None}:
            own = [job for job in jobs if job.tensor == name and job.part is not None]
            parts = [job for job in own if job.label] or own
            shape = own[0].shape
            if math.prod(shape) > 3000:
                continue
            tensor = np.arange(math.prod(shape)).reshape(shape)
            counted = Counter(
                np.concatenate([one.ravel() for job in parts for one in job.part.matrices(tensor)]).tolist()
            )
            assert counted == Counter(range(tensor.size)), name
            assert len({job.label for job in own}) == len(own)


def test_what_is_written_back_is_what_was_taken():
    """Of matrices that are copies: other values, and nothing else of the tensor changed."""
    torch = pytest.importorskip("torch")
    seen = set()
    for shape, words in SAID:
        try:
            jobs = plan(situations.tensors_of(f"fc.weight {shape}"), layouts={"fc.weight": words})
        except InvalidInput:
            continue
        for job in jobs:
            if job.part is None:
                continue
            tensor = torch.arange(float(math.prod(job.shape))).reshape(job.shape)
            expected = tensor.clone()
            for entries in entries_of(job.part, job.shape):
                expected.view(-1)[torch.from_numpy(entries.ravel().copy())] *= -2
            matrices = job.part.matrices(tensor)
            if job.part.is_view:
                for one in matrices:
                    one *= -2
            job.part.put(tensor, [one if job.part.is_view else -2 * one for one in matrices])
            assert torch.equal(tensor, expected), (shape, words)
            seen.add((job.part.kind, job.part.is_view))
    assert {("fold", False), ("rows", True), ("rows", False), ("columns", False), ("kernel", True)} <= seen
