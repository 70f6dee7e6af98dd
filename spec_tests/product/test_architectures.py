"""Every entry of the register of architectures on a tensor whose matrices are known; what is told without one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

import setol_ww as ww
from fixtures.oracles import singular_value_squares
from setol_ww.core.errors import InvalidInput
from setol_ww.weights.architectures import DEFAULTS, MODULES, REGISTER
from setol_ww.weights.plan import Job, plan
from setol_ww.weights.tensors import mapping_tensors, module_tensors

Parts = dict[str, torch.Tensor]


def drawn(seed: int = 0) -> Callable[..., torch.Tensor]:
    """Matrices with different scales, so that none is mistaken for another."""
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(shape, generator=generator)


def one_after_the_other(parts: Parts) -> torch.Tensor:
    return torch.cat(list(parts.values()))


def by_head(parts: Parts, heads: int) -> torch.Tensor:
    """As a forward pass takes it apart: `fused.view(heads, -1, inputs).split(widths, 1)`."""
    return torch.cat([part.unflatten(0, (heads, -1)) for part in parts.values()], 1).flatten(0, 1)


@dataclass
class Case:
    """A tensor of a model with this config, and the matrices that are in it."""

    config: dict[str, Any]
    name: str
    tensor: torch.Tensor
    parts: Parts = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{kind_of(self.config)} {self.name}"


def kind_of(config: dict[str, Any]) -> str:
    return config.get("model_type") or config.get("architecture") or config["_class_name"]


def cases() -> list[Case]:
    """One for each entry of the register, of a model of 8 inputs with 4 heads of 2, 2 of keys, unless it says more."""
    draw = drawn()
    q, k, v, kk, vv = draw(8, 8), 2 * draw(8, 8), 3 * draw(8, 8), 2 * draw(4, 8), 3 * draw(4, 8)
    k1, v1 = draw(2, 8), draw(2, 8)
    mha, gqa, mqa = {"q": q, "k": k, "v": v}, {"q": q, "k": kk, "v": vv}, {"q": q, "k": k1, "v": v1}
    wide = {"q": draw(12, 8), "k": draw(6, 8), "v": draw(6, 8)}
    positions = draw(16, 4, 40)
    gate, up = draw(5, 8), draw(5, 8)
    gated = {"gate": gate, "up": up}
    experts = [(draw(5, 8), 2 * draw(5, 8)) for _ in range(3)]
    of_experts = {f"{e} {name}": one for e, pair in enumerate(experts) for name, one in zip(("gate", "up"), pair)}
    columns = {name: one.T for name, one in of_experts.items()}
    packed = torch.stack([torch.cat(pair) for pair in experts])
    down = draw(3, 8, 5)
    downs = {str(e): down[e] for e in range(3)}
    turn = torch.stack([torch.stack(pair, 1).flatten(0, 1) for pair in experts])  # gate, up, gate, up
    group = torch.cat([torch.cat([q.view(2, 4, 8)[g], kk.view(2, 2, 8)[g], vv.view(2, 2, 8)[g]]) for g in range(2)])
    small = {"hidden_size": 8, "num_attention_heads": 4}
    grouped = {**small, "num_key_value_heads": 2, "intermediate_size": 5}
    moe = {**grouped, "num_local_experts": 3}
    next_ = {
        **grouped,
        "model_type": "qwen3_next",
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 3,
        "linear_value_head_dim": 2,
    }
    mixed = {"q": draw(6, 8), "k": draw(6, 8), "v": draw(8, 8), "z": draw(8, 8)}
    ba = {"b": draw(4, 8), "a": draw(4, 8)}
    deepseek = {
        **small,
        "model_type": "deepseek_v3",
        "kv_lora_rank": 6,
        "qk_rope_head_dim": 2,
        "qk_nope_head_dim": 3,
        "v_head_dim": 5,
    }
    latent = {"latent": draw(6, 8), "rope": draw(2, 8)}
    kv_b = {"k": draw(12, 6), "v": draw(20, 6)}
    ssd = {"z": draw(12, 8), "x": draw(12, 8), "B": draw(6, 8), "C": draw(6, 8), "dt": draw(3, 8)}
    dt = {"dt": draw(2, 16), "B": draw(4, 16), "C": draw(4, 16)}
    xz = {"x": draw(16, 8), "z": draw(16, 8)}
    bcx = {"B": q, "C": k, "x": v}
    geglu = {"value": draw(32, 8), "gate": draw(32, 8)}
    codegen = torch.cat([one.view(4, 2, 8)[g] for g in range(4) for one in (q, v, k)])
    stacked = torch.cat([one for one, _ in experts])
    in_stack = {str(e): one for e, (one, _) in enumerate(experts)}
    alternate = torch.stack(list(turn.transpose(1, 2)))
    found = [
        Case({"model_type": "gpt2", "n_embd": 8, "n_head": 4}, "h.0.attn.c_attn.weight", torch.cat([q, k, v]).T),
        Case({"model_type": "gpt2", "n_embd": 8}, "h.0.crossattention.c_attn.weight", torch.cat([k, v]).T),
        Case({"model_type": "gpt_bigcode", "n_embd": 8, "n_head": 4}, "h.0.attn.c_attn.weight", torch.cat([q, k1, v1])),
        Case(
            {"model_type": "gpt_bigcode", "n_embd": 8, "n_head": 4, "multi_query": False},
            "h.0.attn.c_attn.weight",
            by_head(mha, 4),
        ),
        Case({"model_type": "codegen", "n_embd": 8, "n_head": 4}, "h.0.attn.qkv_proj.weight", codegen),
        *(
            Case({**small, "model_type": kind}, "layers.0.attention.query_key_value.weight", by_head(mha, 4))
            for kind in ("gpt_neox", "bloom", "persimmon")
        ),
        Case({**small, "model_type": "falcon"}, "h.0.self_attention.query_key_value.weight", torch.cat([q, k1, v1])),
        Case(
            {**small, "model_type": "falcon", "new_decoder_architecture": True, "num_kv_heads": 2},
            "h.0.self_attention.query_key_value.weight",
            group,
        ),
        Case(
            {**small, "model_type": "falcon", "multi_query": False},
            "h.0.self_attention.query_key_value.weight",
            by_head(mha, 4),
        ),
        Case(
            {"model_type": "mpt", "d_model": 8, "n_heads": 4, "attn_config": {"attn_type": "multiquery_attention"}},
            "blocks.0.attn.Wqkv.weight",
            torch.cat([q, k1, v1]),
        ),
        Case(
            {"model_type": "mpt", "d_model": 8, "n_heads": 4, "attn_config": {"kv_n_heads": 2}},
            "blocks.0.attn.Wqkv.weight",
            torch.cat([q, kk, vv]),
        ),
        Case({"model_type": "mpt", "d_model": 8, "n_heads": 4}, "blocks.0.attn.Wqkv.weight", torch.cat([q, k, v])),
        Case(
            {"model_type": "dbrx", "d_model": 8, "n_heads": 4, "attn_config": {"kv_n_heads": 2}},
            "blocks.0.norm_attn_norm.attn.Wqkv.weight",
            torch.cat([q, kk, vv]),
        ),
        Case({**grouped, "model_type": "phi3"}, "layers.0.self_attn.qkv_proj.weight", torch.cat([q, kk, vv])),
        Case(
            {**grouped, "model_type": "gemma2", "head_dim": 3},
            "model.layers.0.self_attn.qkv_proj.weight",
            one_after_the_other(wide),
            wide,
        ),
        Case(
            {
                **small,
                "model_type": "chatglm",
                "kv_channels": 2,
                "multi_query_attention": True,
                "multi_query_group_num": 2,
            },
            "encoder.layers.0.self_attention.query_key_value.weight",
            torch.cat([q, kk, vv]),
        ),
        Case({**small, "model_type": "chatglm"}, "layers.0.attention.query_key_value.weight", by_head(mha, 4)),
        Case({**grouped, "model_type": "internlm2"}, "layers.0.attention.wqkv.weight", group),
        Case({**small, "model_type": "baichuan"}, "layers.0.self_attn.W_pack.weight", torch.cat([q, k, v])),
        Case({**small, "model_type": "qwen", "kv_channels": 2}, "h.0.attn.c_attn.weight", torch.cat([q, k, v])),
        Case(next_, "layers.0.self_attn.q_proj.weight", by_head({"q": q, "gate": k}, 4), {"q": q, "gate": k}),
        Case(next_, "layers.0.linear_attn.in_proj_qkvz.weight", by_head(mixed, 2), mixed),
        Case(next_, "layers.0.linear_attn.in_proj_ba.weight", by_head(ba, 2), ba),
        Case(
            {**next_, "model_type": "qwen3_5"},
            "layers.0.linear_attn.in_proj_qkv.weight",
            torch.cat([mixed["q"], mixed["k"], mixed["v"]]),
            {name: mixed[name] for name in "qkv"},
        ),
        Case(deepseek, "layers.0.self_attn.kv_a_proj_with_mqa.weight", one_after_the_other(latent), latent),
        Case(deepseek, "layers.0.self_attn.kv_b_proj.weight", by_head(kv_b, 4), kv_b),
        Case({**small, "model_type": "modernbert"}, "layers.0.attn.Wqkv.weight", torch.cat([q, k, v])),
        Case(
            {**grouped, "model_type": "modernbert"},
            "layers.0.mlp.Wi.weight",
            torch.cat([gate, up]),
            {"input": gate, "gate": up},
        ),
        Case({**small, "model_type": "deberta"}, "layer.0.attention.self.in_proj.weight", by_head(mha, 4)),
        Case({"model_type": "xlnet"}, "layer.0.rel_attn.q", draw(8, 4, 2)),
        Case({**grouped, "model_type": "gpt_oss"}, "block.0.attn.qkv.weight", torch.cat([q, kk, vv])),
        Case({**grouped, "model_type": "phi3"}, "layers.0.mlp.gate_up_proj.weight", torch.cat([gate, up]), gated),
        Case({**grouped, "model_type": "glm4"}, "layers.0.mlp.gate_up_proj.weight", torch.cat([gate, up]), gated),
        Case(
            {**small, "model_type": "chatglm", "ffn_hidden_size": 5},
            "encoder.layers.0.mlp.dense_h_to_4h.weight",
            torch.cat([gate, up]),
            gated,
        ),
        Case(
            {"model_type": "dbrx", "ffn_config": {"moe_num_experts": 3}},
            "blocks.0.ffn.experts.mlp.w1",
            stacked,
            in_stack,
        ),
        Case({**moe, "model_type": "gpt_oss"}, "layers.0.mlp.experts.gate_up_proj", alternate, columns),
        Case({**moe, "model_type": "gpt_oss"}, "block.0.mlp.mlp1_weight", turn, of_experts),
        Case({**moe, "model_type": "gpt_oss"}, "layers.0.mlp.experts.down_proj", down, downs),
        Case(
            {**moe, "model_type": "llama4_text"},
            "layers.0.feed_forward.experts.gate_up_proj",
            packed.transpose(1, 2),
            columns,
        ),
        Case({**moe, "model_type": "llama4_text"}, "layers.0.feed_forward.experts.down_proj", down, downs),
        Case({**moe, "model_type": "qwen3_vl_moe_text"}, "layers.0.mlp.experts.gate_up_proj", packed, of_experts),
        Case(
            {**moe, "model_type": "qwen3_vl_moe_text"},
            "layers.0.mlp.experts.gate_up_proj",
            packed.transpose(1, 2),
            columns,
        ),
        Case({**moe, "model_type": "qwen3_vl_moe_text"}, "layers.0.mlp.experts.down_proj", down, downs),
        Case({**moe, "model_type": "mixtral"}, "layers.0.mlp.experts.gate_up_proj", packed, of_experts),
        Case({**moe, "model_type": "mixtral"}, "layers.0.mlp.experts.down_proj", down, downs),
        Case({**moe, "model_type": "granitemoe"}, "layers.0.block_sparse_moe.input_linear.weight", packed, of_experts),
        Case({**moe, "model_type": "granitemoe"}, "layers.0.block_sparse_moe.output_linear.weight", down, downs),
        Case(
            {**moe, "model_type": "granitemoehybrid"},
            "layers.0.shared_mlp.input_linear.weight",
            torch.cat([gate, up]),
            gated,
        ),
        Case({**moe, "model_type": "aria_text"}, "layers.0.mlp.experts.fc2.weight", down, downs),
        Case({"model_type": "mamba"}, "layers.0.mixer.in_proj.weight", one_after_the_other(xz), xz),
        Case(
            {"model_type": "mamba", "time_step_rank": 2, "state_size": 4},
            "layers.0.mixer.x_proj.weight",
            one_after_the_other(dt),
            dt,
        ),
        Case(
            {"model_type": "jamba", "mamba_dt_rank": 2, "mamba_d_state": 4},
            "layers.0.mamba.x_proj.weight",
            one_after_the_other(dt),
            dt,
        ),
        Case(
            {"model_type": "mamba2", "num_heads": 3, "head_dim": 4, "n_groups": 2, "state_size": 3},
            "layers.0.mixer.in_proj.weight",
            one_after_the_other(ssd),
            ssd,
        ),
        Case(
            {
                "model_type": "bamba",
                "mamba_n_heads": 3,
                "mamba_d_head": 4,
                "mamba_n_groups": 2,
                "mamba_d_state": 3,
            },
            "layers.0.mamba.in_proj.weight",
            one_after_the_other(ssd),
            ssd,
        ),
        Case(
            {
                "model_type": "zamba2",
                "n_mamba_heads": 3,
                "mamba_headdim": 4,
                "mamba_ngroups": 2,
                "mamba_d_state": 3,
            },
            "layers.0.mamba.in_proj.weight",
            one_after_the_other(ssd),
            ssd,
        ),
        Case(
            {
                "model_type": "nemotron_h",
                "mamba_num_heads": 3,
                "mamba_head_dim": 4,
                "n_groups": 2,
                "ssm_state_size": 3,
            },
            "layers.0.mixer.in_proj.weight",
            one_after_the_other(ssd),
            ssd,
        ),
        Case(
            {
                "model_type": "falcon_h1",
                "mamba_d_ssm": 12,
                "mamba_n_groups": 2,
                "mamba_d_state": 3,
                "mamba_n_heads": 3,
            },
            "layers.0.mamba.in_proj.weight",
            one_after_the_other(ssd),
            ssd,
        ),
        Case({"model_type": "whisper"}, "model.encoder.embed_positions.weight", draw(20, 8)),
        Case({"model_type": "gptj"}, "h.0.attn.embed_positions", draw(20, 8)),
        Case({**small, "model_type": "lfm2"}, "layers.0.conv.in_proj.weight", one_after_the_other(bcx), bcx),
        Case(
            {"model_type": "wavlm", "num_conv_pos_embedding_groups": 4},
            "encoder.pos_conv_embed.conv.weight",
            positions,
            {"": positions[:4, :, 0]},
        ),
        Case({"architecture": "vit_tiny_patch16_224"}, "blocks.0.attn.qkv.weight", torch.cat([q, k, v])),
        Case({"model_type": "qwen2_vl"}, "visual.blocks.0.attn.qkv.weight", torch.cat([q, k, v])),
        Case(
            {"_class_name": "UNet2DConditionModel"},
            "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_qkv.weight",
            torch.cat([q, k, v]),
        ),
        Case(
            {"_class_name": "UNet2DConditionModel"},
            "down_blocks.0.attentions.0.transformer_blocks.0.ff.net.0.proj.weight",
            one_after_the_other(geglu),
            geglu,
        ),
    ]
    for case in found:
        if case.parts or "embed_positions" in case.name:
            continue
        if kind_of(case.config) == "xlnet":
            case.parts = {"": case.tensor.flatten(1)}
        elif "crossattention" in case.name:
            case.parts = {"k": k.T, "v": v.T}
        elif case.config.get("model_type") == "gpt2":
            case.parts = {name: one.T for name, one in mha.items()}
        else:
            rows = case.tensor.shape[0]
            case.parts = mha if rows == 24 else gqa if rows == 16 else mqa
    return found


CASES = cases()


def parts_of(tensors: dict[str, torch.Tensor], name: str, **told: Any) -> list[tuple[Job, torch.Tensor]]:
    """The jobs of a tensor that are no whole of WeightWatcher's, with their matrices."""
    jobs = [job for job in plan(mapping_tensors(tensors), **told) if job.tensor == name]
    labelled = [job for job in jobs if job.label] or jobs
    return [(job, job.part.matrices(tensors[name])[0]) for job in labelled]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_config_tells_the_matrices_of_a_tensor(case):
    if not case.parts:
        (job,) = plan(mapping_tensors({case.name: case.tensor}), config=case.config)
        assert job.skipped
        assert "does not train" in job.note
        return
    found = parts_of({case.name: case.tensor}, case.name, config=case.config)
    if kind_of(case.config) == "codegen":
        found = sorted(found, key=lambda one: "qkv".index(one[0].label))
    assert [job.label for job, _ in found] == list(case.parts)
    for (job, matrix), truth in zip(found, case.parts.values(), strict=True):
        assert torch.equal(matrix, truth), job.label
        assert job.layout_from == "config"
        assert (job.part.rows, job.part.columns) == tuple(truth.shape)
        assert torch.equal(job.part.matrices_of_cut(case.tensor[job.part.index(case.tensor.shape)])[0], truth)


