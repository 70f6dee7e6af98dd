"""Chapter 6: what counts as a layer, and that every tensor is accounted for."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import setol_ww as ww
from fixtures.oracles import singular_value_squares
from setol_ww.weights.layouts import Situation, read_as
from setol_ww.weights.tensors import module_tensors


def analysed(model, **options) -> tuple[pd.DataFrame, pd.DataFrame]:
    watcher = ww.WeightWatcher(model)
    return watcher.analyze(detX=True, **options), watcher.coverage.set_index("longname")


def check_rows(frame: pd.DataFrame, expected: dict[str, np.ndarray]) -> None:
    """The slices of one tensor against a plain SVD of matrices cut out by hand."""
    assert frame["slice"].tolist() == list(expected)
    for (_, row), matrix in zip(frame.iterrows(), expected.values()):
        matrices = matrix if isinstance(matrix, list) else [matrix]
        truth = np.concatenate([singular_value_squares(one) for one in matrices])
        assert row["num_evals"] == truth.size
        assert row["norm"] == pytest.approx(truth.sum(), rel=1e-9)
        assert row["lambda_max"] == pytest.approx(truth.max(), rel=1e-9)
        assert row["N"] == max(matrices[0].shape)
        assert row["M"] == min(matrices[0].shape)


@pytest.mark.parametrize(
    ("module", "kind"),
    [
        (nn.Conv1d(16, 24, 5), "conv1d"),
        (nn.Conv3d(12, 16, 2), "conv3d"),
        (nn.ConvTranspose1d(16, 24, 3), "conv1d"),
        (nn.ConvTranspose2d(16, 24, 3), "conv2d"),
    ],
    ids=lambda case: getattr(case, "_get_name", lambda: case)(),
)
def test_convolutions_pool_their_kernel_slices_like_conv2d(module, kind):
    frame, coverage = analysed(nn.Sequential(module))
    weight = module.weight.detach().double().numpy()
    flat = weight.reshape(*weight.shape[:2], -1) * np.sqrt(0.5)
    check_rows(frame, {"": [flat[:, :, position] for position in range(flat.shape[2])]})
    assert frame["layer_type"].tolist() == [kind]
    assert coverage.loc["0.weight", "status"] == "analyzed"


def test_packed_experts():
    class Experts(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate_up_proj = nn.Parameter(torch.randn(4, 64, 32))
            self.router = nn.Linear(32, 8, bias=False)

    model = nn.ModuleDict({"experts": Experts()})
    frame, coverage = analysed(model)
    assert frame["row_origin"].tolist() == ["weightwatcher"] + ["setol_ww"] * 4
    weight = model["experts"].gate_up_proj.detach().numpy()
    check_rows(frame[1:], {str(expert): weight[expert] for expert in range(4)})
    assert set(frame["layer_type"][1:]) == {"expert"}
    assert (coverage["status"] == "analyzed").all()


def test_attention_in_projection_is_q_k_v():
    module = nn.MultiheadAttention(32, 4)
    frame, _ = analysed(nn.Sequential(module))
    weight = module.in_proj_weight.detach().numpy()
    check_rows(frame[frame["longname"] == "0.in_proj_weight"], {"q": weight[:32], "k": weight[32:64], "v": weight[64:]})
    assert "0.out_proj" in set(frame["longname"])


def test_fused_projection_is_cut_as_it_is_said():
    grouped = nn.ModuleDict({"qkv_proj": nn.Linear(64, 96, bias=False)})
    frame, coverage = analysed(grouped)
    weight = grouped["qkv_proj"].weight.detach().numpy()
    check_rows(frame, {"": weight})
    assert "it may hold q, k, v one after the other (qkv:Q,K,V) or q, k, v of each head" in coverage["reason"].iloc[0]
    frame, _ = analysed(grouped, layouts={"qkv_proj.*": "qkv:64,16,16"})
    check_rows(frame, {"q": weight[:64], "k": weight[64:80], "v": weight[80:]})
    assert set(frame["layout_from"]) == {"asked"}


def test_gpt2_conv1d_is_fused_along_its_columns():
    class Conv1D(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(48, 144))

    model = nn.ModuleDict({"c_attn": Conv1D()})
    frame, _ = analysed(model)
    weight = model["c_attn"].weight.detach().numpy()
    check_rows(frame, {"": weight, "q": weight[:, :48], "k": weight[:, 48:96], "v": weight[:, 96:]})


@pytest.mark.parametrize("name", ["attn.query_key_value.weight", "attention.wqkv.weight", "blocks.0.attn.qkv.weight"])
def test_a_fusion_of_several_readings_is_said_and_not_cut(name):
    frame, coverage = analysed({name: np.random.default_rng(0).normal(size=(96, 32))})
    assert frame["slice"].tolist() == [""]
    assert coverage["status"].tolist() == ["analyzed"]
    assert "of each head or group together (qkv:32,32,32 x HEADS)" in coverage["reason"].iloc[0]
    assert frame["reason"].tolist() == coverage["reason"].tolist()


@pytest.mark.parametrize(
    ("module", "gates"),
    [(nn.LSTM(24, 16), "ifgo"), (nn.GRU(24, 16), "rzn"), (nn.LSTMCell(24, 16), "ifgo"), (nn.GRUCell(24, 16), "rzn")],
)
@pytest.mark.parametrize("as_dict", [False, True])
def test_recurrent_gates(module, gates, as_dict):
    model = nn.Sequential(module)
    frame, _ = analysed(model.state_dict() if as_dict else model)
    hidden = next(name for name in model.state_dict() if "weight_hh" in name)
    rows = frame[frame["longname"] == hidden]
    weight = model.state_dict()[hidden].numpy()
    check_rows(rows, dict(zip(gates, np.split(weight, len(gates)))))
    if not as_dict:
        inputs = frame[frame["longname"] == hidden.replace("_hh", "_ih")]
        assert inputs["slice"].tolist() == list(gates)


def test_tied_weights_once():
    model = nn.ModuleDict({"embed": nn.Embedding(100, 32), "head": nn.Linear(32, 100, bias=False)})
    model["head"].weight = model["embed"].weight
    frame, coverage = analysed(model)
    assert frame["longname"].tolist() == ["embed"]
    assert coverage.index.tolist() == ["embed.weight"]
    frame, coverage = analysed(model.state_dict())
    assert frame["longname"].tolist() == ["embed"]
    assert coverage.loc["head.weight", ["status", "reason"]].tolist() == [
        "skipped",
        "tied to embed.weight, analysed there",
    ]


@pytest.mark.parametrize(
    "wrap",
    [
        nn.utils.parametrizations.weight_norm,
        nn.utils.parametrizations.spectral_norm,
        nn.utils.parametrizations.orthogonal,
    ],
)
@pytest.mark.parametrize("layer", [lambda: nn.Linear(40, 30), lambda: nn.Conv1d(20, 16, 3)], ids=["linear", "conv1d"])
def test_parametrised_weight_is_analysed_as_it_acts(wrap, layer):
    model = nn.Sequential(wrap(layer())).eval()
    frame, coverage = analysed(model)
    weight = model[0].weight.detach().numpy()
    pooled = [weight] if weight.ndim == 2 else [weight[:, :, i] * np.sqrt(0.5) for i in range(3)]
    check_rows(frame, {"": pooled})
    assert (coverage["status"] == "analyzed").all()
    assert coverage["reason"].str.contains("a factor of 0.weight").all()


def test_quantised_and_integer_tensors_are_skipped_with_the_reason():
    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("qweight", torch.zeros(16, 16, dtype=torch.int32))
            self.weight = nn.Parameter(torch.zeros(16, 8, dtype=torch.uint8), requires_grad=False)

    frame, coverage = analysed(nn.ModuleDict({"linear": Packed(), "fc": nn.Linear(20, 16)}))
    assert frame["longname"].tolist() == ["fc"]
    assert coverage.loc[["linear.weight", "linear.qweight"], "status"].tolist() == ["skipped"] * 2
    assert coverage.loc["linear.weight", "reason"] == (
        "integers of type uint8 are no weights as they stand: an index, or packed values without their scales"
    )


def test_float8_is_analysed_with_its_scales_and_not_without_those_that_do_not_fit():
    tensors = {
        "a.weight": torch.randn(32, 32).to(torch.float8_e4m3fn),
        "a.weight_scale_inv": torch.full((1, 1), 3.0),
        "b.weight": torch.randn(32, 32).to(torch.float8_e4m3fn),
        "c.weight": torch.randn(32, 32).to(torch.float8_e4m3fn),
        "c.weight_scale_inv": torch.ones(5, 7),
    }
    frame, coverage = analysed(tensors)
    assert frame["longname"].tolist() == ["a", "b"]
    check_rows(frame[:1], {"": 3 * tensors["a.weight"].double().numpy()})
    check_rows(frame[1:], {"": tensors["b.weight"].double().numpy()})
    assert "needs its scales c.weight_scale_inv" in coverage.loc["c.weight", "reason"]


def test_meta_tensors_and_norms_are_skipped():
    model = nn.ModuleDict(
        {"ghost": nn.Linear(20, 20, device="meta"), "norm": nn.LayerNorm((4, 5)), "fc": nn.Linear(20, 20)}
    )
    frame, coverage = analysed(model)
    assert frame["longname"].tolist() == ["fc"]
    assert "meta device" in coverage.loc["ghost.weight", "reason"]
    assert "normalisation layer" in coverage.loc["norm.weight", "reason"]


def test_quantised_torch_module_breaks_nothing():
    class Quantised(nn.Module):
        """Like torch.ao's quantised Linear: `weight` is a method and no parameter is there."""

        def weight(self):
            return None

    Quantised.__name__ = "QuantizedLinear"
    frame, _ = analysed(nn.ModuleDict({"linear": Quantised(), "fc": nn.Linear(20, 20)}))
    assert frame["longname"].tolist() == ["fc"]


