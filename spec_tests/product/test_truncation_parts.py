"""Truncation piece by piece: every refusal word for word, whole tables and manifests by hand, both sides of limits."""

from __future__ import annotations

import gc
import json
import math
import threading
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import setol_ww as ww
from setol_ww.core.tones import Tone
from setol_ww.formats.checkpoints import checkpoint_tensors
from setol_ww.truncation import checkpoints, folders, holds, metrics, models, pieces, plans, rules
from setol_ww.truncation.curves import ENERGIES, FRACTIONS
from setol_ww.truncation.factors import FactorisedEmbedding, FactorisedLinear, Factors, install
from setol_ww.truncation.models import LayerCut, pooled
from setol_ww.truncation.rules import NAMED, as_rule, fraction_rule, layer_seed

#: Of a spectrum without an eigenvalue above zero.
ZERO = "no positive finite eigenvalue, so nothing is defined"


def refusal(ask: Any, kind: type[Exception] = ww.InvalidInput) -> str:
    with pytest.raises(kind) as told:
        ask()
    return str(told.value)


def diagonal(*sigma: float) -> torch.Tensor:
    return torch.diag(torch.tensor(sigma, dtype=torch.float64))


def net(**weights: torch.Tensor) -> nn.Module:
    module = nn.Module()
    for name, weight in weights.items():
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=weight.dtype)
        layer.weight.data.copy_(weight)
        module.add_module(name, layer)
    return module


# Rules.


def test_a_rule_that_is_none_word_for_word():
    for asked in ("ERG", "rank:0", "rank:x", "energy:0", "energy:1.01", "energy:nan", "bottom:", "erg:1", 7):
        assert refusal(lambda asked=asked: as_rule(asked)) == (
            f"rule={asked!r} was asked; accepted is one of 'erg', 'powerlaw', 'mp', 'gavish-donoho', 'bulk', 'rank:K', "
            "'energy:F' with 0 < F <= 1, 'random:K', 'bottom:K' (K a number or one of the rules before), a callable "
            "Spectrum -> int, or a mapping of names of layers to these"
        )


def test_what_rules_keep_of_four_components():
    """Eigenvalues 8, 4, 2, 2 of unit mean 4: shares of the energy at a half, three quarters and all."""
    spectrum = ww.Spectrum.from_eigenvalues([2.0, 2.0, 4.0, 8.0])
    wanted = {
        "rank:1": [0],
        "rank:4": [0, 1, 2, 3],
        "rank:9": [0, 1, 2, 3],
        "energy:0.5": [0],
        "energy:0.5000001": [0, 1],
        "energy:0.75": [0, 1],
        "energy:1": [0, 1, 2, 3],
        "energy:1e-9": [0],
        "bottom:1": [3],
        "bottom:3": [1, 2, 3],
        "bottom:energy:0.5": [3],
        "erg": list(range(ww.erg_cut(spectrum).rank)),
        "bulk": list(range(ww.erg_cut(spectrum).rank, 4)),
    }
    assert {rule: as_rule(rule).kept(spectrum).tolist() for rule in wanted} == wanted
    assert [as_rule(rule).name for rule in wanted] == list(wanted)
    draws = {tuple(as_rule("random:2").kept(spectrum, (seed, 1)).tolist()) for seed in range(40)}
    assert draws == {(a, b) for a in range(4) for b in range(a + 1, 4)}
    assert as_rule("random:energy:0.75").kept(spectrum).size == 2
    rule = as_rule("rank:1")
    assert as_rule(rule) is rule
    assert rule.of("any layer") is rule


@pytest.mark.parametrize(
    ("share", "kept"), [(0.0, 0), (0.1, 1), (0.3, 3), (0.30000000005, 3), (0.3000000003, 4), (0.31, 4), (1.0, 10)]
)
def test_shares_of_ten_components(share, kept):
    spectrum = ww.Spectrum.from_eigenvalues(np.arange(1.0, 11))
    assert [fraction_rule(share, where).kept(spectrum).size for where in ("top", "bottom", "random")] == [kept] * 3
    assert fraction_rule(share).kept(spectrum).tolist() == list(range(kept))
    assert fraction_rule(0.123456, "bottom").name == "bottom 0.1235"


def test_a_seed_of_its_own_for_each_layer():
    assert layer_seed(3, "fc1")[0] == 3
    assert layer_seed(3, "fc1") != layer_seed(3, "fc2")
    spectrum = ww.Spectrum.from_eigenvalues(np.arange(1.0, 41))
    truth = np.sort(np.random.default_rng(layer_seed(3, "fc1")).choice(40, 5, replace=False))
    np.testing.assert_array_equal(as_rule("random:5").kept(spectrum, layer_seed(3, "fc1")), truth)


def test_answers_of_a_callable():
    spectrum = ww.Spectrum.from_eigenvalues([1.0, 2.0, 5.0])

    def odd(_: Any) -> Any:
        return answer

    for answer in (0, 1, np.int32(2), 3, 8):
        assert as_rule(odd).kept(spectrum).size == min(int(answer), 3)
    assert as_rule(odd).name == "odd"
    for answer in (True, 1.0, -1, "2", None):
        assert refusal(lambda: as_rule(odd).kept(spectrum)) == (
            f"the rule 'odd' answered {answer!r}; accepted is the number of leading components to keep, an integer "
            "from 0 to 3"
        )

    class Counting:
        def __call__(self, _: Any) -> int:
            return 2

        def __repr__(self) -> str:
            return "Counting()"

    assert (as_rule(Counting()).name, as_rule(Counting()).kept(spectrum).size) == ("Counting()", 2)


def test_why_a_spectrum_has_no_cut():
    zero, half = ww.Spectrum.from_eigenvalues([0.0, 0.0]), ww.Spectrum.from_eigenvalues([0.0, 0.0, 1.0, 2.0])
    more = ww.Spectrum.from_eigenvalues([0.0, 1.0, 1.5, 2.0])
    told = {
        (rule, name): refusal(lambda rule=rule, one=one: as_rule(rule).kept(one), rules.Undefined)
        for rule, name, one in (
            ("rank:1", "zero", zero),
            ("gavish-donoho", "half", half),
            ("powerlaw", "flat", ww.Spectrum.from_eigenvalues([1.0] * 9)),
            ("mp", "flat", ww.Spectrum.from_eigenvalues([1.0] * 9)),
        )
    }
    assert told == {
        ("rank:1", "zero"): ZERO,
        ("gavish-donoho", "half"): "half of the eigenvalues or more are zero, so the noise level is not defined",
        ("powerlaw", "flat"): "no power-law tail: all eigenvalues are equal within rounding",
        ("mp", "flat"): "no Marchenko-Pastur bulk: all eigenvalues are equal within rounding",
    }
    assert as_rule("gavish-donoho").kept(more).size == 0
    # A bulk of another shape has an edge all the same.
    heavy = ww.Spectrum.from_eigenvalues(np.random.default_rng(0).pareto(1.0, 200) + 0.01, (400, 200))
    bulk = ww.fit_bulk(heavy)
    assert as_rule("mp").kept(heavy).size == bulk.spikes


def test_the_threshold_of_gavish_and_donoho():
    """By the cubic that the paper gives for it (arXiv 1305.5870), within .02; what lies above it is kept."""
    for beta in (0.05, 0.2, 0.5, 0.8, 1.0):
        cubic = 0.56 * beta**3 - 0.95 * beta**2 + 1.82 * beta + 1.43
        assert rules.optimal_threshold(beta) == pytest.approx(cubic, abs=0.02)
    noise = np.linspace(0.5, 1.5, 99)
    for factor, kept in ((0.999, 0), (1.001, 1)):
        sigma = np.append(noise, [0.1, factor * rules.optimal_threshold(0.5)])
        assert np.median(sigma) == pytest.approx(1.0)
        spectrum = ww.Spectrum.from_eigenvalues(sigma**2, (202, 101))
        above = sigma[-1] > rules.optimal_threshold(0.5) * np.median(sigma)
        assert as_rule("gavish-donoho").kept(spectrum).size == int(above) == kept


