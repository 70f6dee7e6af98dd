"""The register of architectures: what a tensor of a model holds, from the `config.json` beside it. Data, not code.

An entry says: a tensor of this name in a model of this type is read as these words say, the words of `layouts=` with
names in the place of numbers. A name is one of `WIDTHS`, a key of the config, `R` or `C` (rows and columns of the
tensor's matrices), and they are put together by `+`, `*` and `/`. Of several entries the first counts whose conditions
hold and whose widths fit the tensor.

Sources: the classes of transformers 5.24, diffusers 0.42 and timm 1.0, and the code that models bring along.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One kind of tensor of some architectures.

    Attributes
    ----------
    types : tuple of str
        Patterns (of `re.fullmatch`) of `model_type`, timm's `architecture` or diffusers' `_class_name`.
    name : str
        Pattern (of `re.search`) of the tensor's name.
    words : str
        How it is read.
    when : mapping
        What the config has to say; a key it lacks is looked up in `DEFAULTS`.
    fits : str
        An equation of widths that has to hold, for instance `C = D`.
    """

    types: tuple[str, ...]
    name: str
    words: str
    when: Mapping[str, Any] = field(default_factory=dict)
    fits: str = ""


#: Names of widths: the keys of a config that hold them, the first that is there counts; else the product or quotient.
WIDTHS: dict[str, tuple[tuple[str, ...], str]] = {
    "D": (("hidden_size", "n_embd", "d_model", "n_embed", "dim", "model_dim"), ""),
    "H": (("num_attention_heads", "n_head", "n_heads", "num_heads"), ""),
    "K": (("num_key_value_heads", "num_kv_heads", "kv_n_heads", "multi_query_group_num", "n_head_kv"), "H"),
    "d": (("head_dim", "kv_channels", "attention_head_dim"), "D/H"),
    "I": (("intermediate_size", "ffn_hidden_size", "n_inner", "ffn_dim"), ""),
    "E": (("num_local_experts", "num_experts", "moe_num_experts", "n_routed_experts"), ""),
}

#: Families of speech with the grouped convolution of wav2vec 2.0 for positions.
SPEECH = ("wav2vec2", "wav2vec2-conformer", "hubert", "wavlm", "unispeech", "unispeech-sat", "sew", "data2vec-audio")

#: What a config means by a key that it lacks, by model type.
DEFAULTS: dict[str, dict[str, Any]] = {
    "gpt_bigcode": {"multi_query": True},
    "falcon": {"multi_query": True, "new_decoder_architecture": False},
    "RefinedWebModel": {"multi_query": True, "new_decoder_architecture": False},
    "RefinedWeb": {"new_decoder_architecture": True},
    "chatglm": {"multi_query_attention": False},
    "mpt": {"attn_type": "multihead_attention"},
    **{kind: {"num_conv_pos_embedding_groups": 16} for kind in SPEECH},
}

QKV = "rows:q=H*d,k=K*d,v=K*d"
QKV_BY_GROUP = "rows:q=H*d,k=K*d,v=K*d x K"
QKV_BY_HEAD = "rows:q=H*d,k=H*d,v=H*d x H"
MULTI_QUERY = "rows:q=H*d,k=d,v=d"
THIRDS = "rows:q=R/3,k=R/3,v=R/3"
GATE_UP = "rows:gate=R/2,up=R/2"
GATE_UP_COLUMNS = "columns:gate=C/2,up=C/2"
SSD = "rows:z={0},x={0},B={1},C={1},dt={2}"

