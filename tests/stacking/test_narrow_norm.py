import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from ablate.stacking.narrow_norm import fits, narrow_norm
from ablate.stacking.stacked import Stacked


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 9), st.integers(1, 15), st.sampled_from([2, 4, 6]), st.integers(0, 2**20))
def test_values_gradients_and_statistics_are_those_of_torch(images: int, channels: int, side: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    whole = 3 * torch.randn(images, channels, side, side, generator=generator) + 5
    x = whole.contiguous(memory_format=torch.channels_last).requires_grad_()
    other = x.detach().clone().requires_grad_()
    weight, bias = torch.rand(channels, generator=generator), torch.rand(channels, generator=generator)
    weights = [weight.clone().requires_grad_() for _ in range(2)]
    biases = [bias.clone().requires_grad_() for _ in range(2)]
    assert fits(x)
    y, mean, variance = narrow_norm(x, weights[0], biases[0], 1e-5)
    expected = functional.batch_norm(other, None, None, weights[1], biases[1], True, 0.1, 1e-5)
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(mean, other.mean((0, 2, 3)), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(variance, other.var((0, 2, 3), correction=0), rtol=1e-4, atol=1e-5)
    gradient = torch.randn(y.shape, generator=generator)
    y.backward(gradient)
    expected.backward(gradient)
    for one, two in ((x, other), (weights[0], weights[1]), (biases[0], biases[1])):
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-3, atol=1e-3)


def test_its_gradient_is_that_of_finite_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 2, 2, generator=generator, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    arguments = [x, *(torch.rand(3, generator=generator, dtype=torch.float64) for _ in range(2))]
    inputs = [argument.requires_grad_() for argument in arguments]
    assert torch.autograd.gradcheck(lambda *args: narrow_norm(*args, 1e-3)[0], inputs)


@pytest.mark.parametrize("shape", [(2, 16, 4, 4), (1, 3, 3, 3), (8, 3)], ids=["wide", "uneven", "no image"])
def test_what_does_not_fit_is_told(shape: tuple[int, ...]) -> None:
    x = torch.zeros(shape)
    assert not fits(x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x)
    assert not fits(torch.zeros(2, 3, 4, 4))  # channels come first in memory


def test_a_member_keeps_the_running_statistics_that_it_would_have_alone() -> None:
    torch.manual_seed(0)
    models = [nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Flatten(), nn.Linear(54, 4)) for _ in range(2)]
    alone = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Flatten(), nn.Linear(54, 4))
    alone.load_state_dict(models[1].state_dict())
    for model in (*models, alone):
        model.to(memory_format=torch.channels_last)
    stacked = Stacked(models)
    for _ in range(3):
        x = torch.randn(8, 3, 5, 5).contiguous(memory_format=torch.channels_last)
        stacked(x)
        alone(x)
    torch.testing.assert_close(models[1].state_dict(), alone.state_dict(), rtol=1e-5, atol=1e-5)