# Plans.


def test_plans_that_are_none_word_for_word(tmp_path):
    for asked in ({}, {1: "erg"}):
        assert refusal(lambda asked=asked: plans.as_rules(asked)) == (
            f"rule={asked!r} was asked; accepted is a mapping of names of layers to rules"
        )
    plan = plans.as_rules({"fc1": "rank:3"})
    assert (plan.name, plan.of("fc2").name) == ("plan", "plan")
    assert refusal(lambda: plan.of("fc2").kept(ww.Spectrum.from_eigenvalues([1.0, 2.0])), rules.Undefined) == (
        "the plan does not name it"
    )
    plan.refuse_strangers(["fc1", "fc2"])
    assert refusal(lambda: plan.refuse_strangers(["fc2", "z"])) == (
        "a plan for 'fc1' was asked; no layer here is called so. Accepted are: fc2"
    )
    assert refusal(lambda: plan.refuse_strangers([f"{n}" for n in range(7)])) == (
        "a plan for 'fc1' was asked; no layer here is called so. Accepted are: 1"
    )
    assert refusal(lambda: plan.refuse_strangers(["z"] * 7)).endswith("Accepted are: z, z, z, z, z")


def test_plan_files_word_for_word(tmp_path):
    def file(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    sound = file("a.json", '{"rules": {"fc1": "rank:3"}, "more": 1}')
    assert plans.read_plan(sound) == {"fc1": "rank:3"}
    assert plans.read_plan(file("a.YML", "rules: {fc1: 'rank:3', 2: erg}")) == {"fc1": "rank:3", "2": "erg"}
    assert refusal(lambda: plans.read_plan("a.toml")) == (
        "the plan a.toml was asked; accepted endings are .json, .yaml, .yml"
    )
    for name, text in (
        ("b.json", "[]"),
        ("c.json", '{"rules": {}}'),
        ("d.json", '{"rules": {"a": 3}}'),
        ("e.json", '{"rules": ["a"]}'),
        ("f.yaml", "just words"),
        ("g.json", "{}"),
    ):
        where = file(name, text)
        assert refusal(lambda where=where: plans.read_plan(where)) == (
            f"the plan {where} was asked; accepted is a file with `rules`, a rule for each layer by name"
        )
    for name, text, what in (("h.json", "{", "JSON"), ("i.yaml", "a: [", "YAML")):
        where = file(name, text)
        assert refusal(lambda where=where: plans.read_plan(where)).startswith(
            f"the plan {where} was asked; it is no {what}: "
        )
    (tmp_path / "j.json").write_bytes(b'{"a": "\xff"}')
    for name in ("j.json", "none.json"):
        where = tmp_path / name
        assert refusal(lambda where=where: plans.read_plan(where)).startswith(
            f"the plan {where} was asked; it cannot be read: "
        )


# The table of an evaluation.


def two() -> nn.Module:
    """Singular values 4, 2, 1 and 3, 3, 0."""
    return net(a=diagonal(4.0, 2.0, 1.0), b=diagonal(3.0, 3.0, 0.0))


def energy_of(model: nn.Module) -> dict[str, float]:
    return {name: float(one.weight.detach().norm() ** 2) for name, one in model.named_children()}


def test_the_table_of_all_layers_by_hand():
    frame = ww.evaluate_truncation(two(), energy_of, ["rank:1", "rank:3"], progress=False)
    assert list(frame) == [
        *("rule", "layer", "rank", "rank_fraction", "kept_energy"),
        *("a", "b", "base_a", "base_b", "delta_a", "delta_b", "num_evals", "reason"),
    ]
    first, second = frame.to_dict("records")
    assert {name: first[name] for name in ("rule", "layer", "rank", "rank_fraction", "num_evals", "reason")} == {
        "rule": "rank:1", "layer": "all", "rank": 2, "rank_fraction": pytest.approx(2 / 6), "num_evals": 6,
        "reason": "",
    }  # fmt: skip
    assert first["kept_energy"] == pytest.approx((16 / 21 + 1 / 2) / 2)
    values = [first[name] for name in ("a", "b", "base_a", "base_b", "delta_a", "delta_b")]
    assert values == pytest.approx([16.0, 9.0, 21.0, 18.0, -5.0, -9.0])
    assert (second["rank"], second["kept_energy"], second["delta_a"]) == (6, 1.0, 0.0)


def test_the_table_of_single_layers_by_hand():
    asked: list[float] = []

    def evaluate(model: nn.Module) -> dict[str, float]:
        asked.append(energy_of(model)["a"])
        return energy_of(model)

    frame = ww.evaluate_truncation(two(), evaluate, ["rank:1", "rank:3"], per_layer=True, progress=False)
    assert frame[["layer", "rule", "rank", "num_evals"]].values.tolist() == [
        ["a", "rank:1", 1, 3],
        ["a", "rank:3", 3, 3],
        ["b", "rank:1", 1, 3],
        ["b", "rank:3", 3, 3],
    ]
    assert frame["delta_a"].tolist() == pytest.approx([-5.0, 0.0, 0.0, 0.0])
    assert frame["delta_b"].tolist() == pytest.approx([0.0, 0.0, -9.0, 0.0])
    # The base, and each row in which something is cut.
    assert asked == pytest.approx([21.0, 16.0, 21.0])


def test_a_layer_that_stays_whole_is_told_with_its_name():
    model = net(a=diagonal(4.0, 2.0, 1.0), b=torch.zeros(3, 3, dtype=torch.float64))
    model.add_module("c", nn.Linear(3, 3, bias=False, dtype=torch.float64))
    model.c.weight.data[0, 0] = math.nan
    frame = ww.evaluate_truncation(model, lambda m: 1.0, ["rank:1"], progress=False)
    assert frame["reason"].tolist() == [f"b: rank:1 has no cut: {ZERO}; c: 1 of 9 entries are not finite"]
    # What could not be read has no part in sums and means; what is zero is kept whole.
    assert frame[["rank", "num_evals"]].values.tolist() == [[4, 6]]
    assert frame["kept_energy"].tolist() == pytest.approx([(16 / 21 + 1) / 2])
    assert frame["metric"].tolist() == [1.0]


def test_lines_of_several_layers_are_pooled():
    read = LayerCut("r", "a", 1, 1 / 2, 0.5, 2)
    other, none = LayerCut("r", "b", 3, 1.0, 1.0, 3, "why"), LayerCut("r", "c", 4, 1.0, math.nan, 4, "bad")
    assert pooled("all", [read, other, none]) == LayerCut("r", "all", 4, 4 / 5, (0.5 * 2 + 3) / 5, 5, "b: why; c: bad")
    empty = pooled("all", [none])
    assert (empty.rank, empty.num_evals, empty.reason) == (0, 0, "c: bad")
    assert math.isnan(empty.rank_fraction)
    assert math.isnan(empty.kept_energy)
    assert pooled("all", []).rule == ""


def test_answers_of_an_evaluation():
    assert models.measured(lambda m: torch.tensor(2.5, requires_grad=True), None) == {"metric": 2.5}
    assert models.measured(lambda m: {"a": np.float32(1.5), 2: 3}, None) == {"a": 1.5, "2": 3.0}
    names = "rule, layer, rank, rank_fraction, kept_energy, num_evals, reason"
    for answer in ({}, {"rank": 1.0}, {"reason": 1.0}, {"num_evals": 1.0}, "x", None, {"a": "x"}, {"a": [1.0, 2.0]}):
        assert refusal(lambda answer=answer: models.measured(lambda m: answer, None)) == (
            f"evaluate answered {answer!r}; accepted is a number or a mapping of names to numbers, none called {names}"
        )
    answers = iter([{"a": 1.0}, {"b": 1.0}])
    assert refusal(lambda: ww.evaluate_truncation(two(), lambda m: next(answers), "rank:1", progress=False)) == (
        "evaluate answered ['b'] and before ['a']; accepted is one set of names"
    )
    assert refusal(lambda: ww.evaluate_truncation(two(), energy_of, [])) == (
        "rules=[] was asked; accepted is at least one rule"
    )


def test_directions_of_a_single_layer_are_let_go(monkeypatch):
    """When its rules are through; those of all layers together stay for the next rule."""
    kept: list[int] = []
    forget = models.Bench.forget
    monkeypatch.setattr(
        models.Bench, "forget", lambda self, piece: (forget(self, piece), kept.append(len(self._components)))[0]
    )
    ww.evaluate_truncation(two(), energy_of, ["rank:1", "rank:2"], per_layer=True, progress=False)
    assert kept == [0, 0]
    kept.clear()
    ww.evaluate_truncation(two(), energy_of, ["rank:1", "rank:2"], progress=False)
    assert kept == []
    ww.truncate(two(), "rank:1", progress=False)
    with ww.truncated(two(), "rank:1"):
        pass
    assert kept == [0, 0, 0, 0]


def test_of_equal_components_the_first_slices_are_kept():
    """Nine equal slices have nine equal components each time: they are taken in the order of the slices."""
    one = torch.randn(24, 24, generator=torch.Generator().manual_seed(0))
    conv = nn.Conv2d(24, 24, 3, bias=False)
    conv.weight.data.copy_(one[:, :, None, None].expand(24, 24, 3, 3))
    for number in (1, 5, 14):
        cut = ww.truncate(conv, f"rank:{number}").weight.detach().double().flatten(2)
        ranks = [int(torch.linalg.matrix_rank(cut[:, :, at], rtol=1e-4)) for at in range(9)]
        assert ranks == [number // 9 + (at < number % 9) for at in range(9)]


def whisper(path: Path | None) -> Any:
    """A table that this architecture does not train, with and without the config that says so."""
    weights = {"encoder.embed_positions.weight": torch.randn(20, 12), "encoder.fc1.weight": torch.randn(15, 12)}
    if path is not None:
        path.mkdir()
        save_file(weights, path / "model.safetensors")
        return path
    model = nn.Module()
    model.encoder = nn.Module()
    model.encoder.embed_positions, model.encoder.fc1 = nn.Embedding(20, 12), nn.Linear(12, 15)
    return model


def test_a_table_that_is_not_trained_by_its_config_is_not_cut(tmp_path):
    for said in (False, True):
        model, folder = whisper(None), whisper(tmp_path / f"in {said}")
        if said:
            model.config = SimpleNamespace(to_dict=lambda: {"model_type": "whisper"})
            (folder / "config.json").write_text('{"model_type": "whisper"}')
        with ww.truncated(model, "rank:2") as plan:
            reasons = {line.layer: line.reason for line in plan}
        manifest = ww.truncate_checkpoint(folder, tmp_path / f"out {said}", "rank:2", progress=False)
        why = "no weight: a table that whisper does not train" if said else ""
        assert reasons == {"encoder.embed_positions": why, "encoder.fc1": ""}
        assert {line["layer"]: line["reason"] for line in manifest["layers"]} == reasons
        scanned = ww.scan(folder).set_index("longname")
        assert scanned["reason"].to_dict() == reasons
        assert scanned.loc["encoder.embed_positions", "status"] == ("skipped" if said else "analyzed")


def test_the_bars_of_an_evaluation(monkeypatch):
    """One over the truncations; of layers that are decomposed together one more, before the first."""
    made: list[tuple[Any, ...]] = []
    plain = models.progress_bar

    def bar(total: float, what: str, progress: Any, **told: Any) -> Any:
        made.append((total, what, progress, told))
        return plain(total, what, False)

    monkeypatch.setattr(models, "progress_bar", bar)
    ww.evaluate_truncation(two(), energy_of, ["rank:1", "rank:2"], progress=True)
    layers = {"leave": False}
    assert made == [(2, "truncations", True, {}), (2, "layers", True, layers), (2, "layers", False, layers)]
    made.clear()
    ww.evaluate_truncation(two(), energy_of, ["rank:1", "rank:2"], per_layer=True, progress=None)
    assert made == [(4, "truncations", None, {}), *[(1, "layers", False, layers)] * 4]
    made.clear()
    ww.truncate(two(), "rank:1", progress=True)
    with ww.truncated(two(), "rank:1", progress=True):
        pass
    assert made == [(2, "layers", True, layers)] * 2


def test_a_line_of_a_plan_as_it_is_printed():
    card = LayerCut("erg", "fc", 3, 0.25, 0.876, 12)._card()
    assert card.title == "fc"
    assert [(fact.name, fact.said, fact.tone) for fact in card.facts] == [
        ("rule", "erg", Tone.PLAIN),
        ("kept", "3 of 12 components (25 %)", Tone.PLAIN),
        ("energy", "87.6 % of the squared Frobenius norm", Tone.PLAIN),
    ]
    whole = LayerCut("erg", "fc", 12, 1.0, math.nan, 12, "why")._card()
    assert [(fact.said, fact.tone) for fact in whole.facts] == [
        ("erg", Tone.PLAIN),
        ("all, it stays whole", Tone.CAUTION),
    ]
    assert list(whole.notes) == ["why"]


def test_why_a_copy_has_a_layer_whole_is_logged(caplog):
    with caplog.at_level("INFO"):
        ww.truncate(net(a=diagonal(4.0, 2.0), z=torch.zeros(2, 2, dtype=torch.float64)), "erg")
    assert [record.getMessage() for record in caplog.records if record.name.startswith("setol_ww")] == [
        f"z stays whole: erg has no cut: {ZERO}"
    ]


def test_a_piece_that_refuses_keeps_no_other_from_its_place():
    """Tried four times; the others are back, and the refusal is raised when all are done."""

    class Refusing:
        tried = 0

        def matrices(self) -> Any:
            self.tried += 1
            raise KeyboardInterrupt

    one, other = (pieces.pieces_of({"a.weight": torch.zeros(3, 3)})[0] for _ in range(2))
    refusing = Refusing()
    saved: Any = [(one, [torch.ones(3, 3)]), (refusing, [torch.ones(3, 3)]), (other, [torch.ones(3, 3)])]
    with pytest.raises(KeyboardInterrupt):
        models.put_all_back(saved)
    assert saved == []
    assert refusing.tried == models.ATTEMPTS + 1 == 4
    assert torch.equal(one.tensor, torch.ones(3, 3))
    assert torch.equal(other.tensor, torch.ones(3, 3))


# Curves.


def test_a_curve_by_hand():
    """Points of the families, of energies, of a rule beside its baselines; all layers first, then each."""
    frame = ww.truncation_curve(
        two(), energy_of, fractions=[0.34, 0.67], energies=[0.9], rules=["erg", "powerlaw"], progress=False
    )
    curves = ["top", "top", "random", "random", "bottom", "bottom", "energy"]
    curves += ["erg", "random:erg", "bottom:erg", "bulk", "powerlaw", "random:powerlaw", "bottom:powerlaw"]
    assert frame["curve"].tolist() == curves * 3
    assert frame["layer"].tolist() == [name for name in ("all", "a", "b") for _ in curves]
    assert frame["rule"].tolist()[:7] == [
        *("top 0.34", "top 0.67", "random 0.34", "random 0.67", "bottom 0.34", "bottom 0.67", "energy:0.9"),
    ]
    assert list(frame)[:3] == ["curve", "rule", "layer"]
    layer = frame[frame["layer"] == "a"].set_index("rule")
    assert layer.loc["top 0.34", "rank"] == 2
    assert layer.loc["bottom 0.34", "a"] == pytest.approx(5.0)
    assert layer.loc["energy:0.9", "rank"] == 2
    assert FRACTIONS == (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    assert ENERGIES == (0.5, 0.8, 0.9, 0.95, 0.99)
    together = ww.truncation_curve(two(), energy_of, fractions=[0.5], energies=[], rules=[], per_layer=False)
    assert together[["curve", "layer"]].values.tolist() == [["top", "all"], ["random", "all"], ["bottom", "all"]]
    whole = ww.truncation_curve(net(a=diagonal(2.0, 1.0)), energy_of, fractions=[], energies=[])
    assert set(whole["curve"]) == {name for rule in NAMED for name in (rule, f"random:{rule}", f"bottom:{rule}")} | {
        "bulk"
    }


def test_layers_that_stay_whole_have_no_curve():
    model = {
        "a.weight": diagonal(4.0, 2.0, 1.0),
        "z.weight": torch.ones(1, 1).expand(3, 3),
        "b.weight": diagonal(2.0, 1.0),
    }
    frame = ww.truncation_curve(model, lambda m: 1.0, fractions=[0.5], energies=[], rules=[], progress=False)
    assert frame["layer"].unique().tolist() == ["all", "a", "b"]


def test_the_seed_of_a_curve_is_that_of_its_draws():
    model = net(a=torch.randn(30, 20, generator=torch.Generator().manual_seed(0)).double())
    frames = [
        ww.truncation_curve(model, energy_of, fractions=[0.5], energies=[], rules=[], seed=seed)["a"].tolist()
        for seed in (1, 1, 2)
    ]
    assert frames[0] == frames[1]
    assert frames[0][1] != frames[2][1]
    assert frames[0][::2] == frames[2][::2]


def test_what_a_curve_refuses_word_for_word():
    def asking(**asked: Any) -> str:
        return refusal(lambda: ww.truncation_curve(two(), energy_of, **asked))

    for share in (0, 1, -0.1, 1.5):
        assert asking(fractions=[0.5, share]) == (
            f"fractions=[0.5, {share}] was asked; accepted are numbers between 0 and 1"
        )
    assert asking(rules=["erg", "rank:3"]) == (
        "rules=['erg', 'rank:3'] was asked; accepted are 'erg', 'powerlaw', 'mp', 'gavish-donoho'"
    )
    assert asking(energies=[0.0]).startswith("rule='energy:0.0' was asked")


# Metrics.


def test_what_metrics_refuse_word_for_word():
    x, y = torch.zeros(3, 4), torch.tensor([0, 1, 2])
    ids = torch.zeros(2, 5, dtype=torch.long)

    def classified(batches: Any, model: Any = lambda x: x) -> str:
        return refusal(lambda: ww.classification_metrics(batches)(model))

    def predicted(batches: Any, model: Any = lambda ids: torch.zeros(*ids.shape, 7)) -> str:
        return refusal(lambda: ww.perplexity(batches)(model))

    for loaders in (3, {}, {"a": [], "b": 3}):
        assert refusal(lambda loaders=loaders: ww.perplexity(loaders)) == (
            f"dataloader={loaders!r} was asked; accepted is an iterable of batches or a mapping to such"
        )
    spent = "(a spent generator?)"
    assert classified([]) == f"classification_metrics was asked; the loader yields no samples {spent}"
    assert predicted([]) == f"perplexity was asked; the loader yields no tokens to predict {spent}"
    assert predicted([torch.full((1, 1), 3)]) == predicted([])
    for model in (lambda x: None, lambda x: torch.zeros(3), lambda x: {"loss": 1.0}):
        assert classified([(x, y)], model) == (
            "classification_metrics was asked; the model returned no logits of (samples, classes)"
        )
    assert classified([(x, y[:2])]) == "2 labels were given; the model returned logits of 3 samples"
    for batch in ((x,), (x, y, y), x, {"x": x}):
        assert classified([batch]) == (
            f"a batch of type {type(batch).__name__} was given; accepted is (inputs, labels) or a mapping with 'labels'"
        )
    for labels in (torch.zeros(3), torch.zeros(3, 1).long(), torch.zeros(3, dtype=torch.complex64)):
        assert classified([(x, labels)]) == (
            f"labels or ids of shape {tuple(labels.shape)} and type {labels.dtype} were given; accepted are integers "
            "of shape (samples,)"
        )
    for odd in ("abc", [[1], [2, 3]], [object()] * 3):
        assert classified([(x, odd)]).startswith(
            f"labels of type {type(odd).__name__} were given; accepted are integers ("
        )
    assert predicted([torch.zeros(2, 5)]).endswith("accepted are integers of shape (sequences, length)")
    for batch in ("abc", {"x": x}, (), ([1, 2],), 3):
        assert predicted([batch]) == (
            f"a batch of type {type(batch).__name__} was given; accepted are token ids, a tuple of them, or a mapping "
            "with 'input_ids'"
        )
    for shape in ((2, 5), (3, 5, 7), (2, 4, 7)):
        assert predicted([ids], lambda ids, shape=shape: torch.zeros(shape)) == (
            f"perplexity was asked; the model returned logits of shape {shape} for labels of shape (2, 5), accepted is "
            "(sequences, length, vocabulary)"
        )
    mask = {"input_ids": ids, "attention_mask": torch.ones(2, 4)}
    assert predicted([mask], lambda **_: torch.zeros(2, 5, 7)) == (
        "an attention_mask of shape (2, 4) was given; accepted is that of the labels, (2, 5)"
    )
    assert predicted([ids], lambda ids: SimpleNamespace()) == (
        "a model that returns SimpleNamespace was given; accepted has .logits or .loss"
    )
    assert predicted([ids], lambda ids: {}) == "a model that returns dict was given; accepted has .logits or .loss"


def test_random_numbers_of_the_devices_of_a_model_alone_are_put_back(monkeypatch):
    """To put back those of all would start every accelerator of the machine."""
    asked: list[Any] = []
    plain = torch.random.fork_rng
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices=None: (asked.append(devices), plain([]))[1])
    ww.classification_metrics([(torch.eye(3), torch.arange(3))])(nn.Linear(3, 3))
    on_gpus = SimpleNamespace(
        parameters=lambda: [SimpleNamespace(device=torch.device("cuda", at)) for at in (1, 0, 1)],
        buffers=lambda: [SimpleNamespace(device=torch.device("cuda")), SimpleNamespace(device=torch.device("cpu"))],
    )
    with metrics.measuring(on_gpus):
        assert not torch.is_grad_enabled()
    assert asked == [[], [0, 1]]


def test_logits_wherever_a_model_has_them():
    logits = torch.zeros(2, 3)
    for output in (logits, {"logits": logits}, SimpleNamespace(logits=logits), (logits, 1), [logits]):
        assert metrics.logits_of(output) is logits
    for output in ({}, (), [], (None, logits), SimpleNamespace(), 3.0):
        assert metrics.logits_of(output) is None
    both = metrics.called(lambda a, b: (a, b), (1, 2)), metrics.called(lambda a, b: (a, b), [3, 4])
    assert both == ((1, 2), (3, 4))
    assert metrics.called(lambda **words: words, {"a": 1}) == {"a": 1}
    assert metrics.called(lambda one: one, 5) == 5


def test_a_batch_goes_where_the_model_lies():
    """Of what can be moved all of it; a model without tensors leaves it where it is."""

    class Moving:
        def __init__(self, name: str) -> None:
            self.name, self.moved = name, []

        def to(self, device: Any) -> Any:
            self.moved.append(device)
            return self

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("here", torch.zeros(1, device="meta"))

        def forward(self, *inputs: Any, **named: Any) -> Any:
            return inputs, named

    one, other = Moving("a"), Moving("b")
    assert metrics.called(Model(), (one, 3)) == ((one, 3), {})
    assert metrics.called(Model(), {"x": other}) == ((), {"x": other})
    assert (one.moved, other.moved) == ([torch.device("meta")], [torch.device("meta")])
    metrics.called(lambda x: x, one)
    assert len(one.moved) == 1


def test_errors_and_losses_over_batches_of_unequal_size():
    """Sums over samples, not means of means; a loss alone counts by its predicted tokens."""
    x = torch.eye(4) * 3
    batches = [(x, torch.tensor([0, 1, 2, 0])), (x[:1], torch.tensor([0]))]
    told = ww.classification_metrics(batches)(nn.Identity())
    right, wrong = 1 / (math.exp(3) + 3) * math.exp(3), 1 / (math.exp(3) + 3)
    assert told["error"] == pytest.approx(1 / 5)
    assert told["loss"] == pytest.approx(-(4 * math.log(right) + math.log(wrong)) / 5)
    losses = iter([1.0, 4.0])
    ids = [torch.zeros(2, 5).long(), (torch.zeros(1, 3).long(), torch.tensor([[1, -100, 2]]))]
    told = ww.perplexity(ids)(lambda ids: SimpleNamespace(loss=next(losses)))
    assert told["loss"] == pytest.approx((8 * 1.0 + 1 * 4.0) / 9)
    assert told["perplexity"] == pytest.approx(math.exp(told["loss"]))


def test_ids_alone_in_a_tuple_are_their_own_labels():
    ids = torch.arange(10).reshape(2, 5)
    uniform = lambda ids: torch.zeros(*ids.shape, 50)  # noqa: E731
    assert ww.perplexity([(ids,)])(uniform) == ww.perplexity([ids])(uniform) == ww.perplexity([[ids]])(uniform)


def test_what_is_hidden_is_not_predicted_and_predicts_nothing():
    """Ids 1 2 3 4 with the second hidden: only the fourth is predicted, from the third; logits beyond are left out."""
    ids, mask = torch.tensor([[1, 2, 3, 4]]), torch.tensor([[1, 0, 1, 1]])
    logits = torch.randn(1, 6, 7, generator=torch.Generator().manual_seed(0))
    told = ww.perplexity([{"input_ids": ids, "attention_mask": mask}])(lambda **_: SimpleNamespace(logits=logits))
    assert told["loss"] == pytest.approx(-float(logits[0, 2].double().log_softmax(0)[4]))
    named = ww.perplexity([{"labels": ids, "x": 1}])(lambda **_: SimpleNamespace(logits=logits))
    wanted = [-float(logits[0, at].double().log_softmax(0)[at + 2]) for at in range(3)]
    assert named["loss"] == pytest.approx(np.mean(wanted))


# Who holds which weights.


def held(model: nn.Module) -> bool:
    """Whether anybody holds a weight of the model, to write or to read it."""
    memory = {holds.memory_of(one) for one in model.parameters()}
    readers = [hold for hold in (known() for known in holds._readers.values()) if hold is not None]
    return bool(memory & holds._writers.keys()) or any(memory & hold.titles.keys() for hold in readers)


def test_a_thread_that_truncates_refuses_the_others_word_for_word():
    model = net(a=diagonal(4.0, 2.0, 1.0))
    said: dict[str, str] = {}

    def other() -> None:
        for name, ask in {
            "truncated": lambda: ww.truncated(model, "rank:1").__enter__(),
            "truncate": lambda: ww.truncate(model, "rank:1"),
            "evaluate": lambda: ww.evaluate_truncation(model, lambda m: 1.0, "rank:1", progress=False),
        }.items():
            said[name] = refusal(ask)

    with ww.truncated(model, "rank:1"):
        with ww.truncated(model, "rank:1"):
            pass
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(60)
    sentence = (
        f"truncating a was asked, but the thread {threading.current_thread().name!r} has truncated the same weights; "
        "accepted is one thread at a time, or a copy of the model for each (copy.deepcopy)"
    )
    assert said == dict.fromkeys(("truncated", "truncate", "evaluate"), sentence)
    # All is let go.
    done: list[int] = []
    thread = threading.Thread(target=lambda: done.append(ww.truncate(model, "rank:1") is not None))
    thread.start()
    thread.join(60)
    assert done == [True]
    assert not held(model)


def test_a_copy_that_another_thread_disturbed_is_refused():
    model = two()
    found = pieces.pieces_of(model)
    name = "Disturber"

    def other() -> None:
        with ww.truncated(model, "rank:1", "b"):
            pass

    def copying() -> None:
        with holds.copying(found):
            thread = threading.Thread(target=other, name=name)
            thread.start()
            thread.join(60)

    assert refusal(copying).startswith(
        f"truncating b was asked, but the thread {name!r} has truncated the same weights"
    )
    # What this thread itself truncates meanwhile disturbs nothing.
    with holds.copying(found), ww.truncated(model, "rank:1"):
        pass
    assert not held(model)


def test_a_hold_whose_thread_is_over_holds_nothing():
    model = two()
    left: list[Any] = []

    def taking() -> None:
        context = ww.truncated(model, "rank:1")
        context.__enter__()
        left.append(context)

    thread = threading.Thread(target=taking)
    thread.start()
    thread.join(60)
    assert held(model)
    ww.truncate(model, "rank:1")
    with ww.truncated(model, "rank:2"):
        pass
    left.clear()
    gc.collect()
    with ww.truncated(model, "rank:2"):
        pass
    assert not held(model)


def test_what_is_held_stays_where_it_is():
    """Its memory is nobody else's while it is held, also when the model has let it go; what is whole is not held."""
    model = {"a.weight": diagonal(4.0, 2.0), "z.weight": torch.ones(1, 1).expand(3, 3)}
    known = {name: weakref.ref(tensor) for name, tensor in model.items()}
    hold = holds.Hold(pieces.pieces_of(model))
    model.clear()
    gc.collect()
    assert (known["a.weight"]() is not None, known["z.weight"]()) == (True, None)
    assert list(hold.titles.values()) == ["a"]
    del hold
    gc.collect()
    assert known["a.weight"]() is None


def test_memory_is_that_of_all_views():
    whole = torch.zeros(6, 4)
    assert holds.memory_of(whole[2:]) == holds.memory_of(whole) == whole.data_ptr()
    meta = torch.zeros(3, device="meta")
    assert holds.memory_of(meta) == id(meta)
    empty = torch.zeros(0)
    assert holds.memory_of(empty) in (empty.data_ptr() or id(empty), id(empty))
    thing = object()
    assert holds.memory_of(thing) == id(thing)
    assert weakref.ref(whole)() is whole


# What can be written into.


def test_why_a_tensor_stays_whole_word_for_word():
    class Own(torch.Tensor):
        @classmethod
        def __torch_function__(cls, *asked: Any, **named: Any) -> Any:
            return super().__torch_function__(*asked, **named)

    fixed = np.ones((3, 3))
    fixed.flags.writeable = False
    shared = torch.randn(4, 4)
    with torch.inference_mode():
        inferred = torch.randn(3, 3)
    model = {
        "own.weight": torch.randn(3, 3).as_subclass(Own),
        "fixed.weight": fixed,
        "foreign.weight": np.ones((3, 3), ">f8"),
        "inferred.weight": inferred,
        "expanded.weight": torch.randn(3, 1).expand(3, 3),
        "first.weight": shared[:3],
        "second.weight": shared[1:],
        "behind.weight": torch.randn(3, 3),
    }
    reasons = {piece.title: piece.reason for piece in pieces.pieces_of(model)}
    foreign = reasons.pop("foreign")
    assert foreign.startswith("an array that torch cannot hold in place: ")
    assert reasons == {
        "own": "it is a Own, which decides by itself what is written into it",
        "fixed": "its array is read-only",
        "inferred": "it was made in inference mode and cannot be changed",
        "expanded": "its elements share memory with each other (an expanded tensor)",
        "first": "",
        "second": "it shares its memory with first.weight, truncated there",
        "behind": "",
    }


def test_models_that_are_none_word_for_word():
    assert refusal(lambda: ww.truncate([1], "erg")) == (
        "truncating list was asked; accepted is a torch.nn.Module or a mapping of names to tensors"
    )
    assert refusal(lambda: ww.truncate(nn.ReLU(), "erg")) == (
        "truncating ReLU was asked; it holds no weight of two or more dimensions"
    )
    assert refusal(lambda: pieces.pieces_of({}, asked="cutting")) == (
        "cutting dict was asked; it holds no weight of two or more dimensions"
    )


def test_parts_that_are_asked_for_are_cut_by_themselves():
    """The whole where nothing is asked; of a fused tensor the parts that are named, tied weights once."""
    attention = nn.MultiheadAttention(8, 2)
    titles = [piece.title for piece in pieces.pieces_of(attention)]
    assert titles == ["in_proj_weight [q]", "in_proj_weight [k]", "in_proj_weight [v]", "out_proj"]
    tied = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)})
    tied["b"].weight = tied["a"].weight
    assert [piece.title for piece in pieces.pieces_of(tied)] == ["a"]
    left_out = pieces.pieces_of(two(), "b")
    assert [piece.title for piece in left_out] == ["b"]
    assert left_out[0].bad_entries() == "0 of 9 entries are not finite"
    assert [piece.num_evals for piece in left_out] == [3]


