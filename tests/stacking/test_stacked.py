"""Stacked models against each of their members alone."""

import copy
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ablate.config.options import config_dir, options
from ablate.config.schema import Config
from ablate.runs.prepare import prepare
from ablate.seeding import LayerStreams
from ablate.stacking.rewrites import rewrite
from ablate.stacking.stacked import Stacked, own_layers
from ablate.training.cohort import Trainee

Compose = Callable[..., Config]
SHIPPED = sorted(
    name for name, option in options("model", [config_dir()]).items() if "lenet5" in option["base"]["_target_"]
)
IMAGES, CLASSES = 16, 10


def batch(number: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(number)
    images = torch.randn(IMAGES, 3, 32, 32, generator=generator).contiguous(memory_format=torch.channels_last)
    return images, torch.randint(0, CLASSES, (IMAGES,), generator=generator)


def step_alone(trainee: Trainee, images: Tensor, labels: Tensor, seed: int, epoch: int) -> float:
    with LayerStreams(trainee.layers, seed, "noise").epoch(epoch):
        trainee.model.train()
        loss = functional.cross_entropy(trainee.model(images), labels)
    trainee.optimizer.zero_grad()
    loss.backward()
    trainee.optimizer.step()
    return float(loss.detach())


def step_stacked(
    stacked: Stacked, trainees: Sequence[Trainee], batches: Sequence[tuple[Tensor, Tensor]], seeds: Sequence[int],
    epoch: int,
) -> list[float]:  # fmt: skip
    stacked.train()
    with ExitStack() as streams:
        for trainee, seed in zip(trainees, seeds, strict=True):
            base = own_layers(trainee.model, trainee.layers.values())
            streams.enter_context(LayerStreams(trainee.layers, seed, "noise", base=base).epoch(epoch))
        outputs = stacked(*(images for images, _ in batches))
    labels = [batches[source][1] for source in stacked.inputs]
    losses = [functional.cross_entropy(outputs[:, number], target) for number, target in enumerate(labels)]
    stacked.zero_gradients()
    torch.stack(losses).sum().backward()
    for trainee in trainees:
        trainee.optimizer.step()
    return [float(loss.detach()) for loss in losses]


def state(trainee: Trainee) -> dict[str, Any]:
    return {**trainee.model.state_dict(), **{f"grad {n}": p.grad for n, p in trainee.model.named_parameters()}}


def close(one: dict[str, Any], other: dict[str, Any]) -> None:
    torch.testing.assert_close(one, other, rtol=2e-5, atol=2e-5)


def check(cfgs: Sequence[Config], inputs: Sequence[int] | None = None) -> Stacked:
    """A step of members stacked against a step of each alone: losses, gradients, statistics, weights, scores."""
    trainees = [prepare(cfg).trainee for cfg in cfgs]
    alone = [prepare(cfg).trainee for cfg in cfgs]
    seeds = [cfg.seed for cfg in cfgs]
    stacked = Stacked([trainee.model for trainee in trainees], inputs)
    batches = [batch(number) for number in sorted(set(stacked.inputs))]
    losses = step_stacked(stacked, trainees, batches, seeds, epoch=0)
    for number, trainee in enumerate(alone):
        expected = step_alone(trainee, *batches[stacked.inputs[number]], seeds[number], epoch=0)
        assert losses[number] == pytest.approx(expected, rel=1e-5)
        close(state(trainees[number]), state(trainee))
    stacked.eval()
    with torch.inference_mode():
        scores = stacked(*(images for images, _ in batches))
        for number, trainee in enumerate(alone):
            trainee.model.eval()
            own = trainee.model(batches[stacked.inputs[number]][0])
            torch.testing.assert_close(scores[:, number], own, rtol=1e-4, atol=1e-4)
    return stacked


def test_every_shipped_variant_side_by_side(quick: Compose) -> None:
    check([quick(f"model={name}", "optimizer=sgd") for name in SHIPPED])


@pytest.mark.parametrize("name", SHIPPED)
def test_a_variant_beside_plain_and_itself(name: str, quick: Compose) -> None:
    check([quick(f"model={model}", "optimizer=sgd") for model in ("plain", name, name)])


def test_other_hyperparameters_in_each_member(quick: Compose) -> None:
    check(
        [
            quick("model=dropout", "model.edits.drop3.layer.p=0.1", "optimizer=sgd", "optimizer.lr=0.3"),
            quick("model=dropout", "model.edits.drop3.layer.p=0.7", "optimizer=sgd", "optimizer.momentum=0.9"),
            quick("model=plain", "optimizer=adam", "optimizer.eps=1e-2", "optimizer.weight_decay=0.1"),
        ]
    )


def test_members_of_several_seeds_take_their_own_batches(quick: Compose) -> None:
    cfgs = [quick(f"model={name}", f"seed={seed}", "optimizer=sgd") for seed in (0, 1) for name in ("plain", "bn")]
    check(cfgs, inputs=[0, 0, 1, 1])


def test_a_resnet_beside_another(quick: Compose) -> None:
    base = ("model.base._target_=torchvision.models.resnet18", "optimizer=sgd", "optimizer.lr=0.01")
    edit = "+model.edits.drop={insert: after, at: layer4.1.relu, layer: {_target_: torch.nn.Dropout2d}}"
    check([quick(*base), quick(*base, edit)])


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "vit"])
def test_another_family_beside_itself(name: str, quick: Compose) -> None:
    check([quick(f"model={name}", "optimizer=sgd"), quick(f"model={name}", "optimizer=sgd")])


