"""Advice, comparisons and effects of traps: at the limits of what they take, in whole sentences, computed again."""

from __future__ import annotations

import inspect
import math
import re
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

import setol_ww as ww
from fixtures import advice as authors
from setol_ww.advice.budgets import counts, ranks, shares
from setol_ww.advice.candidates import Candidate, listed, rows_of, tensors_of
from setol_ww.advice.fused import WORDS, names_apart
from setol_ww.advice.maps import step
from setol_ww.advice.outputs import as_inputs, drawn_inputs, log_probabilities
from setol_ww.advice.pairing import paired
from setol_ww.advice.removals import Part, Trapped
from setol_ww.advice.runs import compare_run, run_text, steps_of
from setol_ww.advice.trap_effect import Removal, TrapEffect
from setol_ww.monitor.folder import watch
from setol_ww.results.record import LayerRecord

torch = pytest.importorskip("torch")


def layer(position: int, name: str, alpha: float = 3.0, number: int = 60, rows: int = 80, **told) -> LayerRecord:
    spectrum = ww.Spectrum.from_eigenvalues(authors.with_alpha(alpha, number), (rows, number))
    identity = {"longname": name, "slice": "", "tensor": f"{name}.weight", "layer_type": "dense", **told}
    identity |= {"shape": told.get("shape", f"{rows} x {number}"), "n_params": told.get("n_params", rows * number)}
    return LayerRecord(position, identity, spectrum=spectrum)


def layers(*alphas: float, **told) -> ww.Results:
    return ww.Results.from_records([layer(n, f"net.{chr(97 + n)}", alpha, **told) for n, alpha in enumerate(alphas)])


def said(text: str) -> str:
    """A pattern that the whole of a sentence matches."""
    return f"^{re.escape(text)}$"


# --- what is accepted, to the limit ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "options", "sentence"),
    [
        ("learning-rates", {"base": 0.0}, "base=0.0 was asked; accepted is a number above 0"),
        ("learning-rates", {"low": -0.1}, "low=-0.1, high=1.5 was asked; accepted is 0 <= low <= high"),
        ("learning-rates", {"low": 1.6}, "low=1.6, high=1.5 was asked; accepted is 0 <= low <= high"),
        ("weight-decay", {"position": 1}, "position=1 was asked; accepted is a number above 1"),
        ("weight-decay", {"min_evals": 0}, "min_evals=0 was asked; accepted is an integer of 1 or more"),
        (
            "weight-decay",
            {"keep_base": 3},
            "keep_base=3 was asked; accepted are 'first', 'last' and names or patterns",
        ),
        (
            "weight-decay",
            {"keep_base": ("first", "zz", "yy")},
            "keep_base=('first', 'zz', 'yy') was asked; nothing is called 'zz'. Accepted are 'first', 'last' and "
            "names or patterns of layers: net.a, net.b, net.c",
        ),
        ("sparsity", {"most": 0}, "sparsity=0.5, most=0 was asked; accepted is 0 <= sparsity <= most <= 1"),
        ("sparsity", {"most": 1.01}, "sparsity=0.5, most=1.01 was asked; accepted is 0 <= sparsity <= most <= 1"),
        ("sparsity", {"sparsity": -0.01}, "sparsity=-0.01, most=1.0 was asked; accepted is 0 <= sparsity <= most <= 1"),
        ("sparsity", {"most": 0.49}, "sparsity=0.5, most=0.49 was asked; accepted is 0 <= sparsity <= most <= 1"),
        ("sparsity", {"epsilon": -0.1}, "epsilon=-0.1 was asked; accepted is a number from 0 to 1"),
        ("sparsity", {"epsilon": 1.1}, "epsilon=1.1 was asked; accepted is a number from 0 to 1"),
        ("sparsity", {"blocks": True}, "blocks=True was asked; no layer is in a numbered block (net.a, net.b, net.c)"),
        ("sparsity", {"blocks": 3}, "blocks=3 was asked; accepted is one of None, True, False"),
        ("sparsity", {"alpha": "tail"}, "alpha='tail' was asked; accepted is one of 'peak', 'mid'"),
        ("lora-rank", {"least": 5, "rank": 4}, "least=5, rank=4 was asked; accepted is least <= rank"),
        ("lora-rank", {"rank": 0}, "rank=0 was asked; accepted is an integer of 1 or more"),
        ("lora-rank", {"least": 0}, "least=0 was asked; accepted is an integer of 1 or more"),
        ("lora-rank", {"scale": 0}, "scale=0 was asked; accepted is a number above 0"),
        ("lora-rank", {"by": "alpha"}, "by='alpha' was asked; accepted is one of 'erg', 'spikes'"),
        ("lora-rank", {"rslora": "no"}, "rslora='no' was asked; accepted is one of True, False"),
        ("unfreeze", {"share": 0}, "share=0 was asked; accepted is a number above 0 and up to 1"),
        ("unfreeze", {"share": 1.01}, "share=1.01 was asked; accepted is a number above 0 and up to 1"),
        ("unfreeze", {"by": "alpha"}, "by='alpha' was asked; accepted is one of 'snr', 'edge'"),
        ("truncate", {"parameters": 0}, "parameters=0 was asked; accepted is a number above 0 and up to 1"),
        ("truncate", {"energy": 1.01}, "energy=1.01 was asked; accepted is a number above 0 and up to 1"),
        ("truncate", {"parameters": 1, "energy": 1}, "parameters=1, energy=1 was asked; accepted is one of them"),
        (
            "truncate",
            {"parameters": 0.029},
            "a budget of 418 parameters was asked; accepted is one of at least 420, which rank 1 takes",
        ),
        (
            "unfreeze",
            {"shares": 1},
            "shares=1 was asked of 'unfreeze'; accepted are share=0.5, by='snr'",
        ),
        (
            "unfreeze",
            {"share": 1, "odd": "a", "even": 2},
            "odd='a' was asked of 'unfreeze'; accepted are share=0.5, by='snr'",
        ),
    ],
)
def test_what_no_advice_takes(target, options, sentence):
    with pytest.raises(ww.InvalidInput, match=said(sentence)):
        ww.recommend(layers(2, 3, 4), target, **options)


@pytest.mark.parametrize(
    ("target", "options", "want"),
    [
        ("learning-rates", {"low": 0, "high": 0, "base": 1e-9, "keep_base": ()}, [0.0] * 3),
        ("learning-rates", {"low": 1.5, "keep_base": "net.b"}, [0.15, 0.1, 0.15]),
        ("learning-rates", {"keep_base": {"net.[ab].weight"}}, [0.1, 0.1, 0.1]),
        ("learning-rates", {"min_evals": 60, "keep_base": ()}, [0.05, 0.1, 0.15]),
        ("learning-rates", {"min_evals": 61, "keep_base": ()}, [0.1, 0.1, 0.1]),
        ("weight-decay", {"position": 1.5, "keep_base": "first", "base": 1}, [1.0, 0.6666, 3.0]),
        ("sparsity", {"sparsity": 0}, [0.0] * 3),
        ("sparsity", {"sparsity": 1}, [1.0] * 3),
        ("sparsity", {"sparsity": 0.5, "most": 0.5}, [0.5] * 3),
        ("sparsity", {"epsilon": 0}, [0.5] * 3),
        ("sparsity", {"epsilon": 1, "sparsity": 0.3}, [0.0, 0.3, 0.6]),
        ("sparsity", {"min_evals": 60, "epsilon": 1, "sparsity": 0.3}, [0.0, 0.3, 0.6]),
        ("sparsity", {"min_evals": 61, "epsilon": 1, "sparsity": 0.3}, [0.3] * 3),
        ("lora-rank", {"rank": 4, "least": 4}, [4, 4, 4]),
        ("lora-rank", {"rank": 60}, [60] * 3),
        ("unfreeze", {"share": 1}, [True] * 3),
        ("unfreeze", {"share": 0.34}, [False, False, True]),
        ("unfreeze", {"share": 0.33}, [False] * 3),
        ("truncate", {"parameters": 1}, [60] * 3),
        ("truncate", {"energy": 1}, [60] * 3),
        ("truncate", {"parameters": 420 / 14400}, [1] * 3),
    ],
)
def test_what_advice_takes_to_the_limit(target, options, want):
    advice = ww.recommend(layers(2, 3, 4), target, **options)
    table = advice.table()
    assert table[advice.column].tolist() == pytest.approx(want)
    # Who is judged has no reason, and who is not has one.
    if "min_evals" in options:
        assert [bool(reason) for reason in table["reason"]] == [options["min_evals"] > 60] * 3