def test_every_entry_has_its_case():
    for entry in REGISTER:
        assert any(
            re.search(entry.name, case.name)
            and any(re.fullmatch(kind, kind_of(case.config)) for kind in entry.types)
            and all(
                {**DEFAULTS.get(kind_of(case.config), {}), **case.config.get("attn_config", {}), **case.config}.get(key)
                == value
                for key, value in entry.when.items()
            )
            for case in CASES
        ), entry


def test_a_directory_a_module_and_a_mapping_have_the_same_rows(tmp_path):
    """The config lies beside the weights, in the module, or nowhere."""
    fused = next(case for case in CASES if kind_of(case.config) == "gpt_neox")
    prefix = fused.name.removesuffix(".query_key_value.weight")

    class Config:
        def to_dict(self):
            return fused.config

    model = nn.Module()
    held = model
    for word in prefix.split("."):
        held.add_module(word, nn.Module())
        held = getattr(held, word)
    held.query_key_value = nn.Linear(8, 24, bias=False)
    held.query_key_value.weight.data = fused.tensor
    (tmp_path / "config.json").write_text(json.dumps(fused.config))
    save_file({fused.name: fused.tensor}, tmp_path / "model.safetensors")
    bare = ww.analyze(model.state_dict())
    assert bare["slice"].tolist() == [""]
    assert "the model type" not in bare["reason"].iloc[0]
    model.config = Config()
    for frame in (ww.analyze(tmp_path), ww.analyze(model), ww.scan(tmp_path / "model.safetensors")):
        assert frame["slice"].tolist() == ["", "q", "k", "v"]
        assert set(frame["layout_from"]) == {"config"}
        for (_, row), truth in zip(frame.iloc[1:].iterrows(), fused.parts.values()):
            assert row["lambda_max"] == pytest.approx(singular_value_squares(truth.numpy()).max(), rel=1e-5)
            assert row["layout"] == f"{row['slice']} of q,k,v 8+8+8 in 4 groups"