# Factors.


def test_a_linear_layer_in_factors():
    left, right, bias = torch.randn(5, 2), torch.randn(2, 4), torch.randn(5)
    layer = FactorisedLinear(Factors(left, right), nn.Parameter(bias))
    x = torch.randn(3, 4)
    torch.testing.assert_close(layer(x), x @ (left @ right).T + bias)
    assert (layer.in_features, layer.out_features, layer.extra_repr()) == (4, 5, "4, 5, rank=2")
    assert sorted(layer.state_dict()) == ["bias", "weight.left", "weight.right"]
    assert all(one.requires_grad for one in layer.parameters())


def test_an_embedding_in_factors():
    left, right = torch.randn(6, 2), torch.randn(2, 4)
    layer = FactorisedEmbedding(Factors(left, right), 3)
    ids = torch.tensor([[0, 3, 5]])
    torch.testing.assert_close(layer(ids), (left @ right)[ids])
    layer(ids).sum().backward()
    gradient = layer.weight.left.grad
    assert gradient is not None
    assert (gradient[3] == 0).all()
    assert (gradient[0] != 0).any()


def test_what_is_replaced_by_factors():
    """A linear layer and an embedding without a largest norm, under all their names; nothing else, and not in part."""
    left, right = torch.randn(6, 2), torch.randn(2, 4)
    model = nn.ModuleDict({"a": nn.Embedding(6, 4, padding_idx=2), "b": nn.Linear(4, 6, bias=False)})
    model["b"].weight = model["a"].weight
    model["a"].eval()
    assert install(model, "a", left, right) is model
    assert isinstance(model["a"], FactorisedEmbedding)
    assert isinstance(model["b"], FactorisedLinear)
    assert (model["a"].padding_idx, model["a"].training, model["b"].training) == (2, False, True)
    assert model["a"].weight is model["b"].weight
    assert model["b"].bias is None
    alone = nn.Linear(4, 6)
    new = install(alone, "", left, right)
    assert isinstance(new, FactorisedLinear)
    assert new.bias is alone.bias
    for other in (nn.Embedding(6, 4, max_norm=1.0), nn.Conv1d(4, 6, 1), type("Own", (nn.Linear,), {})(4, 6)):
        assert install(nn.ModuleDict({"a": other}), "a", left, right) is None
    mixed = nn.ModuleDict({"a": nn.Linear(4, 6), "b": nn.Embedding(6, 4, max_norm=1.0)})
    mixed["b"].weight = mixed["a"].weight
    assert install(mixed, "a", left, right) is None
    assert type(mixed["a"]) is nn.Linear
    nested = nn.Sequential(nn.Sequential(nn.Linear(4, 6)))
    install(nested, "0.0", left, right)
    assert isinstance(nested[0][0], FactorisedLinear)


