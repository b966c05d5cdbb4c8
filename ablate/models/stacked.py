"""Several models as one: their layers side by side, for one pass over all of them.

A study's variants are nearly the same model, often on the same batches. One wide convolution over the channels of all
members fills vector units that six channels leave empty, and one call takes the place of many. What cannot be merged
runs on its member's channels, so any module works; only sequences are merged layer by layer.

The members stay what they are: each parameter and buffer becomes a view of a part of the merged one, so optimizers,
checkpoints and digests of a member need not know of the others.
"""

import difflib
import itertools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ablate.models.rewrites import commute

Members = tuple[int, ...]

# Layers without weights that treat every channel alike: they run over all members at once.
_CHANNELWISE = (
    nn.Identity, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Hardswish,
    nn.Softplus, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Upsample,
)  # fmt: skip
_DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


@dataclass(frozen=True)
class Part:
    """The activations of some members, one's channels after another's: shape (images, members * channels, ...).

    Without members it is an input that any may take.
    """

    members: Members
    values: Tensor

    def of(self, member: int) -> Tensor:
        """Returns a member's own activations."""
        width = self.values.shape[1] // len(self.members)
        return self.values.narrow(1, self.members.index(member) * width, width)


class Stacked(nn.Module):
    """Models side by side.

    Args:
        models: The members. They keep their modules, whose parameters and buffers become views.
        inputs: For each member, which of the inputs it takes; None means that all take the first.
        rewrite: Whether to make the exact rewrites that fit all members.

    Attributes:
        rewrites: Those that were made, in words.
    """

    def __init__(self, models: Sequence[nn.Module], inputs: Sequence[int] | None = None, rewrite: bool = True) -> None:
        super().__init__()
        self.inputs = [0] * len(models) if inputs is None else list(inputs)
        self.members = nn.ModuleList(models)
        self.steps = nn.ModuleList()
        named = _align([_layers(model) for model in models])
        self.rewrites = _rewrite(named, len(models)) if rewrite else []
        steps = [step for _, step in named]
        for start, end in itertools.pairwise([*sorted({0, *_weighted(steps)}), len(steps)]):
            # Members that are treated alike until the next layer with weights stay together from this one on.
            groups: dict[Hashable, Members] = {}
            for member in range(len(models)):
                key = tuple(_signature(steps[number].get(member), start == 0) for number in range(start, end))
                source = self.inputs[member] if start == 0 else None
                groups[key, source] = (*groups.get((key, source), ()), member)
            for number in range(start, end):
                layers = [_layer(steps[number], group) for group in groups.values()]
                self.steps.append(nn.ModuleList(layer for layer in layers if layer is not None))

    def zero_gradients(self) -> None:
        """Sets all gradients to zero in place, so that the members' stay views."""
        for parameter in self.parameters():
            if parameter.grad is not None:
                parameter.grad.zero_()

    def forward(self, *inputs: Tensor) -> Tensor:
        """Returns the members' outputs, shape (images, members, classes).

        Args:
            inputs: Those that the members take, each of shape (images, channels, height, width).
        """
        parts = [Part((), values) for values in inputs]
        state: dict[int, Part] = {member: parts[source] for member, source in enumerate(self.inputs)}
        for step in self.steps:
            assert isinstance(step, nn.ModuleList)
            for layer in step:
                assert isinstance(layer, _Layer)
                part = layer(_gather(state, layer.group))
                state |= dict.fromkeys(part.members, part)
        whole = _gather(state, tuple(range(len(self.members))))
        if not whole.members:  # not even one layer
            raise ValueError("models without a layer cannot be stacked")
        return _split(whole.values, 1, len(whole.members))


class _Layer(nn.Module):
    """One layer of a group of members."""

    def __init__(self, modules: Mapping[int, nn.Module], group: Members) -> None:
        super().__init__()
        self.group = group
        self.own = {
            member: modules[member] for member in group if member in modules
        }  # a dict: they are registered once

    def forward(self, part: Part) -> Part:
        return Part(self.group, self.compute(part))

    def compute(self, part: Part) -> Tensor:
        """Each member's own layer on its own channels."""
        values = []
        for member in self.group:
            x = _contiguous(part.of(member)) if part.members else part.values
            values.append(self.own[member](x) if member in self.own else x)
        return torch.cat(values, 1)


class _Channelwise(_Layer):
    def forward(self, part: Part) -> Part:
        if not part.members:  # an input that all share goes on as one
            return super().forward(part)
        return Part(self.group, self.own[self.group[0]](part.values))


class _Classes(_Layer):
    """Softmax over each member's own classes."""

    def compute(self, part: Part) -> Tensor:
        scores = _split(part.values, 1, len(self.group))
        softmax = functional.log_softmax if isinstance(self.own[self.group[0]], nn.LogSoftmax) else functional.softmax
        return softmax(scores, dim=2).flatten(1)


