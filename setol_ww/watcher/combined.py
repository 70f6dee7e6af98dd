"""Modes in which weightwatcher makes one row of several layers: which tensors went into a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

#: What a mode makes of layers, by its argument; the first that is asked for is carried out.
COMBINING = {
    "stacked": "stacked with other layers",
    "intra": "in the product with the layer beside it",
    "peft": "in the product of its LoRA pair",
}
PLUS_BASE = "lora_W_plus_AB"


def mode_of(options: Mapping[str, Any]) -> str:
    """The mode that combines layers; empty where each layer is analysed by itself."""
    return next((mode for mode in COMBINING if options.get(mode)), "")


def why_left_out(mode: str) -> str:
    """Why a tensor went into no row of a mode."""
    if mode == "peft":
        return "peft=True analyses the products of LoRA pairs alone"
    return f"{mode}=True combines those layers that weightwatcher reads and can combine" if mode else ""


class Seen:
    """Watches which layers an iterator of weightwatcher's takes in, and says what its next row is made of."""

    def __init__(self, iterator: Any, mode: str, tensor_of: Callable[[Any], str]) -> None:
        self.mode, self.tensor_of, self.names = mode, tensor_of, list[str]()
        self._layers = getattr(iterator, "ww_layer_iter_", None)
        if mode and self._layers is not None:
            iterator.ww_layer_iter_ = self._watched

    def _watched(self) -> Iterator[Any]:
        assert self._layers is not None
        for ww_layer in self._layers():
            self.names.append(self.tensor_of(ww_layer))
            yield ww_layer

    def members(self, ww_layer: Any) -> tuple[str, ...]:
        """The tensors that went into a row."""
        if self.mode == "stacked":
            return tuple(self.names)
        if self.mode == "intra":
            return tuple(self.names[-2:])
        if self.mode == "peft" and getattr(ww_layer, "peft", False):
            base = [name for name in self.names if "lora_" not in name][-1:] if PLUS_BASE in ww_layer.longname else []
            return tuple(dict.fromkeys([*base, *[name for name in self.names if "lora_" in name][-2:]]))
        return (self.tensor_of(ww_layer),)