ODD = {
    "sparse": lambda: torch.randn(30, 20).to_sparse(),
    "sparse csr": lambda: torch.randn(30, 20).to_sparse_csr(),
    "complex": lambda: torch.randn(30, 20, dtype=torch.complex64),
    "boolean": lambda: torch.ones(30, 20, dtype=torch.bool),
    "empty": lambda: torch.ones(0, 20),
}


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("kind", ODD)
def test_an_odd_tensor_costs_only_itself(kind):
    frame, coverage = analysed({"odd.weight": ODD[kind](), 7: torch.randn(20, 30), "fc.weight": torch.randn(40, 30)})
    assert frame["longname"].tolist() == ["fc", "7"]
    assert coverage.loc["odd.weight", "status"] == "skipped"


def test_a_lazy_layer_costs_only_itself():
    lazy = nn.LazyLinear(10)
    frame, coverage = analysed(nn.Sequential(lazy, nn.Linear(60, 40)))
    assert frame["longname"].tolist() == ["1"]
    assert "not known before the first forward pass" in coverage.loc["0.weight", "reason"]


def test_a_weight_that_cannot_be_computed_costs_only_itself():
    class NotReady(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight_v = nn.Parameter(torch.randn(20, 16))

        @property
        def weight(self):
            raise RuntimeError("not ready")

    frame, _ = analysed(nn.Sequential(NotReady(), nn.Linear(60, 40)))
    assert frame["longname"].tolist() == ["1", "0.weight_v"]


def test_names_with_norm_in_them_keep_weightwatchers_layers():
    class NormLinear(nn.Linear):
        pass

    class CosineNormLayer(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(20, 16))

    frame, coverage = analysed(nn.Sequential(NormLinear(60, 50), CosineNormLayer(), nn.Linear(60, 50)))
    assert frame["layer_id"].tolist() == [1, 3]
    assert "normalisation layer CosineNormLayer" in coverage.loc["1.weight", "reason"]


def test_masks_are_no_weights():
    pruned = nn.Sequential(nn.Linear(60, 40))
    prune.random_unstructured(pruned[0], "weight", 0.3)
    frame, coverage = analysed(pruned)
    assert frame["longname"].tolist() == ["0"]
    assert frame["norm"].iloc[0] == pytest.approx(float(pruned[0].weight.detach().double().square().sum()), rel=1e-6)
    assert coverage["reason"].tolist() == ["a factor of 0.weight, analysed there"]
    frame, coverage = analysed({"attn.mask": torch.ones(64, 64).tril(), "fc.weight": torch.randn(40, 30)})
    assert frame["longname"].tolist() == ["fc"]


def test_float8_in_a_module_is_analysed_with_its_scales_too():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(32, 32).to(torch.float8_e4m3fn), requires_grad=False)
            self.register_buffer("weight_scale_inv", torch.full((1, 1), 3.0))

    Scaled.__name__ = "ScaledLinear"
    model = nn.Sequential(Scaled(), nn.Linear(40, 30))
    frame, coverage = analysed(model)
    assert sorted(frame["longname"]) == ["0", "1"]
    check_rows(frame[frame["longname"] == "0"], {"": 3 * model[0].weight.double().numpy()})
    assert coverage.loc["0.weight", "dtype"] == "float8_e4m3fn x one scale"


