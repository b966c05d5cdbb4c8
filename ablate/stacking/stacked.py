"""Several models as one: their layers side by side, for one pass over all of them.

A study's variants are nearly the same model, often on the same batches. One wide convolution over the channels of all
members fills vector units that six channels leave empty, and one call takes the place of many. What cannot be merged
runs on its member's channels, so any module works; only sequences are merged layer by layer.

The members stay what they are: each parameter and buffer becomes a view of a part of the merged one, so optimizers,
checkpoints and digests of a member need not know of the others.
"""

import difflib
import itertools
from collections.abc import Hashable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from ablate.stacking.layers import Layer, Members, Part, contiguous, layer_of, needs_all, signature, split
from ablate.stacking.rewrites import commute


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
                key = tuple(signature(steps[number].get(member), start == 0) for number in range(start, end))
                source = self.inputs[member] if start == 0 else None
                groups[key, source] = (*groups.get((key, source), ()), member)
            for number in range(start, end):
                layers = [layer_of(steps[number], group) for group in groups.values()]
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
                assert isinstance(layer, Layer)
                part = layer(_gather(state, layer.group))
                state |= dict.fromkeys(part.members, part)
        whole = _gather(state, tuple(range(len(self.members))))
        if not whole.members:  # not even one layer
            raise ValueError("models without a layer cannot be stacked")
        return split(whole.values, 1, len(whole.members))


def own_layers(model: nn.Module, others: Iterable[nn.Module]) -> list[nn.Module]:
    """Returns the layers of a member that are merged or run one by one, without some others."""
    left_out = set(others)
    return [layer for layer in _layers(model).values() if layer not in left_out]


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


def _weighted(steps: Sequence[Mapping[int, nn.Module]]) -> list[int]:
    """Returns the numbers of the steps at which members come together again."""
    return [number for number, step in enumerate(steps) if any(map(needs_all, step.values()))]


def _gather(state: Mapping[int, Part], members: Members) -> Part:
    """Returns the activations of some members side by side, as they are if they stand so already."""
    found = [state[member] for member in members]
    if all(part is found[0] for part in found) and found[0].members in ((), members):
        return found[0]
    part, first = found[0], found[0].members.index(members[0]) if found[0].members else 0
    if all(other is part for other in found) and part.members[first : first + len(members)] == members:
        width = part.values.shape[1] // len(part.members)
        return Part(members, contiguous(part.values.narrow(1, first * width, len(members) * width)))
    values, place = [], 0
    while place < len(members):
        part = found[place]
        if part.members and part.members == members[place : place + len(part.members)]:
            values.append(part.values)
            place += len(part.members)
        else:
            values.append(part.of(members[place]) if part.members else part.values)
            place += 1
    return Part(members, contiguous(torch.cat(values, 1)))
