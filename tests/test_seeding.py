import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ablate.seeding import LayerStreams, generator, global_stream, stream_seed, weights_by_name

addresses = st.tuples(st.integers(0, 2**40), st.text(max_size=20), st.integers(0, 10**6))


@given(addresses, addresses)
def test_streams_differ_exactly_when_their_addresses_do(one: tuple[int, str, int], other: tuple[int, str, int]) -> None:
    assert (stream_seed(*one) == stream_seed(*other)) == (one == other)
    assert 0 <= stream_seed(*one) < 2**63


def test_a_stream_does_not_depend_on_what_was_drawn_before() -> None:
    first = torch.rand(5, generator=generator(1, "order", 3))
    torch.rand(100)
    torch.rand(7, generator=generator(1, "augment", 3))
    assert torch.equal(first, torch.rand(5, generator=generator(1, "order", 3)))


def test_a_global_stream_leaves_the_generator_as_it_was() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with global_stream(0, "init"):
        drawn = torch.rand(3)
    assert torch.equal(before, torch.get_rng_state())
    with global_stream(0, "init"):
        assert torch.equal(drawn, torch.rand(3))
    with global_stream(1, "init"):
        assert not torch.equal(drawn, torch.rand(3))


def test_a_layers_noise_does_not_shift_with_another_layer() -> None:
    def noise(*layers: str) -> dict[str, torch.Tensor]:
        modules = {name: nn.Dropout(0.5) for name in layers}
        masks = {}
        with LayerStreams(modules, seed=0, name="noise").epoch(2):
            for _ in range(3):
                masks = {name: module(torch.ones(64)) for name, module in modules.items()}
            masks["base"] = torch.rand(8)
        return masks

    alone, together = noise("b"), noise("a", "b")
    assert torch.equal(alone["b"], together["b"])
    assert torch.equal(alone["base"], together["base"])
    assert not torch.equal(together["a"], together["b"])


def test_a_layers_noise_goes_on_from_step_to_step() -> None:
    layer = nn.Dropout(0.5)
    with LayerStreams({"a": layer}, seed=0, name="noise").epoch():
        assert not torch.equal(layer(torch.ones(64)), layer(torch.ones(64)))
    assert not layer._forward_hooks
    assert not layer._forward_pre_hooks


class Switched(nn.Module):
    """A network whose parts can be switched off, and whose own parameters are drawn in two ways."""

    def __init__(self, pos: bool = True, scale: bool = True, wide: bool = False, lazy: bool = False) -> None:
        super().__init__()
        self.pos = nn.Parameter(torch.randn(3, 4)) if pos else None
        self.scale = nn.Parameter(torch.randn(4) * 0.02) if scale else None
        self.first = nn.LazyLinear(8 if wide else 6) if lazy else nn.Linear(4, 8 if wide else 6)
        self.norm = nn.BatchNorm1d(4)
        self.last = nn.Linear(6, 2)


class Other(nn.Module):
    """Another class, with a layer of the same name and shape."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.last = nn.Linear(6, 2)


@settings(deadline=None)  # torch imports much at the first draw that is looked at
@given(st.booleans(), st.booleans(), st.booleans())
def test_weights_of_one_name_and_shape_are_the_same_whatever_else_a_model_has(
    pos: bool, scale: bool, wide: bool
) -> None:
    whole = weights_by_name(3, Switched).state_dict()
    other = weights_by_name(3, lambda: Switched(pos, scale, wide)).state_dict()
    assert whole.keys() - other.keys() == {name for name, here in (("pos", pos), ("scale", scale)) if not here}
    same = {name for name in other if whole[name].shape == other[name].shape}
    assert same >= {"last.weight", "last.bias"}
    assert all(torch.equal(whole[name], other[name]) for name in same)


def test_weights_by_name_are_those_of_another_class_and_of_lazy_layers_too() -> None:
    whole = weights_by_name(3, Switched)
    assert torch.equal(weights_by_name(3, Other).get_parameter("last.weight"), whole.get_parameter("last.weight"))

    def lazy() -> Switched:
        model = Switched(lazy=True)
        model.first(torch.zeros(1, 4))  # gives it its weights
        return model

    assert torch.equal(weights_by_name(3, lazy).get_parameter("first.weight"), whole.get_parameter("first.weight"))


def test_weights_by_name_are_distributed_as_torch_has_them_and_differ_by_seed_and_name() -> None:
    def two() -> nn.Module:
        return nn.ModuleDict({"one": nn.Linear(400, 300), "two": nn.Linear(400, 300)})

    model, again, other = weights_by_name(0, two), weights_by_name(0, two), weights_by_name(1, two)
    weight = model.get_parameter("one.weight")
    assert torch.equal(weight, again.get_parameter("one.weight"))
    assert not torch.equal(weight, other.get_parameter("one.weight"))
    assert not torch.equal(weight, model.get_parameter("two.weight"))
    bound = 400**-0.5  # torch draws a linear layer's weights evenly from −1/√inputs to 1/√inputs
    assert weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.01)


def test_weights_by_name_leave_the_global_generator_as_it_was() -> None:
    before = torch.get_rng_state()
    weights_by_name(0, Switched)
    assert torch.equal(before, torch.get_rng_state())