def test_a_scan_goes_on_only_with_the_same_config_and_layouts(tmp_path):
    fused = next(case for case in CASES if kind_of(case.config) == "gpt_neox")
    save_file({fused.name: fused.tensor}, tmp_path / "model.safetensors")
    ww.scan(tmp_path, tmp_path / "rows.sqlite")
    (tmp_path / "config.json").write_text(json.dumps(fused.config))
    with pytest.raises(InvalidInput, match="config"):
        ww.scan(tmp_path, tmp_path / "rows.sqlite")


def test_the_config_of_the_model_inside_counts_too():
    fused = next(case for case in CASES if kind_of(case.config) == "phi3" and "qkv" in case.name)
    config = {"model_type": "some_vision_language_model", "vision_config": {"model_type": "vit"}}
    found = parts_of({fused.name: fused.tensor}, fused.name, config={**config, "text_config": fused.config})
    assert [job.label for job, _ in found] == ["q", "k", "v"]


def test_a_config_that_does_not_fit_is_told():
    fused = next(case for case in CASES if kind_of(case.config) == "phi3" and "qkv" in case.name)
    found = parts_of({fused.name: fused.tensor}, fused.name, config={**fused.config, "num_key_value_heads": 4})
    assert [(job.label, job.layout_from) for job, _ in found] == [("", "names")]
    assert found[0][0].note.startswith("the config says that phi3 has rows:q=H*d,k=K*d,v=K*d, which does not fit")
    assert "it may hold q, k, v" in found[0][0].note


