"""A convolution: one matrix for each place in its kernel, their eigenvalues pooled as WeightWatcher pools them.

Which axes are inputs and outputs is told by the class (its attributes, the digit in its name), by the format (MLX and
Keras write channels last), and else by the shape, where it leaves one reading.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from .parts import Part
from .registry import Layout, Reading, Situation, numbers, refused

#: Up to here a third axis is a kernel whatever the tensor is called; a name that says so may have a longer one.
MAX_KERNEL, MAX_KERNEL_CALLED_SO = 11, 32
EXPERTS = re.compile(r"expert|moe", re.IGNORECASE)
CONVOLUTION = re.compile(r"conv(?:transpose)?(\d)d", re.IGNORECASE)
#: Classes of torch whose weight of three or more axes is no kernel.
NO_CONVOLUTION = re.compile(r"bilinear|linear|embedding|lstm|gru|rnn|attention", re.IGNORECASE)
#: What the kernel is called in a class that is a convolution; other parameters of it may be anything.
WEIGHTS = ("weight", "kernel", "w", "W", "weights")
KERAS = re.compile(r"(^|\W|_)(depthwise_|pointwise_)?kernel$")
DEPTHWISE = "grouped: every block of this kernel has one column or row (depthwise), which is no matrix"
ONE_INPUT = "every slice of this kernel has one column (one input channel), which is no matrix"
ONE_OUTPUT = "every slice of this kernel has one row (one output channel), which is no matrix"
ONE_COLUMN = "every slice of this kernel has one column (grouped, depthwise, or one input channel), which is no matrix"
CHANNELS_LAST = "its channels may lie last, as MLX writes them: say layouts={{{name!r}: 'kernel:0,3'}}"
MAY_BE_STACK = (
    "read as a kernel of {places} places; it may be {count} stacked matrices: say layouts={{{name!r}: 'stack'}}"
)
DENSE_ROW = (
    "grouped: {groups} blocks of {rows} x {columns} on the diagonal of each slice; "
    "WeightWatcher's row takes the slices as dense"
)


def kernel_reading(
    situation: Situation,
    known_from: str,
    axes: tuple[int, int] | None = None,
    groups: int | None = None,
    remark: str = "",
) -> Reading:
    """All slices of a kernel whose matrix lies in `axes`; of a grouped one the blocks, where the row is our own."""
    shape = situation.shape
    axes = _axes(situation) if axes is None else axes
    groups = int(situation.facts.get("groups") or 1) if groups is None else groups
    places = [side for axis, side in enumerate(shape) if axis not in axes]
    rows, columns, count = shape[axes[0]], shape[axes[1]], math.prod(places)
    layer_type = f"conv{_dimensions(shape, axes)}d"
    remarks = [remark] if remark else []
    no_matrix = _why_no_matrix(situation, rows, columns, groups)
    if no_matrix:
        remarks.append(no_matrix)
        groups = 1
    elif groups > 1 and rows % groups == 0:
        # WeightWatcher's row keeps WeightWatcher's matrices.
        if known_from != "asked" and situation.last == "weight" and len(shape) == 4:
            remarks.append(DENSE_ROW.format(groups=groups, rows=rows // groups, columns=columns))
            groups = 1
        else:
            rows, count = rows // groups, count * groups
    else:
        groups = 1
    blocks = f", {groups} groups" if groups > 1 else ""
    layout = f"{layer_type} {math.prod(places)} slices{blocks}"
    part = Part("", layer_type, "kernel", rows, columns, count=count, layout=layout, axes=axes, groups=groups)
    return Reading((part,), known_from, "; ".join(remarks))


def _why_no_matrix(situation: Situation, rows: int, columns: int, groups: int) -> str:
    """Why the slices of a kernel are no matrices; empty where they are."""
    if "depthwise_kernel" in situation.name or (groups > 1 and min(rows // groups, columns) == 1):
        return DEPTHWISE
    if min(rows, columns) > 1 or max(rows, columns) == 1:
        return ""
    if rows == 1:
        return ONE_OUTPUT
    return ONE_INPUT if "groups" in situation.facts else ONE_COLUMN


def _recognise(situation: Situation) -> Reading | None:
    if len(situation.shape) < 3 or sum(side > 1 for side in situation.shape) < 2:
        return None
    axes = situation.facts.get("axes")
    if axes:
        return kernel_reading(situation, "module", (int(axes[0]), int(axes[1])))
    if not _is_convolution(situation):
        return None
    told = CONVOLUTION.search(situation.owner) or "kernel_size" in situation.facts
    return kernel_reading(situation, "module" if told else "names", remark="" if told else _other_reading(situation))


def _other_reading(situation: Situation) -> str:
    """What else a tensor may be that is read as a kernel by its shape alone; empty where its name tells."""
    shape, name = situation.shape, situation.name
    if situation.owner or len(shape) != 3 or 1 in shape or KERAS.search(name) or re.search("conv", name, re.IGNORECASE):
        return _other_order(situation)
    return MAY_BE_STACK.format(places=shape[2], count=shape[0], name=name)


def _other_order(situation: Situation) -> str:
    """What to say of a kernel that is square only where its channels are the first and the last axis."""
    shape = situation.shape
    if situation.owner or len(shape) != 4 or _axes(situation) != (0, 1):
        return ""
    if shape[2] == shape[3] or not 1 < shape[1] == shape[2] <= MAX_KERNEL_CALLED_SO:
        return ""
    return CHANNELS_LAST.format(name=situation.name)


def _is_convolution(situation: Situation) -> bool:
    """True when axes of the tensor are a kernel. A class that is not known tells no more than the name."""
    name, shape, owner = situation.name, situation.shape, situation.owner
    if situation.last in WEIGHTS and (CONVOLUTION.search(owner) or "kernel_size" in situation.facts):
        return True
    if owner and NO_CONVOLUTION.search(owner) and not re.search("conv", owner, re.IGNORECASE):
        return False
    if len(shape) == 4 and (name.endswith(".weight") or KERAS.search(name)):
        # WeightWatcher reads it so, whatever its name.
        return True
    if EXPERTS.search(name):
        return False
    called_so = bool(re.search("conv", name, re.IGNORECASE))
    by_bias = _by_bias(situation) if called_so else None
    if by_bias is not None:
        return by_bias
    if math.prod(shape[:-2]) == 1 and not called_so:
        return False
    if len(shape) >= 4:
        return True
    if situation.config.get("weights_format") == "mlx" and not KERAS.search(name):
        # Outputs x places x inputs, read as torch has them.
        shape = (shape[0], shape[2], shape[1])
        if called_so and shape[2] <= MAX_KERNEL_CALLED_SO:
            return True
    return _is_short(name, shape, called_so)


def _by_bias(situation: Situation) -> bool | None:
    """Whether the bias of three axes called a convolution is as long as its outputs, or as the rows of a stack's."""
    shape = situation.shape
    bias = tuple(situation.shapes.get(re.sub(r"weight$", "bias", situation.name), ()))
    if len(shape) != 3 or situation.last != "weight" or len(bias) != 1 or situation.config.get("weights_format"):
        return None
    outputs = set(shape[:2])
    if bias[0] == shape[0] != shape[2] and shape[2] <= MAX_KERNEL_CALLED_SO:
        return True
    return False if bias[0] == shape[2] and bias[0] not in outputs else None


