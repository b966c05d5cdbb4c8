"""Proves a variant before its first step: what runs in training and in evaluation is what its edits say."""

import copy
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from ablate.messages import first_line
from ablate.models.insertions import anchors_of
from ablate.models.surgery import Made, all_names
from ablate.seeding import LayerStreams

MODES = {True: "training", False: "evaluation"}
_CLOSE = 1e-3  # relative difference of outputs that another order of sums explains, in float32


@dataclass
class Trace:
    """A pass over some images: what the model returned, and by its first name, how often each module ran.

    Attributes:
        gives: The type of what each module returned last.
        tensors: What other passes are held against: the output and, in training, all gradients and buffers.
    """

    output: Any = None
    calls: Counter[str] = field(default_factory=Counter)
    gives: dict[str, type] = field(default_factory=dict)
    tensors: list[Tensor] = field(default_factory=list)


def run_both(
    model: nn.Module, layers: Mapping[str, nn.Module], seed: int, images: Tensor, key: str
) -> dict[bool, Trace]:
    """Returns the passes of `run_batch` in evaluation and in training."""
    return {training: run_batch(model, layers, seed, images, key, training) for training in (False, True)}


def run_batch(
    model: nn.Module, layers: Mapping[str, nn.Module], seed: int, images: Tensor, key: str, training: bool
) -> Trace:
    """Runs a copy of a model on some images, in training with the backward pass, and notes which modules ran.

    Args:
        layers: Those that draw from streams of their own.
        images: Shape (images, channels, height, width).
        key: What an error names, with the layer and the shape that it was given.
    """
    model, layers = copied(key, model, layers)
    with LayerStreams(layers, seed, "noise").epoch():
        trace = traced(model, images, key, training)
        output = _one_tensor(trace.output, key, training)
        if training:
            _backward(output, key)
    trace.tensors.append(output.detach())
    if training:
        gradients = (torch.zeros(()) if p.grad is None else p.grad for p in model.parameters())
        trace.tensors += [*gradients, *model.buffers()]
    return trace


def copied(key: str, model: nn.Module, layers: Mapping[str, nn.Module]) -> tuple[nn.Module, dict[str, nn.Module]]:
    """Returns copies of a model and of some of its layers."""
    try:
        return copy.deepcopy((model, dict(layers)))
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"{key}: the model cannot be copied, which is how variants are made of it: {first_line(error)}"
        ) from error


def traced(model: nn.Module, images: Tensor, key: str, training: bool = False, fused: bool = False) -> Trace:
    """Runs a model itself on a copy of some images, leaves it in the mode, and notes which modules ran."""
    names = {module: name for name, module in model.named_modules()}
    trace, at = Trace(), "the first layer"

    def enter(module: nn.Module, args: tuple[object, ...]) -> None:
        nonlocal at
        if (name := names.get(module)) is None:
            return
        trace.calls[name] += 1
        if not any(module.children()):
            shapes = " and ".join(str(tuple(arg.shape)) for arg in args if isinstance(arg, Tensor))
            at = f"{name} ({type(module).__name__}), given {shapes}"

    def leave(module: nn.Module, _: object, output: object) -> None:
        if (name := names.get(module)) is not None:
            trace.gives[name] = type(output)

    model.train(training)
    with fused_kernels(fused), torch.set_grad_enabled(training), ExitStack() as hooks:
        # Hooks of all modules: those with hooks of their own do not take the fused kernels.
        hooks.callback(register_module_forward_pre_hook(enter).remove)
        hooks.callback(register_module_forward_hook(leave).remove)
        try:
            trace.output = model(images.clone())
        except Exception as error:
            raise ValueError(f"{key}: the layers do not fit together at {at}: {first_line(error)}") from error
    return trace


def _one_tensor(output: object, key: str, training: bool) -> Tensor:
    if isinstance(output, Tensor):
        return output
    mode = " in training" if training else ""
    way_out = "; turn its auxiliary outputs off, as with +model.base.aux_logits=false" if training else ""
    raise ValueError(
        f"{key}: the model returns a {type(output).__name__}{mode}; it must return one tensor of class scores{way_out}"
    )