def test_a_layer_that_is_first_and_last_is_told_once():
    table = ww.recommend(layers(3), "learning-rates").table()
    assert table[["learning_rate", "reason"]].values.tolist() == [[0.1, "the first layer"]]
    table = ww.recommend(layers(3), "learning-rates", keep_base="last").table()
    assert table["reason"].tolist() == ["the last layer"]


@pytest.mark.parametrize(("number", "gap"), [(10, []), (11, ["... 1 more ..."])])
def test_ten_layers_are_printed_and_of_more_the_ends(number, gap):
    advice = ww.recommend(layers(*(2 + place / 10 for place in range(number))), "sparsity")
    told = [line for line in str(advice).split("\n") if line.startswith(("net.", "..."))]
    names = [f"net.{chr(97 + n)}" for n in range(number) if not gap or n != 5]
    assert [line.split(" ")[0] for line in told if line not in gap] == names
    assert [line for line in told if line.startswith("...")] == gap


def test_no_spectrum_is_no_advice():
    failed = LayerRecord(0, {"longname": "a"}, "failed", "layer a: no")
    for records, sentence in (
        ([], "advice was asked for 0 rows; accepted are results with a spectrum"),
        ([failed, failed], "advice was asked for 2 rows; accepted are results with a spectrum"),
    ):
        with pytest.raises(ww.InvalidInput, match=said(sentence)):
            ww.recommend(ww.Results.from_records(records), "sparsity")
    table = ww.Results.from_records([layer(0, "wte", layer_type="embedding")])
    for target, sentence in (
        ("lora-rank", "ranks of adapters were asked; accepted are results with a linear layer"),
        ("truncate", "ranks were asked; accepted are results with a layer whose spectrum is defined"),
        ("sparsity", "blocks=None was asked; no layer is in a numbered block (wte)"),
    ):
        with pytest.raises(ww.InvalidInput, match=said(sentence)):
            ww.recommend(table, target)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("param_groups", "param_groups of 'learning-rates' and 'weight-decay'"),
        ("rank_pattern", "rank_pattern of 'lora-rank'"),
        ("alpha_pattern", "alpha_pattern of 'lora-rank'"),
        ("rules", "rules of 'truncate'"),
        ("patterns", "patterns of 'unfreeze'"),
    ],
)
def test_a_form_of_another_target(name, sentence):
    advice = ww.recommend(layers(2, 3), "sparsity")
    asked = said(f"{name} of advice on 'sparsity' was asked; accepted is {sentence}")
    with pytest.raises(ww.InvalidInput, match=asked):
        getattr(advice, name)(*[None] * (name == "param_groups"))


def test_advice_is_written_as_its_user_reads_it(tmp_path):
    with pytest.raises(ww.InvalidInput, match=r"^path .*a\.txt was asked; accepted endings are \.yaml, \.yml$"):
        ww.recommend(layers(2, 3), "sparsity").to_yaml(tmp_path / "a.txt")
    for ending in ("yaml", "yml"):
        ww.recommend(layers(2, 3), "sparsity").to_yaml(tmp_path / f"a.{ending}")
    assert (tmp_path / "a.yml").read_bytes() == (tmp_path / "a.yaml").read_bytes()


def test_few_eigenvalues_are_fewer_than_fifty():
    """A note below fifty, whatever min_evals; of one layer and of several."""
    results = ww.Results.from_records([layer(0, "a", 2, 49), layer(1, "b", 3, 50), layer(2, "c", 4, 51)])
    assert ww.recommend(results, "sparsity").notes == (
        "alpha of fewer than 50 eigenvalues is unstable (see min_evals): a",
    )
    named = [f"layer{n}" for n in range(6)]
    results = ww.Results.from_records([layer(n, name, 2 + n, 30) for n, name in enumerate(named)])
    assert (
        ww.recommend(results, "sparsity", blocks=False)
        .notes[0]
        .endswith("layer0, layer1, layer2, layer3, layer4 and 1 more")
    )
    assert listed("abcde") == "a, b, c, d, e"


@pytest.mark.parametrize(
    ("most", "ends"), [(1.0, "; a share of 1 takes a layer away whole, most=0.95 leaves some"), (0.9, "")]
)
def test_shares_that_are_cut_are_said(most, ends):
    """Alphas 2, 2, 5: at 0.8 the authors' shares are 0.622, 0.622 and 1.156."""
    advice = ww.recommend(layers(2, 2, 5), "sparsity", sparsity=0.8, most=most)
    told = f"the authors' share is above {most:g} in 1 layers: cut to it, and the others take the rest in proportion"
    assert advice.notes == (told + ends,)
    assert advice.table()["reason"].tolist() == ["", "", f"cut to {most:g} from 1.156"]
    # At the limit nothing is cut.
    exact = ww.recommend(layers(2, 4), "sparsity", sparsity=0.5, epsilon=1.0)
    assert exact.table()["sparsity"].tolist() == [0.0, 1.0]
    assert (exact.notes, exact.table()["reason"].tolist()) == ((), ["", ""])


# --- candidates ------------------------------------------------------------------------------------------------------


def test_rows_and_tensors_of_results():
    """A tensor whole where it has a row as a whole; sizes of what is not told by the spectrum."""
    spectrum = ww.Spectrum.from_slices([np.diag(np.arange(1.0, 6)), np.eye(7, 5)[:5]])
    records = [
        layer(0, "whole"),
        layer(1, "whole", slice="q"),
        layer(2, "cut", slice="q", n_params=100),
        layer(3, "cut", slice="k", n_params=50, number=40),
        LayerRecord(4, {"longname": "kernel", "slice": ""}, spectrum=spectrum),
        LayerRecord(5, {"longname": "left", "slice": ""}, "skipped", "no"),
        LayerRecord(6, {"longname": "bad", "slice": "", "shape": "3 x 4"}, "failed", "no"),
    ]
    results = ww.Results.from_records(records)
    assert sorted(row.title for row in rows_of(results)) == ["bad", "cut [k]", "cut [q]", "kernel", "whole"]
    found = {one.longname: one for one in tensors_of(results)}
    assert {name: one.n_params for name, one in found.items()} == {"whole": 4800, "cut": 150, "kernel": 50, "bad": 0}
    assert {name: one.shape for name, one in found.items()} == {
        "whole": (80, 60), "cut": (80, 60), "kernel": (5, 5), "bad": (3, 4),
    }  # fmt: skip
    assert {name: one.num_evals for name, one in found.items()} == {"whole": 60, "cut": 40, "kernel": 10, "bad": 0}
    assert (found["cut"].slice, found["cut"].title, found["bad"].failure) == ("", "cut", "no")
    assert found["cut"].mean(lambda one: one.num_evals) == 50.0
    assert math.isnan(found["bad"].mean(lambda one: 1.0))
    assert not any(one.is_bare or one.is_embedding for one in found.values())


@pytest.mark.parametrize(
    ("name", "tensor", "told", "is_embedding", "is_bare"),
    [
        ("a", "a.weight", {"layer_type": "embedding"}, True, False),
        ("model.embed_tokens", "model.embed_tokens.weight", {}, True, False),
        ("emb", "emb.weight", {"layout_from": "module"}, False, False),
        ("wte", "wte", {"layout_from": "module"}, True, False),
        ("experts", "experts", {"layer_type": "expert"}, False, True),
        ("gate", "gate", {"layer_type": "gate"}, False, True),
        ("in_proj_weight", "in_proj_weight", {"layer_type": "attention"}, False, True),
        ("attn", "attn.weight", {"layer_type": "attention"}, False, False),
        ("fc", "fc", {"layer_type": "dense"}, False, False),
    ],
)
def test_what_the_authors_read_and_what_they_do_not(name, tensor, told, is_embedding, is_bare):
    record = SimpleNamespace(identity=told)
    found = Candidate(tensor, name, "", (record,))
    assert (found.is_embedding, found.is_bare) == (is_embedding, is_bare)


