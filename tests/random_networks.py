"""Small random networks, and a second way to run them: place by place, as one would write them by hand."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

C, SIZE, CLASSES = 4, 6, 3  # channels and size inside a network, classes


class Residual(nn.Module):
    def __init__(self, act: nn.Module) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(C, C, 3, padding=1), act

    def forward(self, x: Tensor) -> Tensor:
        return x + self.act(self.conv(x))  # type: ignore[no-any-return]


class TwoInputs(nn.Module):
    """Takes the image as it was, and as a first layer has made it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(C, C, 1)
        self.mix = Mix()

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(self.first(x), x)  # type: ignore[no-any-return]


class Mix(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.GroupNorm(2, C), nn.Tanh()

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.left(a) * self.right(b)  # type: ignore[no-any-return]


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(C, 2, 8, dropout=0.0, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.encoder(x.flatten(2).transpose(1, 2))
        return tokens.transpose(1, 2).reshape(x.shape)  # type: ignore[no-any-return]


class Listed(nn.Module):
    """Runs the layers of a list."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def network(seed: int) -> nn.Module:
    """Returns a network; the weights are drawn from the global generator."""
    rng = random.Random(seed)
    act = rng.choice([nn.Tanh(), nn.ReLU(inplace=True), nn.LeakyReLU()])
    parts: list[nn.Module] = [nn.Conv2d(3, C, 3, padding=1)]
    for _ in range(rng.randint(2, 5)):
        parts.append(_part(rng, act, parts, depth=0))
    head = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * C, CLASSES)]
    if rng.random() < 0.3:
        return nn.Sequential(Listed(parts), *head)
    return nn.Sequential(*parts, *head)


def _part(rng: random.Random, act: nn.Module, others: list[nn.Module], depth: int) -> nn.Module:
    kinds: dict[str, Callable[[], nn.Module]] = {
        "act": lambda: act,
        "conv": lambda: nn.Conv2d(C, C, 3, padding=1),
        "norm": lambda: rng.choice([nn.BatchNorm2d(C), nn.GroupNorm(2, C)]),
        "shared": lambda: rng.choice([*others[1:], act]),
        "tied": lambda: _tied(others),
        "parametrised": lambda: weight_norm(nn.Conv2d(C, C, 3, padding=1)),
        "residual": lambda: Residual(rng.choice([act, nn.Tanh()])),
        "two": TwoInputs,
        "attention": Attention,
        "nested": lambda: nn.Sequential(*(_part(rng, act, others, depth + 1) for _ in range(rng.randint(2, 3)))),
    }
    if depth:
        del kinds["nested"]
    return kinds[rng.choice(list(kinds))]()


def _tied(others: list[nn.Module]) -> nn.Module:
    conv = nn.Conv2d(C, C, 3, padding=1)
    for other in others[1:]:
        if type(other) is nn.Conv2d:
            conv.weight = other.weight
    return conv


@dataclass
class Place:
    """What edits have made of a place: what runs before, in place of, and after its layer."""

    before: list[nn.Module] = field(default_factory=list)
    instead: Callable[..., Any] | None = None
    after: list[nn.Module] = field(default_factory=list)


def by_hand(model: nn.Module, places: dict[str, Place], x: Tensor) -> Tensor:
    """Runs a network that no edit has touched as if edits had been written into its code."""

    def run(path: str, module: nn.Module, x: Tensor, *more: Any, **named: Any) -> Any:
        place = places.get(path, Place())
        for layer in place.before:
            x = layer(x)
        x = inside(path, module, x, *more, **named) if place.instead is None else place.instead(x, *more)
        for layer in place.after:
            x = layer(x)
        return x

    def inside(path: str, module: nn.Module, x: Tensor, *more: Any, **named: Any) -> Any:
        def child(name: str, x: Tensor, *more: Any, **named: Any) -> Any:
            return run(f"{path}.{name}".lstrip("."), module.get_submodule(name), x, *more, **named)

        match module:
            case nn.Sequential():
                for name in module._modules:
                    x = child(name, x)
                return x
            case Listed():
                for number in range(len(module.layers)):
                    x = child(f"layers.{number}", x)
                return x
            case Residual():
                return x + child("act", child("conv", x))
            case TwoInputs():
                return child("mix", child("first", x), x)
            case Mix():
                return child("left", x) * child("right", *more)
            case Attention():
                tokens = child("encoder", x.flatten(2).transpose(1, 2))
                return tokens.transpose(1, 2).reshape(x.shape)
            case nn.TransformerEncoderLayer():
                attended = child("self_attn", x, x, x, need_weights=False)[0]
                x = child("norm1", x + child("dropout1", attended))
                inner = child("linear2", child("dropout", module.activation(child("linear1", x))))
                return child("norm2", x + child("dropout2", inner))
        return module(x, *more, **named)

    return run("", model, x)  # type: ignore[no-any-return]


def paths(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yields the places that an edit can name, but for lists and what parametrisations hold."""
    for name, module in model.named_modules(remove_duplicate=False):
        if name and not isinstance(module, nn.ModuleList) and "parametrizations" not in name:
            yield name, module