@pytest.mark.parametrize("text", ["{", "[1]", "null", '{"model_type": 3}', '{"model_type": "gpt_neox"}', "\xff"])
def test_a_config_of_no_use_costs_nothing_but_itself(tmp_path, text):
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    save_file({"attn.query_key_value.weight": torch.randn(24, 8)}, tmp_path / "model.safetensors")
    frame = ww.scan(tmp_path)
    assert frame[["slice", "status"]].to_numpy().tolist() == [["", "analyzed"]]
    assert "analysed whole; it may hold" in frame["reason"].iloc[0]


@pytest.mark.parametrize(
    ("prefix", "shape", "beside", "how"),
    [
        ("stages.0.blocks.0.attn_block.attn", (24, 8), {"rel_pos.relative_position_bias_table": (9, 4)}, "by head"),
        ("stages.0.blocks.0.attn_grid.attn", (24, 8), {"rel_pos.relative_position_bias_table": (4, 3, 3)}, "thirds"),
        ("stages.2.blocks.0.attn", (24, 8, 1, 1), {"rel_pos.relative_position_bias_table": (9, 4)}, "by head"),
        ("stages.2.blocks.0.attn", (24, 8), {"rel_pos.relative_position_bias_table": (9, 4)}, "open"),  # also GC ViT
        ("layers.0.blocks.0.attn", (24, 8), {"relative_position_bias_table": (9, 4)}, "thirds"),
        ("layers.0.blocks.0.attn", (24, 8), {"cpb_mlp.0.weight": (16, 2)}, "thirds"),
        ("blocks.0.attn", (24, 8), {}, "open"),
    ],
)
def test_what_lies_beside_a_fused_projection_of_vision_decides(prefix, shape, beside, how):
    draw = drawn()
    parts = {"q": draw(8, 8), "k": draw(8, 8), "v": draw(8, 8)}
    fused = by_head(parts, 4) if how == "by head" else one_after_the_other(parts)
    name = f"{prefix}.qkv.weight"
    tensors = {name: fused.reshape(shape), **{f"{prefix}.{end}": torch.zeros(one) for end, one in beside.items()}}
    found = parts_of(tensors, name)
    assert {job.layout_from for job, _ in found} == {"names"}
    if how == "open":
        assert [job.label for job, _ in found] == [""]
        assert "it may hold" in found[0][0].note
        return
    assert [job.label for job, _ in found] == ["q", "k", "v"]
    assert all(torch.equal(matrix, truth) for (_, matrix), truth in zip(found, parts.values()))