def test_an_alphabetical_listing_is_put_in_the_order_of_the_model():
    def order(names: list[str], **told) -> list[str]:
        results = ww.Results.from_records([layer(n, name, **told) for n, name in enumerate(names)])
        return [row.longname for row in rows_of(results)]

    alphabetical = ["a.10.q", "a.2.q", "a.q", "lm_head", "z.1"]
    assert order(alphabetical) == ["a.2.q", "a.10.q", "a.q", "z.1", "lm_head"]
    # A listing in another order is the model's own, and so is one of modules.
    assert order(["z.1", *alphabetical[:4]]) == ["z.1", *alphabetical[:4]]
    assert order(alphabetical, layout_from="module") == alphabetical


# --- budgets ---------------------------------------------------------------------------------------------------------


def test_budgets_to_the_last_one():
    """Written out by hand: which remainder is rounded up, and what an exact budget buys."""
    assert counts(np.array([0.5, 0.5, 0.5]), np.array([3, 3, 3]), 5).tolist() == [2, 2, 1]
    assert counts(np.array([0.25, 0.5, 0.75]), np.array([2, 2, 2]), 3).tolist() == [1, 1, 1]
    assert counts(np.array([0.3, 0.7, 0.0]), np.array([10, 10, 10]), 10).tolist() == [3, 7, 0]
    assert counts(np.array([1.0, 1.0]), np.array([2, 2]), 9).tolist() == [2, 2]
    assert counts(np.array([0.5, 1.0]), np.array([1, 2]), 3).tolist() == [1, 2]
    # Of many that are alike the first.
    many = counts(np.full(40, 0.5), np.full(40, 3), 73)
    assert many.tolist() == [2] * 33 + [1] * 7
    assert step(np.full(40, 3.0), 0.0, 40.0).tolist() == list(range(40))
    one, two = np.array([1.0, 1.0]), np.array([1.0, 2.0])
    assert ranks(one, two, [9, 9], 3).tolist() == [1, 1]
    assert ranks(one, two, [9, 9], 4).tolist() == [2, 1]
    assert ranks(one, two, [9, 9], 6).tolist() == [2, 2]
    assert ranks(one, two, [1, 9], 7).tolist() == [1, 3]
    assert ranks(one, two, [9, 9], 6, least=2).tolist() == [2, 2]
    assert ranks(np.array([0.0, 1.0]), two, [9, 9], 9).tolist() == [1, 4]
    assert ranks(np.array([3.0, 2.0]), np.ones(2), [9, 9], 3).tolist() == [2, 1]
    # What is left goes to the largest remainder, of those that are alike to the first.
    assert ranks(np.array([1.2, 1.0, 1.0]), np.ones(3), [9] * 3, 5).tolist() == [2, 2, 1]
    # A budget for everything buys everything, however small the weights.
    assert ranks(np.array([1.0, 0.3]), np.ones(2), [10, 10], 20).tolist() == [10, 10]
    assert shares(np.array([0.1, 0.3]), np.ones(2), 0.5) == pytest.approx([0.25, 0.75])
    sentence = "a budget of 6 parameters was asked; accepted is one of at least 9, which rank 3 in every layer takes"
    with pytest.raises(ww.InvalidInput, match=said(sentence)):
        ranks(one, two, [9, 9], 6, least=3)
    # A layer that has fewer than the least has all of them.
    assert ranks(one, two, [2, 9], 8, least=3).tolist() == [2, 3]


@pytest.mark.parametrize("most", [1.0, 0.9, 0.75])
def test_shares_are_cut_again_and_again(most):
    """One after another goes beyond the cap; those of ratio 0 take the rest evenly."""
    ratios, sizes = np.array([8.0, 4.0, 2.0, 1.0, 0.0, 0.0]), np.array([1.0, 2.0, 1.0, 3.0, 1.0, 2.0])
    low, high = 0.0, 1e3
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(most, middle * ratios) @ sizes < 0.5 * 10 else (low, middle)
    want = np.minimum(most, high * ratios)
    assert shares(ratios, sizes, 0.5, most) == pytest.approx(want)
    assert shares(ratios, sizes, 0.74, 0.75) == pytest.approx([0.75] * 4 + [(7.4 - 7 * 0.75) / 3] * 2)
    assert shares(np.zeros(2), np.array([1.0, 3.0]), 0.3).tolist() == pytest.approx([0.3, 0.3])


def test_a_layer_stays_whole_from_where_two_factors_are_no_smaller():
    """Of 60 x 60 thirty components in two factors have as many parameters as all sixty."""
    values = np.sort(authors.with_alpha(2.5, 60))[::-1]
    results = ww.Results.from_records([layer(0, "a", 2.5, 60, 60)])
    for rank, want in ((29, 29), (30, 60), (31, 60)):
        energy = values[:rank].sum() / values.sum() - 1e-9
        row = ww.recommend(results, "truncate", energy=energy).table().iloc[0]
        assert (row["rank"], row["parameters"]) == (want, min(want * 120, 3600))
        assert row["reason"] == ("stays whole: two factors would not be smaller" if want == 60 else "")


def test_a_ratio_without_noise_is_over_one():
    """All singular values are alike, so that none is at the threshold of nothing or below."""
    record = LayerRecord(
        0, {"longname": "net.0", "tensor": "net.0.weight"}, spectrum=ww.Spectrum.from_eigenvalues(np.full(30, 4.0))
    )
    row = ww.recommend(ww.Results.from_records([record]), "unfreeze", share=1).table().iloc[0]
    assert row["snr"] == pytest.approx(30)
    row = ww.recommend(ww.Results.from_records([record]), "unfreeze", share=1, by="edge").table().iloc[0]
    assert math.isnan(row["signal_over_bulk"])
    assert (row["unfreeze"], row["reason"]) == (False, "its ratio is not defined")


def test_the_published_ratio_goes_by_the_size_of_the_weights():
    """A sum over a sum over the largest: of weights a thousand times smaller it is a thousand times as large."""
    matrix = noise(60, 40, 1)
    whole, small = (
        ww.recommend({"fc.weight": scale * matrix}, "unfreeze", share=1).table()["snr"][0] for scale in (1.0, 1e-3)
    )
    assert small == pytest.approx(1000 * whole)


def test_a_layer_of_one_direction_has_its_share_of_ranks():
    """Ranks in proportion to those of the ERG cut, of which one is 1."""
    one, ten = (np.where(np.arange(60) < number, 1.0, small) for number, small in ((1, 1e-9), (10, 1e-3)))
    records = [
        replace(layer(place, name, rows=300), spectrum=ww.Spectrum.from_eigenvalues(values, (300, 60)))
        for place, (name, values) in enumerate({"net.a": one, "net.b": ten}.items())
    ]
    table = ww.recommend(ww.Results.from_records(records), "truncate", by="erg", parameters=0.4).table()
    assert table["erg_rank"].tolist() == [1, 13]
    assert table["rank"].tolist() == [2, 38]


def test_layers_of_no_rank_of_their_own_share_the_budget():
    """Without a spike anywhere every layer has one rank, and says so."""
    advice = ww.recommend({f"fc{n}.weight": noise(70, 50, n) for n in range(2)}, "lora-rank", by="spikes", rank=5)
    assert advice.table()["rank"].tolist() == [5, 5]
    assert advice.notes == ("no layer has a spike: every layer gets the same rank",)


def test_spikes_and_edges_are_those_of_the_table():
    """Of lines of uneven strengths, which the even law would take for spikes."""
    rng = np.random.default_rng(4)
    W = rng.normal(size=(160, 90)) * np.exp(rng.normal(scale=0.9, size=(160, 1)))
    results = ww.examine({"net.0.weight": W}, progress=False)
    row, layer_ = results.table().iloc[0], results.layer("net.0")
    assert ww.fit_bulk(results.records[0].spectrum).spikes > row["bulk_spikes"]
    assert ww.recommend(results, "lora-rank", by="spikes").table()["bulk_spikes"].tolist() == [row["bulk_spikes"]]
    x = layer_.spectrum.unit_mean
    edge = layer_.bulk.edge
    ratio = ww.recommend(results, "unfreeze", by="edge").table()["signal_over_bulk"][0]
    assert ratio == pytest.approx(x[x > edge].sum() / x[x <= edge].sum())


