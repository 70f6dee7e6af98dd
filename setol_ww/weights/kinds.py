"""What a layer is for, as its name and type say: attention, MLP, convolution, ... The one place that guesses so."""

from __future__ import annotations

import re
from enum import Enum


class Kind(str, Enum):
    """Kinds of layer, for pictures and lists that hold like against like; no number depends on them."""

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
        r"wte|wpe|(.*_)?embed(ding|dings|_tokens|_positions|s)?|\w*_embeddings?|tok_embeddings|token_embd|shared|"
        r"patch_embed|emb",
    ),
    (Kind.HEAD, r"lm_head|(.*_)?heads?|classifier|score|cls|predictions|qa_outputs|output_projection|logits"),
)
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
