"""A variant: a base model with its edits made, tried on one batch, and what they changed."""

import copy
import hashlib
import inspect
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ablate.config.edits import Edit
from ablate.config.targets import instantiate, locate
from ablate.files import Plain, PlainMapping
from ablate.models.surgery import edit_model
from ablate.records.record import ModelFacts, Size
from ablate.seeding import LayerStreams, generator, global_stream

_SAMPLE = 8  # images of the trial batch


@dataclass(frozen=True)
class Variant:
    """A model ready to train.

    Attributes:
        model: The edited model, on the CPU.
        layers: The layers that edits brought in, by the edit's name.
        record: What the edits changed: layers, parameters and FLOPs of one image's forward pass, before and after.
    """

    model: nn.Module
    layers: Mapping[str, nn.Module]
    record: ModelFacts


def build(
    base: PlainMapping, edits: Mapping[str, Edit], seed: int, image_shape: tuple[int, ...], classes: int
) -> Variant:
    """Builds a variant and tries it on one batch.

    The base draws its weights from the stream `init` and each new layer from one of its own, so variants of one seed
    start from the same weights in the layers they share.

    Args:
        base: `_target_` and arguments of the base model; what it takes of `num_classes`, `in_channels` and
            `image_size` is the data's where it is not set.
        edits: By name.
        seed: The run's seed.
        image_shape: (channels, height, width).
        classes: Outputs that the model must have.

    Raises:
        ValueError: The base or an edit does not fit; the message names its key and the way out.
    """
    sample = torch.randn(_SAMPLE, *image_shape, generator=generator(seed, "sample"))
    with global_stream(seed, "init"):
        original: nn.Module = instantiate("model.base", _fitted(base, image_shape, classes))
    if not isinstance(original, nn.Module):
        raise ValueError(f"model.base._target_={base['_target_']}: is not a torch.nn.Module")
    expected = (_SAMPLE, classes)
    shape = _output_shape(original, sample, "model.base")
    if shape != expected:
        raise ValueError(
            f"model.base: gives an output of shape {shape} for {_SAMPLE} images, and the data has {classes} classes; "
            f"expected {expected}{_way_out(base, classes)}"
        )
    model, layers = _edited(original, edits, seed, sample)
    shape = _output_shape(model, sample, f"model.edits ({', '.join(edits)})")
    if shape != expected:
        raise ValueError(
            f"model.edits ({', '.join(edits)}): change the output's shape from {expected} to {shape}; "
            "edit the layers around them to match"
        )
    _refuse_without_effect(original, edits, seed, sample, model, layers)
    record = ModelFacts(
        before=_size(original, sample),
        after=_size(model, sample),
        layers={name: str(layer) for name, layer in layers.items()},
    )
    return Variant(model, layers, record)


def _fitted(base: PlainMapping, image_shape: tuple[int, ...], classes: int) -> Plain:
    """Returns the base with those of its unset arguments that follow from the data."""
    target = locate("model.base._target_", base["_target_"])
    known = {"num_classes": classes, "in_channels": image_shape[0], "image_size": image_shape[-1]}
    takes = set(inspect.signature(target).parameters)
    # torchvision's builders pass num_classes on; with trained weights, the head is that of the weights.
    if target.__module__.startswith("torchvision.models.") and base.get("weights") is None:
        takes.add("num_classes")
    return {name: value for name, value in known.items() if name in takes} | {
        name: value for name, value in base.items() if name not in known or value is not None
    }


def _way_out(base: PlainMapping, classes: int) -> str:
    given = base.get("num_classes", classes)
    return "" if given == classes else f"; set model.base.num_classes={classes}"


def layer_digests(model: nn.Module) -> dict[str, str]:
    """Returns a hash of the own parameters and buffers of each layer that has any, by its dotted name."""
    digests = {}
    for name, module in model.named_modules():
        tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        if tensors:
            sha = hashlib.sha256()
            for key, tensor in tensors:
                sha.update(f"{key}{tuple(tensor.shape)}".encode())
                sha.update(tensor.detach().cpu().contiguous().numpy())
            digests[name] = sha.hexdigest()[:16]
    return digests