def test_layers_that_cannot_be_merged_run_on_their_own_channels(quick: Compose) -> None:
    edits = {
        "a": "{insert: after, at: c1, layer: {_target_: torch.nn.GroupNorm, num_groups: 3, num_channels: 6}}",
        "b": "{replace: s2, layer: {_target_: torch.nn.AvgPool2d, kernel_size: 2}}",
        "c": "{replace: c3, layer: {_target_: torch.nn.Conv2d, in_channels: 6, out_channels: 16, kernel_size: 5, "
        "bias: false}}",
        "d": "{insert: before, at: c1, layer: {_target_: torch.nn.Dropout}}",
        "e": "{remove: relu6}",
        "f": "{insert: after, at: relu5, layer: {_target_: torch.nn.AlphaDropout}}",
        "g": "{replace: c1, layer: {_target_: torch.nn.Conv2d, in_channels: 3, out_channels: 6, kernel_size: 5, "
        "padding_mode: reflect}}",
        "h": "{insert: after, at: c3, layer: {_target_: torch.nn.Conv2d, in_channels: 16, out_channels: 16, "
        "kernel_size: 3, padding: same, groups: 4}}",
        "i": "{freeze: c3}",
        "j": "{bypass: relu3}",
    }  # fmt: skip
    cfgs = [quick("optimizer=sgd"), *(quick("optimizer=sgd", f"+model.edits.{k}={edit}") for k, edit in edits.items())]
    check([*cfgs, cfgs[-1]])


def test_one_member_is_a_stack_too(quick: Compose) -> None:
    check([quick("model=bn_dropout", "optimizer=sgd")])


def test_a_members_state_can_be_taken_out_and_put_back(quick: Compose) -> None:
    cfgs = [quick(f"model={name}") for name in ("plain", "bn_dropout")]
    trainees = [prepare(cfg).trainee for cfg in cfgs]
    stacked = Stacked([trainee.model for trainee in trainees])
    batches = [batch(0)]
    step_stacked(stacked, trainees, batches, [0, 0], epoch=0)
    saved = [copy.deepcopy((t.model.state_dict(), t.optimizer.state_dict())) for t in trainees]
    first = step_stacked(stacked, trainees, batches, [0, 0], epoch=1)
    ends = [copy.deepcopy(state(trainee)) for trainee in trainees]
    for trainee, (model, optimizer) in zip(trainees, saved, strict=True):
        trainee.model.load_state_dict(model)
        trainee.optimizer.load_state_dict(optimizer)
    assert step_stacked(stacked, trainees, batches, [0, 0], epoch=1) == first
    for trainee, end in zip(trainees, ends, strict=True):
        assert all(torch.equal(end[name], value) for name, value in state(trainee).items())


def test_a_smaller_stack_of_the_same_members_goes_on(quick: Compose) -> None:
    trainees = [prepare(quick(f"model={name}", "optimizer=sgd")).trainee for name in ("plain", "dropout", "bn")]
    step_stacked(Stacked([t.model for t in trainees]), trainees, [batch(0)], [0, 0, 0], epoch=0)
    alone = copy.deepcopy(trainees[2].model)
    left = [trainees[0], trainees[2]]
    losses = step_stacked(Stacked([t.model for t in left]), left, [batch(1)], [0, 0], epoch=1)
    with torch.no_grad():
        expected = functional.cross_entropy(alone.train()(batch(1)[0]), batch(1)[1])
    assert losses[1] == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("name", SHIPPED)
def test_rewrites_change_no_bit(name: str, quick: Compose) -> None:
    original = prepare(quick(f"model={name}", "hardware.rewrite=false")).trainee
    rewritten = prepare(quick(f"model={name}")).trainee
    for epoch in range(2):
        losses = {step_alone(trainee, *batch(epoch), 0, epoch) for trainee in (original, rewritten)}
        assert len(losses) == 1
    assert original.model.state_dict().keys() == rewritten.model.state_dict().keys()
    for one, other in zip(original.model.parameters(), rewritten.model.parameters(), strict=True):
        assert torch.equal(one, other) and one.grad is not None and torch.equal(one.grad, other.grad)  # type: ignore[arg-type]


def test_what_is_rewritten_is_recorded(train_one: Callable[..., Path]) -> None:
    from reading_runs import record_of

    assert record_of(train_one())["model"]["rewrites"] == ["relu1 runs after s2", "relu3 runs after s4"]
    assert record_of(train_one("model=dropout", folder="d"))["model"]["rewrites"] == ["relu1 runs after s2"]
    assert record_of(train_one("hardware.rewrite=false", folder="off"))["model"].get("rewrites", []) == []


def test_only_what_commutes_is_rewritten() -> None:
    relu, pool = nn.ReLU(), nn.MaxPool2d(2)
    kept = [
        nn.Sequential(pool, relu),
        nn.Sequential(relu, nn.AvgPool2d(2)),
        nn.Sequential(nn.Tanh(), pool),
        nn.Sequential(relu, nn.MaxPool2d(2, return_indices=True)),
        nn.Sequential(relu, nn.Identity(), pool),
    ]
    assert [rewrite(model) for model in kept] == [[]] * len(kept)
    hooked = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))
    hooked[0].register_forward_hook(lambda *_: None)
    assert rewrite(hooked) == []
    nested = nn.Sequential(nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)))
    assert rewrite(nested) == ["0.0 runs after 1"]
    assert [type(layer) for layer in nested[0]] == [nn.MaxPool2d, nn.ReLU]  # type: ignore[arg-type]
