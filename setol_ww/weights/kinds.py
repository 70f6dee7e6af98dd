"""What a layer is for and in which block, as its name and type say. The one place that guesses so."""

from __future__ import annotations

import re
from enum import Enum


class Kind(str, Enum):
    """Kinds of layer, for pictures, lists that hold like against like, and what an advice speaks of."""

    ATTENTION = "attention"
    MLP = "MLP"
    CONVOLUTION = "convolution"
    EMBEDDING = "embedding"
    HEAD = "head"
    RECURRENT = "recurrent"
    OTHER = "other"


#: Asked in this order; a name is taken apart at dots and slashes, and each part is matched whole.
NAMES: tuple[tuple[Kind, str], ...] = (
    (Kind.RECURRENT, r"lstm\d*|gru\d*|rnn\d*|weight_(ih|hh)_l\d+(_reverse)?|recurrent_kernel"),
    (
        Kind.ATTENTION,
        r"(.*_)?attn\d*|(.*_)?attention\d*|\w*attn\w*|[qkvo]_(proj|lin|a_proj|b_proj)|(to_)?(q|k|v|qkv)(_?proj)?|to_out|"
        r"c_attn|query|key|value|query_key_value|qkv_proj|in_proj|kv_[ab]_proj\w*|Wqkv|Wpack|W_pack|attn_(q|k|v|output)",
    ),
    (
        Kind.MLP,
        r"mlp|ffn?\d*|(.*_)?feed_?forward|DenseReluDense|c_fc|fc\d+|lin[12]|linear[12]|intermediate|"
        r"(gate|up|down|gate_up)_proj|w[123]|w[io](_\d)?|experts?|shared_expert|dense_h_to_4h|dense_4h_to_h|"
        r"ffn_(gate|up|down)",
    ),
    (
        Kind.EMBEDDING,
        r"wte|wpe|(.*_)?embed(ding|dings|_tokens|_positions|_in|s)?|\w*_embeddings?|tok_embeddings|\w+_embd|shared|"
        r"patch_embed|emb",
    ),
    (Kind.HEAD, r"lm_head|(.*_)?heads?|classifier|score|cls|predictions|qa_outputs|output_projection|logits"),
)
#: Last words of output layers that mean something else inside of a block.
LAST_HEADS = frozenset(("output", "embed_out", "fc_out"))
#: Words before the number of a block. A `layer` of T5 is a part of its `block`, a `layer` of Swin holds its `blocks`.
BLOCKS = tuple(re.compile(rf"^(?:.*\.)?(?:{words})\.\d+(?=\.)") for words in ("blocks?|blk|resblocks", "layers?|h"))
_MATCHED = tuple((kind, re.compile(f"(?:{pattern})\\Z")) for kind, pattern in NAMES)
#: Words of the column `layer_type` that say it by themselves.
TYPES = {
    "conv1d": Kind.CONVOLUTION,
    "conv2d": Kind.CONVOLUTION,
    "conv3d": Kind.CONVOLUTION,
    "embedding": Kind.EMBEDDING,
}


def kind_of(longname: str, layer_type: str = "") -> Kind:
    """What the layer of this name is for.

    Parameters
    ----------
    longname : str
    layer_type : str
        Of the column of that name: `dense`, `conv2d`, `embedding`.

    Returns
    -------
    Kind
        `other` where neither says it. BERT's `output.dense` is the MLP's where no attention stands before it.

    Examples
    --------
    >>> kind_of("model.layers.3.self_attn.q_proj").value, kind_of("encoder.layer.0.output.dense").value
    ('attention', 'MLP')
    >>> kind_of("layer1.0.conv1", "conv2d").value, kind_of("fc").value
    ('convolution', 'other')
    """
    by_type = TYPES.get(layer_type.lower()) if isinstance(layer_type, str) else None
    if by_type is not None:
        return by_type
    parts = re.split(r"[./]", longname)
    for kind, pattern in _MATCHED:
        if any(pattern.match(part) for part in parts):
            return kind
    if re.search(r"\blayers?\.\d+\.output\.dense\Z", longname):
        return Kind.MLP
    return Kind.CONVOLUTION if any(re.match(r"conv\d*d?\w*\Z", part) for part in parts) else Kind.OTHER


def is_table(longname: str) -> bool:
    """Whether the last word of a name is that of an embedding, where nothing but the name is known.

    >>> [is_table(name) for name in ("model.embed_tokens", "token_embd", "gpt_neox.embed_in", "embed_out")]
    [True, True, True, False]
    """
    return kind_of(longname.rpartition(".")[2]) is Kind.EMBEDDING


def is_head(longname: str) -> bool:
    """Whether a name is that of an output layer, which stands outside of the blocks.

    >>> [is_head(name) for name in ("lm_head", "output", "transformer.h.3.mlp.fc_out", "blk.0.attn_output")]
    [True, True, False, False]
    """
    last = longname.rpartition(".")[2]
    return not block_of(longname) and (last in LAST_HEADS or kind_of(last) is Kind.HEAD)


def block_of(longname: str) -> str:
    """Which numbered block of a transformer a layer is in; empty outside.

    Examples
    --------
    >>> block_of("model.layers.3.mlp.up_proj"), block_of("blk.0.attn_q"), block_of("layer1.0.conv1"), block_of("fc1")
    ('model.layers.3', 'blk.0', '', '')
    >>> block_of("encoder.block.2.layer.0.SelfAttention.q"), block_of("layers.1.blocks.0.attn.qkv")
    ('encoder.block.2', 'layers.1.blocks.0')
    """
    found = next(filter(None, (pattern.match(longname) for pattern in BLOCKS)), None)
    return found[0] if found else ""