class _Dropout(_Layer):
    """Each member's noise from its own layer, so with its own rate and random stream, in one multiplication."""

    def forward(self, part: Part) -> Part:
        return part if not self.training else super().forward(part)

    def compute(self, part: Part) -> Tensor:
        images, channels, *size = part.values.shape
        channels //= len(self.group)
        scales = []
        for member in self.group:
            layer = self.own.get(member)
            whole_channels = isinstance(layer, nn.Dropout2d | nn.Dropout3d) and len(size) > 1
            ones = part.values.new_ones(images, channels, *([1] * len(size) if whole_channels else size))
            ones = _contiguous(ones)
            scales.append(ones if layer is None else layer(ones))
        if len({scale.shape for scale in scales}) > 1:
            scales = [scale.expand(images, channels, *size) for scale in scales]
        return part.values * torch.cat(scales, 1)


class _Weighted(_Layer):
    """A layer whose weights are merged: the first dimension is the members', one after another."""

    weight: Tensor
    bias: Tensor | None
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, modules: Mapping[int, nn.Module], group: Members) -> None:
        super().__init__(modules, group)
        first = self.own[group[0]]
        self.register_parameter("bias", None)
        for name, _ in first.named_parameters(recurse=False):
            whole = nn.Parameter(self._merged(name))
            self.register_parameter(name, whole)
            whole.grad = torch.zeros_like(whole)
            views = zip(group, whole.data.chunk(len(group)), whole.grad.chunk(len(group)), strict=True)
            for member, values, gradient in views:
                parameter = getattr(self.own[member], name)
                parameter.data, parameter.grad = values, gradient
        for name, buffer in first.named_buffers(recurse=False):
            if buffer.dim():
                self.register_buffer(name, self._merged(name))
                for member, values in zip(group, getattr(self, name).chunk(len(group)), strict=True):
                    self.own[member].register_buffer(name, values)

    def _merged(self, name: str) -> Tensor:
        return _contiguous(torch.cat([getattr(self.own[member], name).detach() for member in self.group]))


class _Convolution(_Weighted):
    def compute(self, part: Part) -> Tensor:
        conv, weight, bias = self.own[self.group[0]], self.weight, self.bias
        assert isinstance(conv, nn.Conv2d)
        padding: Any = conv.padding
        count = len(self.group)
        if not part.members and conv.groups > 1:
            part = Part(self.group, _contiguous(part.values.repeat(1, count, 1, 1)))
        if not part.members:  # all take the same input: one convolution with all their filters
            return functional.conv2d(part.values, weight, bias, conv.stride, padding, conv.dilation)
        if part.values.shape[2:] == conv.kernel_size and padding in ((0, 0), "valid") and conv.groups == 1:
            # A filter as large as the image is a matrix product, which is faster than a convolution.
            x = _split(part.values.permute(0, 2, 3, 1), 3, count).permute(3, 0, 1, 2, 4).flatten(2)
            filters = _split(weight.permute(0, 2, 3, 1).flatten(1), 0, count)
            return _product(x, filters, bias)[:, :, None, None]
        groups = count * conv.groups
        return functional.conv2d(part.values, weight, bias, conv.stride, padding, conv.dilation, groups)


class _Linear(_Weighted):
    def compute(self, part: Part) -> Tensor:
        count = len(self.group)
        if not part.members:
            return functional.linear(part.values, self.weight, self.bias)
        x = _split(part.values, 1, count).transpose(0, 1)
        return _product(x, _split(self.weight, 0, count), self.bias)


class _BatchNorm(_Weighted):
    def compute(self, part: Part) -> Tensor:
        norm = self.own[self.group[0]]
        assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d) and norm.momentum is not None
        if self.training:
            for layer in self.own.values():
                layer.num_batches_tracked.add_(1)  # type: ignore[operator]
        return functional.batch_norm(
            part.values, self.running_mean, self.running_var, self.weight, self.bias,
            self.training, norm.momentum, norm.eps,
        )  # fmt: skip


