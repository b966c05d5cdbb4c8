"""One layer of several models, merged: the kinds of layers that can be, and how.

Activations of members stand side by side in the second dimension, so one operation runs over all of them.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ablate.stacking.narrow_norm import fits, narrow_norm

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


class Layer(nn.Module):
    """One layer of a group of members."""

    def __init__(self, modules: Mapping[int, nn.Module], group: Members) -> None:
        super().__init__()
        self.group = group
        self.own = {member: modules[member] for member in group if member in modules}  # registered elsewhere

    def forward(self, part: Part) -> Part:
        return Part(self.group, self.compute(part))

    def compute(self, part: Part) -> Tensor:
        """Each member's own layer on its own channels."""
        values = []
        for member in self.group:
            x = contiguous(part.of(member)) if part.members else part.values
            if member in self.own:
                # A layer that works in place must not change what other members take too.
                x = self.own[member](x if part.members else x.clone())
            values.append(x)
        return torch.cat(values, 1)


class _Channelwise(Layer):
    def forward(self, part: Part) -> Part:
        if not part.members:  # an input that all share goes on as one
            return super().forward(part)
        return Part(self.group, self.own[self.group[0]](part.values))


class _Classes(Layer):
    """Softmax over each member's own classes."""

    def compute(self, part: Part) -> Tensor:
        scores = split(part.values, 1, len(self.group))
        softmax = functional.log_softmax if isinstance(self.own[self.group[0]], nn.LogSoftmax) else functional.softmax
        return softmax(scores, dim=2).flatten(1)


class _Dropout(Layer):
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
            ones = contiguous(ones)
            scales.append(ones if layer is None else layer(ones))
        if len({scale.shape for scale in scales}) > 1:
            scales = [scale.expand(images, channels, *size) for scale in scales]
        return part.values * torch.cat(scales, 1)


class _Weighted(Layer):
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
        return contiguous(torch.cat([getattr(self.own[member], name).detach() for member in self.group]))


class _Convolution(_Weighted):
    def compute(self, part: Part) -> Tensor:
        conv, weight, bias = self.own[self.group[0]], self.weight, self.bias
        assert isinstance(conv, nn.Conv2d)
        padding: Any = conv.padding
        count = len(self.group)
        if not part.members and conv.groups > 1:
            part = Part(self.group, contiguous(part.values.repeat(1, count, 1, 1)))
        if not part.members:  # all take the same input: one convolution with all their filters
            return functional.conv2d(part.values, weight, bias, conv.stride, padding, conv.dilation)
        if part.values.shape[2:] == conv.kernel_size and padding in ((0, 0), "valid") and conv.groups == 1:
            # A filter as large as the image is a matrix product, which is faster than a convolution.
            x = split(part.values.permute(0, 2, 3, 1), 3, count).permute(3, 0, 1, 2, 4).flatten(2)
            filters = split(weight.permute(0, 2, 3, 1).flatten(1), 0, count)
            return _product(x, filters, bias)[:, :, None, None]
        groups = count * conv.groups
        return functional.conv2d(part.values, weight, bias, conv.stride, padding, conv.dilation, groups)


class _Linear(_Weighted):
    def compute(self, part: Part) -> Tensor:
        count = len(self.group)
        if not part.members:
            return functional.linear(part.values, self.weight, self.bias)
        x = split(part.values, 1, count).transpose(0, 1)
        return _product(x, split(self.weight, 0, count), self.bias)


class _BatchNorm(_Weighted):
    def compute(self, part: Part) -> Tensor:
        norm = self.own[self.group[0]]
        assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d) and norm.momentum is not None
        if self.training:
            for layer in self.own.values():
                layer.num_batches_tracked.add_(1)  # type: ignore[operator]
            if fits(part.values) and self.bias is not None:
                y, mean, variance = narrow_norm(part.values, self.weight, self.bias, norm.eps)
                count = y.numel() // y.shape[1]
                self.running_mean.lerp_(mean, norm.momentum)
                self.running_var.lerp_(variance * (count / (count - 1)), norm.momentum)
                return y
        return functional.batch_norm(
            part.values, self.running_mean, self.running_var, self.weight, self.bias,
            self.training, norm.momentum, norm.eps,
        )  # fmt: skip


