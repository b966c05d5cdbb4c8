"""Cohorts of networks that share layers or weights, or work in place: as alone, or not in a cohort."""

import copy
from collections.abc import Callable

import pytest
import small_networks as networks
import torch
from torch import Tensor, nn
from torch.optim import SGD

from ablate.training.cohort import Cohort, Trainee
from ablate.training.cohort_proof import disproved

Network = Callable[[], nn.Module]
CPU = torch.device("cpu")
IMAGES = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(5)).to(memory_format=torch.channels_last)


def trainee(model: nn.Module) -> Trainee:
    model = copy.deepcopy(model).double()
    return Trainee(model, {}, SGD(model.parameters(), lr=0.05), None)


def train(cohort: Cohort, images: Tensor, steps: int = 4) -> list[list[float]]:
    losses = []
    for epoch in range(steps):
        cohort.train(True)
        with cohort.noise(epoch):
            scores = cohort.forward([images.clone()])
        each = scores.square().mean((0, 2)) + scores[:, :, 0].mean(0)
        cohort.zero_gradients()
        each.sum().backward()
        for one in cohort.trainees:
            one.optimizer.step()
        losses.append(each.tolist())
    cohort.train(False)
    with torch.inference_mode():
        losses.append(cohort.forward([images.clone()]).square().mean((0, 2)).tolist())
    return losses


def inplace_first() -> nn.Sequential:
    return nn.Sequential(nn.ReLU(inplace=True), *networks.reused_act())


def dropped() -> nn.Sequential:
    drop = nn.Dropout(0.5)
    return nn.Sequential(nn.Conv2d(3, 4, 3), drop, nn.Conv2d(4, 4, 3), drop, nn.Flatten(), nn.Linear(576, 10))


def shared_conv() -> nn.Sequential:
    conv = nn.Conv2d(3, 3, 3, padding=1)
    return nn.Sequential(conv, nn.ReLU(), conv, nn.Flatten(), nn.Linear(768, 10))


SMALL = (networks.tied, networks.tied_by_memory)


@pytest.mark.parametrize(
    "network",
    [networks.reused_act, networks.tied, networks.tied_by_memory, networks.shared_norm, networks.SharedBlocks,
     inplace_first, dropped, shared_conv, networks.Transformer],
)  # fmt: skip
def test_members_train_as_they_do_alone(network: Network) -> None:
    images = IMAGES[:, :, :4, :4] if network in SMALL else IMAGES
    images = images.to(torch.float64, memory_format=torch.channels_last)
    torch.manual_seed(0)
    models = [network(), network(), network()]
    assert disproved([trainee(model) for model in models], [0, 0, 0], images) == ["", "", ""]
    together = train(Cohort([trainee(model) for model in models], [0, 0, 0], CPU), images)
    for number, model in enumerate(models):
        alone = train(Cohort([trainee(model)], [0], CPU), images)
        assert [losses[number] for losses in together] == pytest.approx([loss for (loss,) in alone], rel=1e-9)


def test_an_in_place_layer_leaves_the_images_of_others_alone() -> None:
    models = [networks.reused_act(), inplace_first()]
    images = IMAGES.double()
    together = train(Cohort([trainee(model) for model in models], [0, 0], CPU), images)
    for number, model in enumerate(models):
        alone = train(Cohort([trainee(model)], [0], CPU), images)
        assert [losses[number] for losses in together] == pytest.approx([loss for (loss,) in alone], rel=1e-9)


class PretendsToBeTanh(nn.Tanh):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) - x.mean(1, keepdim=True)


class PretendsInEvaluation(nn.Tanh):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) - (0 if self.training else x.mean(1, keepdim=True))


class PretendsButForItsGradient(nn.Tanh):
    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(1, keepdim=True)
        return super().forward(x) + (mean - mean.detach())


@pytest.mark.parametrize(
    ("pretender", "differs"),
    [
        (PretendsToBeTanh, "output in training"),
        (PretendsInEvaluation, "output in evaluation"),
        (PretendsButForItsGradient, "gradient of 0.weight"),
    ],
)
def test_what_looks_alike_and_is_not_is_told_apart(
    pretender: type[nn.Module], differs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A layer that is taken for one of each channel by itself, and is not."""
    from ablate.stacking import layers

    def network(act: type[nn.Module]) -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3), act(), nn.Flatten(), nn.Linear(784, 10))

    models = [network(pretender), network(pretender), network(nn.Tanh)]
    assert disproved([trainee(model) for model in models], [0, 0, 0], IMAGES) == ["", "", ""]
    monkeypatch.setattr(layers, "_CHANNELWISE", (*layers._CHANNELWISE, pretender))
    reasons = disproved([trainee(model) for model in models], [0, 0, 0], IMAGES)
    assert reasons == [f"its {differs} would be another beside the others"] * 2 + [""]


def test_noise_that_lies_otherwise_in_memory_is_told_apart() -> None:
    """Merged layers draw it channels last."""
    reasons = disproved([trainee(dropped()), trainee(dropped())], [0, 0], IMAGES.contiguous())
    assert reasons == ["its output in training would be another beside the others"] * 2


def test_what_cannot_be_stacked_is_said() -> None:
    class Tokens(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(2)

    model = nn.Sequential(nn.Conv2d(3, 4, 3), Tokens(), nn.Linear(196, 10), nn.Flatten(), nn.Linear(40, 10))
    reasons = disproved([trainee(model), trainee(model)], [0, 0], IMAGES)
    assert all(reason.startswith("cannot run beside the others: ") for reason in reasons)


def test_a_layer_of_single_precision_is_proved_in_single_precision() -> None:
    class Single(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.linear(x.float(), torch.eye(10)).float()

    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(784, 10), Single(), nn.Linear(10, 10))
    assert disproved([trainee(model), trainee(model)], [0, 0], IMAGES) == ["", ""]