def test_blocks_of_a_vision_transformer_are_known_by_their_names():
    for prefix in ("", "image_encoder."):
        name = f"{prefix}blocks.3.attn.qkv.weight"
        found = parts_of({name: torch.zeros(24, 8), f"{prefix}patch_embed.proj.weight": torch.zeros(8, 3, 2, 2)}, name)
        assert [(job.label, job.part.start) for job, _ in found] == [("q", 0), ("k", 8), ("v", 16)]


def test_gpt2_is_known_by_names_and_shapes():
    names = {"h.0.attn.c_attn.weight": (8, 24), "h.0.crossattention.c_attn.weight": (8, 16)}
    tensors = {name: torch.randn(shape) for name, shape in names.items()}
    for name, labels in zip(names, ("qkv", "kv")):
        found = parts_of(tensors, name)
        assert [job.label for job, _ in found] == list(labels)
        assert torch.equal(torch.cat([matrix for _, matrix in found], 1), tensors[name])


def test_the_class_that_holds_a_projection_decides(monkeypatch):
    """timm's attention with heads first, which it says of itself."""
    entry = MODULES[1]
    assert re.fullmatch(entry.types[0], "timm.models.maxxvit.AttentionCl")

    class AttentionCl(nn.Module):
        def __init__(self, head_first):
            super().__init__()
            self.num_heads, self.head_first = 4, head_first
            self.qkv = nn.Linear(8, 24, bias=False)

    AttentionCl.__module__, AttentionCl.__qualname__ = "timm.models.maxxvit", "AttentionCl"
    for head_first in (True, False):
        model = nn.ModuleDict({"attn": AttentionCl(head_first)})
        jobs = plan(module_tensors(model))
        assert [job.label for job in jobs] == ["", "q", "k", "v"]
        assert {job.layout_from for job in jobs} == {"module"}
        weight = model["attn"].qkv.weight
        q = weight.view(4, 3, 2, 8)[:, 0].reshape(8, 8) if head_first else weight[:8]
        assert torch.equal(jobs[1].part.matrices(weight)[0], q)


@pytest.mark.parametrize("name", ["mamba.in_proj", "mixer.in_proj", "conv.in_proj", "in_proj"])
@pytest.mark.parametrize("rows", [16, 20, 24])
def test_what_is_no_attention_has_no_q(name, rows):
    found = parts_of({f"{name}.weight": torch.zeros(rows, 8)}, f"{name}.weight")
    assert [job.label for job, _ in found] == [""]
    assert "x and z of Mamba" in found[0][0].note


@given(data=st.data())
def test_any_number_of_heads_groups_and_widths(data):
    """Drawn: the heads, the heads of keys, their width, the inputs; in each order a family has, asked or by config."""
    keys, ratio = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    width, inputs = data.draw(st.integers(1, 5)), data.draw(st.integers(2, 9))
    heads = keys * ratio
    draw = drawn(data.draw(st.integers(0, 99)))
    parts = {"q": draw(heads * width, inputs), "k": draw(keys * width, inputs), "v": draw(keys * width, inputs)}
    config = {"num_attention_heads": heads, "num_key_value_heads": keys, "head_dim": width, "hidden_size": inputs}
    kind, name, groups = data.draw(
        st.sampled_from([("phi3", "self_attn.qkv_proj.weight", 1), ("internlm2", "attention.wqkv.weight", keys)])
    )
    fused = by_head(parts, groups)
    words = f"qkv:{heads * width},{keys * width},{keys * width} x {groups}"
    by_config = parts_of({name: fused}, name, config={**config, "model_type": kind})
    asked = parts_of({name: fused}, name, layouts={name: words})
    columns = ",".join(f"{part}={len(parts[part])}" for part in parts)
    turned = parts_of({"w": fused.T}, "w", layouts={"w": f"columns:{columns} x {groups}"})
    for found in (by_config, asked):
        assert [job.label for job, _ in found] == ["q", "k", "v"]
        assert all(torch.equal(matrix, truth) for (_, matrix), truth in zip(found, parts.values()))
    assert all(torch.equal(matrix, truth.T) for (_, matrix), truth in zip(turned, parts.values()))