#: Families whose projections some programs store fused, all of q before k before v and of gate before up.
FUSED_AS_SERVED = (
    "llama",
    "mistral",
    "gemma",
    "gemma2",
    r"gemma3(_text)?",
    "qwen2",
    "qwen3",
    "granite",
    "phi3",
    "phi3_v",
    "phi4mm",
    "phi4_multimodal",
)
#: Families whose experts transformers packs in memory as (experts, outputs, inputs).
PACKED_IN_MEMORY = (
    "mixtral",
    "phimoe",
    "minimax",
    "qwen2_moe",
    "qwen3_moe",
    "qwen3_next",
    r"qwen3_5_moe(_text)?",
    "olmoe",
    "deepseek_v2",
    "deepseek_v3",
    "jamba",
    r"glm4_moe(_lite)?",
    "granitemoe",
    "dots1",
    "ernie4_5_moe",
    "hunyuan_v1_moe",
)
DEEPSEEK = ("deepseek_v2", "deepseek_v3", "deepseek_v32", "kimi_k2", "longcat_flash", "minicpm3", "glm4_moe_lite")

REGISTER: tuple[Entry, ...] = (
    # Language models: attention.
    Entry(
        ("gpt2", "openai-gpt", "imagegpt", "decision_transformer"), r"\battn\.c_attn\.weight$", "columns:q=D,k=D,v=D"
    ),
    Entry(("gpt2", "decision_transformer"), r"\bcrossattention\.c_attn\.weight$", "columns:k=D,v=D"),
    Entry(("gpt_bigcode",), r"\battn\.c_attn\.weight$", "rows:q=D,k=d,v=d", {"multi_query": True}),
    Entry(("gpt_bigcode",), r"\battn\.c_attn\.weight$", "rows:q=D,k=D,v=D x H", {"multi_query": False}),
    Entry(("codegen",), r"\bqkv_proj\.weight$", "rows:q=D,v=D,k=D x 4"),
    Entry(("gpt_neox", "bloom", "persimmon", "fuyu"), r"\bquery_key_value\.weight$", QKV_BY_HEAD),
    Entry(
        ("falcon", "RefinedWebModel", "RefinedWeb"),
        r"\bquery_key_value\.weight$",
        QKV_BY_GROUP,
        {"new_decoder_architecture": True},
    ),
    Entry(
        ("falcon", "RefinedWebModel"),
        r"\bquery_key_value\.weight$",
        MULTI_QUERY,
        {"new_decoder_architecture": False, "multi_query": True},
    ),
    Entry(
        ("falcon", "RefinedWebModel"),
        r"\bquery_key_value\.weight$",
        QKV_BY_HEAD,
        {"new_decoder_architecture": False, "multi_query": False},
    ),
    Entry(("mpt",), r"\bWqkv\.weight$", "rows:q=D,k=D/H,v=D/H", {"attn_type": "multiquery_attention"}),
    Entry(("mpt",), r"\bWqkv\.weight$", "rows:q=D,k=K*D/H,v=K*D/H"),
    Entry(("dbrx",), r"\bWqkv\.weight$", QKV),
    Entry(FUSED_AS_SERVED, r"\bqkv_proj\.weight$", QKV),
    Entry(("chatglm",), r"\bself_attention\.query_key_value\.weight$", QKV, {"multi_query_attention": True}),
    Entry(("chatglm",), r"\battention\.query_key_value\.weight$", "rows:q=D,k=D,v=D x H"),
    Entry(("internlm2",), r"\bwqkv\.weight$", QKV_BY_GROUP),
    Entry(("baichuan",), r"\bW_pack\.weight$", "rows:q=D,k=D,v=D"),
    Entry(("qwen",), r"\battn\.c_attn\.weight$", "rows:q=H*d,k=H*d,v=H*d"),
    Entry((r"qwen3_next", r"qwen3_5(_moe)?(_text)?"), r"\bself_attn\.q_proj\.weight$", "rows:q=H*d,gate=H*d x H"),
    Entry(
        ("qwen3_next",),
        r"\bin_proj_qkvz\.weight$",
        "rows:q=linear_num_key_heads*linear_key_head_dim,k=linear_num_key_heads*linear_key_head_dim,"
        "v=linear_num_value_heads*linear_value_head_dim,z=linear_num_value_heads*linear_value_head_dim"
        " x linear_num_key_heads",
    ),
    Entry(
        ("qwen3_next",),
        r"\bin_proj_ba\.weight$",
        "rows:b=linear_num_value_heads,a=linear_num_value_heads x linear_num_key_heads",
    ),
    Entry(
        (r"qwen3_5(_moe)?(_text)?",),
        r"\bin_proj_qkv\.weight$",
        "rows:q=linear_num_key_heads*linear_key_head_dim,k=linear_num_key_heads*linear_key_head_dim,"
        "v=linear_num_value_heads*linear_value_head_dim",
    ),
    Entry(DEEPSEEK, r"\bkv_a_proj_with_mqa\.weight$", "rows:latent=kv_lora_rank,rope=qk_rope_head_dim"),
    Entry(DEEPSEEK, r"\bkv_b_proj\.weight$", "rows:k=H*qk_nope_head_dim,v=H*v_head_dim x H"),
    Entry(("modernbert",), r"\bWqkv\.weight$", "rows:q=D,k=D,v=D"),
    Entry(("modernbert",), r"\bmlp\.Wi\.weight$", "rows:input=I,gate=I"),
    Entry(("deberta",), r"\bself\.in_proj\.weight$", "rows:q=D,k=D,v=D x H"),
    Entry(("xlnet",), r"\brel_attn\.[qkvro]$", "fold:1"),
    Entry(("gpt_oss",), r"\battn\.qkv\.weight$", QKV),
    # Gated feed-forward layers and experts.
    Entry((*FUSED_AS_SERVED, "glm", "glm4"), r"\bmlp\.gate_up_proj\.weight$", "rows:gate=I,up=I"),
    Entry(("chatglm",), r"\bencoder\.layers\.\d+\.mlp\.dense_h_to_4h\.weight$", "rows:gate=I,up=I"),
    Entry(("dbrx",), r"\bexperts\.mlp\.(w1|v1|w2)$", "stack:E"),
    Entry(("gpt_oss",), r"\bexperts\.gate_up_proj$", "columns:gate=I,up=I x I"),
    Entry(("gpt_oss",), r"\bmlp\.mlp1_weight$", "rows:gate=I,up=I x I"),
    Entry(("gpt_oss",), r"\b(experts\.down_proj|mlp\.mlp2_weight)$", "stack:E"),
    Entry(("llama4", "llama4_text"), r"\bexperts\.gate_up_proj$", GATE_UP_COLUMNS),
    Entry(("llama4", "llama4_text"), r"\bexperts\.down_proj$", "stack:E"),
    Entry((r"qwen3_vl_moe(_text)?",), r"\bexperts\.gate_up_proj$", GATE_UP, fits="C = D"),
    Entry((r"qwen3_vl_moe(_text)?",), r"\bexperts\.gate_up_proj$", GATE_UP_COLUMNS, fits="R = D"),
    Entry((r"qwen3_vl_moe(_text)?",), r"\bexperts\.down_proj$", "stack:E"),
    Entry(PACKED_IN_MEMORY, r"\bexperts\.gate_up_proj$", GATE_UP, fits="C = D"),
    Entry(PACKED_IN_MEMORY, r"\bexperts\.down_proj$", "stack:E"),
    Entry(
        (r"granitemoe(shared|hybrid)?", "jetmoe"),
        r"\b(block_sparse_moe|mlp)\.input_linear\.weight$",
        GATE_UP,
        fits="C = D",
    ),
    Entry((r"granitemoe(shared|hybrid)?", "jetmoe"), r"\b(block_sparse_moe|mlp)\.output_linear\.weight$", "stack:E"),
    Entry((r"granitemoe(shared|hybrid)",), r"\bshared_mlp\.input_linear\.weight$", GATE_UP),
    Entry(("aria_text", "aria"), r"\bexperts\.fc[12]\.weight$", "stack"),
    # State-space models and gated convolutions: their in_proj is no attention.
    Entry(("mamba", "falcon_mamba", "jamba"), r"\b(mixer|mamba)\.in_proj\.weight$", "rows:x=R/2,z=R/2"),
    Entry(("mamba", "falcon_mamba"), r"\bmixer\.x_proj\.weight$", "rows:dt=time_step_rank,B=state_size,C=state_size"),
    Entry(("jamba",), r"\bmamba\.x_proj\.weight$", "rows:dt=mamba_dt_rank,B=mamba_d_state,C=mamba_d_state"),
    Entry(
        ("mamba2",),
        r"\bmixer\.in_proj\.weight$",
        SSD.format("num_heads*head_dim", "n_groups*state_size", "num_heads"),
    ),
    Entry(
        ("bamba", "granitemoehybrid"),
        r"\bmamba\.in_proj\.weight$",
        SSD.format("mamba_n_heads*mamba_d_head", "mamba_n_groups*mamba_d_state", "mamba_n_heads"),
    ),
    Entry(
        ("zamba2",),
        r"\bmamba\.in_proj\.weight$",
        SSD.format("n_mamba_heads*mamba_headdim", "mamba_ngroups*mamba_d_state", "n_mamba_heads"),
    ),
    Entry(
        ("nemotron_h",),
        r"\bmixer\.in_proj\.weight$",
        SSD.format("mamba_num_heads*mamba_head_dim", "n_groups*ssm_state_size", "mamba_num_heads"),
    ),
    Entry(
        ("falcon_h1",),
        r"\bmamba\.in_proj\.weight$",
        SSD.format("mamba_d_ssm", "mamba_n_groups*mamba_d_state", "mamba_n_heads"),
    ),
    Entry((r"lfm2(_moe)?",), r"\bconv\.in_proj\.weight$", "rows:B=D,C=D,x=D"),
    # Tables that are not trained.
    Entry(("whisper",), r"\bencoder\.embed_positions\.weight$", "skip"),
    Entry(("gptj", "codegen"), r"\battn\.embed_positions$", "skip"),
    # Convolutions over so many places that shapes do not tell them from stacks.
    Entry(
        SPEECH,
        r"\bpos_conv_embed\.(layers\.\d+\.)?conv\.weight$",
        "kernel:0,1 x num_conv_pos_embedding_groups",
    ),
    # Vision and diffusion.
    Entry(
        (r"(vit|deit|deit3|beit|beitv2|eva|eva02|dino|swin|swinv2|cait|xcit|samvit|mvitv2|maxvit\w*_tf)_?.*",),
        r"\bqkv\.weight$",
        THIRDS,
    ),
    Entry((r"qwen2(_5)?_vl", "sam", "sam_vision_model"), r"\battn\.qkv\.weight$", THIRDS),
    Entry((r".*(Transformer\dDModel|ConditionModel|AutoencoderKL|UNet2DModel)",), r"\bto_qkv\.weight$", THIRDS),
    Entry((r"UNet\w*ConditionModel",), r"\bff\.net\.0\.proj\.weight$", "rows:value=R/2,gate=R/2", fits="R = 8*C"),
)