def split(values: Tensor, dim: int, members: int) -> Tensor:
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


def _kind(module: nn.Module) -> type[Layer]:
    """Returns how a layer can be merged with its like in other members; Layer means that it cannot."""
    kind = type(module)
    if _is_hooked(module) or not all(parameter.requires_grad for parameter in module.parameters()):
        return Layer
    if kind in _CHANNELWISE or (kind is nn.Flatten and module.start_dim == 1):
        return _Channelwise
    if kind in (nn.LogSoftmax, nn.Softmax) and module.dim == 1:
        return _Classes
    if kind in _DROPOUT and not module.inplace:
        return _Dropout
    if kind is nn.Conv2d and module.padding_mode == "zeros":
        return _Convolution
    if kind is nn.Linear:
        return _Linear
    if kind in (nn.BatchNorm1d, nn.BatchNorm2d) and module.affine and module.track_running_stats:
        return Layer if module.momentum is None else _BatchNorm
    return Layer


def _is_hooked(module: nn.Module) -> bool:
    """Whether something runs beside a module, or in place of it."""
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))


@dataclass(frozen=True)
class Slot:
    """A member's layer at a step, and how it can be merged with its like in other members."""

    module: nn.Module
    kind: type[Layer]

    @property
    def is_meeting(self) -> bool:
        """Whether members that were told apart come together again for it: it has weights, or is run one by one."""
        return self.kind in (_Convolution, _Linear, Layer)


def slots_of(model: nn.Module) -> dict[str, Slot]:
    """Returns the layers of a sequence by name; any other model is one layer.

    Layers that share weights are not merged: of a merged one the weights are its own.
    """
    if type(model).forward is not nn.Sequential.forward or _is_hooked(model):
        return {"": Slot(model, Layer)}
    shared = _sharing_weights(model)
    return {
        name: Slot(module, Layer if shared.intersection(module.modules()) else _kind(module))
        for name, module in model._modules.items()
        if module is not None
    }


def _sharing_weights(model: nn.Module) -> set[nn.Module]:
    """Returns the modules whose parameters or buffers lie in memory that another place of the model uses too."""
    users: dict[int, list[nn.Module]] = {}
    for _, module in model.named_modules(remove_duplicate=False):  # one in two places counts twice
        for tensor in (*module._parameters.values(), *module._buffers.values()):
            if tensor is not None and tensor.numel():
                users.setdefault(tensor.untyped_storage().data_ptr(), []).append(module)
    return {module for modules in users.values() if len(modules) > 1 for module in modules}


def signature(slot: Slot | None, by_dropout: bool) -> Hashable:
    """Returns what is equal for layers that can be merged.

    Members with and without dropout stay together, whatever its rate, unless they are to be told apart by it.
    """
    if slot is None:
        return None
    if slot.kind is _Dropout:
        return slot.kind if by_dropout else None
    shapes = tuple((name, tuple(p.shape), p.requires_grad) for name, p in slot.module.named_parameters())
    return (slot.kind, repr(slot.module), shapes)


def layer_of(slots: Mapping[int, Slot], group: Members) -> Layer | None:
    """Returns the layer of a group; None where no member has one."""
    there = {member: slots[member] for member in group if member in slots}
    if not there:
        return None
    kinds = {slot.kind for slot in there.values()}
    kind = kinds.pop() if len(kinds) == 1 else Layer
    if len(there) < len(group) and kind is not _Dropout:
        kind = Layer
    return kind({member: slot.module for member, slot in there.items()}, group)


def contiguous(values: Tensor) -> Tensor:
    """Images stay channels last; what else there is has one order."""
    return values.contiguous(memory_format=torch.channels_last) if values.dim() == 4 else values.contiguous()