@pytest.mark.parametrize(
    ("words", "shape"),
    [
        ("rows:q=8,k=8", (24, 8)),
        ("rows:q=12,k=12 x 5", (24, 8)),
        ("rows:q=12,q=12", (24, 8)),
        ("rows:q=24,k=0", (24, 8)),
        ("rows:", (24, 8)),
        ("columns:q=4,k=4 x", (24, 8, 2)),
        ("qkv:8,8,8 x 3", (24, 8)),
        ("stack:5", (24, 8)),
        ("stack", (24, 8)),
        ("fold:0", (4, 2, 8)),
        ("fold:3", (4, 2, 8)),
        ("kernel:0,1 x 5", (24, 8, 3)),
        ("kernel:0", (24, 8, 3)),
        ("other", (24, 8)),
    ],
)
def test_what_cannot_be_read_so_is_refused(words, shape):
    with pytest.raises(InvalidInput, match=re.escape(words.partition(" x")[0])):
        plan(mapping_tensors({"w.weight": torch.zeros(shape)}), layouts={"w.*": words})


@pytest.mark.parametrize("words", ["qkv:8,8,8 x 4", "rows:a=6,b=18 x 3", "columns:a=2,b=6 x 2", "fold:1", "stack:3"])
def test_a_part_that_is_no_view_is_truncated_too(words):
    """What is written back is what was cut, and the other parts stay."""
    shape = (24, 2, 4) if words == "fold:1" else (24, 8)
    tensors = {"w": torch.randn(shape, generator=torch.Generator().manual_seed(0))}
    before = tensors["w"].clone()
    first = plan(mapping_tensors(tensors), layouts={"w": words})[0]
    with ww.truncated(tensors, "rank:2", layers=[first.title], layouts={"w": words}):
        parts = [job.part for job in plan(mapping_tensors(tensors), layouts={"w": words})]
        ranks = [int(torch.linalg.matrix_rank(part.matrices(tensors["w"])[0], tol=1e-4)) for part in parts]
        assert ranks[0] == min(2, first.part.num_evals)
        assert all(torch.equal(part.matrices(tensors["w"])[0], part.matrices(before)[0]) for part in parts[1:])
    assert torch.equal(tensors["w"], before)


def own_row(tensors: Any, **options: Any) -> Any:
    frame = ww.analyze(tensors, **options)
    assert len(frame) == 1
    return frame.iloc[0]


KERNEL = np.random.default_rng(0).normal(size=(24, 16, 3, 3)).astype(np.float32)  # outputs, inputs, kernel


def pooled(kernel: np.ndarray, groups: int = 1) -> np.ndarray:
    """Eigenvalues of all blocks on the diagonals of all slices, halved as WeightWatcher halves them."""
    flat = kernel.reshape(*kernel.shape[:2], -1)
    blocks = [block for place in range(flat.shape[2]) for block in np.split(flat[:, :, place], groups)]
    return np.concatenate([singular_value_squares(block) for block in blocks]) / 2


@pytest.mark.parametrize(
    ("name", "axes", "options"),
    [
        ("conv/kernel", (2, 3, 1, 0), {}),  # Keras
        ("conv.kernel", (0, 1, 2, 3), {}),
        ("backbone.conv", (0, 2, 3, 1), {}),  # MLX
        ("conv.weight", (0, 2, 3, 1), {"layouts": {"conv.weight": "kernel:0,3"}}),
        ("conv.weight", (0, 1, 2, 3), {}),
    ],
)
def test_axes_of_a_kernel(name, axes, options):
    row = own_row({name: np.ascontiguousarray(KERNEL.transpose(axes))}, **options)
    truth = pooled(KERNEL)
    assert (row["N"], row["M"], row["num_evals"], row["layer_type"]) == (24, 16, truth.size, "conv2d")
    assert row["norm"] == pytest.approx(truth.sum(), rel=1e-5)
    assert row["lambda_max"] == pytest.approx(truth.max(), rel=1e-5)


def test_a_file_that_says_it_is_written_by_mlx_has_channels_last(tmp_path):
    tensor = torch.from_numpy(np.ascontiguousarray(KERNEL.transpose(0, 2, 3, 1)))
    save_file({"conv.weight": tensor}, tmp_path / "model.safetensors", metadata={"format": "mlx"})
    for frame in (ww.analyze(tmp_path), ww.scan(tmp_path / "model.safetensors")):
        assert frame[["N", "M"]].to_numpy().tolist() == [[24, 16]]
        assert frame["lambda_max"].iloc[0] == pytest.approx(pooled(KERNEL).max(), rel=1e-5)


