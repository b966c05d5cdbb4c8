"""A variant: a base model with its edits made, proved on one batch, and what they changed."""

import hashlib
import inspect
import itertools
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ablate.config.edits import Edit
from ablate.config.targets import instantiate, locate
from ablate.files import Plain, PlainMapping
from ablate.models.checkpoints import load_weights
from ablate.models.proof import (
    Trace,
    close,
    copied,
    evaluate_as_trained,
    fused_kernels,
    refuse_other_networks,
    run_batch,
    run_both,
    traced,
)
from ablate.models.surgery import Made, edit_model, matches
from ablate.models.weight_files import files_read
from ablate.records.record import ModelFacts, Size
from ablate.seeding import LayerStreams, generator, global_stream, weights_by_name
from ablate.stacking.rewrites import rewrite

SAMPLE = 8  # images of a batch that a variant is proved on
_DRAWN_IN_ONE = "ablate.models.lenet.lenet5"  # it has no switch that would shift draws, and its runs are published


@dataclass(frozen=True)
class Variant:
    """A model ready to train."""

    model: nn.Module  # the edited model, on the CPU
    layers: Mapping[str, nn.Module]  # those that edits brought in, by the edit's name
    record: ModelFacts  # what the edits changed


def build(
    base: PlainMapping,
    edits: Mapping[str, Edit],
    seed: int,
    image_shape: tuple[int, ...],
    classes: int,
    images: Tensor | None = None,
    weights: str | None = None,
    known: ModelFacts | None = None,
) -> Variant:
    """Builds a variant and proves it on one batch, in training and in evaluation.

    Each weight of the base draws from a stream of its name, and each new layer from one of its own, so variants of one
    seed start from the same weights in the layers they share, whatever makes them differ.

    Args:
        base: `_target_` and arguments of the base model; what it takes of `num_classes`, `in_channels` and
            `image_size` is the data's where it is not set.
        edits: By name.
        seed: The run's seed.
        image_shape: (channels, height, width).
        classes: Outputs that the model must have.
        images: The batch; random numbers if there is none.
        weights: A file with the weights of the base, but for layers that edits draw anew, replace or remove.
        known: What is recorded of the same variant with another seed, which has been proved; it is not proved again.

    Raises:
        ValueError: The base or an edit does not fit, or is not what would be trained and evaluated; the message names
            its key and the way out.
    """
    if images is None:
        images = torch.randn(SAMPLE, *image_shape, generator=generator(seed, "sample"))
    expected = (len(images), classes)

    def make() -> nn.Module:
        model = instantiate("model.base", _fitted(base, image_shape, classes))
        if not isinstance(model, nn.Module):
            raise ValueError(f"model.base._target_={base['_target_']}: is not a torch.nn.Module")
        traced(model, images, "model.base")  # lazy layers get their weights
        return model

    with files_read() as files:
        if base["_target_"] == _DRAWN_IN_ONE:
            with global_stream(seed, "init"):
                original = make()
        else:
            original = weights_by_name(seed, make)
        if weights is not None:
            load_weights(original, weights, _made_anew(original, edits))
    if known is not None:
        model, layers = _edited(original, edits, seed, images, [])
        return Variant(model.train(), layers, replace(known, files=files))
    before = run_both(original, {}, seed, images, "model.base")
    way_out = "" if base.get("num_classes", classes) == classes else f"; set model.base.num_classes={classes}"
    if (shape := tuple(before[False].output.shape)) != expected:
        raise ValueError(
            f"model.base: gives an output of shape {shape} for {len(images)} images, and the data has {classes} "
            f"classes; expected {expected}{way_out}"
        )
    made: list[Made] = []
    model, layers = _edited(original, edits, seed, images, made)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError("model.edits: all weights are frozen, and nothing is left to train; freeze fewer layers")
    if edits:
        key = f"model.edits ({', '.join(edits)})"
        after = run_both(model, layers, seed, images, key)
        if (shape := tuple(after[False].output.shape)) != expected:
            raise ValueError(
                f"{key}: change the output's shape from {expected} to {shape}; edit the layers around them to match"
            )
        _refuse_without_effect(original, edits, seed, images, layers, after)
        refuse_other_networks(original, model, made, before, after)
        evaluate_as_trained(model, made, after[False], images, key)
    record = ModelFacts(
        before=_size(original, images),
        after=_size(model, images),
        layers={name: str(layer) for name, layer in layers.items()},
        files=files,
    )
    return Variant(model.train(), layers, record)


