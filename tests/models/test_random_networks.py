"""Random edits of random networks: the network that one would write by hand, in a cohort too, or refused.

ABLATE_NETWORKS says how many; `make test-edits` takes 300.
"""

import copy
import os
import random
import re
from collections import OrderedDict
from typing import Any

import pytest
import random_networks
import torch
from random_networks import CLASSES, SIZE, C, Place, by_hand, network, paths
from torch import Tensor, nn
from torch.optim import SGD

from ablate.config.edits import Edit
from ablate.models.variant import Variant, build
from ablate.training.cohort import Cohort, Trainee
from ablate.training.cohort_proof import disproved

NETWORKS = int(os.environ.get("ABLATE_NETWORKS", "30"))
CHUNK = 10  # networks of a test
CPU = torch.device("cpu")
IMAGES = torch.randn(6, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)).to(memory_format=torch.channels_last)
INSERTED = [
    {"_target_": "torch.nn.Softsign"},
    {"_target_": "torch.nn.ReLU", "inplace": True},
    {"_target_": "torch.nn.Hardtanh", "min_val": -0.5, "max_val": 0.7},
    {"_target_": "torch.nn.Conv2d", "in_channels": C, "out_channels": C, "kernel_size": 1},
]
CHANGES: dict[type[nn.Module], dict[str, Any]] = {
    nn.Conv2d: {"padding_mode": "circular"},
    nn.LeakyReLU: {"negative_slope": 0.3},
    nn.GroupNorm: {"eps": 0.5},
    nn.LayerNorm: {"eps": 0.5},
    nn.BatchNorm2d: {"eps": 0.5},
}


def base(seed: int) -> dict[str, Any]:
    return {"_target_": f"{random_networks.__name__}.network", "seed": seed}


def draw_edits(seed: int) -> dict[str, Edit]:
    rng = random.Random(seed)
    model = network(seed)
    choices = [(at, part) for at, part in paths(model) if not isinstance(part, nn.Flatten | nn.AdaptiveAvgPool2d)]
    at, module = rng.choice(choices)
    edits = {}
    for number in range(rng.randint(1, 3)):
        if rng.random() < 0.5:  # else at the same anchor again
            at, module = rng.choice(choices)
        widens = isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.in_channels != C)
        kinds = ["insert"] * 3 + ["replace", "remove", "bypass"] * (not widens)
        kinds += ["freeze", "reinit"] * any(True for _ in module.parameters()) + ["set"] * (type(module) in CHANGES)
        kind = rng.choice(kinds)
        layer = rng.choice(INSERTED[: 3 if widens else 4])
        if kind == "insert":
            edit = Edit(insert=rng.choice(["before", "after"]), at=at, layer=layer)
        elif kind == "replace":
            edit = Edit(replace=at, layer=layer)
        elif kind == "set":
            edit = Edit(set=CHANGES[type(module)], at=at)
        else:
            edit = Edit(**{kind: at})
        everywhere = kind in ("insert", "remove") and rng.random() < 0.3
        if everywhere and any(isinstance(part, nn.Tanh) for _, part in choices):
            edit = Edit(**{**vars(edit), "at" if kind == "insert" else "remove": "**", "type": "torch.nn.Tanh"})
        edits[f"e{number}"] = edit
    return edits


def written_by_hand(seed: int, edits: dict[str, Edit], edited: Variant) -> tuple[nn.Module, dict[str, Place]]:
    """Returns the network without edits, with the weights that edits have drawn, and what they make of its places."""
    model = build(base(seed), {}, 0, (3, SIZE, SIZE), CLASSES, IMAGES).model
    places: dict[str, Place] = {}
    fitting = dict(paths(model))
    gone: set[str] = set()  # what stood there has made way
    for name, edit in edits.items():
        chosen = [edit.where]
        if edit.type:
            chosen = [path for path, part in fitting.items() if isinstance(part, nn.Tanh) and path not in gone]
        for path in chosen:
            place = places.setdefault(path, Place())
            layer = next((new for key, new in edited.layers.items() if key in (name, f"{name}/{path}")), None)
            if edit.type and layer is None:  # one of several names of the anchor
                shared = [key for key in edited.layers if key.startswith(f"{name}/")]
                layer = next(
                    (edited.layers[key] for key in shared if fitting[key.partition("/")[2]] is fitting[path]), None
                )
            if edit.kind in ("replace", "remove"):
                gone |= {other for other in fitting if other == path or other.startswith(f"{path}.")}
            match edit.kind:
                case "insert":
                    assert layer is not None
                    place.before.append(layer) if edit.insert == "before" else place.after.insert(0, layer)
                case "replace":
                    assert layer is not None
                    place.instead = alone = copy.copy(layer)  # without what is inserted beside it, which stands above
                    alone._forward_hooks, alone._forward_pre_hooks = OrderedDict(), OrderedDict()
                case "remove" | "bypass":
                    place.instead = lambda x, *_: x
                case "set" if place.instead is None:
                    old = model.get_submodule(path)
                    new = copy.deepcopy(old)
                    for argument, value in (edit.set or {}).items():
                        setattr(new, argument, value)
                    if isinstance(new, nn.Conv2d):
                        assert isinstance(new.padding, tuple)
                        new._reversed_padding_repeated_twice = [
                            side for side in reversed(new.padding) for _ in range(2)
                        ]
                    for key in old._parameters:
                        new._parameters[key] = old._parameters[key]
                    model.set_submodule(path, new)
                case "reinit":
                    drawn = edited.model.get_submodule(path).state_dict()
                    model.get_submodule(path).load_state_dict(drawn, strict=False)
    return model, places