def _edited(
    original: nn.Module, edits: Mapping[str, Edit], seed: int, sample: Tensor
) -> tuple[nn.Module, dict[str, nn.Module]]:
    model = copy.deepcopy(original)
    layers = edit_model(model, edits, lambda name: global_stream(seed, f"init/{name}"))
    # One batch gives lazy layers their shapes and weights; in evaluation mode it changes nothing else.
    with LayerStreams(layers, seed, "init").epoch():
        _output_shape(model, sample, f"model.edits ({', '.join(edits)})")
    return model, layers


def _output_shape(model: nn.Module, sample: Tensor, key: str) -> tuple[int, ...]:
    """Runs a batch in evaluation mode; a failure names the layer and the shape that it was given."""
    entered: list[str] = []

    def enter(name: str) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
            shapes = " and ".join(str(tuple(arg.shape)) for arg in args if isinstance(arg, Tensor))
            entered.append(f"{name} ({type(module).__name__}), given {shapes}")

        return hook

    leaves = [(name, module) for name, module in model.named_modules() if not any(module.children())]
    hooks = [module.register_forward_pre_hook(enter(name)) for name, module in leaves]
    try:
        with torch.no_grad(), _mode(model, training=False):
            output = model(sample)
    except Exception as error:
        where = entered[-1] if entered else "the first layer"
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{key}: the layers do not fit together at {where}: {reason}") from error
    finally:
        for hook in hooks:
            hook.remove()
    if not isinstance(output, Tensor):
        raise ValueError(
            f"{key}: the model returns a {type(output).__name__}; it must return one tensor of class scores"
        )
    return tuple(output.shape)


def _refuse_without_effect(
    original: nn.Module,
    edits: Mapping[str, Edit],
    seed: int,
    sample: Tensor,
    model: nn.Module,
    layers: Mapping[str, nn.Module],
) -> None:
    """Refuses an edit without which the model would compute the same: outputs, gradients and parameters."""
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError("model.edits: all weights are frozen, and nothing is left to train; freeze fewer layers")
    whole = _behaviour(model, layers, seed, sample)
    for name in edits:
        others = {other: edit for other, edit in edits.items() if other != name}
        try:
            without = _behaviour(*_edited(original, others, seed, sample), seed, sample)
        except ValueError:
            continue  # other edits build on this one
        if len(whole) == len(without) and all(map(torch.equal, whole, without)):
            layer = f" ({layers[name]})" if name in layers else ""
            raise ValueError(
                f"model.edits.{name}{layer}: changes nothing; change its arguments, "
                f"or leave it out with ~model.edits.{name}"
            )


def _behaviour(model: nn.Module, layers: Mapping[str, nn.Module], seed: int, sample: Tensor) -> list[Tensor]:
    model, layers = copy.deepcopy((model, dict(layers)))
    with torch.no_grad(), _mode(model, training=False):
        evaluated = model(sample)
    with LayerStreams(layers, seed, "noise").epoch(), torch.enable_grad():
        model.train()
        trained = model(sample)
    (trained * torch.linspace(-1, 1, trained.numel()).view_as(trained)).sum().backward()
    gradients = [torch.zeros(()) if p.grad is None else p.grad for p in model.parameters()]
    return [evaluated, trained.detach(), *gradients, *model.buffers()]


def _size(model: nn.Module, sample: Tensor) -> Size:
    with FlopCounterMode(display=False) as counter, torch.no_grad(), _mode(model, training=False):
        model(sample)
    leaves = itertools.filterfalse(lambda module: any(module.children()), model.modules())
    return Size(
        layers=sum(not isinstance(leaf, nn.Identity) for leaf in leaves),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        flops=counter.get_total_flops() // len(sample),
    )


@contextmanager
def _mode(model: nn.Module, training: bool) -> Iterator[None]:
    before = model.training
    model.train(training)
    try:
        yield
    finally:
        model.train(before)
