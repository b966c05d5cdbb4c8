import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ablate.seeding import LayerStreams, generator, global_stream, stream_seed

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