def _made_anew(model: nn.Module, edits: Mapping[str, Edit]) -> set[str]:
    """Returns the layers of a base whose weights edits take away, or draw anew."""
    names: set[str] = set()
    for name, edit in edits.items():
        with suppress(ValueError):  # one that is about another edit's layer
            if edit.kind in ("reinit", "replace", "remove"):
                names.update(matches(model, name, edit))
    return names


def prove_batch(variant: Variant, seed: int, images: Tensor, key: str) -> None:
    """Trains a copy of a variant on a batch of another size; ValueError says that it cannot be."""
    trained = run_batch(variant.model, variant.layers, seed, images, key, training=True)
    if len(trained.output) != len(images):
        raise ValueError(f"{key}: the model gives {len(trained.output)} rows of scores for {len(images)} images")


def scores_of(variant: Variant, seed: int, images: Tensor) -> Tensor:
    """Returns the class scores of some images, in training."""
    output: Tensor = run_batch(variant.model, variant.layers, seed, images, "model", training=True).output
    return output


def rewrite_exactly(variant: Variant, seed: int, images: Tensor) -> list[str]:
    """Makes the exact rewrites of a variant in place, if they change nothing of a batch; returns them in words."""
    model, layers = copied("model", variant.model, variant.layers)
    if not rewrite(model):
        return []
    as_it_is = run_both(variant.model, variant.layers, seed, images, "model")
    rewritten = run_both(model, layers, seed, images, "model")
    ran_alike = all(as_it_is[training].calls == rewritten[training].calls for training in as_it_is)
    pairs = zip(_behaviour(as_it_is), _behaviour(rewritten), strict=True)
    if not ran_alike or not all(close(one, other, 1e-6) for one, other in pairs):
        return []  # what runs these layers does not run them in the order in which it holds them
    return rewrite(variant.model)


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


def weight_digests(model: nn.Module) -> dict[str, str]:
    """Returns the shape and a hash of each parameter and buffer, by its dotted name, such as `6x3x5x5 3fa9c1d2…`."""
    digests = {}
    for name, tensor in itertools.chain(model.named_parameters(), model.named_buffers()):
        sha = hashlib.sha256(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        digests[name] = f"{'x'.join(map(str, tensor.shape))} {sha.hexdigest()[:16]}"
    return digests


def _edited(
    original: nn.Module, edits: Mapping[str, Edit], seed: int, images: Tensor, made: list[Made]
) -> tuple[nn.Module, dict[str, nn.Module]]:
    model, _ = copied("model.base", original, {})
    layers = edit_model(model, edits, lambda name: global_stream(seed, f"init/{name}"), made.append)
    # One batch gives lazy layers their shapes and weights; in evaluation mode it changes nothing else.
    with LayerStreams(layers, seed, "init").epoch():
        traced(model, images, f"model.edits ({', '.join(edits)})")
    return model, layers


def _refuse_without_effect(
    original: nn.Module,
    edits: Mapping[str, Edit],
    seed: int,
    images: Tensor,
    layers: Mapping[str, nn.Module],
    after: Mapping[bool, Trace],
) -> None:
    """Refuses an edit without which the model would compute the same: outputs, gradients and parameters."""
    whole = _behaviour(after)
    for name in edits:
        others = {other: edit for other, edit in edits.items() if other != name}
        try:
            built = _edited(original, others, seed, images, [])
            without = _behaviour(run_both(*built, seed, images, "model.edits"))
        except ValueError:
            continue  # other edits build on this one
        if len(whole) == len(without) and all(map(torch.equal, whole, without)):
            layer = f" ({layers[name]})" if name in layers else ""
            raise ValueError(
                f"model.edits.{name}{layer}: changes nothing; change its arguments, "
                f"or leave it out with ~model.edits.{name}"
            )


def _behaviour(modes: Mapping[bool, Trace]) -> list[Tensor]:
    return [*modes[False].tensors, *modes[True].tensors]


def _size(model: nn.Module, sample: Tensor) -> Size:
    model.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad(), fused_kernels(False):
        model(sample.clone())
    leaves = [module for module in model.modules() if not any(module.children())]
    return Size(
        layers=sum(not isinstance(leaf, nn.Identity) for leaf in leaves),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        trainable=sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
        flops=counter.get_total_flops() // len(sample),
    )
