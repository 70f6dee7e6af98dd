"""Chapter 8: metrics, and truncation of trained models: MLP3, ResNet-20, a small Llama."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional

import setol_ww as ww
from fixtures import oracles
from setol_ww.truncation import metrics
from spec_tests.conftest import ROOT
from spec_tests.kept_scripts import load_script

mlp3 = load_script("mlp3")
cifar = load_script("cifar_resnet")
curves = load_script("truncation_curves")

# Batch size 32: the demonstration net; both trained by scripts/mlp3.py, learning rate 0.01, seed 0.
NETS = {32: "setol_ww/cli/demo_weights/mlp3_lr1_bs32_seed0.npz", 2: "fixtures/mlp3_lr1_bs2_seed0.npz"}
# Ranks and share of energy kept by power law and ERG.
RANKS = {
    (32, "fc1"): {"powerlaw": (65, 0.478818), "erg": (237, 0.945930)},
    (32, "fc2"): {"powerlaw": (45, 0.787948), "erg": (68, 0.913291)},
    (2, "fc1"): {"powerlaw": (115, 0.751619), "erg": (203, 0.920254)},
    (2, "fc2"): {"powerlaw": (54, 0.861682), "erg": (66, 0.916391)},
}
# Change of the test error on MNIST's 10 000 test images; one image is 1e-4.
DELTAS = {
    (32, "fc1"): {"powerlaw": 0.0076, "erg": 0.0004},
    (32, "fc2"): {"powerlaw": 0.0010, "erg": 0.0002},
    (32, "all"): {"powerlaw": 0.0079, "erg": 0.0006},
    (2, "fc1"): {"powerlaw": -0.0005, "erg": -0.0004},
    (2, "fc2"): {"powerlaw": -0.0005, "erg": -0.0006},
    (2, "all"): {"powerlaw": -0.0004, "erg": -0.0007},
}


def net_of(batch_size: int) -> nn.Sequential:
    return curves.mlp3_net(ROOT / NETS[batch_size])


# MLP3


@pytest.mark.parametrize(("batch_size", "layer"), RANKS)
def test_ranks_of_mlp3_pinned_and_by_the_oracles(batch_size, layer):
    net = net_of(batch_size)
    raw = oracles.singular_value_squares(net.get_submodule(layer).weight.detach().numpy())
    found = {"powerlaw": oracles.power_law_scan(raw).rank, "erg": oracles.erg_cut_mpmath(raw).rank}
    for rule, (rank, energy) in RANKS[batch_size, layer].items():
        with ww.truncated(net, rule, layers=[layer]) as plan:
            assert plan[0].rank == found[rule] == rank
            assert plan[0].kept_energy == pytest.approx(energy, abs=1e-6)
            assert plan[0].kept_energy == pytest.approx(raw[-rank:].sum() / raw.sum(), rel=1e-12)


@pytest.mark.parametrize("batch_size", NETS)
def test_errors_of_mlp3_pinned(batch_size, data):
    mnist = mlp3.load_idx(data / "mnist")
    metrics = ww.classification_metrics([(torch.from_numpy(mnist.x_test), torch.from_numpy(mnist.y_test))])
    net = net_of(batch_size)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    frames = [
        ww.evaluate_truncation(net, metrics, layers=["fc1", "fc2"], per_layer=per_layer) for per_layer in (True, False)
    ]
    for frame in frames:
        for _, row in frame.iterrows():
            # Other BLAS libraries may send an image that lies on a boundary to the other side.
            assert row["delta_error"] == pytest.approx(DELTAS[batch_size, row["layer"]][row["rule"]], abs=2.5e-4)
            # The product of a numpy evaluation with weights truncated by a plain SVD.
            layers = ["fc1", "fc2"] if row["layer"] == "all" else [row["layer"]]
            assert row["error"] == pytest.approx(plain_error(net, mnist, layers, row["rule"], batch_size), abs=2.5e-4)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


def plain_error(net, mnist, layers: list[str], rule: str, batch_size: int) -> float:
    x = mnist.x_test
    for depth in (1, 2, 3):
        layer = net.get_submodule(f"fc{depth}")
        weight = layer.weight.detach().double().numpy()
        if f"fc{depth}" in layers:
            rank = RANKS[batch_size, f"fc{depth}"][rule][0]
            left, sigma, right = np.linalg.svd(weight, full_matrices=False)
            weight = (left[:, :rank] * sigma[:rank]) @ right[:rank]
        x = x @ weight.T.astype(np.float32) + layer.bias.detach().numpy()
        x = np.maximum(x, 0) if depth < 3 else x
    return float(np.mean(x.argmax(1) != mnist.y_test))


# ResNet-20


def test_resnet20_loses_nothing_to_energy_and_everything_to_the_complement(data):
    net, batches = cifar.trained(20, data), cifar.images(200, data)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    frame = ww.evaluate_truncation(net, ww.classification_metrics(batches), rules=["energy:0.999", "erg", "bulk"])
    by = frame.set_index("rule")
    assert 0.1 < by["base_error"].iloc[0] < 0.3
    assert abs(by.loc["energy:0.999", "delta_error"]) <= 0.02
    assert by.loc["bulk", "error"] > 0.7
    assert by.loc["erg", "delta_error"] < by.loc["bulk", "delta_error"]
    with ww.truncated(net) as plan:
        assert len(plan) == 20
        assert {line.layer for line in plan} == set(ww.analyze(net)["longname"])
        for line in plan:
            weight = before[f"{line.layer}.weight"].double().numpy()
            slices = np.moveaxis(weight.reshape(*weight.shape[:2], -1), 2, 0)
            raw = np.sort(np.concatenate([oracles.singular_value_squares(one) for one in slices]))
            # Single precision makes zeros of what float64 still tells from them.
            raw[raw < (max(weight.shape[:2]) * np.finfo(np.float32).eps) ** 2 * raw[-1]] = 0
            assert line.rank == oracles.erg_cut_mpmath(raw).rank
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


# A small Llama


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int, kv_heads: int):
        super().__init__()
        self.heads, self.kv_heads, self.size = heads, kv_heads, dim // heads
        self.q, self.o = nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim, bias=False)
        self.k, self.v = (nn.Linear(dim, kv_heads * self.size, bias=False) for _ in range(2))

    def turned(self, x):
        """Rotary positions: neighbouring pairs turned by position / 10000^(2 i / size)."""
        angle = torch.arange(x.shape[2])[:, None] * 10000.0 ** (-torch.arange(0, self.size, 2) / self.size)
        a, b, c, s = x[..., 0::2], x[..., 1::2], angle.cos(), angle.sin()
        return torch.stack([a * c - b * s, a * s + b * c], dim=-1).flatten(-2)

    def forward(self, x):
        n, length, _ = x.shape
        q = self.q(x).view(n, length, self.heads, self.size).transpose(1, 2)
        k, v = (m(x).view(n, length, self.kv_heads, self.size).transpose(1, 2) for m in (self.k, self.v))
        k, v = (one.repeat_interleave(self.heads // self.kv_heads, dim=1) for one in (self.turned(k), v))
        mixed = functional.scaled_dot_product_attention(self.turned(q), k, v, is_causal=True)
        return self.o(mixed.transpose(1, 2).reshape(n, length, -1))


class Block(nn.Module):
    def __init__(self, dim: int, hidden: int, heads: int, kv_heads: int):
        super().__init__()
        self.attention, self.norm1, self.norm2 = Attention(dim, heads, kv_heads), nn.RMSNorm(dim), nn.RMSNorm(dim)
        self.gate, self.up = nn.Linear(dim, hidden, bias=False), nn.Linear(dim, hidden, bias=False)
        self.down = nn.Linear(hidden, dim, bias=False)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        y = self.norm2(x)
        return x + self.down(functional.silu(self.gate(y)) * self.up(y))


class Llama(nn.Module):
    """Returns an object with logits, as transformers does."""

    def __init__(self, vocabulary=512, dim=64, hidden=172, depth=5, heads=8, kv_heads=4):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, dim)
        self.blocks = nn.ModuleList(Block(dim, hidden, heads, kv_heads) for _ in range(depth))
        self.norm, self.head = nn.RMSNorm(dim), nn.Linear(dim, vocabulary, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, input_ids, attention_mask=None, labels=None):
        x = self.embed(input_ids)
        for block in self.blocks:
            x = block(x)
        return SimpleNamespace(logits=self.head(self.norm(x)))


def stories(data) -> Llama:
    model = Llama()
    with np.load(data / "transformers" / "stories260K.npz") as arrays, torch.no_grad():
        values = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        model.embed.weight.copy_(values["tok_emb"])
        model.norm.weight.copy_(values["rms_final"])
        for depth, block in enumerate(model.blocks):
            for module, name in (
                *((getattr(block.attention, letter), f"w{letter}") for letter in "qkvo"),
                *((block.gate, "w1"), (block.down, "w2"), (block.up, "w3")),
                *((block.norm1, "rms_att"), (block.norm2, "rms_ffn")),
            ):
                module.weight.copy_(values[name][depth])
    return model.eval()


@torch.no_grad()
def written(model: Llama, sequences: int = 8, length: int = 96) -> torch.Tensor:
    """Stories that the model writes itself, one token at a time."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.ones(sequences, 1, dtype=torch.long)
    for _ in range(length - 1):
        probabilities = model(ids).logits[:, -1].softmax(-1)
        ids = torch.cat([ids, torch.multinomial(probabilities, 1, generator=generator)], dim=1)
    return ids