# Checkpoints.


def stored(path: Path, **tensors: torch.Tensor) -> Path:
    save_file({name.replace("__", "."): one.contiguous() for name, one in tensors.items()}, path)
    return path


def weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "fc__weight": torch.randn(12, 10, generator=generator),
        "fc__bias": torch.randn(12, generator=generator),
        "zero__weight": torch.zeros(4, 3),
        "conv__weight": torch.randn(4, 3, 2, 2, generator=generator),
        "int__weight": torch.ones(3, 3, dtype=torch.int8),
    }


def test_a_manifest_by_hand(tmp_path):
    source = stored(tmp_path / "net.safetensors", **weights())
    manifest = ww.truncate_checkpoint(source, tmp_path / "out", "rank:2", factorised=True, seed=7, progress=False)
    assert manifest == json.loads((tmp_path / "out" / "manifest.json").read_text())
    W = weights()["fc__weight"].double().numpy()
    squares = np.linalg.svd(W, compute_uv=False) ** 2
    lines = {line["layer"]: line for line in manifest.pop("layers")}
    assert list(lines) == ["conv", "fc", "int", "zero"]
    assert lines["fc"] == {
        "layer": "fc",
        "tensor": "fc.weight",
        "rank": 2,
        "rank_fraction": 0.2,
        "kept_energy": pytest.approx(squares[:2].sum() / squares.sum()),
        "num_evals": 10,
        "reason": "",
        "parameters_before": 120,
        "parameters_after": 44,
        "factorised": True,
    }
    assert {name: lines["conv"][name] for name in ("rank", "num_evals", "parameters_before", "parameters_after")} == {
        "rank": 2,
        "num_evals": 12,
        "parameters_before": 48,
        "parameters_after": 48,
    }
    assert not lines["conv"]["factorised"]
    assert lines["zero"]["reason"] == f"rank:2 has no cut: {ZERO}"
    assert (lines["zero"]["rank"], lines["zero"]["kept_energy"]) == (3, 1.0)
    assert "int8" in lines["int"]["reason"]
    assert (lines["int"]["num_evals"], lines["int"]["rank_fraction"], lines["int"]["kept_energy"]) == (0, None, None)
    assert lines["int"]["parameters_after"] == 9
    assert manifest == {
        "made_by": f"setol_ww {ww.__version__}",
        "source": str(source),
        "rule": "rank:2",
        "seed": 7,
        "factorised": True,
        "load": "setol_ww.install_factorised(model, FOLDER)",
        "copied": [],
        "parameters_before": 120 + 12 + 12 + 48 + 9,
        "parameters_after": 44 + 12 + 12 + 48 + 9,
        "left_out": [],
    }
    written = load_file(tmp_path / "out" / "model.safetensors")
    assert {name: tuple(one.shape) for name, one in written.items() if "fc" in name} == {
        "fc.bias": (12,),
        "fc.weight.left": (12, 2),
        "fc.weight.right": (2, 10),
    }
    left, sigma, right = np.linalg.svd(W)
    product = (written["fc.weight.left"] @ written["fc.weight.right"]).numpy()
    np.testing.assert_allclose(product, (left[:, :2] * sigma[:2]) @ right[:2], atol=1e-5)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["manifest.json", "model.safetensors"]


