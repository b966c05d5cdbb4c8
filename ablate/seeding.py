"""Named random streams derived from one seed.

A stream is addressed by the seed, its name and the epoch, so it does not depend on what was drawn before it, on the
variant, or on the engine that trains. The names in use:

- `init`: the base model's weights; `init/<edit>`: those of a layer an edit brings in
- `order`: the order of the training images; `augment`: their crops and flips
- `validation`, of seed 0 always: which training images are held out
- `noise`: what the base model draws during training; `noise/<edit>`: what a layer of an edit draws
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

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
    """Makes torch's global generators draw from a stream, and restores them afterwards.

    For code that takes no generator: the initialisation of weights, dropout.
    """
    devices = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(devices=devices, device_type=device.type if devices else "cuda"):
        torch.manual_seed(stream_seed(seed, name, epoch))
        yield


class LayerStreams:
    """Gives each layer's forward pass a stream of its own, `<name>/<key>`; all else draws from the stream `name`.

    So the noise of a layer does not change when another layer is inserted before it. `base` are layers that draw from
    the stream `name` whatever the global generators are, for a model that is stacked with others; none of them runs
    inside another.
    """

    def __init__(
        self,
        layers: Mapping[str, nn.Module],
        seed: int,
        name: str,
        device: torch.device = CPU,
        base: Iterable[nn.Module] = (),
    ) -> None:
        self._seed, self._name, self._device = seed, name, device
        swap = _GeneratorSwap if device.type == "cuda" else _StateSwap
        self._swaps = [(f"{name}/{key}", swap(device), [layer]) for key, layer in layers.items()]
        self._swaps.append((name, swap(device), list(base)))

    @property
    def generators(self) -> list[torch.Generator]:
        """The generators of the streams on a CUDA GPU; a graph that draws from them has to know them."""
        return [swap.own for _, swap, _ in self._swaps if isinstance(swap, _GeneratorSwap)]

    @contextmanager
    def epoch(self, epoch: int = 0) -> Iterator[None]:
        """Has the layers draw from the streams of an epoch, counted from 0."""
        with global_stream(self._seed, self._name, epoch, self._device), ExitStack() as hooks:
            for name, swap, layers in self._swaps:
                swap.start(stream_seed(self._seed, name, epoch))
                for layer in layers:
                    # Before all other hooks: a lazy layer draws its weights in one.
                    hooks.callback(layer.register_forward_pre_hook(swap.enter, prepend=True).remove)
                    hooks.callback(layer.register_forward_hook(swap.leave).remove)
            yield


class _StateSwap:
    """Puts a stream's state into the global generator while a layer computes."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._global: Any = torch.mps._get_default_mps_generator() if device.type == "mps" else torch.default_generator

    def start(self, seed: int) -> None:
        self._state = torch.Generator(self._device).manual_seed(seed).get_state()

    def enter(self, *_: object) -> None:
        self._outer = self._global.get_state()
        self._global.set_state(self._state)

    def leave(self, *_: object) -> None:
        self._state = self._global.get_state()
        self._global.set_state(self._outer)


class _GeneratorSwap:
    """The same on a CUDA GPU, without waiting for it, and in a way that a captured graph repeats."""

    def __init__(self, device: torch.device) -> None:
        self._global: Any = torch.cuda.default_generators[device.index or 0]
        self.own = torch.Generator(device)

    def start(self, seed: int) -> None:
        self.own.manual_seed(seed)

    def enter(self, *_: object) -> None:
        self._outer = self._global.graphsafe_get_state()
        self._global.graphsafe_set_state(self.own)

    def leave(self, *_: object) -> None:
        self._global.graphsafe_set_state(self._outer)