def outcome(model: nn.Module, training: bool, run: Any) -> list[Tensor]:
    model.train(training)
    x = IMAGES.clone().requires_grad_()
    y = run(x * 1.0)
    (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
    assert x.grad is not None
    return [y.detach(), x.grad]


def check_one(seed: int) -> str:
    """Checks one network; returns why it was refused, or an empty text."""
    edits = draw_edits(seed)
    try:
        edited = build(base(seed), edits, 0, (3, SIZE, SIZE), CLASSES, IMAGES)
    except ValueError as refusal:
        reason = str(refusal)
    else:
        hold_against_hand(seed, edits, edited)
        return ""
    assert re.match(r"model\.edits|model\.base: cannot be trained: .*in place", reason, re.DOTALL), reason
    return reason


def hold_against_hand(seed: int, edits: dict[str, Edit], edited: Variant) -> None:
    for training in (False, True):
        copied = copy.deepcopy(edited)
        model, places = written_by_hand(seed, edits, copied)
        expected = outcome(model, training, lambda x, m=model, p=places: by_hand(m, p, x))
        edited_outcome = outcome(copied.model, training, copied.model)
        torch.testing.assert_close(edited_outcome, expected, rtol=1e-3, atol=1e-4, msg=f"{seed}: {edits}")
    for edit in edits.values():
        if edit.kind == "freeze" and not any(other.kind == "replace" for other in edits.values()):
            frozen = edited.model.get_submodule(edit.where)
            assert not any(parameter.requires_grad for parameter in frozen.parameters()), edits
    check_stacked(seed, edited)


def check_stacked(seed: int, edited: Variant) -> None:
    plain = build(base(seed), {}, 0, (3, SIZE, SIZE), CLASSES, IMAGES)
    variants = [plain, edited, edited]
    reasons = disproved([trainee(one) for one in variants], [0, 0, 1], IMAGES)
    kept = [(one, place) for one, reason, place in zip(variants, reasons, (0, 0, 1), strict=True) if not reason]
    assert kept, reasons
    trainees = [trainee(one) for one, _ in kept]
    seeds = [place for _, place in kept]
    cohort = Cohort(trainees, seeds, CPU)
    alone = [Cohort([trainee(one)], [place], CPU) for one, place in kept]
    batches = {place: IMAGES.double().roll(place, 0).contiguous(memory_format=torch.channels_last) for place in (0, 1)}
    for step in range(3):
        losses = train_step(cohort, batches, step)
        for one, loss in zip(alone, losses, strict=True):
            torch.testing.assert_close(loss, train_step(one, batches, step)[0], rtol=1e-6, atol=1e-6, msg=str(seed))


def trainee(variant: Variant) -> Trainee:
    model, layers = copy.deepcopy((variant.model, dict(variant.layers)))
    model.double()
    return Trainee(model, layers, SGD(model.parameters(), lr=0.01), None)


def train_step(cohort: Cohort, batches: dict[int, Tensor], step: int) -> list[Tensor]:
    cohort.train(True)
    with cohort.noise(step):
        scores = cohort.forward([batches[seed].clone() for seed in cohort.sources])
    losses = scores.square().mean((0, 2)) + scores[:, :, 0].mean(0)
    cohort.zero_gradients()
    losses.sum().backward()
    for one in cohort.trainees:
        one.optimizer.step()
    return list(losses.detach())


@pytest.mark.parametrize("start", range(0, NETWORKS, CHUNK))
def test_edited_networks_are_those_written_by_hand(start: int) -> None:
    refusals = [check_one(seed) for seed in range(start, start + CHUNK)]
    assert refusals.count("") >= CHUNK // 5, refusals  # not all are refused