def test_weights_that_are_examined_on_the_way_show_no_bar(monkeypatch):
    asked = []

    def examine(source, **options):
        asked.append(options)
        return layers(2, 3)

    monkeypatch.setattr("setol_ww.watcher.examine", examine)
    assert len(ww.recommend({"a.weight": noise()}, "sparsity").rows) == 2
    assert asked == [{"progress": False}]


# --- groups of an optimiser ------------------------------------------------------------------------------------------


class Block(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = torch.nn.Conv2d(4, 8, 3), torch.nn.BatchNorm2d(8)
        self.shortcut = torch.nn.Sequential(torch.nn.Conv2d(4, 8, 1), torch.nn.BatchNorm2d(8))
        self.conv2, self.bn2 = torch.nn.Conv2d(8, 8, 3), torch.nn.BatchNorm2d(8)
        self.norm = torch.nn.LayerNorm(8)


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bn0 = torch.nn.BatchNorm2d(4)
        self.block, self.fc = Block(), torch.nn.utils.weight_norm(torch.nn.Linear(8, 6))
        self.attn = torch.nn.MultiheadAttention(8, 2)
        self.scale = torch.nn.Parameter(torch.ones(3))


def rates_of(model, values: dict[str, float], column: str = "learning_rate") -> dict[str, float]:
    """The value of each parameter by its name."""
    from setol_ww.advice.groups import param_groups

    tensors = {"block.conv1": "block.conv1.weight", "attn.in_proj_weight": "attn.in_proj_weight"}
    rows = [
        {"longname": name, "tensor": tensors.get(name, f"{name}.weight"), column: one} for name, one in values.items()
    ]
    groups = param_groups(SimpleNamespace(rows=rows, column=column, options={"base": 0.5}), model)
    key = {"learning_rate": "lr", "weight_decay": "weight_decay"}[column]
    assert all(list(group) == ["params", key] for group in groups)
    assert [group[key] for group in groups] == list(dict.fromkeys(group[key] for group in groups))
    by_id = {id(parameter): group[key] for group in groups for parameter in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(by_id)
    return {name: by_id[id(parameter)] for name, parameter in model.named_parameters()}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*")
def test_which_parameter_has_which_rate():
    values = {"block.conv1": 1.0, "block.shortcut.0": 2.0, "block.conv2": 3.0, "fc": 4.0, "attn.in_proj_weight": 5.0}
    found = rates_of(Net(), values)
    assert found == {
        "scale": 0.5,
        # Before it there is no layer.
        "bn0.weight": 0.5,
        "bn0.bias": 0.5,
        "block.conv1.weight": 1.0,
        "block.conv1.bias": 1.0,
        "block.bn1.weight": 1.0,
        "block.bn1.bias": 1.0,
        "block.shortcut.0.weight": 2.0,
        "block.shortcut.0.bias": 2.0,
        # No conv is called as it is: that before it.
        "block.shortcut.1.weight": 2.0,
        "block.shortcut.1.bias": 2.0,
        "block.conv2.weight": 3.0,
        "block.conv2.bias": 3.0,
        "block.bn2.weight": 3.0,
        "block.bn2.bias": 3.0,
        "block.norm.weight": 0.5,
        "block.norm.bias": 0.5,
        "fc.bias": 4.0,
        "fc.weight_g": 4.0,
        "fc.weight_v": 4.0,
        "attn.in_proj_weight": 5.0,
        "attn.in_proj_bias": 0.5,
        "attn.out_proj.weight": 0.5,
        "attn.out_proj.bias": 0.5,
    }
    # A decay is of weights alone: biases and norms keep the base.
    decays = rates_of(Net(), values, "weight_decay")
    weights = ("block.conv1.weight", "block.shortcut.0.weight", "block.conv2.weight", "fc.weight_g", "fc.weight_v")
    kept = {name: found[name] for name in (*weights, "attn.in_proj_weight")}
    assert {name: value for name, value in decays.items() if value != 0.5} == kept


def test_groups_of_what_is_no_such_model():
    advice = ww.recommend(layers(2, 3), "weight-decay")
    with pytest.raises(ww.InvalidInput, match=said("param_groups of dict was asked; accepted is a torch.nn.Module")):
        advice.param_groups({})
    sentence = (
        "param_groups of a model without 'net.a' was asked; accepted is the model that the results are of. This one "
        "has 0.weight, 0.bias, 1.weight, 1.bias, 2.weight, ..."
    )
    with pytest.raises(ww.InvalidInput, match=said(sentence)):
        advice.param_groups(torch.nn.Sequential(*[torch.nn.Linear(3, 3) for _ in range(3)]))


# --- names of two models ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("label", "word"), [(label, word) for label, words in WORDS.items() for word in words])
def test_a_part_is_found_under_every_name_it_may_have(label, word):
    assert list(names_apart("h.0.attn.fused.weight", label, {word})) == [f"h.0.attn.{word}.weight"]
    assert list(names_apart("h.0.fused", label, {word})) == [f"h.0.{word}"]
    assert list(names_apart("fused.weight", label, {word, "other"})) == [f"{word}.weight"]
    assert list(names_apart("h.fused_weight", label, {f"{word}_weight"})) == [f"h.{word}_weight"]
    assert list(names_apart(f"h.{word}.weight", label, {word})) == []
    assert list(names_apart("h.fused.weight", "other", {word})) == []


def test_the_names_of_parts_are_those_that_models_have():
    assert {label: words[:4] for label, words in WORDS.items()} == {
        "q": ("q_proj", "q", "query", "wq"),
        "k": ("k_proj", "k", "key", "wk"),
        "v": ("v_proj", "v", "value", "wv"),
        "gate": ("gate_proj", "gate", "w1", "ffn_gate"),
        "up": ("up_proj", "up", "w3", "ffn_up"),
    }
    assert [words[4:] for words in WORDS.values()] == [
        *[
            (f"to_{one}", f"attn_{one}", f"{one}_lin", f"{name}_proj")
            for one, name in zip("qkv", ("query", "key", "value"))
        ],
        ("wi_0",),
        ("wi_1",),
    ]


def test_a_prefix_is_believed_of_half_of_the_names():
    names = ["x.a.weight", "x.b.weight", "c.weight", "d.weight"]
    half = paired(names, ["a.weight", "b.weight", "p.weight", "q.weight"])
    assert half.partners == {"x.a.weight": "a.weight", "x.b.weight": "b.weight"}
    assert half.remarks == ("names of the first model are compared without 'x.'",)
    turned = paired(["a.weight", "b.weight", "p.weight", "q.weight"], names)
    assert turned.partners == {"a.weight": "x.a.weight", "b.weight": "x.b.weight"}
    assert turned.remarks == ("names of the second model are compared without 'x.'",)
    assert turned.sides == ({"a.weight", "b.weight"}, {"x.a.weight", "x.b.weight"})
    assert paired(names, ["a.weight", "p.weight", "q.weight"]).partners == {}
    # One prefix after another, the one that most names have first.
    two = paired(["m.a", "m.b", "m.c", "n.d", "n.e"], ["a", "b", "c", "d", "e"])
    assert list(two.partners) == ["m.a", "m.b", "m.c", "n.d", "n.e"]
    assert two.remarks == tuple(f"names of the first model are compared without '{one}.'" for one in "mn")
    wrapped = paired(["module.a", "b"], ["_orig_mod.a", "b"])
    assert wrapped.partners == {"module.a": "_orig_mod.a", "b": "b"}
    assert wrapped.remarks == (
        "names are compared without the wrappers of torch.compile, FSDP, data parallelism and PEFT",
    )
    with pytest.raises(AttributeError):
        wrapped.remarks = ()


def test_a_layer_of_both_does_not_hide_the_parts_behind_it():
    rng = np.random.default_rng(0)
    down, qkv = rng.normal(size=(40, 30)), rng.normal(size=(90, 30))
    fused = {"a.down.weight": down, "b.qkv_proj.weight": qkv}
    apart = {"a.down.weight": down, **{f"b.{one}_proj.weight": part for one, part in zip("qkv", np.split(qkv, 3))}}
    for first, second in ((fused, apart), (apart, fused)):
        found = ww.compare(first, second, layouts={"*qkv_proj.weight": "qkv:30,30,30"}, progress=False)
        assert len(found) == 4
        assert found.table()["update_norm"].tolist() == [0.0] * 4
        assert found.remarks == (
            "layers that one model has apart are held against the parts of a fused tensor of the other",
        )


def test_each_layer_is_looked_at_by_one_thread_of_the_libraries(monkeypatch):
    """However many the host has set, which are there again afterwards."""
    from threadpoolctl import threadpool_info, threadpool_limits

    from setol_ww.advice import layerwise

    def threads() -> set[int]:
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    seen, measured = [], layerwise.measured

    def watched(*asked):
        seen.append(threads())
        return measured(*asked)

    monkeypatch.setattr(layerwise, "measured", watched)
    with threadpool_limits(2, user_api="blas"):
        before = threads()
        ww.compare({"a.weight": noise()}, {"a.weight": noise(seed=1)}, progress=False)
        assert threads() == before
    assert seen == [{1}, {1}]


def test_a_device_that_is_none_is_refused_before_any_work():
    W = {"a.weight": noise()}
    for asked in (
        lambda: ww.compare(W, W, device="mps"),
        lambda: ww.compare(None, W, device="mps"),
        lambda: compare_run([W, W], device="mps"),
    ):
        with pytest.raises(ww.InvalidInput, match=r"^device='mps' was asked, which computes no float64 eigenvalues; "):
            asked()


def test_threads_of_a_comparison_end_with_it_and_a_bar_counts_its_layers(monkeypatch):
    import threading
    from contextlib import contextmanager

    from setol_ww.advice import layerwise

    told: list = []

    class Bar:
        def update(self) -> None:
            told.append(1)

    @contextmanager
    def bar(*asked):
        told.append(asked)
        yield Bar()

    monkeypatch.setattr(layerwise, "progress_bar", bar)
    models = [{f"{name}.weight": noise(30, 20, seed + n) for n, name in enumerate("abc")} for seed in (0, 5)]
    before = threading.active_count()
    plain = ww.compare(*models, progress=False).table()
    threads = ww.compare(*models, n_jobs=2, progress=None).table()
    assert threading.active_count() == before
    assert told == [(3, "layers", False), 1, 1, 1, (3, "layers", None), 1, 1, 1]
    assert threads["update_norm"].tolist() == plain["update_norm"].tolist()


def test_rounding_of_a_type_that_is_not_known_is_not_told():
    """Of nine bits nobody says how they were rounded; of two sides both have to be known."""
    from setol_ww.advice.update import Side, update_of

    first, second = noise(), noise(seed=1)
    known, unknown = (Side.of([first], dtype) for dtype in ("float32", "nf4"))
    other = Side.of([second], "float32")
    assert update_of(known, other).update_rounding > 0
    assert math.isnan(update_of(unknown, other).update_rounding)
    assert math.isnan(update_of(other, unknown).update_rounding)
    # What is put together from factors was added in float32.
    added = Side.of([first], "nf4 + LoRA")
    assert update_of(added, other).update_rounding == update_of(known, other).update_rounding


def test_an_interrupt_ends_a_comparison_of_threads(monkeypatch):
    """What nobody has begun by then is left: the others are let go after the pool was told to end."""
    import threading
    from concurrent.futures import ThreadPoolExecutor

    from setol_ww.advice import layerwise

    gate, first, seen = threading.Event(), threading.Lock(), []

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait=True, **told):
            super().shutdown(wait=False, **told)
            gate.set()
            super().shutdown(wait=wait)

    def looked_at(job, tensor, options):
        seen.append(job.title)
        if first.acquire(blocking=False):
            raise KeyboardInterrupt
        assert gate.wait(60)
        return layerwise.Looked(LayerRecord(0, {}), None)

    monkeypatch.setattr(layerwise, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(layerwise, "looked_at", looked_at)
    models = [{f"{n}.weight": noise(8, 6, n) for n in range(20)}] * 2
    with pytest.raises(KeyboardInterrupt):
        ww.compare(*models, n_jobs=2, progress=False)
    assert set(seen) <= {"0", "1", "2"}


def test_what_holds_arrays_is_itself_and_no_other():
    """It can be kept in a set, is never held against another entry by entry, and prints none of them."""
    from setol_ww.advice.layerwise import looked_at
    from setol_ww.advice.matching import plan
    from setol_ww.advice.sources import source_of
    from setol_ww.advice.truncate import _Layer
    from setol_ww.advice.update import Side
    from setol_ww.core.options import Options
    from setol_ww.monitor.copies import Copy, layers_of_model
    from setol_ww.monitor.moves import Mark

    W = noise()
    W[3, 5] = 40.0
    model = {"a.weight": W}

    def made() -> list:
        results = ww.examine(model, progress=False)
        (followed,) = layers_of_model(model, Options())
        source = source_of(model, "base")
        (job,) = plan(source.tensors, None, {})
        return [
            rows_of(results)[0],
            ww.compare(model, model, progress=False),
            Trapped([W], seed=0, level=0.01).parts(1)[0],
            Side.of([W], "float64"),
            _Layer.of(rows_of(results)[0]),
            followed,
            followed.copied(),
            looked_at(job, source.tensors[0], Options()),
        ]

    for one, other in zip(made(), made()):
        assert len({one, other, one}) == 2
        assert one != other
    *_, part, side, _, _, copy, _ = made()
    printed = [part, side, source_of(model, "base"), Mark.of(ww.Spectrum.from_matrix(W), 5)]
    assert isinstance(copy, Copy)
    for one in printed:
        assert "array" not in repr(one)
        assert "WeightTensor" not in repr(one)
        assert len(repr(one)) < 400


def test_a_layer_that_one_model_has_packed_is_not_compared():
    W, packed = noise(8, 6), np.eye(8, 6, dtype=np.int8)
    why = "integers of type int8 are no weights as they stand: an index, or packed values without their scales"
    for first, second, side in ((W, packed, "tuned"), (packed, W, "base"), (packed, packed, "both")):
        found = ww.compare({"a.weight": first, "b.weight": W}, {"a.weight": second, "b.weight": W}, progress=False)
        assert found.table()["longname"].tolist() == ["b"]
        assert found.unmatched.values.tolist() == [["a", side, "8 x 6", why]]


def defaults(of) -> dict:
    """What is taken where nothing is asked."""
    told = inspect.signature(of).parameters.values()
    return {one.name: one.default for one in told if one.default is not one.empty}


def test_what_is_taken_where_nothing_is_asked():
    authors = {"mapping": "linear", "position": 2.0, "min_evals": 50, "keep_base": ("first", "last")}
    for target, options in {
        "learning-rates": {"base": 0.1, "low": 0.5, "high": 1.5, **authors},
        "weight-decay": {"base": 0.1, "low": 0.6666, "high": 3.0, **authors},
        "sparsity": {"sparsity": 0.5, "epsilon": 0.3, "alpha": None, "blocks": None, "min_evals": 1, "most": 1.0},
        "lora-rank": {"rank": 16, "by": "erg", "least": 1, "scale": 1.0, "rslora": False},
        "unfreeze": {"share": 0.5, "by": "snr"},
        "truncate": {"parameters": None, "energy": None, "by": "energy"},
    }.items():
        assert ww.recommend(layers(2, 3), target).options == options
    assert defaults(ww.compare) == {"update": True}
    assert defaults(ww.compare_run) == {"steps": None, "update": True}
    assert defaults(ww.trap_effect) == {
        "inputs": None, "layers": None, "layouts": None, "n_inputs": 256, "controls": 20, "seed": 0, "level": 0.01,
    }  # fmt: skip
    assert defaults(ww.Monitor) == {
        "every": 500, "layers": None, "time_budget": 0.02, "log": None, "alarms": None, "background": True, "out": None,
    }  # fmt: skip
    watched = defaults(watch)
    nothing = watched.pop("tell")
    assert nothing("seen") is None
    assert watched == {"out": None, "every": 30.0, "once": False, "settle": 1.0, "options": None}
    columns = {plot.name: defaults(plot.draw).get("column", "") for plot in ww.plots.PLOTS}
    assert {name for name, column in columns.items() if column == "tail_alpha"} == {
        "comparison", "depth", "histogram", "training",
    }  # fmt: skip
    assert defaults(ww.plots.esd)["scale"] == "log-log"
    assert defaults(ww.plots.ideal_plane)["against"] == "delta_lambda_min"
    assert defaults(ww.plots.truncation_curve) == {
        "ax": None, "metric": "error", "layer": "all", "against": "rank_fraction",
    }  # fmt: skip


class Tied(torch.nn.Module):
    """Tables of words of which some are one."""

    def __init__(self, **alike: str) -> None:
        super().__init__()
        for n, name in enumerate(("embed", "first", "second", "third")):
            torch.manual_seed(n)
            self.add_module(name, torch.nn.Embedding(30, 20))
        for name, other in alike.items():
            self.get_submodule(name).weight = self.get_submodule(other).weight


def test_weights_that_are_tied_in_both_are_one_and_hide_no_other():
    base = Tied(first="embed", second="embed")
    both = ww.compare(base, Tied(first="embed"), progress=False)
    assert both.table()["longname"].tolist() == ["embed", "third", "second"]
    assert (both.table()["update_norm"] > 0).tolist() == [False, False, True]
    assert both.unmatched.empty
    # One of them has no partner: the next has.
    tuned = Tied(second="embed")
    del tuned.first
    apart = ww.compare(base, tuned, progress=False)
    assert apart.table()["longname"].tolist() == ["embed", "third"]
    del base.third
    alone = ww.compare(base, Tied(first="embed", second="embed"), progress=False)
    assert alone.table()["longname"].tolist() == ["embed"]
    assert alone.unmatched.values.tolist() == [
        ["third", "tuned", "30 x 20", "the base model has no layer of that name"]
    ]
    loose = Tied()
    del loose.first
    found = ww.compare(base, loose, progress=False)
    assert found.table()["longname"].tolist() == ["embed", "second"]


def test_updates_beyond_the_range_of_their_squares():
    """Of weights whose squares are beyond float64 shares and ranks are told, and no rounding of it."""
    W = noise(50, 40)
    row = ww.compare({"a.weight": 1e-170 * W}, {"a.weight": 1.5e-170 * W}).table().iloc[0]
    assert (row["update_norm_share"], row["update_reason"], row["status"]) == (pytest.approx(0.5), "", "compared")
    assert row["update_rank"] == 40
    assert row["update_norm"] / 1e-170 == pytest.approx(np.linalg.norm(W) / 2, rel=1e-12)
    assert math.isnan(row["update_rounding"])
    apart = ww.compare({"a.weight": 1.5e308 * np.sign(W)}, {"a.weight": -1.5e308 * np.sign(W)}).table().iloc[0]
    assert apart["update_reason"] == "the difference has entries beyond the range of its type"


# --- what is no comparison -------------------------------------------------------------------------------------------

ACCEPTED = (
    "accepted are a torch.nn.Module, a mapping of names to tensors, a matrix, the path or URL of a checkpoint or of an "
    "adapter, and Results or the .setol file of kept ones"
)


def test_what_is_no_model_to_compare(tmp_path):
    W = np.eye(5)
    empty = "; this one holds no weight of two or more dimensions"
    for given, name, sentence in (
        ((3, W), "base", f"base=int was asked; {ACCEPTED}"),
        ((W, np.ones(3)), "tuned", f"tuned=ndarray was asked; {ACCEPTED}"),
        ((W, {}), "tuned", f"tuned=dict was asked; {ACCEPTED}{empty}"),
        ((torch.nn.ReLU(), W), "base", f"base=ReLU was asked; {ACCEPTED}{empty}"),
    ):
        assert sentence.startswith(f"{name}=")
        with pytest.raises(ww.InvalidInput, match=said(sentence)):
            ww.compare(*given)
    alone = (
        "one model was asked by itself (base=None); accepted is an adapter, whose update is looked at by itself, or "
        "two models"
    )
    results = ww.examine({"a.weight": W}, progress=False)
    for given in (W, results):
        with pytest.raises(ww.InvalidInput, match=said(alone)):
            ww.compare(None, given)
    nothing = (
        "comparing dict with dict was asked; no layer of one can be held against one of the other (a: the tuned model "
        "has no layer of that name; b: the base model has no layer of that name). The first has a.weight, ..., the "
        "second b.weight, ...; accepted are two versions of one model"
    )
    with pytest.raises(ww.InvalidInput, match=said(nothing)):
        ww.compare({"a.weight": W}, {"b.weight": W})
    other = ww.examine({"b.weight": W}, progress=False)
    for second, called in ((other, "kept results"), ({"b.weight": W}, "dict")):
        sentence = f"comparing kept results with {called} was asked; they have no layer of one name and size"
        with pytest.raises(ww.InvalidInput, match=said(sentence)):
            ww.compare(results, second)


def test_why_rows_of_kept_results_have_no_partner():
    def row(
        n: int, name: str, values=(1.0, 2.0, 4.0), status: str = "analyzed", reason: str = "", **told
    ) -> LayerRecord:
        spectrum = ww.Spectrum.from_eigenvalues(values, (len(values), len(values))) if status == "analyzed" else None
        side = len(values)
        identity = {"longname": name, "slice": "", "N": side, "M": side, "shape": f"{side} x {side}", **told}
        return LayerRecord(n, identity, status, reason, spectrum=spectrum)

    base = [row(0, "a"), row(1, "b"), row(2, "c", status="skipped", reason="ours"), row(3, "d"), row(4, "e", slice="q")]
    tuned = [
        row(0, "a"), row(1, "b", (1.0, 2.0)), row(2, "c"), row(3, "d", status="skipped", reason="theirs"), row(4, "e"),
        row(5, "f", slice="k"), row(6, "g", status="skipped", reason="left"),
    ]  # fmt: skip
    found = ww.compare(ww.Results.from_records(base), ww.Results.from_records(tuned))
    assert found.table()["longname"].tolist() == ["a"]
    other = "the {} results have this layer in other parts; accepted are results made under the same layouts"
    assert found.unmatched.values.tolist() == [
        ["b", "both", "3 x 3", "its size is 3 x 3 in the base and 2 x 2 in the tuned model"],
        ["c", "base", "3 x 3", "ours"],
        ["d", "tuned", "3 x 3", "theirs"],
        ["e [q]", "base", "3 x 3", other.format("tuned")],
        ["e", "tuned", "3 x 3", other.format("base")],
        ["f [k]", "tuned", "3 x 3", "the base model has no layer of that name"],
        ["g", "tuned", "3 x 3", "left"],
    ]
    for options in ({"randomize": True}, {"layers": ["a"]}):
        ((name, value),) = options.items()
        sentence = (
            f"{name}={value!r} was asked of two kept results; accepted are detX, quality, uncertainty, seed, "
            "progress; for the rest give the weights"
        )
        with pytest.raises(ww.InvalidInput, match=said(sentence)):
            ww.compare(*[ww.Results.from_records(one) for one in (base, tuned)], **options)


# --- runs ------------------------------------------------------------------------------------------------------------


def test_steps_of_a_run():
    assert steps_of(["a", "b"], [3, 3.5]) == [3, 3.5]
    assert steps_of([{}, "step-5"]) == [0, 1]
    assert steps_of(["step-5", "step-5"]) == [0, 1]
    assert steps_of(["step-6", "step-5"]) == [0, 1]
    for steps in ([1, 1], [2, 1], [1], [1, 2, 3]):
        sentence = f"steps={steps!r} was asked; accepted are 2 rising numbers"
        with pytest.raises(ww.InvalidInput, match=said(sentence)):
            steps_of(["a", "b"], steps)
    for number in (0, 1):
        sentence = f"{number} checkpoints were asked; accepted are two or more of one run"
        with pytest.raises(ww.InvalidInput, match=said(sentence)):
            compare_run([{}] * number)
    with pytest.raises(ww.InvalidInput, match=r"^checkpoints\[1\]=int was asked; "):
        compare_run([{"a.weight": np.eye(3)}, 3])


def test_a_run_of_kept_results_is_a_table_too():
    rng = np.random.default_rng(0)
    models = [{"a.weight": rng.normal(size=(40, 30)), "b.weight": rng.normal(size=(30, 20))} for _ in range(3)]
    del models[1]["b.weight"]
    kept = [ww.examine(one, progress=False) for one in models]
    frame = compare_run(kept, steps=[1, 2, 4], quality=False)
    assert "d_q2_norm" not in frame
    assert frame[["step", "longname", "status"]].values.tolist() == [
        [1, "a", "compared"], [1, "b", "compared"], [2, "a", "compared"], [2, "b", "missing"], [4, "a", "compared"],
        [4, "b", "compared"],
    ]  # fmt: skip
    one = compare_run([models[0], models[2]], update=False, progress=False)
    assert one["d_tail_alpha"].tolist()[2:] == pytest.approx(frame["d_tail_alpha"].tolist()[4:])
    assert "update_norm" not in one
    assert frame.index.tolist() == list(range(6))
    lines = run_text(frame, 60).split("\n")
    assert lines[0].split() == ["alpha", "at", "step", "1", "2", "4"]
    assert lines[3].split()[:3:2] == ["b", "-"]
    # In a narrow terminal the last steps stay.
    many = compare_run([kept[0]] * 20, quality=False)
    shown = [int(word) for word in run_text(many, 60).split("\n")[0].split()[3:]]
    assert 0 < len(shown) < 20
    assert shown[0] == 0
    assert all(one + 1 == other for one, other in pairwise(shown))


# --- effects of traps ------------------------------------------------------------------------------------------------


def test_numbers_of_a_part_written_out():
    """Forty entries, a twentieth of which are two."""
    values = np.zeros((5, 8, 1))
    values[0, 0], values[1, 1], values[2, 2] = 3.0, 2.0, 1.0
    part = Part("element", "(0, 0)", 0.5, values)
    assert part.norm == pytest.approx(math.sqrt(14))
    assert part.mass == pytest.approx(13 / 14)
    assert part.participation == pytest.approx(14**2 / (81 + 16 + 1))
    even = Part("mean shift", "all entries", 0.5, np.full((5, 8, 2), -0.25))
    assert (even.norm, even.mass, even.participation) == pytest.approx((math.sqrt(5), 0.05, 80))
    # Of few entries one at the least.
    assert Part("element", "", 0.5, np.array([[[3.0], [4.0]]])).mass == pytest.approx(16 / 25)


def noise(rows: int = 60, columns: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, columns))


@pytest.mark.parametrize("shape", [(60, 40), (40, 60)])
def test_what_is_taken_out_of_a_layer_and_where_it_lies(shape):
    """Elements by their size, what carries the others, all together; shares by projectors written out."""
    W = noise(*shape)
    W[3, 5], W[7, 9], W[1, 2] = 40.0, -30.0, 25.0
    trapped = Trapped([W], seed=0, level=0.01)
    parts = trapped.parts(2)
    assert [(one.carrier, one.place) for one in parts] == [
        ("element", "(3, 5)"),
        ("element", "(7, 9)"),
        ("all", "together"),
    ]
    assert [np.argwhere(one.values).tolist() for one in parts] == [
        [[3, 5, 0]],
        [[7, 9, 0]],
        [[1, 2, 0], [3, 5, 0], [7, 9, 0]],
    ]
    assert [one.carrier for one in trapped.parts(3)] == ["element"] * 3 + ["all"]
    cleaned = ww.remove_traps(W, ww.find_traps(W))
    np.testing.assert_allclose(parts[2].values[..., 0], W - cleaned)
    largest = max(trap.pvalue for trap in trapped.report.traps)
    assert {one.pvalue for one in parts[:2]} == {largest}
    assert parts[2].pvalue == trapped.report.pvalue
    # Of a single element beyond the most there is all of it.
    assert [one.carrier for one in trapped.parts(0)] == ["all"]
    U, _, Vt = np.linalg.svd(W)
    k = ww.erg_cut(ww.Spectrum.from_matrix(W)).rank
    for one in parts:
        D = one.values[..., 0]
        assert trapped.share_of_variance(one) == pytest.approx((D**2).sum() / (W**2).sum())
        inside = np.linalg.norm(U[:, :k].T @ D @ Vt[:k].T) ** 2 / (D**2).sum()
        assert trapped.overlap(one) == pytest.approx(inside, rel=1e-6)
    drawn = list(trapped.controls(parts[0], 3, (1, 2)))
    assert len(drawn) == 3
    for one in drawn:
        assert np.linalg.norm(one) == pytest.approx(parts[0].norm)
        # Outside of both leading sectors.
        assert np.abs(U[:, :k].T @ one[..., 0]).max() < 1e-6
        assert np.abs(one[..., 0] @ Vt[:k].T).max() < 1e-6
    again, other = (list(trapped.controls(parts[0], 3, seed)) for seed in ((1, 2), (1, 3)))
    np.testing.assert_array_equal(again, drawn)
    assert not np.allclose(other, drawn)


def test_a_shift_and_a_spread_are_of_all_entries():
    (shifted,) = Trapped([noise() + 0.6], seed=0, level=0.01).parts(10)
    assert (shifted.carrier, shifted.place) == ("mean shift", "all entries")
    whole = noise()
    np.testing.assert_allclose(shifted.values, np.full_like(shifted.values, whole.mean() + 0.6), atol=1e-9)
    both = noise() + 0.6
    both[3, 5] = 60.0
    found = Trapped([both], seed=0, level=0.01).parts(10)
    assert [one.carrier for one in found] == ["element", "mean shift", "all"]
    # Of several slices an element is in one of them.
    kernel = noise(40, 30 * 4, 3).reshape(40, 30, 2, 2)
    kernel[4, 5, 1, 0] = 40.0
    slices = [kernel[:, :, i, j] for i in range(2) for j in range(2)]
    (element,) = Trapped(slices, (2, 2), seed=0, level=0.01).parts(10)
    assert element.place == "(4, 5, 1, 0)"
    assert np.argwhere(element.values).tolist() == [[4, 5, 2]]
    # As many as there are rows for: nothing more is told together.
    (element,) = Trapped(slices, seed=0, level=0.01).parts(1)
    assert element.place == "(4, 5, 2)"


def planted() -> torch.nn.Sequential:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(60, 50), torch.nn.ReLU(), torch.nn.Linear(50, 7))
    with torch.no_grad():
        net[0].weight[3, 7] = 5.0
    return net


