"""The register of architectures against the classes of transformers: what arrives at q, k and v, and what is saved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from setol_ww.formats.checkpoints import checkpoint_tensors
from setol_ww.formats.folder import config_of
from setol_ww.weights.plan import Job, plan
from setol_ww.weights.tensors import WeightTensor, config_of_module, module_tensors

transformers = pytest.importorskip("transformers", reason="transformers is not installed: pip install 'setol-ww[test]'")
pytestmark = pytest.mark.filterwarnings("default")

TOKENS = {"vocab_size": 50, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
SMALL = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 1, "intermediate_size": 48, **TOKENS}
OLD = {"n_embd": 32, "n_head": 4, "n_layer": 1, **TOKENS}
GROUPED = {**SMALL, "num_key_value_heads": 2}
MOE = {**GROUPED, "num_experts_per_tok": 1, "moe_intermediate_size": 20}

FUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "gpt2": ("gpt2", OLD, "attn.c_attn"),
    "starcoder": ("gpt_bigcode", OLD, "attn.c_attn"),
    "starcoder, many heads of keys": ("gpt_bigcode", {**OLD, "multi_query": False}, "attn.c_attn"),
    "codegen": ("codegen", {**OLD, "n_head": 8, "rotary_dim": 4}, "attn.qkv_proj"),
    "neox": ("gpt_neox", SMALL, "query_key_value"),
    "bloom": ("bloom", {"hidden_size": 32, "n_head": 4, "n_layer": 1, **TOKENS}, "query_key_value"),
    "persimmon": ("persimmon", {**SMALL, "qk_layernorm": False}, "query_key_value"),
    "falcon, one head of keys": ("falcon", SMALL, "query_key_value"),
    "falcon, groups": ("falcon", {**SMALL, "new_decoder_architecture": True, "num_kv_heads": 2}, "query_key_value"),
    "falcon, many heads of keys": ("falcon", {**SMALL, "multi_query": False}, "query_key_value"),
    "phi3": ("phi3", GROUPED, "qkv_proj"),
    "modernbert": ("modernbert", {**SMALL, "cls_token_id": 1, "sep_token_id": 2}, "Wqkv"),
}

SAVED: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (kind, told) for name, (kind, told, _) in FUSED.items()},
    "gptj": ("gptj", {**OLD, "rotary_dim": 4}),
    "starcoder2": ("starcoder2", GROUPED),
    "mpt": ("mpt", {"d_model": 32, "n_heads": 4, "n_layers": 1, **TOKENS}),
    "gemma2": ("gemma2", {**GROUPED, "head_dim": 12}),
    "qwen2": ("qwen2", GROUPED),
    "qwen3": ("qwen3", {**GROUPED, "head_dim": 12}),
    "granite": ("granite", GROUPED),
    "mixtral": ("mixtral", {**GROUPED, "num_local_experts": 3, "num_experts_per_tok": 1}),
    "qwen2_moe": ("qwen2_moe", {**MOE, "num_experts": 3, "shared_expert_intermediate_size": 24}),
    "qwen3_moe": ("qwen3_moe", {**MOE, "num_experts": 3, "decoder_sparse_step": 1, "mlp_only_layers": []}),
    "olmoe": ("olmoe", {**GROUPED, "num_experts": 3, "num_experts_per_tok": 1}),
    "deepseek_v3": (
        "deepseek_v3",
        {
            **MOE,
            "num_key_value_heads": 4,
            "n_routed_experts": 4,
            "n_group": 1,
            "topk_group": 1,
            "kv_lora_rank": 10,
            "q_lora_rank": 14,
            "qk_rope_head_dim": 4,
            "qk_nope_head_dim": 6,
            "v_head_dim": 8,
            "first_k_dense_replace": 0,
        },
    ),
    "gpt_oss": ("gpt_oss", {**GROUPED, "head_dim": 8, "num_local_experts": 3, "num_experts_per_tok": 1}),
    "granitemoe": ("granitemoe", {**GROUPED, "num_local_experts": 3, "num_experts_per_tok": 1}),
    "mamba": ("mamba", {"hidden_size": 32, "state_size": 5, "num_hidden_layers": 1, **TOKENS}),
    "mamba2": (
        "mamba2",
        {"hidden_size": 32, "state_size": 5, "num_hidden_layers": 1, "head_dim": 16, "num_heads": 4, "n_groups": 2}
        | TOKENS,
    ),
    "lfm2": ("lfm2", {**GROUPED, "layer_types": ["conv"]}),
    "whisper": (
        "whisper",
        {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4, **TOKENS}
        | {"decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "num_mel_bins": 20}
        | {"max_source_positions": 30, "max_target_positions": 20, "decoder_start_token_id": 1},
    ),
    "vit": ("vit", {**SMALL, "image_size": 16, "patch_size": 8}),
    "swin": ("swin", {"image_size": 32, "patch_size": 4, "embed_dim": 16, "depths": [1, 1], "num_heads": [2, 4]}),
}


def built(kind: str, told: dict[str, Any], attention: str = "eager") -> Any:
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, **told)
    config._attn_implementation = attention
    return transformers.AutoModel.from_config(config).eval()


@pytest.fixture(scope="module")
def arrived() -> dict[str, torch.Tensor]:
    """What an attention was last given as q, k and v."""
    seen: dict[str, torch.Tensor] = {}

    def probe(module: Any, query: Any, key: Any, value: Any, *rest: Any, **more: Any) -> tuple[torch.Tensor, None]:
        seen.update(q=query, k=key, v=value)
        return torch.zeros(query.shape[0], query.shape[2], query.shape[1], value.shape[-1]), None

    transformers.AttentionInterface.register("probe", probe)
    return seen


def split_by_method(model: nn.Module, seen: dict[str, torch.Tensor]) -> None:
    """Where a class has a method that takes the fused output apart, keep what it gives."""
    for module in model.modules():
        for name in ("_split_heads", "_reshape"):
            method = getattr(module, name, None)
            if type(module).__name__.endswith("Attention") and method is not None and name in vars(type(module)):

                def kept(fused: Any, method: Any = method) -> Any:
                    parts = method(fused)
                    seen.update(zip("qkv", parts))
                    return parts

                setattr(module, name, kept)


@pytest.mark.parametrize("name", FUSED)
def test_rows_of_a_fused_projection_arrive_where_the_register_says(name, arrived):
    """The projection's output is replaced by the numbers of its rows; at one position rotary embeddings do nothing."""
    kind, told, layer = FUSED[name]
    by_method = kind in ("falcon", "bloom")
    model = built(kind, told, "eager" if by_method else "probe")
    arrived.clear()
    if by_method:
        split_by_method(model, arrived)
    path, fused = next(pair for pair in model.named_modules() if pair[0].endswith(layer))
    fused.register_forward_hook(row_numbers)
    with torch.no_grad():
        model(input_ids=torch.tensor([[3]]))
    assert rows_of(model, f"{path}.weight") == {label: numbers_in(arrived[label]) for label in "qkv"}
    jobs = plan(module_tensors(model), config=config_of_module(model))
    assert {job.layout_from for job in jobs if job.tensor == f"{path}.weight"} == {"config"}