def _split(values: Tensor, dim: int, members: int) -> Tensor:
    """Returns a dimension as two, of members and of what each has."""
    sizes = list(values.shape)
    sizes[dim : dim + 1] = [members, sizes[dim] // members]
    return values.reshape(sizes)


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Returns each member's x @ weight^T + bias, shape (images, members * outputs).

    Args:
        x: Shape (members, images, features).
        weight: Shape (members, outputs, features).
        bias: Shape (members * outputs,), if there is one.
    """
    if bias is None:
        y = torch.bmm(x, weight.transpose(1, 2))
    else:
        y = torch.baddbmm(bias.view(len(x), 1, -1), x, weight.transpose(1, 2))
    return y.transpose(0, 1).flatten(1)


def _layers(model: nn.Module) -> dict[str, nn.Module]:
    """Returns the layers of a sequence by name; any other model is one layer."""
    hooked = bool(model._forward_hooks or model._forward_pre_hooks)
    if type(model).forward is not nn.Sequential.forward or hooked:
        return {"": model}
    return dict(model.named_children())


def _rewrite(steps: list[tuple[str, dict[int, nn.Module]]], members: int) -> list[str]:
    done = []
    for place in range(len(steps) - 1):
        (first, relus), (second, pools) = steps[place : place + 2]
        if len(relus) == len(pools) == members and all(commute(relus[m], pools[m]) for m in range(members)):
            steps[place : place + 2] = [(second, pools), (first, relus)]
            done.append(f"{first} runs after {second}")
    return done


def _align(layers: Sequence[Mapping[str, nn.Module]]) -> list[tuple[str, dict[int, nn.Module]]]:
    """Returns the steps that all members go through, in order: for each, its name and the members that have it.

    Layers of one name are one step, unless members have them in different orders.
    """
    steps: list[tuple[str, dict[int, nn.Module]]] = []
    for member, named in enumerate(layers):
        own = list(named)
        names = [name for name, _ in steps]
        merged = difflib.SequenceMatcher(a=names, b=own, autojunk=False).get_opcodes()
        for tag, start, end, own_start, own_end in reversed(merged):  # from the end, so that places stay valid
            if tag == "equal":
                for name, step in steps[start:end]:
                    step[member] = named[name]
            else:
                steps[end:end] = [(name, {member: named[name]}) for name in own[own_start:own_end]]
    return steps


def _kind(module: nn.Module) -> type[_Layer]:
    """Returns how a layer can be merged with its like in other members; _Layer means that it cannot."""
    if module._forward_hooks or module._forward_pre_hooks:
        return _Layer
    if type(module) in _CHANNELWISE or (isinstance(module, nn.Flatten) and module.start_dim == 1):
        return _Channelwise
    if isinstance(module, nn.LogSoftmax | nn.Softmax) and module.dim == 1:
        return _Classes
    if type(module) in _DROPOUT and not module.inplace:
        return _Dropout
    if type(module) is nn.Conv2d and module.padding_mode == "zeros":
        return _Convolution
    if type(module) is nn.Linear:
        return _Linear
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and type(module).__module__ == "torch.nn.modules.batchnorm":
        fits = module.affine and module.track_running_stats and module.momentum is not None
        return _BatchNorm if fits else _Layer
    return _Layer


def _weighted(steps: Sequence[Mapping[int, nn.Module]]) -> list[int]:
    """Returns the numbers of the steps at which members come together again."""
    kinds = (_Convolution, _Linear, _Layer)
    return [number for number, step in enumerate(steps) if any(_kind(module) in kinds for module in step.values())]


def _signature(module: nn.Module | None, by_dropout: bool) -> Hashable:
    """Returns what is equal for layers that can be merged.

    Members with and without dropout stay together, whatever its rate, unless they are to be told apart by it.
    """
    if module is None:
        return None
    kind = _kind(module)
    if kind is _Dropout:
        return kind if by_dropout else None
    shapes = tuple((name, tuple(p.shape), p.requires_grad) for name, p in module.named_parameters())
    return (kind, repr(module), shapes)


def _layer(modules: Mapping[int, nn.Module], group: Members) -> _Layer | None:
    """Returns the layer of a group; None where no member has one."""
    there = [modules[member] for member in group if member in modules]
    if not there:
        return None
    kinds = {_kind(module) for module in there}
    kind = kinds.pop() if len(kinds) == 1 else _Layer
    if len(there) < len(group) and kind is not _Dropout:
        kind = _Layer
    return kind(modules, group)


def _gather(state: Mapping[int, Part], members: Members) -> Part:
    """Returns the activations of some members side by side, as they are if they stand so already."""
    found = [state[member] for member in members]
    if all(part is found[0] for part in found) and found[0].members in ((), members):
        return found[0]
    part, first = found[0], found[0].members.index(members[0]) if found[0].members else 0
    if all(other is part for other in found) and part.members[first : first + len(members)] == members:
        width = part.values.shape[1] // len(part.members)
        return Part(members, _contiguous(part.values.narrow(1, first * width, len(members) * width)))
    values, place = [], 0
    while place < len(members):
        part = found[place]
        if part.members and part.members == members[place : place + len(part.members)]:
            values.append(part.values)
            place += len(part.members)
        else:
            values.append(part.of(members[place]) if part.members else part.values)
            place += 1
    return Part(members, _contiguous(torch.cat(values, 1)))


def _contiguous(values: Tensor) -> Tensor:
    """Images stay channels last; what else there is has one order."""
    return values.contiguous(memory_format=torch.channels_last) if values.dim() == 4 else values.contiguous()
