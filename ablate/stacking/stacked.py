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

from ablate.stacking.layers import Layer, Members, Part, Slot, contiguous, layer_of, signature, slots_of, split
from ablate.stacking.rewrites import commute

Step = dict[int, Slot]  # a layer of each member that has it, by the member's number


class Stacked(nn.Module):
    """Models side by side: they keep their modules, whose parameters and buffers become views.

    Each takes one of the inputs, by default the first; `rewrites` has the exact rewrites that fit all, in words.
    """

    def __init__(self, models: Sequence[nn.Module], inputs: Sequence[int] | None = None, rewrite: bool = True) -> None:
        super().__init__()
        self.inputs = [0] * len(models) if inputs is None else list(inputs)
        self.members = nn.ModuleList(models)
        self.steps = nn.ModuleList()
        aligned = _align([slots_of(model) for model in models])
        self.rewrites = _rewrite(aligned, len(models)) if rewrite else []
        for number, stretch in enumerate(_stretches([step for _, step in aligned])):
            # Only the first stretch takes the images, of which members of other seeds have others.
            groups = _groups(stretch, self.inputs if number == 0 else None, len(models))
            for step in stretch:
                layers = [layer_of(step, group) for group in groups]
                self.steps.append(nn.ModuleList(layer for layer in layers if layer is not None))

    def zero_gradients(self) -> None:
        """Sets all gradients to zero in place, so that the members' stay views."""
        for parameter in self.parameters():
            if parameter.grad is not None:
                parameter.grad.zero_()

    def forward(self, *inputs: Tensor) -> Tensor:
        """Returns the members' outputs, shape (images, members, classes), for the inputs that they take."""
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
    """Returns the layers of a member that are merged or run one by one, each once, without some others."""
    left_out = set(others)
    return [layer for layer in dict.fromkeys(slot.module for slot in slots_of(model).values()) if layer not in left_out]


def _stretches(steps: Sequence[Step]) -> list[Sequence[Step]]:
    """Returns the steps cut before each at which members come together again."""
    meetings = {number for number, step in enumerate(steps) if any(slot.is_meeting for slot in step.values())}
    return [steps[start:end] for start, end in itertools.pairwise([*sorted({0, *meetings}), len(steps)])]


def _groups(stretch: Sequence[Step], inputs: Sequence[int] | None, members: int) -> list[Members]:
    """Returns the members whose layers in a stretch are alike, and take the same input, if it takes inputs."""
    groups: dict[Hashable, Members] = {}
    for member in range(members):
        alike = tuple(signature(step.get(member), by_dropout=inputs is not None) for step in stretch)
        key = (alike, None if inputs is None else inputs[member])
        groups[key] = (*groups.get(key, ()), member)
    return list(groups.values())


def _rewrite(steps: list[tuple[str, Step]], members: int) -> list[str]:
    done = []
    for place in range(len(steps) - 1):
        (first, relus), (second, pools) = steps[place : place + 2]
        if len(relus) == len(pools) == members and all(
            commute(relus[member].module, pools[member].module) for member in range(members)
        ):
            steps[place : place + 2] = [(second, pools), (first, relus)]
            done.append(f"{first} runs after {second}")
    return done


def _align(layers: Sequence[Mapping[str, Slot]]) -> list[tuple[str, Step]]:
    """Returns the steps that all members go through, in order: for each, its name and the members that have it.

    Layers of one name are one step, unless members have them in different orders.
    """
    steps: list[tuple[str, Step]] = []
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


def _gather(state: Mapping[int, Part], members: Members) -> Part:
    """Returns the activations of some members side by side, as they are if they stand so already."""
    parts = [state[member] for member in members]
    part = parts[0]
    together = all(other is part for other in parts)
    if together and part.members in ((), members):
        return part
    first = part.members.index(members[0]) if part.members else 0
    if together and part.members[first : first + len(members)] == members:
        width = part.values.shape[1] // len(part.members)
        return Part(members, contiguous(part.values.narrow(1, first * width, len(members) * width)))
    values, place = [], 0
    while place < len(members):
        part = parts[place]
        if part.members and part.members == members[place : place + len(part.members)]:
            values.append(part.values)
            place += len(part.members)
        else:
            values.append(part.of(members[place]) if part.members else part.values)
            place += 1
    return Part(members, contiguous(torch.cat(values, 1)))