def row_numbers(module: nn.Module, given: Any, out: torch.Tensor) -> torch.Tensor:
    """A hook that gives the numbers of a projection's rows for its output."""
    return torch.arange(out.shape[-1]).to(out).expand(out.shape).clone()


def rows_of(model: Any, tensor: str) -> dict[str, set[int]]:
    """Which rows (columns, of a Conv1D) of a tensor of a model each of its parts has."""
    weight = model.get_parameter(tensor)
    jobs = [job for job in plan(module_tensors(model), config=config_of_module(model)) if job.tensor == tensor]
    by_columns = any(job.part is not None and job.part.kind == "columns" for job in jobs)
    side = torch.arange(weight.shape[int(by_columns)])
    numbers = (side if by_columns else side[:, None]).expand(weight.shape)
    labelled = {job.label: job.part for job in jobs if job.label and job.part is not None}
    return {label: set(part.matrices(numbers)[0].flatten().tolist()) for label, part in labelled.items()}


def numbers_in(values: torch.Tensor) -> set[int]:
    return set(values.flatten().round().int().tolist())


def test_rows_of_cross_attention(arrived):
    model = built("gpt2", {**OLD, "add_cross_attention": True}, "probe")
    model.h[0].crossattention.c_attn.register_forward_hook(row_numbers)
    with torch.no_grad():
        model(input_ids=torch.tensor([[3]]), encoder_hidden_states=torch.zeros(1, 1, 32))
    told = rows_of(model, "h.0.crossattention.c_attn.weight")
    assert {label: numbers_in(arrived[label]) for label in "kv"} == told