def test_an_effect_is_that_of_the_model_without_the_trap():
    """Divergences by scipy, of copies of the model from which the parts were taken by hand."""
    net, inputs = planted(), torch.randn(40, 60, generator=torch.Generator().manual_seed(1))
    effect = ww.trap_effect(net, inputs, controls=7, seed=2, layers=["0"])
    (row,) = effect.removals
    W = net[0].weight.detach().double().numpy()
    trapped = Trapped([W], seed=2, level=0.01)
    (part,) = trapped.parts(10)

    def answers(taken: np.ndarray) -> np.ndarray:
        copy = planted()
        with torch.no_grad():
            copy[0].weight.copy_(torch.from_numpy(W - taken))
            return torch.softmax(copy(inputs).double(), 1).numpy()

    def apart(taken: np.ndarray) -> float:
        pairs = zip(answers(np.zeros_like(W)), answers(taken), strict=True)
        return float(np.mean([jensenshannon(one, other) ** 2 for one, other in pairs]))

    bulk = [apart(values[..., 0]) for values in trapped.controls(part, 7, (2, 0, 0))]
    assert row.js == pytest.approx(apart(part.values[..., 0]), rel=1e-5)
    assert (row.js_bulk, row.js_bulk_high) == pytest.approx((np.median(bulk), np.percentile(bulk, 95)), rel=1e-4)
    assert row.beyond == np.mean(np.array(bulk) < row.js)
    assert (effect.n_inputs, effect.drawn, effect.controls, effect.seed) == (40, False, 7, 2)
    assert list(effect.table()) == [
        "layer", "carrier", "place", "pvalue", "norm", "share_of_variance", "mass", "participation", "overlap", "js",
        "js_bulk", "js_bulk_high", "beyond",
    ]  # fmt: skip
    # The level reaches the search.
    assert (
        ww.trap_effect(net, inputs, controls=2, level=1e-300, layers=["2"]).reason == "no trap in any of the 1 layers"
    )