#: Classes of modules whose fused projection is known, by the qualified name of the module that holds it, the name of
#: the projection, what that module has to say, and how it is read (names are attributes of that module).
MODULES: tuple[Entry, ...] = (
    Entry((r"timm\..*\.(Attention|WindowAttention|AttentionRope)",), r"\bqkv\.weight$", THIRDS, {"head_first": None}),
    Entry(
        (r"timm\..*\.(AttentionCl|Attention2d)",),
        r"\bqkv\.weight$",
        "rows:q=R/3,k=R/3,v=R/3 x num_heads",
        {"head_first": True},
    ),
    Entry((r"timm\..*\.(AttentionCl|Attention2d)",), r"\bqkv\.weight$", THIRDS, {"head_first": False}),
)


@dataclass(frozen=True)
class Beside:
    """A fused projection of vision models that a tensor beside it leaves one reading of.

    Attributes
    ----------
    name : str
        Pattern (of `re.search`) of its name.
    axes : int
        Number of its axes.
    beside : str
        The end of the other's name, in the place of `qkv.weight`.
    beside_axes : int
    words : str
        How it is read; `S` is the last side of the other.
    """

    name: str
    axes: int
    beside: str
    beside_axes: int
    words: str


BIAS_TABLE = "rel_pos.relative_position_bias_table"
BESIDE: tuple[Beside, ...] = (
    # MaxViT, of timm's own and of TensorFlow's making; CoAtNet.
    Beside(r"\battn_(block|grid)\.attn\.qkv\.weight$", 2, BIAS_TABLE, 2, "rows:q=R/3,k=R/3,v=R/3 x S"),
    Beside(r"\battn_(block|grid)\.attn\.qkv\.weight$", 2, BIAS_TABLE, 3, THIRDS),
    Beside(r"\bblocks\.\d+\.attn\.qkv\.weight$", 4, BIAS_TABLE, 2, "rows:q=R/3,k=R/3,v=R/3 x S"),
    # Swin, BEiT and what descends from them.
    Beside(r"\bblocks\.\d+\.attn\.qkv\.weight$", 2, "relative_position_bias_table", 2, THIRDS),
    Beside(r"\bblocks\.\d+\.attn\.qkv\.weight$", 2, "cpb_mlp.0.weight", 2, THIRDS),
)

