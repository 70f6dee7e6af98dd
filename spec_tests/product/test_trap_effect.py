"""`trap_effect`: the divergence against scipy's, planted traps found and told apart, the model put back bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon

import setol_ww as ww
from setol_ww.advice.outputs import divergence, log_probabilities
from setol_ww.advice.removals import Trapped
from setol_ww.advice.trap_effect import without
from setol_ww.truncation.pieces import pieces_of


def net_of(planted: str = "") -> torch.nn.Sequential:
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(120, 100), torch.nn.ReLU(), torch.nn.Dropout(0.5), torch.nn.Linear(100, 10)
    )
    with torch.no_grad():
        for one in (net[0].weight, net[3].weight):
            one.normal_(std=0.1)
        if planted == "element":
            net[0].weight[31, 17] = 6.0
        if planted == "mean shift":
            net[0].weight += 0.06
    return net


def state(net: torch.nn.Module) -> list:
    tensors = [*net.parameters(), *net.buffers()]
    bits = [tensor.detach().numpy().tobytes() for tensor in tensors]
    return [*bits, [tensor._version for tensor in tensors], [module.training for module in net.modules()]]


def test_the_divergence_is_scipys():
    torch.manual_seed(1)
    p, q = (torch.softmax(3 * torch.randn(50, 7, dtype=torch.float64), 1) for _ in range(2))
    expected = np.mean([jensenshannon(a, b) ** 2 for a, b in zip(p.numpy(), q.numpy())])
    assert divergence(p.log(), q.log()) == pytest.approx(expected, rel=1e-12)
    assert divergence(p.log(), p.log()) == 0
    apart = torch.eye(2, dtype=torch.float64).log()
    assert divergence(apart, apart.flip(0)) == pytest.approx(np.log(2))


@pytest.mark.parametrize("planted, place", [("element", "(31, 17)"), ("mean shift", "all entries")])
def test_a_planted_trap_is_told_with_its_effect(planted, place):
    net = net_of(planted)
    net.train()
    inputs = torch.randn(64, 120)
    before, random_state = state(net), torch.get_rng_state()
    effect = ww.trap_effect(net, inputs, controls=40)
    assert state(net) == before
    assert torch.equal(torch.get_rng_state(), random_state)
    (row,) = effect.removals
    assert (row.layer, row.carrier, row.place) == ("0", planted, place)
    # What the same computation gives by hand, on a copy of the model.
    clean = net_of(planted).eval()
    with torch.no_grad():
        p = torch.softmax(clean(inputs).double(), 1).numpy()
        taken = clean[0].weight - ww.remove_traps(clean[0].weight)
        clean[0].weight -= taken
        share = float((taken.double() ** 2).sum() / (net[0].weight.double() ** 2).sum())
        q = torch.softmax(clean(inputs).double(), 1).numpy()
    expected = np.mean([jensenshannon(a, b) ** 2 for a, b in zip(p, q)])
    assert row.js == pytest.approx(expected, rel=1e-3)
    assert row.norm == pytest.approx(float(taken.norm()), rel=1e-5)
    assert row.share_of_variance == pytest.approx(share, rel=1e-5)
    assert row.participation == pytest.approx({"element": 1, "mean shift": taken.numel()}[planted], rel=1e-3)
    assert row.mass == pytest.approx({"element": 1, "mean shift": 0.05}[planted], rel=1e-3)
    assert 0 <= row.overlap <= 1
    assert row.js_bulk <= row.js_bulk_high
    assert effect.n_inputs == 64
    assert not effect.drawn


def test_the_controls_are_of_its_size_and_outside_the_leading_sector():
    W = net_of("element")[0].weight
    trapped = Trapped([W], seed=0, level=0.01)
    (part,) = trapped.parts(10)
    U, _, Vt = np.linalg.svd(W.detach().numpy().astype(float), full_matrices=False)
    k = ww.erg_cut(ww.Spectrum.from_matrix(W)).rank
    for values in trapped.controls(part, 5, (0,)):
        one = values[..., 0]
        assert np.linalg.norm(one) == pytest.approx(part.norm)
        assert np.linalg.matrix_rank(one) == 1
        assert np.abs(U[:, :k].T @ one).max() < 1e-6 * part.norm
        assert np.abs(one @ Vt[:k].T).max() < 1e-6 * part.norm
    inside = np.linalg.norm(U[:, :k].T @ part.values[..., 0] @ Vt[:k].T) ** 2 / part.norm**2
    assert trapped.overlap(part) == pytest.approx(inside, rel=1e-6)


def test_several_traps_of_a_layer_have_a_row_each_and_one_together():
    net = net_of("element")
    with torch.no_grad():
        net[0].weight[60, 90] = -8.0
    effect = ww.trap_effect(net)
    assert [row.place for row in effect.removals[:2]] == ["(60, 90)", "(31, 17)"]
    assert effect.removals[2].carrier == "all"
    whole = effect.removals[2]
    assert whole.share_of_variance == pytest.approx(sum(row.share_of_variance for row in effect.removals[:2]))
    assert effect.drawn
    assert effect.table()["carrier"].tolist() == ["element", "element", "all"]


def test_without_traps_there_is_a_reason():
    effect = ww.trap_effect(net_of())
    assert len(effect.table()) == 0
    assert "js" in effect.table()
    assert effect.reason == "no trap in any of the 2 layers"
    assert "traps  none (no trap in any of the 2 layers)" in str(effect)


def test_layers_that_cannot_be_looked_at_are_said():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(60, 50), torch.nn.ReLU(), torch.nn.Linear(50, 10))
    with torch.no_grad():
        net[0].weight[0, 0] = float("nan")
    found = ww.trap_effect(net)
    assert found.reason == "no trap in any of the 1 layers"
    assert list(found.left_out) == ["0"]
    assert "not looked at: 0 (" in str(found)
    assert found.to_dict()["left_out"] == dict(found.left_out)
    lone = ww.trap_effect(torch.nn.Linear(60, 50, device="meta"))
    assert lone.reason == "no layer could be looked at"
    assert "meta" in str(lone)
    with pytest.raises(ww.InvalidInput, match=r"^trap_effect of ReLU was asked"):
        ww.trap_effect(torch.nn.ReLU(), torch.zeros(2, 3))


def test_nothing_subtracted_moves_nothing():
    net = net_of()
    inputs = torch.randn(8, 120)
    piece = pieces_of(net)[0]
    base = log_probabilities(net, inputs)
    with without(piece, np.zeros((100, 120, 1))):
        assert divergence(base, log_probabilities(net, inputs)) == 0


def test_a_model_that_breaks_is_put_back():
    class Breaks(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.calls = net_of("element"), 0

        def forward(self, x):
            self.calls += 1
            if self.calls > 2:
                raise MemoryError("no room")
            return self.net(x)

    model = Breaks()
    before = state(model)
    with pytest.raises(MemoryError, match="no room"):
        ww.trap_effect(model, torch.randn(4, 120))
    assert state(model) == before


def test_convolutions_half_precision_and_one_logit():
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(40, 60, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(60, 1)
    )
    with torch.no_grad():
        net[0].weight[5, 6, 1, 2] = 3.0
    net = net.bfloat16()
    before = [one.detach().view(torch.int16).tolist() for one in net.parameters()]
    effect = ww.trap_effect(net, n_inputs=4, controls=3, layers=["conv2d"])
    assert [one.detach().view(torch.int16).tolist() for one in net.parameters()] == before
    assert [(row.layer, row.place) for row in effect.removals] == [("0", "(5, 6, 1, 2)")]
    assert effect.removals[0].js > 0


def test_a_language_model_has_ids_drawn():
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(n_layer=1, n_head=2, n_embd=64, n_positions=64, vocab_size=80)
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(config)
    with torch.no_grad():
        model.transformer.h[0].mlp.c_fc.weight[3, 4] = 5.0
    effect = ww.trap_effect(model, n_inputs=4, controls=3, layers=["*mlp*"])
    assert [(row.layer, row.place) for row in effect.removals] == [("transformer.h.0.mlp.c_fc", "(3, 4)")]
    assert effect.n_inputs == 4 * 32


def test_the_same_question_has_the_same_answer():
    net = net_of("element")
    assert ww.trap_effect(net, seed=4).to_dict() == ww.trap_effect(net, seed=4).to_dict()
    assert ww.trap_effect(net, seed=4).removals != ww.trap_effect(net, seed=5).removals


def test_it_prints_and_exports():
    effect = ww.trap_effect(net_of("element"))
    text = str(effect)
    assert "element (31, 17)" in text
    assert "drawn inputs, not data" in text
    assert max(map(len, text.splitlines())) <= 100
    assert effect.to_dict()["schema"] == 1


@pytest.mark.parametrize(
    "asked, said",
    [
        (lambda net: ww.trap_effect({"a": np.eye(3)}), "torch.nn.Module"),
        (lambda net: ww.trap_effect(net, torch.randn(3, 7)), "does not take these inputs"),
        (lambda net: ww.trap_effect(net, controls=0), "controls=0"),
        (lambda net: ww.trap_effect(net, layers=["nothing"]), "nothing"),
        (lambda net: ww.trap_effect(net, inputs="text"), "inputs of type str|does not take"),
        (lambda net: ww.trap_effect(torch.nn.LSTM(20, 30)), "does not say what it takes"),
    ],
)
def test_what_is_not_accepted_is_said(asked, said):
    with pytest.raises(ww.InvalidInput, match=said):
        asked(net_of("element"))


def test_classes_that_cannot_be_count_for_nothing():
    masked = torch.log_softmax(torch.tensor([[1.0, 2.0, -torch.inf]], dtype=torch.float64), 1)
    other = torch.log_softmax(torch.tensor([[2.0, 1.0, -torch.inf]], dtype=torch.float64), 1)
    expected = jensenshannon(masked.exp()[0, :2], other.exp()[0, :2]) ** 2
    assert divergence(masked, other) == pytest.approx(expected)