def _is_short(name: str, shape: Sequence[int], called_so: bool) -> bool:
    """True for three axes of which one is as short as kernels are, and shorter than the channels."""
    if KERAS.search(name):
        return called_so and min(shape[0], shape[2]) <= MAX_KERNEL_CALLED_SO
    if called_so and 1 in shape[:2]:
        # A kernel of one input or output may be long; stacked it would be so many vectors.
        return True
    most = MAX_KERNEL_CALLED_SO if called_so else MAX_KERNEL if name.endswith(".weight") else 0
    return shape[2] <= most and (1 in shape[:2] or shape[2] < min(shape[:2]))


def _axes(situation: Situation) -> tuple[int, int]:
    """Outputs and inputs (or the other way round): which two axes are no kernel, those with groups by rows."""
    shape, facts = situation.shape, situation.facts
    sides = len(shape)
    first, last, ends = (0, 1), (sides - 1, sides - 2), (0, sides - 1)
    if KERAS.search(situation.name):
        # torch's order only where Keras' leaves no kernel at all.
        is_torchs = _is_kernel(_kernel_of(shape, first)) and not _is_kernel(_kernel_of(shape, last))
        return first if is_torchs else last
    if "in_channels" in facts and "out_channels" in facts:
        channels = sorted((int(facts["in_channels"]), int(facts["out_channels"])))
        groups = int(facts.get("groups") or 1)
        for axes in (first, ends, last):
            found = (shape[axes[0]], shape[axes[1]])
            fits = any(sorted(pair) == channels for pair in ((found[0], found[1] * groups), found))
            if fits and _kernel_of(shape, axes) == _said_kernel(facts, sides - 2, _kernel_of(shape, axes)):
                return axes
    digit = CONVOLUTION.search(situation.owner)
    if digit:
        # Axes before those that the class has are a stack of kernels, or 1.
        leading = max(0, sides - int(digit[1]) - 2)
        return _axes_by_shape(shape) if sides > 4 and not leading else (leading, leading + 1)
    if situation.config.get("weights_format") == "mlx":
        return ends
    if situation.last == "weight" and sides == 4:
        return first
    return _axes_by_shape(shape)