def test_a_trained_llama_under_truncation(data):
    model = stories(data)
    text = written(model)
    frame = ww.evaluate_truncation(
        model, ww.perplexity([{"input_ids": text}]), rules=["energy:0.999", "erg", "random:erg", "bulk"]
    ).set_index("rule")
    assert 2 < frame["base_perplexity"].iloc[0] < 8
    assert abs(frame.loc["energy:0.999", "delta_perplexity"]) < 0.5
    assert 0 < frame.loc["erg", "delta_perplexity"] < frame.loc["random:erg", "delta_perplexity"]
    assert frame.loc["bulk", "perplexity"] > 50
    alone = ww.evaluate_truncation(model, ww.perplexity([text]), rules=["rank:1"], layers=["head"])
    assert alone["layer"].tolist() == ["all"]
    assert alone["rank"].tolist() == [1]


# Metrics


def test_classification_by_hand():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 4)).train()
    model[0].eval()
    x, y = torch.randn(50, 6), torch.randint(0, 4, (50,))
    batches = list(zip(x.split(15), y.split(15)))
    got = ww.classification_metrics({"test": batches, "train": [(x[:5], y[:5])]})(model)
    assert list(got) == ["test_error", "test_loss", "train_error", "train_loss"]
    with torch.no_grad():
        logits = model[1](x).double()
    assert got["test_error"] == pytest.approx((logits.argmax(1) != y).double().mean().item(), abs=1e-12)
    assert got["test_loss"] == pytest.approx(-logits.log_softmax(1)[torch.arange(50), y].mean().item(), rel=1e-12)
    assert got["train_error"] == pytest.approx((logits[:5].argmax(1) != y[:5]).double().mean().item(), abs=1e-12)
    assert [module.training for module in model.modules()] == [True, False, True]
    assert ww.classification_metrics(batches)(model)["loss"] == got["test_loss"]