@pytest.mark.parametrize(
    ("shape", "rank", "in_factors"), [((11, 13), 5, True), ((11, 13), 6, False), ((6, 3), 1, True), ((6, 3), 2, False)]
)
def test_factors_only_where_they_save(tmp_path, shape, rank, in_factors):
    """11 x 13: 24 r numbers are fewer than 143 up to r = 5; 6 x 3: 9 r are as many as 18 for r = 2."""
    source = stored(tmp_path / "net.safetensors", a__weight=torch.randn(*shape))
    manifest = ww.truncate_checkpoint(source, tmp_path / "out", f"rank:{rank}", factorised=True, progress=False)
    (line,) = manifest["layers"]
    assert line["factorised"] is in_factors
    assert line["parameters_after"] == (sum(shape) * rank if in_factors else math.prod(shape))
    assert ("a.weight.left" in load_file(tmp_path / "out" / "model.safetensors")) is in_factors


def test_an_index_says_how_large_and_where(tmp_path):
    folder = tmp_path / "net"
    folder.mkdir()
    names = [f"model-0000{at}-of-00002.safetensors" for at in (1, 2)]
    stored(folder / names[0], a__weight=torch.randn(6, 5))
    stored(folder / names[1], b__weight=torch.randn(6, 5).half())
    where = {"a.weight": names[0], "b.weight": names[1]}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    ww.truncate_checkpoint(folder, tmp_path / "out", "rank:2", progress=False)
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert index == {"metadata": {"total_size": 6 * 5 * 4 + 6 * 5 * 2}, "weight_map": where}