def test_graph_convolutions_are_no_kernels():
    class RGCNConv(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(5, 64, 48))

    frame, _ = analysed(nn.Sequential(RGCNConv()))
    assert frame[["N", "M", "rf"]].drop_duplicates().to_numpy().tolist() == [[64, 48, 1]]
    assert len(frame) == 5


def test_vectors_in_disguise_are_skipped():
    frame, coverage = analysed({"logit_scale": torch.randn(12, 1, 1), "fc.weight": torch.randn(40, 30)})
    assert frame["longname"].tolist() == ["fc"]
    assert coverage.loc["logit_scale", "reason"] == "a vector in the shape 12 x 1 x 1"


def test_one_broken_expert_names_its_slice():
    experts = torch.randn(4, 64, 48)
    experts[3, 0, 0] = float("inf")
    frame, coverage = analysed({"experts.down_proj": experts})
    assert frame["status"].tolist() == ["success"] * 3 + ["failed"]
    assert frame["reason"].iloc[3] == "layer experts.down_proj [3]: 0 NaN and 1 Inf among its 3072 entries"
    assert coverage["status"].tolist() == ["failed"]
    assert coverage["reason"].iloc[0].startswith("1 of 4 slices: layer experts.down_proj [3]")


def test_a_packed_tensor_is_loaded_once(tmp_path, monkeypatch):
    from safetensors.torch import save_file

    from setol_ww.formats.reader import FileReader

    save_file({"experts.w1": torch.randn(8, 32, 24)}, tmp_path / "model.safetensors")
    loads = []
    real = FileReader.read
    monkeypatch.setattr(FileReader, "read", lambda reader, *which: loads.append(which) or real(reader, *which))
    assert len(ww.analyze(tmp_path)) == 8
    assert loads == [("experts.w1",)]


