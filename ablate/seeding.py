"""Named random streams derived from one seed.

A stream is addressed by the seed, its name and the epoch, so it does not depend on what was drawn before it, on the
variant, or on the engine that trains. The names in use:

- `init`: the base model's weights; `init/<edit>`: those of a layer an edit brings in
- `order`: the order of the training images; `augment`: their crops and flips
- `noise`: what the base model draws while it trains; `noise/<edit>`: what a layer of an edit draws
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

CPU = torch.device("cpu")


def stream_seed(seed: int, name: str, epoch: int = 0) -> int:
    """Returns the 63-bit number that a stream starts from: a hash of its address."""
    digest = hashlib.sha256(f"{seed}/{name}/{epoch}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 1


def generator(seed: int, name: str, epoch: int = 0) -> torch.Generator:
    """Returns a stream as a generator on the CPU, whatever the device that trains."""
    return torch.Generator().manual_seed(stream_seed(seed, name, epoch))


@contextmanager
def global_stream(seed: int, name: str, epoch: int = 0, device: torch.device = CPU) -> Iterator[None]:
    """Makes a stream the source of torch's global generators, and restores them after.

    For code that takes no generator: the initialisation of weights, dropout.
    """
    devices = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(devices=devices, device_type=device.type if devices else "cuda"):
        torch.manual_seed(stream_seed(seed, name, epoch))
        yield


@contextmanager
def layer_streams(
    layers: Mapping[str, nn.Module],
    seed: int,
    name: str,
    epoch: int = 0,
    device: torch.device = CPU,
    base: Iterable[nn.Module] = (),
) -> Iterator[None]:
    """Gives each layer's forward pass a stream of its own, `<name>/<key>`; all else draws from the stream `name`.

    So a layer's noise does not shift when another layer is inserted before it.

    Args:
        layers: The layers by the last part of their streams' names.
        seed: The run's seed.
        name: The stream of everything but the layers.
        epoch: Counted from 0.
        device: Where the layers compute.
        base: Layers that draw from the stream `name` whatever the global generators are, for models that run among
            others; none of them runs inside another.
    """
    with global_stream(seed, name, epoch, device), ExitStack() as hooks:
        for key, layer in layers.items():
            swap = _Swap(stream_seed(seed, f"{name}/{key}", epoch), device)
            # First of all hooks: a lazy layer draws its weights in one.
            hooks.callback(layer.register_forward_pre_hook(swap.enter, prepend=True).remove)
            hooks.callback(layer.register_forward_hook(swap.leave).remove)
        shared = _Swap(stream_seed(seed, name, epoch), device)
        for layer in base:
            hooks.callback(layer.register_forward_pre_hook(shared.enter, prepend=True).remove)
            hooks.callback(layer.register_forward_hook(shared.leave).remove)
        yield


class _Swap:
    """Puts a stream's state into the global generator while a layer computes."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.generator: Any = torch.default_generator
        if device.type == "cuda":
            self.generator = torch.cuda.default_generators[device.index or 0]
        elif device.type == "mps":
            self.generator = torch.mps._get_default_mps_generator()
        self.state: Tensor = torch.Generator(device).manual_seed(seed).get_state()
        self.outer: Tensor | None = None

    def enter(self, *_: Any) -> None:
        self.outer = self.generator.get_state()
        self.generator.set_state(self.state)

    def leave(self, *_: Any) -> None:
        self.state = self.generator.get_state()
        assert self.outer is not None
        self.generator.set_state(self.outer)