def test_measuring_keeps_modes_and_random_numbers_even_when_it_fails():
    class Refuses(nn.Module):
        def forward(self, x):
            raise OverflowError

    model = nn.Sequential(nn.Linear(3, 3), Refuses()).train()
    state = torch.get_rng_state()
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.randn(8, 3), torch.zeros(8).long()), batch_size=3, shuffle=True
    )
    torch.set_rng_state(state)
    with pytest.raises(OverflowError):
        ww.classification_metrics(loader)(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in model.modules())
    sound, state = nn.Linear(3, 2), torch.get_rng_state()
    first, second = (ww.classification_metrics(loader)(sound) for _ in range(2))
    assert first == second
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()


def test_batches_as_mappings_and_outputs_of_all_kinds():
    layer = nn.Linear(5, 3)
    x, y = torch.randn(9, 5), torch.randint(0, 3, (9,))
    truth = ww.classification_metrics([(x, y)])(layer)
    for wrap in (lambda o: {"logits": o}, lambda o: SimpleNamespace(logits=o), lambda o: (o, None)):

        class Model(nn.Module):
            def __init__(self, wrap=wrap):
                super().__init__()
                self.layer, self.wrap = layer, wrap

            def forward(self, pixel_values):
                return self.wrap(self.layer(pixel_values))

        assert ww.classification_metrics([{"pixel_values": x, "labels": y}])(Model()) == truth