def test_rows_of_a_latent_attention(arrived):
    kind, options = SAVED["deepseek_v3"]
    model = built(kind, options, "probe")
    model.layers[0].self_attn.kv_b_proj.register_forward_hook(row_numbers)
    with torch.no_grad():
        model(input_ids=torch.tensor([[3]]))
    told = rows_of(model, "layers.0.self_attn.kv_b_proj.weight")
    assert numbers_in(arrived["v"]) == told["v"]
    assert numbers_in(arrived["k"][..., : options["qk_nope_head_dim"]]) == told["k"]


@pytest.mark.parametrize(
    ("kind", "options", "projection", "goes_to", "label"),
    [
        ("phi3", GROUPED, "layers.0.mlp.gate_up_proj", "layers.0.mlp.activation_fn", "gate"),
        ("glm4", {**GROUPED, "head_dim": 8}, "layers.0.mlp.gate_up_proj", "layers.0.mlp.activation_fn", "gate"),
        ("modernbert", {**SMALL, "cls_token_id": 1, "sep_token_id": 2}, "layers.0.mlp.Wi", "layers.0.mlp.act", "input"),
        ("mamba", SAVED["mamba"][1], "layers.0.mixer.in_proj", "layers.0.mixer.x_proj", "x"),
    ],
)
def test_rows_of_gated_layers(kind, options, projection, goes_to, label):
    """What a projection gives to the activation, or to the convolution, behind it."""
    model = built(kind, options)
    if kind == "mamba":
        # Its convolution lets the last position through; its activation changes whole numbers by less than a half.
        kernel = model.layers[0].mixer.conv1d
        kernel.weight.data.zero_()[..., -1] = 1
        kernel.bias.data.zero_()
    given: list[torch.Tensor] = []
    model.get_submodule(projection).register_forward_hook(row_numbers)
    model.get_submodule(goes_to).register_forward_pre_hook(lambda module, values: given.append(values[0]))
    with torch.no_grad():
        model(input_ids=torch.tensor([[3]]))
    assert numbers_in(given[0]) == rows_of(model, f"{projection}.weight")[label]


def matrices(tensors: list[WeightTensor], config: dict[str, Any]) -> Iterator[tuple[Job, np.ndarray]]:
    by_name = {tensor.name: tensor for tensor in tensors}
    jobs = plan(tensors, config=config)
    labelled = {job.tensor for job in jobs if job.label}
    for job in jobs:
        if job.part is not None and not job.skipped and (job.label or job.tensor not in labelled):
            for matrix in job.part.matrices(by_name[job.tensor].load()):
                yield job, matrix.detach().double().numpy()


def measures(found: Iterator[tuple[Job, np.ndarray]]) -> list[tuple[int, int, float]]:
    """Of every matrix its sides and its norms, whatever it is called and whichever way it lies."""
    listed = [(*sorted(matrix.shape), np.linalg.norm(matrix), np.linalg.norm(matrix, 2)) for _, matrix in found]
    return sorted((low, high, round(float(norm), 4), round(float(top), 4)) for low, high, norm, top in listed)


@pytest.mark.parametrize("name", SAVED)
def test_a_saved_model_has_the_matrices_of_the_model(name, tmp_path: Path):
    """Names in files differ from those in memory, and experts are packed there that lie apart in files."""
    kind, told = SAVED[name]
    model = built(kind, told)
    model.save_pretrained(tmp_path)
    in_memory = measures(matrices(module_tensors(model), config_of_module(model)))
    assert measures(matrices(checkpoint_tensors(tmp_path), config_of(tmp_path))) == in_memory
    assert in_memory


@pytest.mark.parametrize("name", SAVED)
def test_nothing_of_a_saved_model_is_left_to_doubt(name, tmp_path: Path):
    kind, told = SAVED[name]
    built(kind, told).save_pretrained(tmp_path)
    tensors = checkpoint_tensors(tmp_path)
    for job in plan(tensors, config=config_of(tmp_path)):
        assert "may" not in job.note, f"{job.title}: {job.note}"
        assert "does not fit" not in job.note, f"{job.title}: {job.note}"