class Held(nn.Module):
    """A class of its own with a weight and attributes."""

    def __init__(self, weight: torch.Tensor, **facts: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        for name, value in facts.items():
            setattr(self, name, value)


@pytest.mark.parametrize(
    ("axes", "kernel"), [((0, 2, 3, 4, 1), 3), ((2, 3, 4, 1, 0), 3), ((0, 1, 2, 3, 4), 3), ((0, 2, 3, 4, 1), 1)]
)
def test_a_class_that_says_its_channels_is_believed(axes, kernel):
    """spconv's sparse convolutions, of either order, and torch's."""
    weight = torch.randn(24, 16, kernel, kernel, kernel)
    facts = {"in_channels": 16, "out_channels": 24, "kernel_size": [kernel] * 3, "groups": 1}
    row = own_row(nn.Sequential(Held(weight.permute(axes).contiguous(), **facts)))
    truth = pooled(weight.numpy())
    assert (row["N"], row["M"], row["num_evals"]) == (24, 16, truth.size)
    assert row["lambda_max"] == pytest.approx(truth.max(), rel=1e-5)
    assert row["layout_from"] == "module"


class ModulatedConv2d(Held):
    pass


def test_leading_ones_are_no_kernel():
    weight = torch.from_numpy(KERNEL)[None]
    for model in (nn.Sequential(ModulatedConv2d(weight)), {"convs.0.conv.weight": weight}):
        row = own_row(model)
        assert (row["N"], row["M"], row["num_evals"], row["layer_type"]) == (24, 16, 16 * 9, "conv2d")


def test_a_stack_of_kernels_and_a_table_beside_a_kernel():
    row = own_row(nn.Sequential(ModulatedConv2d(torch.randn(4, 24, 16, 3, 3))))
    assert (row["N"], row["M"], row["num_evals"], row["layer_type"]) == (24, 16, 4 * 16 * 9, "conv2d")
    attention = Held(torch.randn(24, 16), kernel_size=7)
    attention.rpb = nn.Parameter(torch.randn(4, 13, 13))
    frame = ww.analyze(nn.Sequential(attention))
    assert frame[frame["longname"] == "0.rpb"]["layer_type"].tolist() == ["stack"] * 4


@pytest.mark.parametrize(
    "module",
    [
        lambda: nn.Conv1d(16, 24, 3, groups=4),
        lambda: nn.ConvTranspose1d(24, 16, 3, groups=4),
        lambda: nn.Conv3d(16, 24, 2, groups=2),
    ],
)
def test_a_grouped_kernel_is_its_blocks(module):
    layer = module()
    row = own_row(nn.Sequential(layer))
    truth = pooled(layer.weight.detach().numpy(), layer.groups)
    assert (row["num_evals"], row["rf"]) == (truth.size, layer.groups * np.prod(layer.kernel_size))
    assert row["norm"] == pytest.approx(truth.sum(), rel=1e-5)
    assert row["lambda_max"] == pytest.approx(truth.max(), rel=1e-5)
    assert row["layout"].endswith(f"slices, {layer.groups} groups")


def test_weightwatchers_row_of_a_grouped_kernel_says_so():
    frame = ww.analyze(nn.Sequential(nn.Conv2d(16, 24, 3, groups=4), nn.Conv2d(24, 24, 3, groups=24)))
    assert frame["row_origin"].tolist() == ["weightwatcher"] * 2
    assert frame["reason"].iloc[0].startswith("grouped: 4 blocks of 6 x 4 on the diagonal of each slice")
    assert frame["reason"].iloc[1] == (
        "grouped: every block of this kernel has one column or row (depthwise), which is no matrix"
    )
    assert [row["reason"] for row in frame.attrs["coverage"]] == frame["reason"].tolist()


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ({"dwconv.weight": torch.ones(24, 1, 3, 3)}, "one column (grouped, depthwise, or one input channel)"),
        (nn.Sequential(nn.Conv2d(1, 24, 3)), "one column (one input channel)"),
        (nn.Sequential(nn.Conv1d(24, 1, 3)), "one row (one output channel)"),
        (nn.Sequential(nn.Conv1d(8, 16, 3, groups=8)), "(depthwise)"),
        (nn.Sequential(nn.ConvTranspose1d(8, 8, 3, groups=8)), "(depthwise)"),
        ({"depthwise_conv2d/depthwise_kernel": torch.ones(3, 3, 16, 2)}, "(depthwise)"),
    ],
)
def test_slices_of_one_column_are_told_to_be_no_matrix(model, told):
    frame = ww.analyze(model)
    assert len(frame) == 1
    assert told in frame["reason"].iloc[0]
    assert frame["reason"].iloc[0].endswith("which is no matrix")


def exported(net: nn.Module, x: torch.Tensor) -> Any:
    return torch.export.export(net, (x,)).module()


def energy(model: Any) -> float:
    return float(sum(weight.detach().square().sum() for weight in model.parameters()))