def _backward(output: Tensor, key: str) -> None:
    if not output.requires_grad:  # all weights are frozen
        return
    try:
        (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
    except RuntimeError as error:
        raise ValueError(
            f"{key}: cannot be trained: {first_line(error)}; a layer that works in place must not change what a layer "
            "before it needs for its gradient"
        ) from error


@contextmanager
def fused_kernels(on: bool) -> Iterator[None]:
    """Lets torch's attention layers take fused kernels in evaluation, or not; these run no modules within them."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(on)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def evaluate_as_trained(model: nn.Module, made: Sequence[Made], evaluated: Trace, images: Tensor, key: str) -> None:
    """Has an edited model compute in evaluation what it computes in training, where fused kernels would not; in place.

    It is held against its evaluation without fused kernels, on the same images.
    """
    if _same_with_fused_kernels(model, made, evaluated, images, key):
        return
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoderLayer):
            module.activation_relu_or_gelu = 0  # what its fused kernel knows; for any other it runs its modules
    if not _same_with_fused_kernels(model, made, evaluated, images, key):
        raise ValueError(
            f"{key}: in evaluation torch takes a fused kernel, which leaves the edit out; build the model of layers "
            "that have none"
        )


def _same_with_fused_kernels(
    model: nn.Module, made: Sequence[Made], evaluated: Trace, images: Tensor, key: str
) -> bool:
    copy_of_model, _ = copied(key, model, {})
    try:
        fused = traced(copy_of_model, images, key, fused=True)
    except ValueError:
        return False
    touched = {one.module for one in made}
    ran_alike = all(
        fused.calls[name] == evaluated.calls[name] for name, module in model.named_modules() if module in touched
    )
    return ran_alike and close(fused.output, evaluated.output)


def close(one: Tensor, other: Tensor, share: float = _CLOSE) -> bool:
    """Whether two tensors differ by no more than a share of the largest value."""
    if one.shape != other.shape:
        return False
    if not one.numel():
        return True
    bound = share * max(1e-6, float(other.detach().abs().max()))
    return bool(((one - other).detach().abs() <= bound).all())


def refuse_other_networks(
    original: nn.Module,
    model: nn.Module,
    made: Sequence[Made],
    before: Mapping[bool, Trace],
    after: Mapping[bool, Trace],
) -> None:
    """Refuses edits after which something else runs than they say: compares how often modules run in each mode."""
    names = {module: name for name, module in model.named_modules()}
    for one in made:
        if one.edit.kind not in ("freeze", "reinit"):
            _refuse_unless_it_runs(one, model, names, after)
            if one.edit.kind != "insert":
                _refuse_other_output(one, original, names, before[True], after[True])
    touched = [one.path for one in made if one.edit.kind in ("replace", "remove", "bypass", "set")]
    keys = ", ".join(dict.fromkeys(one.key for one in made))
    for paths in all_names(original).values():
        if any(path == at or path.startswith(f"{at}.") for path in paths for at in touched):
            continue
        there = {model.get_submodule(path) for path in paths}
        for training, mode in MODES.items():
            ran = sum(after[training].calls[names[module]] for module in there)
            expected = before[training].calls[paths[0]]
            if ran != expected:
                raise ValueError(
                    f"{keys}: {paths[0]} runs {_times(ran)} in {mode}, and {_times(expected)} without the edits; the "
                    "model does not run its layers in the order in which it holds them, so edit the layers around it"
                )


def _refuse_unless_it_runs(
    one: Made, model: nn.Module, names: Mapping[nn.Module, str], after: Mapping[bool, Trace]
) -> None:
    what = "the new layer" if one.edit.kind == "insert" else one.path
    if one.module not in names:
        raise ValueError(
            f"{one.key}: nothing is left of it at {one.path}, where another edit takes its place; drop one"
        )
    within = [names[module] for module in one.module.modules()]
    trained, evaluated = (max(after[training].calls[name] for name in within) for training in MODES)
    if trained != evaluated:
        raise ValueError(
            f"{one.key}: {what} runs {_times(trained)} in training and {_times(evaluated)} in evaluation, so what is "
            "trained would not be what is evaluated; edit a layer that runs in both"
        )
    if trained == 0 and one.edit.kind != "set":
        raise ValueError(
            f"{one.key}: {what} never runs: the model leaves {one.path} out, or reads its weights without running it; "
            "edit the layer around it"
        )
    if one.edit.kind == "insert":
        anchors = anchors_of(model, one.module)
        if not anchors:
            above = model.get_submodule(one.path.rpartition(".")[0])
            # Of a sequence whose layers its parent runs itself, the layer beside it counts.
            anchors = [above if after[True].calls[names[above]] else model.get_submodule(one.path)]
        expected = sum(after[True].calls[names[anchor]] for anchor in anchors)
        if trained != expected:
            raise ValueError(
                f"{one.key}: the new layer runs {_times(trained)}, and {one.path}, beside which it stands, "
                f"{_times(expected)}; insert it elsewhere, or replace {one.path}"
            )


def _refuse_other_output(
    one: Made, original: nn.Module, names: Mapping[nn.Module, str], before: Trace, after: Trace
) -> None:
    try:
        old = original.get_submodule(one.path)
    except AttributeError:  # it came in by another edit
        return
    was = before.gives.get(all_names(original)[old][0])
    now = after.gives.get(names[one.module])
    if was is not None and now is not None and issubclass(was, Tensor) != issubclass(now, Tensor):
        raise ValueError(
            f"{one.key}: {one.path} gives a {was.__name__}, and now a {now.__name__}, of which the model would take "
            "apart the images; edit the layer around it, or a layer within it"
        )


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")
