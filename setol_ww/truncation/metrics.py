"""Ready-made metrics of a torch model: error and loss of a classifier, perplexity of a language model.

Each is made from a loader, an iterable of batches that can be walked again and again (a DataLoader, a list), or from a
mapping of names to loaders, whose names then stand before those of the metrics (`train_error`, `test_error`). While a
model is measured it is in eval mode and without gradients; the mode of every module and the state of torch's random
numbers are put back, so that loaders that shuffle give the same order each time.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..core.errors import InvalidInput

Metric = Callable[[Any], dict[str, float]]
IGNORED_LABEL = -100


def classification_metrics(dataloader: Any) -> Metric:
    """Share of wrong labels and mean cross-entropy over all samples.

    Parameters
    ----------
    dataloader : iterable of batches, or mapping of names to such
        A batch is `(inputs, labels)`, or a mapping with `labels`, whose other entries are the model's arguments.
        The model returns logits of shape (samples, classes), or something that has them as `.logits`.

    Returns
    -------
    callable
        `model -> {"error": share, "loss": nats}`, for `evaluate_truncation`.

    Raises
    ------
    InvalidInput
        When the model is measured and the loader yields nothing or no such batches, or labels that are not one
        integer (of any type, numpy's too) a sample.

    Examples
    --------
    >>> import torch
    >>> batches = [(torch.eye(4), torch.tensor([0, 1, 2, 0]))]
    >>> round(classification_metrics(batches)(torch.nn.Identity())["error"], 2)
    0.25
    """
    return _per_split(dataloader, _classified)


def perplexity(dataloader: Any) -> Metric:
    r"""Perplexity :math:`\exp(\text{mean } -\ln p(\text{token} \mid \text{tokens before}))` over all predicted tokens.

    Parameters
    ----------
    dataloader : iterable of batches, or mapping of names to such
        A batch is token ids of shape (sequences, length), a tuple that begins with them (labels may follow), or a
        mapping with `input_ids` as transformers has it; its `attention_mask` and `labels` are honoured: padding is not
        predicted and predicts nothing, labels of -100 count as no tokens. Labels are the ids themselves unless given
        and are shifted by one here. A mapping is passed as keyword arguments, ids as the only one. The model returns
        logits of shape (sequences, length, vocabulary), something with `.logits`, or `.loss` alone, a mean over the
        predicted tokens.

    Returns
    -------
    callable
        `model -> {"perplexity": number, "loss": nats a token}`.

    Raises
    ------
    InvalidInput
        When the model is measured and there is no token to predict, or ids, labels and logits do not fit together.

    Examples
    --------
    >>> import torch
    >>> uniform = lambda ids: torch.zeros(*ids.shape, 50)
    >>> round(perplexity([torch.arange(20).reshape(2, 10)])(uniform)["perplexity"], 3)
    50.0
    """
    return _per_split(dataloader, _predicted)


def _per_split(dataloader: Any, measure: Callable[[Any, Any], dict[str, float]]) -> Metric:
    loaders = dataloader if isinstance(dataloader, Mapping) else {"": dataloader}
    if not loaders or not all(hasattr(loader, "__iter__") for loader in loaders.values()):
        raise InvalidInput(
            f"dataloader={dataloader!r} was asked; accepted is an iterable of batches or a mapping to such"
        )

    def evaluate(model: Any) -> dict[str, float]:
        with measuring(model):
            return {
                f"{split}_{name}" if split else name: value
                for split, loader in loaders.items()
                for name, value in measure(model, loader).items()
            }

    return evaluate


@contextlib.contextmanager
def measuring(model: Any) -> Iterator[None]:
    """Eval mode, no gradients; modes and torch's random state as before on the way out."""
    import torch

    modes = [(module, module.training) for module in model.modules()] if hasattr(model, "modules") else []
    # Only the devices that the model lies on: to fork all would start every accelerator of the machine.
    devices = sorted({tensor.device.index or 0 for tensor in _tensors(model) if tensor.device.type == "cuda"})
    try:
        if modes:
            model.eval()
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def _tensors(model: Any) -> list[Any]:
    return [*model.parameters(), *model.buffers()] if hasattr(model, "parameters") else []


def _classified(model: Any, loader: Any) -> dict[str, float]:
    import torch

    wrong, loss, count = 0, 0.0, 0
    for batch in loader:
        inputs, labels = _split(batch)
        logits = logits_of(called(model, inputs))
        if logits is None or logits.dim() != 2:
            raise InvalidInput("classification_metrics was asked; the model returned no logits of (samples, classes)")
        labels = _whole_numbers(labels, 1).to(logits.device)
        if len(labels) != len(logits):
            raise InvalidInput(f"{len(labels)} labels were given; the model returned logits of {len(logits)} samples")
        wrong += int((logits.argmax(1) != labels).sum())
        loss += float(torch.nn.functional.cross_entropy(logits.double(), labels, reduction="sum"))
        count += len(labels)
    if not count:
        raise InvalidInput("classification_metrics was asked; the loader yields no samples (a spent generator?)")
    return {"error": wrong / count, "loss": loss / count}


def _whole_numbers(labels: Any, dimensions: int) -> Any:
    """Labels or ids of any integer type as a tensor of int64."""
    import torch

    try:
        tensor = torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidInput(
            f"labels of type {type(labels).__name__} were given; accepted are integers ({error})"
        ) from None
    if tensor.dim() != dimensions or tensor.is_floating_point() or tensor.is_complex():
        shape = {1: "(samples,)", 2: "(sequences, length)"}[dimensions]
        raise InvalidInput(
            f"labels or ids of shape {tuple(tensor.shape)} and type {tensor.dtype} were given; accepted are integers "
            f"of shape {shape}"
        )
    return tensor.long()


def _split(batch: Any) -> tuple[Any, Any]:
    if isinstance(batch, Mapping) and "labels" in batch:
        return {name: value for name, value in batch.items() if name != "labels"}, batch["labels"]
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        return batch[0], batch[1]
    raise InvalidInput(
        f"a batch of type {type(batch).__name__} was given; accepted is (inputs, labels) or a mapping with 'labels'"
    )


def _predicted(model: Any, loader: Any) -> dict[str, float]:
    import torch

    loss, count = 0.0, 0
    for batch in loader:
        inputs, labels = _tokens(batch)
        output = called(model, inputs)
        logits = logits_of(output)
        targets = labels[:, 1:]
        predicted = int((targets != IGNORED_LABEL).sum())
        if logits is not None:
            if logits.dim() != 3 or len(logits) != len(labels) or logits.shape[1] < labels.shape[1]:
                raise InvalidInput(
                    f"perplexity was asked; the model returned logits of shape {tuple(logits.shape)} for labels of "
                    f"shape {tuple(labels.shape)}, accepted is (sequences, length, vocabulary)"
                )
            flat = logits[:, : labels.shape[1]][:, :-1].flatten(0, 1).double()
            targets = targets.reshape(-1).to(flat.device)
            loss += float(torch.nn.functional.cross_entropy(flat, targets, ignore_index=IGNORED_LABEL, reduction="sum"))
        else:
            loss += float(_loss(output)) * predicted
        count += predicted
    if not count:
        raise InvalidInput("perplexity was asked; the loader yields no tokens to predict (a spent generator?)")
    return {"perplexity": _exp(loss / count), "loss": loss / count}


def _tokens(batch: Any) -> tuple[Any, Any]:
    """Arguments for the model and the labels, -100 where nothing is to be predicted."""
    if isinstance(batch, Mapping):
        labels = batch.get("labels", batch.get("input_ids"))
        if labels is not None:
            labels, mask = _whole_numbers(labels, 2), batch.get("attention_mask")
            return batch, labels if mask is None else _seen(labels, mask)
    elif isinstance(batch, (tuple, list)) and batch and hasattr(batch[0], "dim"):
        return batch[0], _whole_numbers(batch[1] if len(batch) > 1 else batch[0], 2)
    elif hasattr(batch, "dim"):
        return batch, _whole_numbers(batch, 2)
    raise InvalidInput(
        f"a batch of type {type(batch).__name__} was given; accepted are token ids, a tuple of them, or a mapping with "
        "'input_ids'"
    )


def _seen(labels: Any, mask: Any) -> Any:
    """The labels of what is seen and comes after something seen: padding is not predicted and predicts nothing."""
    import torch

    hidden = torch.as_tensor(mask).to(labels.device) == 0
    if hidden.shape != labels.shape:
        raise InvalidInput(
            f"an attention_mask of shape {tuple(hidden.shape)} was given; accepted is that of the labels, "
            f"{tuple(labels.shape)}"
        )
    hidden[:, 1:] |= hidden[:, :-1].clone()
    return labels.masked_fill(hidden, IGNORED_LABEL)


def called(model: Any, inputs: Any) -> Any:
    """The model's output for a batch moved to where it lies."""
    device = next((tensor.device for tensor in _tensors(model)), None)

    def moved(value: Any) -> Any:
        return value.to(device) if device is not None and hasattr(value, "to") else value

    if isinstance(inputs, Mapping):
        return model(**{name: moved(value) for name, value in inputs.items()})
    if isinstance(inputs, (tuple, list)):
        return model(*map(moved, inputs))
    return model(moved(inputs))


def logits_of(output: Any) -> Any:
    """The logits in a model's output; None where it has none."""
    if hasattr(output, "argmax"):
        return output
    if isinstance(output, Mapping):
        return output.get("logits")
    if hasattr(output, "logits"):
        return output.logits
    return output[0] if isinstance(output, (tuple, list)) and output and hasattr(output[0], "argmax") else None


def _loss(output: Any) -> Any:
    loss = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
    if loss is None:
        raise InvalidInput(f"a model that returns {type(output).__name__} was given; accepted has .logits or .loss")
    return loss


def _exp(loss: float) -> float:
    return math.exp(loss) if loss < 700 else math.inf