def test_what_a_checkpoint_refuses_word_for_word(tmp_path):
    source = stored(tmp_path / "net.safetensors", a__weight=torch.randn(6, 5))
    full = tmp_path / "full"
    full.mkdir()
    (full / "x").touch()
    file = tmp_path / "file"
    file.touch()

    def asking(out: Path, path: Path = source, **more: Any) -> str:
        return refusal(lambda: ww.truncate_checkpoint(path, out, "rank:1", progress=False, **more))

    for out in (full, file):
        assert asking(out) == f"--out {out} was asked; accepted is a folder that is not there yet or empty"
    assert refusal(lambda: ww.truncate_checkpoint(source, 3, "rank:1")).startswith("out=3 was asked")  # type: ignore[arg-type]
    nowhere = tmp_path / "no" / "out"
    assert asking(nowhere) == f"--out {nowhere} was asked; it cannot be written: there is no such parent folder"
    vector = stored(tmp_path / "v.safetensors", bias=torch.ones(3))
    assert asking(tmp_path / "out", vector) == (
        f"truncating {str(vector)!r} was asked; it holds no weight of two or more dimensions"
    )
    assert not (tmp_path / "out").exists()
    empty = tmp_path / "empty"
    empty.mkdir()
    ww.truncate_checkpoint(source, empty, "rank:1", progress=False)
    assert asking(empty) == f"--out {empty} was asked; accepted is a folder that is not there yet or empty"