def test_a_trap_that_no_output_depends_on_is_beyond_nothing():
    """What neither the trap nor a direction of the bulk changes: no share of them changes less."""
    net = planted()
    with torch.no_grad():
        net[2].weight.zero_()
    effect = ww.trap_effect(net, controls=3, n_inputs=8, layers=["0"])
    assert effect.table()[["js", "js_bulk", "js_bulk_high", "beyond"]].values.tolist() == [[0.0] * 4]
    assert "no more than directions of the bulk" in effect.sentence


def test_a_layer_without_a_trap_does_not_end_the_search():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(60, 50), torch.nn.ReLU(), torch.nn.Linear(50, 40), torch.nn.Linear(40, 5))
    with torch.no_grad():
        net[2].weight[3, 7] = 5.0
        net[3].weight[0, 0] = float("nan")
    effect = ww.trap_effect(net, n_inputs=6, controls=2)
    assert [(row.layer, row.place) for row in effect.removals] == [("2", "(3, 7)")]
    assert list(effect.left_out) == ["3"]
    assert effect.n_inputs == 6


def test_while_an_effect_is_looked_at_no_other_thread_may_truncate_the_model():
    """And the modes and random states are as before."""
    from threading import Thread

    heard: list[str] = []

    class Asking(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = planted()

        def forward(self, x):
            def ask() -> None:
                try:
                    ww.truncate(self.net, "rank:3")
                except ww.InvalidInput as error:
                    heard.append(str(error))

            assert not self.training
            assert not torch.is_grad_enabled()
            thread = Thread(target=ask)
            if len(heard) < 1 and not torch.equal(self.net[0].weight[3, 7], torch.tensor(5.0)):
                thread.start()
                thread.join()
            return self.net(x)

    model = Asking().train()
    state = torch.get_rng_state()
    before = model.net[0].weight.detach().clone()
    ww.trap_effect(model, torch.randn(5, 60, generator=torch.Generator()), controls=2)
    assert len(heard) == 1
    assert "thread" in heard[0]
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(model.net[0].weight, before)


ROW = Removal("fc1", "element", "(3, 7)", 1e-30, 5.0, 0.03, 1.0, 1.0, 0.2, 0.31, 0.02, 0.05, 1.0)


def test_effects_in_words(monkeypatch):
    monkeypatch.setenv("COLUMNS", "110")
    one = TrapEffect((ROW,), 256, True, 20, 0)
    assert one.sentence == (
        "1 removal; the largest effect is that of fc1, element (3, 7): JS = 0.31 nat, more than directions of the "
        "bulk of its size (0.02, 95 % below 0.05)."
    )
    small = replace(ROW, js=0.05, layer="fc2", carrier="mean shift", place="all entries")
    two = TrapEffect((replace(ROW, js=0.04), small), 10, False, 3, 4, left_out={"a": "no", "b\x1b": "why"})
    assert two.sentence == (
        "2 removals; the largest effect is that of fc2, mean shift all entries: JS = 0.05 nat, no more than "
        "directions of the bulk of its size (0.02, 95 % below 0.05)."
    )
    lines = str(two).split("\n")
    assert "10 outputs on the inputs that were given, 3 directions of the bulk each, seed 4" in lines
    assert "not looked at: a (no), b\\x1b (why)" in lines
    assert "256 outputs on drawn inputs, not data, 20 directions of the bulk each, seed 0" in str(one).split("\n")
    none = TrapEffect((), 0, True, 20, 0, "no trap in any of the 2 layers")
    assert none.sentence == "No effect to tell: no trap in any of the 2 layers."
    assert none.to_dict()["sentence"] == none.sentence


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (lambda: torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Linear(7, 3)), (5, 7)),
        (lambda: torch.nn.Conv1d(4, 6, 3), (5, 4, 32)),
        (lambda: torch.nn.Conv2d(4, 6, 3), (5, 4, 32, 32)),
        (lambda: torch.nn.Linear(7, 3).bfloat16(), (5, 7)),
    ],
)
def test_inputs_are_drawn_as_the_first_layer_takes_them(net, shape):
    model = net()
    first, again, other = (drawn_inputs(model, 5, seed) for seed in (1, 1, 2))
    assert first.shape == shape
    assert first.dtype == next(model.parameters()).dtype
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert abs(float(first.double().mean())) < 0.7
    ids = drawn_inputs(torch.nn.Embedding(11, 4), 200, 0)
    assert ids.shape == (200, 32)
    assert (ids.dtype, int(ids.min()), int(ids.max())) == (torch.int64, 0, 10)