FORMS = {"script": lambda net, x: torch.jit.script(net), "trace": torch.jit.trace, "export": exported}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("form", FORMS)
def test_a_compiled_module_has_the_rows_of_the_module(form):
    net = nn.Sequential(nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Conv2d(16, 12, 1), nn.Flatten(), nn.Linear(12, 10)).eval()
    other = FORMS[form](net, torch.randn(1, 8, 3, 3))
    listed = [ww.analyze(one).sort_values("longname").reset_index() for one in (net, other)]
    for name in ("longname", "N", "M", "num_evals", "layout", "layer_type"):
        assert [str(one).lower() for one in listed[0][name]] == [str(one).lower() for one in listed[1][name]]
    assert np.allclose(listed[0]["lambda_max"], listed[1]["lambda_max"], rtol=1e-6)
    cuts = [
        ww.evaluate_truncation(
            one, lambda model: float(sum(w.detach().square().sum() for w in model.parameters())), "rank:3"
        )
        for one in (net, other)
    ]
    assert cuts[0]["rank"].tolist() == cuts[1]["rank"].tolist()
    assert cuts[0]["metric"].tolist() == pytest.approx(cuts[1]["metric"].tolist(), rel=1e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("form", ["script", "export"])
def test_groups_of_a_compiled_module(form):
    net = nn.Sequential(nn.Conv1d(8, 16, 3, groups=4), nn.ConvTranspose1d(16, 8, 3, groups=2)).eval()
    rows = [ww.analyze(one)[["num_evals", "layout"]] for one in (net, FORMS[form](net, torch.randn(1, 8, 9)))]
    assert rows[0].to_numpy().tolist() == rows[1].to_numpy().tolist()
    assert rows[0]["layout"].tolist() == ["conv1d 3 slices, 4 groups", "conv1d 3 slices, 2 groups"]


@pytest.mark.parametrize("shape", [(5, 64, 48), (64, 32, 16), (4, 16, 8), (32, 24, 3, 3), (24, 24, 4, 4), (48, 32, 3)])
@pytest.mark.parametrize("name", ["conv1", "relation", "block"])
def test_a_module_and_its_own_state_dict_agree(name, shape):
    model = nn.Module()
    model.add_module(name, Held(torch.randn(shape)))
    one, other = ww.analyze(model), ww.analyze(model.state_dict())
    assert one[["N", "M", "num_evals", "layout"]].to_numpy().tolist() == (
        other[["N", "M", "num_evals", "layout"]].to_numpy().tolist()
    )


def test_three_axes_that_may_be_a_kernel_are_told():
    frame = ww.analyze({"relation.weight": torch.randn(5, 24, 16), "experts.gate_up_proj": torch.randn(2, 24, 16)})
    assert len(frame) == 7
    assert "it may be the kernel of a convolution" in frame["reason"].iloc[0]
    assert "each may hold gate and up one after the other" in frame["reason"].iloc[-1]


def test_kernels_of_attention_with_an_axis_for_heads():
    draw = drawn()
    tensors = {"attention.query.kernel": draw(16, 4, 3), "attention.attention_output.kernel": draw(4, 3, 16)}
    frame = ww.analyze(tensors).set_index("longname")
    assert frame[["N", "M"]].to_numpy().tolist() == [[16, 12], [16, 12]]
    for name, tensor in tensors.items():
        flat = tensor.reshape(16, 12) if "query" in name else tensor.reshape(12, 16)
        truth = singular_value_squares(flat.numpy())
        assert frame.loc[name, "lambda_max"] == pytest.approx(truth.max(), rel=1e-5)


@pytest.mark.parametrize(("count", "labels"), [(4, "ifco"), (3, "zrh")])
def test_gates_of_keras_lie_side_by_side(count, labels):
    draw = drawn()
    kernel, recurrent = draw(10, 6 * count), draw(6, 6 * count)
    tensors = {"cell.kernel": kernel, "cell.recurrent_kernel": recurrent}
    for name, tensor in tensors.items():
        found = parts_of(tensors, name)
        assert [job.label for job, _ in found] == list(labels)
        assert torch.equal(torch.cat([matrix for _, matrix in found], 1), tensor)


def test_gates_of_a_projected_lstm():
    net = nn.LSTM(8, 6, proj_size=2)
    for tensors in (module_tensors(net), mapping_tensors(net.state_dict())):
        jobs = [job for job in plan(tensors) if job.tensor == "weight_hh_l0"]
        assert [(job.label, job.part.rows, job.part.columns) for job in jobs] == [(gate, 6, 2) for gate in "ifgo"]


NO_WEIGHTS = [
    "rotary_emb.cos_cached",
    "model.freqs_cis",
    "heads.0.tril",
    "attn.attn_mask",
    "attn.causal_mask",
    "attn.relative_coords_table",
    "attn.relative_position_index",
    "embeddings.position_ids",
    "bn.running_mean",
    "mixer.A_log",
    "conv1.resample_filter",
    "synthesis.noise_const",
    "pos_encoder.pe",
    "pe_layer.positional_encoding_gaussian_matrix",
    "quantize.embed_avg",
    "model.24.anchor_grid",
    "encoder_q.queue",
    "mel_scale.fb",
]


@pytest.mark.parametrize("name", NO_WEIGHTS)
def test_tables_and_masks_are_told_and_left_out(name):
    frame = ww.analyze({name: torch.rand(20, 20), "fc.weight": torch.randn(30, 20)})
    assert frame["longname"].tolist() == ["fc"]
    told = next(row for row in frame.attrs["coverage"] if row["longname"] == name)
    assert told["status"] == "skipped"
    assert "no weight" in told["reason"]


@pytest.mark.parametrize("name", ["A_log_proj.weight", "tril.weight", "cosine.weight", "heads.mask.weight"])
def test_names_that_only_begin_so_are_weights(name):
    assert ww.analyze({name: torch.randn(20, 20)})["longname"].tolist() == [name.removesuffix(".weight")]


def test_buffers_of_a_module_are_told():
    class WithTables(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("table", torch.rand(20, 20))
            self.register_buffer("cos_cached", torch.rand(20, 20), persistent=False)
            self.register_buffer("frozen_weight", torch.rand(20, 20))

    frame = ww.analyze(nn.ModuleDict({"part": WithTables()}))
    assert frame["longname"].tolist() == ["part.frozen_weight"]
    told = {row["longname"]: row["reason"] for row in frame.attrs["coverage"]}
    assert told["part.table"] == "no weight: 'table' is a buffer, which is not trained"
    assert "a table of rotary positions" in told["part.cos_cached"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_quantised_layers_of_torch_are_there_once():
    net = nn.Sequential(nn.Linear(32, 24), nn.Linear(24, 16), nn.Conv2d(8, 12, 3))
    net = torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)
    frame = ww.analyze(net)
    told = [(row["longname"], row["shape"], row["status"]) for row in frame.attrs["coverage"]]
    assert [one for one in told if one[0][0] in "01"] == [
        ("0.weight", (24, 32), "analyzed"),
        ("1.weight", (16, 24), "analyzed"),
    ]
    for layer in (0, 1):
        truth = singular_value_squares(net[layer].weight().dequantize().numpy()).max()
        (row,) = [row for _, row in frame.iterrows() if row["longname"] == str(layer)]
        assert row["lambda_max"] == pytest.approx(truth, rel=1e-5)