def test_tall_tables_are_neither_flat_nor_deficient():
    frame, _ = analysed(
        {
            "emb.weight": torch.randn(200_000, 8),
            "ids.weight": torch.randn(3_000_000, 4) * torch.tensor([1, 0.3, 0.1, 0.01]),
        }
    )
    assert frame["erg_status"].tolist() == ["ok", "ok"]
    assert (frame["tail_outcome"] == "small_sample").all()


def test_coverage_of_modes_that_combine_layers():
    model, base = nn.Sequential(nn.Linear(60, 40)), nn.Sequential(nn.Linear(60, 40))
    watcher = ww.WeightWatcher(model)
    difference = watcher.analyze(base_model=base)
    assert watcher.coverage["status"].tolist() == ["analyzed"]
    assert watcher.analyze()["norm"].iloc[0] != difference["norm"].iloc[0]


def test_layers_beyond_weightwatchers_limits_come_behind():
    model = nn.ModuleDict({"vocabulary": nn.Embedding(50_001, 8), "head": nn.Linear(64, 2), "fc": nn.Linear(64, 32)})
    frame, coverage = analysed(model)
    assert frame["longname"].tolist() == ["fc", "vocabulary", "head"]
    assert (coverage["status"] == "analyzed").all()
    frame, coverage = analysed(model, max_N=40_000, min_evals=4)
    assert frame["longname"].tolist() == ["fc"]
    assert coverage.loc["vocabulary.weight", "reason"] == "N = 50001, more than max_N=40000"
    assert coverage.loc["head.weight", "reason"] == "2 eigenvalues, fewer than min_evals=4"