def test_inputs_that_cannot_be_drawn_or_taken():
    odd = torch.nn.Module()
    odd.net = torch.nn.LayerNorm(4)
    sentence = (
        "inputs for Module were to be drawn; its first layer, LayerNorm, does not say what it takes. Give a batch: "
        "trap_effect(model, inputs)"
    )
    with pytest.raises(ww.InvalidInput, match=said(sentence)):
        drawn_inputs(odd, 3, 0)
    given = {"a": np.ones((2, 3)), "b": (np.zeros(2), [torch.ones(1)])}
    found = as_inputs(given)
    assert list(found) == ["a", "b"]
    assert torch.equal(found["a"], torch.ones(2, 3, dtype=torch.float64))
    assert [type(one) for one in found["b"]] == [torch.Tensor, tuple]
    assert found["b"][1][0] is given["b"][1][0]
    sentence = (
        "inputs of type object were given; accepted is one batch: a tensor, an array, a tuple of arguments or a "
        "mapping of them"
    )
    with pytest.raises(ww.InvalidInput, match=said(sentence)):
        as_inputs(object())


class Answers(torch.nn.Module):
    """A model that answers what it is made with."""

    def __init__(self, answer) -> None:
        super().__init__()
        self.answer = answer
        self.layer = torch.nn.Linear(3, 3)

    def forward(self, x):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_answers_as_distributions():
    logits = torch.tensor([[[1.0, 2.0], [0.0, 5.0]], [[-1.0, 1.0], [3.0, 3.0]]])
    x = torch.zeros(2, 3)
    want = torch.log_softmax(logits.double().reshape(4, 2), 1)
    for answer in (logits, SimpleNamespace(logits=logits)):
        assert torch.equal(log_probabilities(Answers(answer), x), want)
    # One logit is that of one class against none.
    single = log_probabilities(Answers(torch.tensor([[0.0], [math.log(3)]])), x).exp()
    assert single.tolist() == [pytest.approx([0.5, 0.5]), pytest.approx([0.75, 0.25])]
    for answer in (torch.ones(2, 3, dtype=torch.int64), torch.tensor(1.0), "text"):
        sentence = (
            "trap_effect of Answers was asked; it answers no logits, accepted is a model that returns a tensor, or "
            "something with .logits"
        )
        with pytest.raises(ww.InvalidInput, match=said(sentence)):
            ww.trap_effect(Answers(answer), x)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("first line\nsecond"), "first line"),
        (TypeError(), "TypeError"),
        (IndexError("out"), "out"),
        (ValueError("bad"), "bad"),
    ],
)
def test_inputs_that_a_model_does_not_take(error, told):
    sentence = (
        f"trap_effect of Answers was asked; it does not take these inputs ({told}). Accepted is one batch as its "
        "forward takes it: trap_effect(model, inputs)"
    )
    with pytest.raises(ww.InvalidInput, match=said(sentence)):
        ww.trap_effect(Answers(error), torch.zeros(2, 3))