def test_perplexity_by_hand():
    torch.manual_seed(0)
    model = Llama(vocabulary=30, dim=16, hidden=20, depth=1, heads=2, kv_heads=1).eval()
    ids = torch.randint(0, 30, (3, 12))
    with torch.no_grad():
        logits = model(ids).logits.double().log_softmax(-1)
    nll = [[-logits[i, t - 1, ids[i, t]].item() for t in range(1, 12)] for i in range(3)]
    truth = np.mean(nll)
    for batches in ([ids], [(ids,)], [{"input_ids": ids}], [ids[:2], ids[2:]], [(ids, ids)]):
        got = ww.perplexity(batches)(model)
        assert got["loss"] == pytest.approx(truth, rel=1e-12)
        assert got["perplexity"] == pytest.approx(math.exp(truth), rel=1e-12)
    mask = torch.ones_like(ids)
    mask[0, 7:] = 0
    got = ww.perplexity([{"input_ids": ids, "attention_mask": mask}])(model)
    assert got["loss"] == pytest.approx((sum(nll[0][:6]) + sum(nll[1]) + sum(nll[2])) / 28, rel=1e-12)
    labels = ids.clone()
    labels[:, :6] = -100
    got = ww.perplexity({"late": [{"input_ids": ids, "labels": labels}]})(model)
    assert got["late_loss"] == pytest.approx(np.mean([row[5:] for row in nll]), rel=1e-12)


def test_padding_on_the_left_predicts_nothing():
    torch.manual_seed(0)
    ids, logits = torch.randint(0, 30, (2, 10)), torch.randn(2, 10, 30)
    mask = torch.ones_like(ids)
    mask[0, :4] = 0
    got = ww.perplexity([{"input_ids": ids, "attention_mask": mask}])(lambda input_ids, attention_mask: logits)
    log = logits.double().log_softmax(-1)
    # The first seen token of a sequence, at 4 in the first one, has nothing before it.
    truth = [-log[i, t - 1, ids[i, t]].item() for i, start in ((0, 5), (1, 1)) for t in range(start, 10)]
    assert got["loss"] == pytest.approx(np.mean(truth), rel=1e-12)


def test_labels_and_ids_of_every_integer_type():
    torch.manual_seed(0)
    layer, x, y = nn.Linear(5, 3), torch.randn(9, 5), torch.randint(0, 3, (9,))
    truth = ww.classification_metrics([(x, y)])(layer)
    for labels in (y.int(), y.to(torch.uint8), y.numpy(), y.numpy().astype(np.int16), y.tolist()):
        assert ww.classification_metrics([(x, labels)])(layer) == truth
    ids, logits = torch.randint(0, 30, (2, 10)), torch.randn(2, 10, 30)
    truth = ww.perplexity([ids])(lambda _: logits)
    for batch in (ids.int(), (ids, ids.numpy()), (ids.int(), ids.to(torch.uint8))):
        assert ww.perplexity([batch])(lambda _: logits) == truth


@pytest.mark.parametrize(
    "labels",
    [
        torch.zeros(9, 1).long(),
        nn.functional.one_hot(torch.zeros(9).long(), 3),
        torch.zeros(8).long(),
        torch.zeros(9),
        torch.tensor(1),
        ["a"] * 9,
        None,
    ],
    ids=["column", "one-hot", "too few", "floats", "one number", "words", "none"],
)
def test_labels_that_are_refused(labels):
    with pytest.raises(ww.InvalidInput, match="labels"):
        ww.classification_metrics([(torch.randn(9, 5), labels)])(nn.Linear(5, 3))