#: What a fused tensor may hold, by the name of its layer: told where nothing decides.
MAY_HOLD: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("qkv", "qkv_proj", "c_attn", "Wqkv", "wqkv", "query_key_value", "W_pack", "to_qkv", "att_proj")
        + ("linear_qkv", "qkv_linear", "to_added_qkv", "in_proj_weight", "attn_qkv", "c_qkv", "qkv_lin", "proj_qkv")
        + ("qkv_layer", "mixed_qkv", "fused_qkv", "qkv_w", "to_qkv_mlp_proj"),
        (
            "q, k, v one after the other (qkv:{a},{b},{c})",
            "q, k, v of each head or group together (qkv:{a},{b},{c} x HEADS)",
        ),
    ),
    **dict.fromkeys(
        ("kv", "to_kv", "kv_proj", "key_value", "Wkv", "wkv", "kv_linear", "proj_kv", "c_kv", "key_value_proj"),
        ("k, v one after the other (rows:k=..,v=..)", "k, v of each head together (rows:k=..,v=.. x HEADS)"),
    ),
    "w12": ("gate and up one after the other (rows:gate=..,up=..)",),
    "in_proj_qkv": ("q, k, v one after the other (rows:q=..,k=..,v=..)",),
    "in_proj_qkvz": ("q, k, v, z of each key head together (rows:q=..,k=..,v=..,z=.. x HEADS)",),
    "in_proj": (
        "x and z of Mamba (rows:x=..,z=..)",
        "z, x, B, C, dt of Mamba2 (rows:z=..,x=..,B=..,C=..,dt=..)",
        "B, C, x of a gated convolution (rows:B=..,C=..,x=..)",
        "q, k, v of an attention (qkv:Q,K,V)",
    ),
    "kv_b_proj": ("k and v of each head together (rows:k=..,v=.. x HEADS)",),
    "kv_a_proj_with_mqa": ("a latent and a rotary key (rows:latent=..,rope=..)",),
    **dict.fromkeys(
        ("gate_up_proj", "gate_up", "gateup_proj", "up_gate_proj", "w13"),
        (
            "gate and up one after the other (rows:gate=..,up=..; columns:...)",
            "gate and up in turn (columns:gate=I,up=I x I)",
        ),
    ),
}
