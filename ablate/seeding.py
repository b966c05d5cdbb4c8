"""Named random streams derived from one seed.

A stream is addressed by the seed, its name and the epoch, so it does not depend on what was drawn before it, on the
variant, or on the engine that trains. The names in use:

- `init/<edit>`: the weights of a layer that an edit brings in; `weights/<name>`: those of the base model, by the name
  of the parameter; `init`: those of LeNet-5, all in one
- `order`: the order of the training images; `augment`: their crops and flips; `augment/<name>/<batch>`: what a further
  augmentation of a batch draws
- `average`: what the mean of weights draws while its batch norms measure an epoch's images
- `validation`, of seed 0 always: which training images are held out
- `noise`: what the base model draws during training; `noise/<edit>`: what a layer of an edit draws
"""

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode

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


def weights_by_name(seed: int, make: Callable[[], nn.Module]) -> nn.Module:
    """Returns a model whose every parameter draws its first values from a stream of its own, by its name.

    So parameters of one name and shape are the same in all models, whatever else these have. The model is made twice:
    once to see which parameter each draw is for. A draw that is for none, such as one that is scaled before it becomes
    a parameter, has a stream by its shape, and its place among the draws of this shape.

    Args:
        seed: The run's seed.
        make: Makes the model, drawing from torch's global generator on the CPU.
    """
    with global_stream(seed, "init"), _Draws() as draws:
        model = make()
    tensors = itertools.chain(model.named_parameters(), model.named_buffers())
    names = {tensor.untyped_storage().data_ptr(): name for name, tensor in tensors if not is_lazy(tensor)}
    of_shape: Counter[tuple[int, ...]] = Counter()
    streams = []
    for drawn in draws.tensors:
        name = names.get(drawn.untyped_storage().data_ptr())
        if name is None:
            of_shape[tuple(drawn.shape)] += 1
            name = f"{tuple(drawn.shape)}/{of_shape[tuple(drawn.shape)]}"
        streams.append(f"weights/{name}")
    with global_stream(seed, "init"), _Draws(seed, streams):
        return make()


class _Draws(TorchDispatchMode):
    """Notes what is drawn from the global generator; given streams, has each draw in turn come from its own."""

    def __init__(self, seed: int = 0, streams: Sequence[str] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tensors: list[Tensor] = []  # kept, so that no two are at one address
        self._streams = iter(streams)
        self._swaps = {name: _StateSwap(CPU) for name in streams}
        for name, swap in self._swaps.items():
            swap.start(stream_seed(seed, name))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **(kwargs or {}))
        swap = self._swaps.get(next(self._streams, ""))
        if swap is not None:
            swap.enter()
        drawn = func(*args, **(kwargs or {}))
        if swap is not None:
            swap.leave()
        if isinstance(drawn, Tensor):
            self.tensors.append(drawn)
        return drawn


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