@pytest.mark.parametrize(
    ("limits", "left_out"),
    [
        ({"min_evals": 180}, ""),
        ({"min_evals": 181}, "180 eigenvalues, fewer than min_evals=181"),
        ({"max_evals": 180}, ""),
        ({"max_evals": 179}, "180 eigenvalues, more than max_evals=179"),
        ({"max_evals": 180, "max_N": 190}, ""),
        ({"max_evals": 180, "max_N": 189}, "N = 190, more than max_N=189"),
    ],
)
def test_our_rows_at_the_limits_that_are_given(limits, left_out):
    frame, coverage = analysed(nn.Sequential(nn.Conv1d(60, 190, 3)), **limits)
    assert len(frame) == (not left_out)
    assert coverage["reason"].tolist() == [left_out]


def test_kernels_of_one_row_are_ours_and_of_one_column_weightwatchers():
    kernels = {"row.weight": np.ones((1, 8, 3, 3)), "column.weight": np.ones((8, 1, 3, 3))}
    frame = ww.analyze(kernels).set_index("longname")
    assert frame["row_origin"].to_dict() == {"column": "weightwatcher", "row": "setol_ww"}


def test_layer_filters_hold_for_our_rows_too():
    model = nn.Sequential(nn.Linear(32, 32), nn.Conv1d(16, 24, 3), nn.Linear(32, 16))
    frame, coverage = analysed(model, layers=[2])
    assert frame["longname"].tolist() == ["1"]
    assert coverage.loc["0.weight", "reason"] == "not among layers=[2]"
    frame, _ = analysed(model, layers=[-2])
    assert frame["longname"].tolist() == ["0", "2"]


def test_coverage_has_every_parameter_of_two_dimensions():
    model = nn.Transformer(
        d_model=32, nhead=4, num_encoder_layers=1, num_decoder_layers=1, dim_feedforward=48, batch_first=True
    )
    _, coverage = analysed(model)
    names = [name for name, parameter in model.named_parameters() if parameter.dim() >= 2]
    assert coverage.index.tolist() == names
    assert list(coverage.reset_index()) == ["longname", "shape", "dtype", "n_params", "status", "reason"]
    assert (coverage["status"] == "analyzed").all()
    assert coverage["n_params"].sum() == sum(model.get_parameter(name).numel() for name in names)


def test_the_coverage_hangs_on_the_table_and_is_never_copied(tmp_path):
    """pandas copies what does, for every row that is looked at."""
    watcher = ww.WeightWatcher(nn.Linear(20, 30))
    frame = watcher.analyze()
    assert [row["longname"] for row in frame.attrs["coverage"]] == watcher.coverage["longname"].tolist() == ["weight"]
    assert frame.iloc[:1].attrs["coverage"] is frame.copy().attrs["coverage"] is frame.attrs["coverage"]
    frame.to_parquet(tmp_path / "layers.parquet")
    assert len(pd.read_parquet(tmp_path / "layers.parquet")) == 1
    assert len(pd.concat([frame, frame], ignore_index=True)) == 2