@pytest.mark.parametrize(
    "batch",
    [
        torch.zeros(10).long(),
        torch.zeros(2, 10),
        torch.zeros(2, 11).long(),
        torch.zeros(3, 10).long(),
        (torch.zeros(2, 10).long(), torch.zeros(2, 10, 30).long()),
        {"input_ids": torch.zeros(2, 10).long(), "attention_mask": torch.ones(2, 9)},
    ],
    ids=["one sequence", "floats", "longer", "more", "one-hot", "mask"],
)
def test_tokens_that_are_refused(batch):
    with pytest.raises(ww.InvalidInput, match="labels"):
        ww.perplexity([batch])(lambda *_, **__: torch.zeros(2, 10, 30))


def test_perplexity_of_a_model_that_tells_its_loss_alone():
    losses = iter([2.0, 5.0])
    model = lambda input_ids, labels: {"loss": torch.tensor(next(losses))}  # noqa: E731
    long, short = torch.zeros(2, 11, dtype=torch.long), torch.zeros(1, 6, dtype=torch.long)
    got = ww.perplexity([{"input_ids": ids, "labels": ids} for ids in (long, short)])(model)
    assert got["loss"] == (2.0 * 20 + 5.0 * 5) / 25


@pytest.mark.parametrize("metric", [ww.classification_metrics, ww.perplexity])
def test_loaders_that_cannot_be_measured(metric):
    for loader in (3, {}, {"test": 3}):
        with pytest.raises(ww.InvalidInput, match="dataloader="):
            metric(loader)
    for loader in ([], iter([]), ["text"], [None], [{"x": torch.ones(2)}]):
        with pytest.raises(ww.InvalidInput):
            metric(loader)(nn.Identity())
    spent = metric(iter([(torch.zeros(2, 3), torch.zeros(2).long())]))
    if metric is ww.classification_metrics:
        spent(nn.Identity())
        with pytest.raises(ww.InvalidInput, match="spent generator"):
            spent(nn.Identity())
        with pytest.raises(ww.InvalidInput, match="no logits"):
            metric([(torch.zeros(2), torch.zeros(2).long())])(nn.Identity())
    else:
        with pytest.raises(ww.InvalidInput, match=r"\.logits or \.loss"):
            metric([torch.zeros(2, 3, dtype=torch.long)])(lambda ids: None)


# The study of scripts/truncation_curves.py


def test_the_tables_on_file_bear_out_the_finding():
    mlp3_table, resnet_table, cuts = (
        pd.read_csv(curves.FOLDER / f"{name}.csv") for name in ("mlp3", "resnet20", "cuts")
    )
    again = [
        curves.without_loss(mlp3_table, ["lr_scale", "seed"], 10000).assign(net="MLP3"),
        curves.without_loss(resnet_table, ["images"], 2000).assign(net="ResNet-20").drop(columns="images"),
    ]
    pd.testing.assert_frame_equal(pd.concat(again, ignore_index=True), cuts, rtol=1e-5, check_dtype=False)
    erg = cuts[(cuts["rule"] == "erg") & (cuts["net"] == "MLP3")]
    assert len(erg) == 27
    assert erg["delta_test_error"].between(-0.00071, 0.00091).all()
    assert erg["kept_energy"].between(0.90, 0.95).all()
    together = erg[erg["layer"] == "all"]
    assert (together["delta_test_error"] - together["delta_energy_of_equal_rank"]).abs().max() < 0.0005
    assert (erg["free_fraction"] <= erg["rank_fraction"] + 0.1).all()
    resnet = cuts[cuts["net"] == "ResNet-20"].set_index("rule")
    assert resnet.loc["erg", "delta_test_error"] == pytest.approx(0.034)
    for _, row in mlp3_table[mlp3_table["curve"] == "erg"].iterrows():
        same = mlp3_table[(mlp3_table["lr_scale"] == row["lr_scale"]) & (mlp3_table["seed"] == row["seed"])]
        bulk = same[(same["curve"] == "bulk") & (same["layer"] == row["layer"])].iloc[0]
        assert row["rank"] + bulk["rank"] == row["num_evals"]
        if row["layer"] != "all":
            assert row["kept_energy"] + bulk["kept_energy"] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("loss", "perplexity"), [(0.0, 1.0), (699.0, math.exp(699)), (700.0, math.inf), (1e9, math.inf)]
)
def test_a_perplexity_beyond_numbers_is_infinite(loss, perplexity):
    assert metrics._exp(loss) == perplexity