def test_a_stopped_truncation_leaves_the_folder_as_it_was(tmp_path, monkeypatch):
    source = stored(tmp_path / "net.safetensors", a__weight=torch.randn(6, 5))
    out = tmp_path / "out"

    def stopping(*_: Any) -> Any:
        (out / "half").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "_write_all", stopping)
    with pytest.raises(KeyboardInterrupt):
        ww.truncate_checkpoint(source, out, "rank:1")
    assert not out.exists()
    out.mkdir()
    with pytest.raises(KeyboardInterrupt):
        ww.truncate_checkpoint(source, out, "rank:1")
    assert list(out.iterdir()) == []


def test_the_bar_counts_tensors(tmp_path, monkeypatch):
    asked: list[tuple[Any, ...]] = []
    updates: list[int] = []
    plain = checkpoints.progress_bar

    def bar(total: float, what: str, progress: Any) -> Any:
        asked.append((total, what, progress))
        made = plain(total, what, False)
        monkeypatch.setattr(made, "update", lambda: updates.append(1))
        return made

    monkeypatch.setattr(checkpoints, "progress_bar", bar)
    ww.truncate_checkpoint(stored(tmp_path / "net.safetensors", **weights()), tmp_path / "out", "rank:2", progress=True)
    assert (asked, len(updates)) == ([(5, "tensors", True)], 5)


def test_types_that_are_written_and_that_are_not(tmp_path):
    tensors = {
        "fc__weight": torch.randn(6, 5, dtype=torch.float64),
        "flags": torch.tensor([True, False]),
        "complex": torch.ones(3, dtype=torch.complex64),
        "eight": torch.ones(3, dtype=torch.uint8),
    }
    stored(tmp_path / "net.safetensors", **tensors)
    ww.truncate_checkpoint(tmp_path / "net.safetensors", tmp_path / "out", "rank:1", progress=False)
    written = load_file(tmp_path / "out" / "model.safetensors")
    assert {name: one.dtype for name, one in written.items()} == {
        "fc.weight": torch.float64, "flags": torch.bool, "complex": torch.complex64, "eight": torch.uint8,
    }  # fmt: skip
    assert torch.equal(written["flags"], tensors["flags"])
    header = (tmp_path / "out" / "model.safetensors").read_bytes()
    told = json.loads(header[8 : 8 + int.from_bytes(header[:8], "little")])
    assert told["__metadata__"] == {"format": "pt"}
    torch.save({"a.weight": torch.randn(6, 5), "b": torch.ones(3, dtype=torch.complex128)}, tmp_path / "net.pt")
    assert refusal(lambda: ww.truncate_checkpoint(tmp_path / "net.pt", tmp_path / "no", "rank:1", progress=False)) == (
        "writing b of type complex128 was asked; safetensors has no such type"
    )
    assert not (tmp_path / "no").exists()
    np.savez(tmp_path / "net.npz", **{"a.weight": np.ones((4, 3), ">f4"), "words": np.array(["x"])})
    manifest = ww.truncate_checkpoint(tmp_path / "net.npz", tmp_path / "npz", "rank:1", progress=False)
    assert manifest["left_out"] == ["words: values of type str32 have no place in safetensors"]