@pytest.mark.parametrize(
    ("name", "shape", "labels"),
    [
        ("model.conv.weight", (16, 8, 3), [""]),
        ("blocks.w1", (3, 64, 32), ["0", "1", "2"]),
        ("moe.experts.w1.weight", (2, 64, 8), ["0", "1"]),
        ("pos_embed", (1, 197, 64), [""]),
        ("grid", (2, 2, 8, 8, 4), [""]),
        ("rnn.weight_hh", (64, 16), list("ifgo")),
        ("rnn.weight_hh", (48, 16), list("rzn")),
        ("rnn.weight_hh", (16, 16), [""]),
    ],
)
def test_layouts_from_names_and_shapes(name, shape, labels):
    found = read_as(Situation(name, shape)).parts
    assert [part.label for part in found] == labels
    tensor = np.arange(float(np.prod(shape))).reshape(shape)
    matrices = [matrix for part in found for matrix in part.matrices(tensor)]
    assert sorted(np.concatenate([matrix.ravel() for matrix in matrices])) == sorted(tensor.ravel())


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("fc.weight", (96, 32)),
        ("attn.qkv.weight", (64, 64)),
        ("attn.qkv.weight", (65, 32)),
        ("attn.qkv.weight", (200, 32)),
    ],
)
def test_what_is_not_fused(name, shape):
    assert [part.layer_type for part in read_as(Situation(name, shape)).parts] == ["dense"]


def test_a_spectral_norm_in_training_is_not_stepped_by_reading_it():
    model = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(40, 30)), nn.Linear(30, 40)).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ww.analyze(model)
    assert [name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])] == []
    assert all(module.training for module in model.modules())
    # What the check would see if the weight were read as it is.
    assert model[0].weight is not None
    assert not torch.equal(
        model.state_dict()["0.parametrizations.weight.0._u"], before["0.parametrizations.weight.0._u"]
    )


@pytest.mark.parametrize("last", ["bias", "in_proj_bias", "weight_scale"])
def test_matrices_that_are_no_weights_by_their_names_say_so(last):
    rows = ww.examine({"fc.weight": torch.randn(20, 20), f"fc.{last}": torch.randn(20, 20)}).coverage_rows
    told = {row["longname"]: (row["status"], row["reason"]) for row in rows}
    assert told[f"fc.{last}"] == ("skipped", f"'{last}' is no weight matrix")


def test_a_weight_that_cannot_be_computed_is_told_in_the_log(caplog):
    class Broken(nn.Module):
        def forward(self, X):
            raise RuntimeError("no such weight")

    net = nn.Sequential(nn.Linear(9, 8), nn.Linear(8, 7))
    nn.utils.parametrize.register_parametrization(net[0], "weight", Broken(), unsafe=True)
    with caplog.at_level("DEBUG", logger="setol_ww"):
        assert [entry.name for entry in module_tensors(net) if entry.name.startswith("1.")] == ["1.weight", "1.bias"]
    assert "0 has a weight that cannot be computed: no such weight" in "\n".join(caplog.messages)


def test_what_is_left_out_or_undefined_is_told_in_the_log(caplog):
    broken = np.ones((4, 3))
    broken[0, 0] = np.nan
    with caplog.at_level(logging.DEBUG, "setol_ww"):
        frame = ww.analyze({"step": 3, "a.weight": broken, "b.weight": np.eye(4, 3)})
    assert "step is no tensor but int: left out" in caplog.messages
    assert [one.getMessage() for one in caplog.records if one.levelno == logging.INFO] == [frame["reason"].iloc[0]]
    assert frame["reason"].iloc[0] == "layer a: 1 NaN and 0 Inf among its 12 entries"