def _axes_by_shape(shape: Sequence[int]) -> tuple[int, int]:
    """The axes that leave an even, short kernel; those of torch where they do, or none other does."""
    sides = len(shape)
    if shape[0] == 1 and not _is_kernel(_kernel_of(shape, (0, 1))):
        leading = next((axis for axis, side in enumerate(shape) if side > 1), sides)
        if sides - leading > 3 and _is_kernel(shape[leading + 2 :]):
            return leading, leading + 1
    plausible = [
        axes for axes in ((0, 1), (0, sides - 1), (sides - 1, sides - 2)) if _is_kernel(_kernel_of(shape, axes))
    ]
    return plausible[0] if plausible and (plausible[0] == (0, 1) or len(plausible) == 1) else (0, 1)


def _kernel_of(shape: Sequence[int], axes: tuple[int, int]) -> tuple[int, ...]:
    return tuple(side for axis, side in enumerate(shape) if axis not in axes)


def _said_kernel(facts: object, sides: int, otherwise: tuple[int, ...]) -> tuple[int, ...]:
    said = getattr(facts, "get", lambda key: None)("kernel_size")
    if isinstance(said, int):
        return (said,) * sides
    return tuple(said) if isinstance(said, (tuple, list)) else otherwise


def _is_kernel(kernel: Sequence[int]) -> bool:
    return len(set(kernel)) == 1 and 1 < kernel[0] <= MAX_KERNEL


def _dimensions(shape: Sequence[int], axes: tuple[int, int]) -> int:
    """Number of axes of the kernel, those before the matrix left out."""
    return len(shape) - 2 - (axes[0] if axes[1] == axes[0] + 1 and axes[1] < len(shape) - 1 else 0)


def _asked(situation: Situation, words: str) -> Reading:
    listed, _, repeated = words.partition(" x ")
    axes = numbers(situation, "kernel", listed or "0,1")
    groups = numbers(situation, "kernel", repeated) if repeated else [1]
    sides = len(situation.shape)
    sound = sides >= 3 and len(axes) == 2 and len(set(axes)) == 2 and all(0 <= axis < sides for axis in axes)
    if not sound or len(groups) != 1 or groups[0] < 1 or situation.shape[axes[0]] % groups[0]:
        accepted = "kernel:ROWS,COLUMNS[ x GROUPS], two axes of three or more, the groups by rows"
        raise refused(situation, f"kernel:{words}", accepted)
    return kernel_reading(situation, "asked", (axes[0], axes[1]), groups[0])


LAYOUT = Layout(
    "kernel",
    "a convolution: a matrix in two axes (`kernel:0,1`) for each place of the others, pooled; with ` x GROUPS` the "
    "blocks on its diagonal",
    30,
    _recognise,
    _asked,
    "kernel:ROWS,COLUMNS[ x GROUPS]",
)