def test_what_loading_refuses_word_for_word(tmp_path):
    assert refusal(lambda: ww.load_factorised(tmp_path)) == (
        f"loading {tmp_path} was asked; accepted is a folder with a manifest.json, written by truncate"
    )
    source = stored(tmp_path / "net.safetensors", a__weight=torch.randn(12, 10), b__bias=torch.ones(3))
    out = tmp_path / "out"
    ww.truncate_checkpoint(source, out, "rank:2", factorised=True, progress=False)
    state = load_file(out / "model.safetensors")

    def changed(**tensors: torch.Tensor | None) -> None:
        left = {**state, **{name.replace("__", "."): one for name, one in tensors.items()}}
        save_file({name: one for name, one in left.items() if one is not None}, out / "model.safetensors")

    for end in ("left", "right"):
        changed(**{f"a__weight__{end}": None})
        assert refusal(lambda: ww.load_factorised(out), ww.UnreadableCheckpoint) == (
            f"{out}: a.weight is in factors by its manifest.json, but a.weight.{end} is not there"
        )
    changed(a__weight__left=torch.ones(12, 3))
    assert refusal(lambda: ww.load_factorised(out), ww.UnreadableCheckpoint) == (
        f"{out}: the factors of a.weight have the shapes {torch.Size([12, 3])} and {torch.Size([2, 10])}"
    )
    changed()
    model = net(a=torch.randn(12, 10))
    assert refusal(lambda: ww.install_factorised(model, out)) == (
        f"installing {out} was asked; the model's tensors [] are not in it, and its ['b.bias'] are not in the model"
    )
    assert type(model.a) is nn.Linear
    assert refusal(lambda: ww.install_factorised(net(a=torch.randn(12, 11)), out)) == (
        f"installing {out} was asked; its a.weight has the shape (12, 10), the model's (12, 11)"
    )
    assert refusal(lambda: ww.install_factorised(net(c=torch.randn(12, 10)), out)) == (
        f"installing {out} was asked; the model has no a.weight"
    )


def test_a_model_that_refuses_its_tensors_is_put_back(tmp_path):
    """Under all names of a layer that stands twice; the refusal has the sentence of torch."""

    class Odd(nn.Linear):
        def _load_from_state_dict(self, *_: Any) -> None:
            raise RuntimeError("odd")

    source = stored(
        tmp_path / "net.safetensors",
        a__weight=torch.randn(12, 10),
        b__weight=torch.randn(12, 10),
        z__weight=torch.ones(2, 2),
    )
    out = tmp_path / "out"
    ww.truncate_checkpoint(source, out, "rank:2", factorised=True, progress=False)
    layer = nn.Linear(10, 12, bias=False)
    model = nn.ModuleDict({"a": layer, "b": layer, "z": Odd(2, 2, bias=False)})
    assert refusal(lambda: ww.install_factorised(model, out)) == (
        f"installing {out} was asked; its tensors are not those of the model: odd"
    )
    assert model["a"] is layer
    assert model["b"] is layer


def test_factors_are_multiplied_in_the_type_they_have(tmp_path):
    source = stored(tmp_path / "net.safetensors", a__weight=torch.randn(12, 10).half())
    ww.truncate_checkpoint(source, tmp_path / "out", "rank:2", factorised=True, progress=False)
    written = load_file(tmp_path / "out" / "model.safetensors")
    (loaded,) = ww.load_factorised(tmp_path / "out").values()
    assert loaded.dtype == torch.float16
    whole = written["a.weight.left"].double() @ written["a.weight.right"].double()
    assert torch.equal(loaded, whole.half())


def test_a_file_has_its_name_when_it_is_whole(tmp_path):
    with checkpoints.Writer(tmp_path / "a.safetensors", ["w"]) as writer:
        writer.add("w", torch.arange(6.0).reshape(2, 3), "F32")
        assert [file.name for file in tmp_path.iterdir()] == ["a.partial"]
        assert refusal(lambda: writer.add("w", torch.ones(1), "F32")) == (
            "writing the tensor 'w' was asked; accepted is one of each name"
        )
    assert torch.equal(load_file(tmp_path / "a.safetensors")["w"], torch.arange(6.0).reshape(2, 3))
    with pytest.raises(ZeroDivisionError), checkpoints.Writer(tmp_path / "b.safetensors", ["w"]) as writer:
        raise ZeroDivisionError
    assert writer.file.closed
    assert not (tmp_path / "b.safetensors").exists()


@pytest.mark.parametrize(("short", "fits"), [(0, True), (1, False)])
def test_a_header_has_the_room_that_was_kept(tmp_path, monkeypatch, short, fits):
    """To the byte; names as they are read, in UTF-8."""
    name, tensor = "schicht.ö.weight1", torch.arange(6.0).reshape(2, 3)
    header = {"__metadata__": {"format": "pt"}, name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
    # The room for each of two tensors, so that that for both and 64 bytes make the header.
    whole, named = (len(json.dumps(said, ensure_ascii=False).encode()) for said in (header, name))
    assert whole % 2 == 0
    monkeypatch.setattr(checkpoints.Writer, "ROOM_PER_TENSOR", (whole - 64) // 2 - named - short)
    path = tmp_path / "a.safetensors"

    def written() -> None:
        with checkpoints.Writer(path, [name]) as writer:
            writer.add(name, tensor, "F32")

    if fits:
        written()
        assert torch.equal(load_file(path)[name], tensor)
        assert name.encode() in path.read_bytes()
    else:
        assert refusal(written).startswith(f"writing {path} was asked; its names and shapes need ")
        assert not path.exists()


# What lies around weights.


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("config.json", True),
        ("vocab.txt", True),
        ("spiece.model", True),
        ("a.tiktoken", True),
        ("a.spm", True),
        ("a.bpe", True),
        ("a.vocab", True),
        ("chat.jinja", True),
        ("README.md", False),
        ("own.py", False),
        ("manifest.json", False),
        ("trainer_state.json", False),
        ("all_results.json", False),
        ("train_results.json", False),
        ("eval_results.json", False),
        ("my_manifest.json", True),
        ("a.index.json", False),
        ("a.index.fp16.json", False),
        ("index.json", True),
        ("folder.json", False),
    ],
)
def test_which_files_come_along(tmp_path, name, taken):
    stored(tmp_path / "model.safetensors", a__weight=torch.randn(6, 5))
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "config.json").write_text("{}")
    if not (tmp_path / name).exists():
        (tmp_path / name).write_text("{}")
    found = [file.name for file in folders.small_files(tmp_path)]
    assert (name in found) is taken
    assert found == sorted(found)
    of_file = [file.name for file in folders.small_files(tmp_path / "model.safetensors")]
    assert of_file == found


def test_a_file_of_any_other_name_takes_nothing_along(tmp_path, monkeypatch):
    for name in ("net.safetensors", "model.safetensors"):
        stored(tmp_path / name, a__weight=torch.randn(6, 5))
    (tmp_path / "vocab.txt").write_text("a")
    assert folders.small_files(tmp_path / "model.safetensors") == []
    (tmp_path / "config.json").write_text("{}")
    assert folders.small_files(tmp_path / "net.safetensors") == []
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    found = [tmp_path / name for name in ("config.json", "vocab.txt")]
    for name in ("model.safetensors", "model.safetensors.index.json"):
        assert folders.small_files(tmp_path / name) == found
    monkeypatch.setattr(folders, "MOST", 1)
    assert folders.small_files(tmp_path / "model.safetensors") == [tmp_path / "vocab.txt"]


def test_a_copy_of_a_copy_reads_the_same(tmp_path):
    source = stored(tmp_path / "net.safetensors", **weights())
    ww.truncate_checkpoint(source, tmp_path / "one", "rank:2", progress=False)
    ww.truncate_checkpoint(tmp_path / "one", tmp_path / "two", "rank:9", progress=False)
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert all(torch.allclose(first[name].float(), second[name].float(), atol=1e-5) for name in first)
    assert [one.name for one in checkpoint_tensors(tmp_path / "two")] == sorted(first)
