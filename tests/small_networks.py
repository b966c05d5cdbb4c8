"""Small networks for tests of edits and of stacked models."""

import torch
from torch import Tensor, nn
from torch.nn import functional


def reused_act(channels: int = 4, inplace: bool = False) -> nn.Sequential:
    """One activation in three places of a sequence."""
    act = nn.Tanh() if not inplace else nn.ReLU(inplace=True)
    return nn.Sequential(
        nn.Conv2d(3, channels, 3), act, nn.Conv2d(channels, channels, 3), act, nn.Conv2d(channels, channels, 3), act,
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10),
    )  # fmt: skip


class SharedBlocks(nn.Module):
    """One block under two names, and another one that is called twice under one."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.first = nn.Sequential()
        self.first.add_module("conv", nn.Conv2d(4, 4, 3, padding=1))
        self.first.add_module("act", nn.Tanh())
        self.second = self.first
        self.again = Residual(4)
        self.head = nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(self.stem(x)))
        x = self.again(self.again(x))
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


class Residual(nn.Module):
    """A block whose layers are attributes, not in a sequence."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.act = nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.act(self.conv(x))  # type: ignore[no-any-return]


class SharedAct(nn.Module):
    """One activation under the names of two attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.act1 = self.act2 = nn.Tanh()
        self.head = nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act2(self.conv2(self.act1(self.conv1(x))))
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


def tied() -> nn.Sequential:
    """Two linear layers of one weight."""
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(48, 16), nn.Tanh(), nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 10)
    )
    model[4].weight = model[3].weight
    return model


def tied_by_memory() -> nn.Sequential:
    """Two linear layers whose weights are different parameters in the same memory."""
    model = tied()
    model[4].weight = nn.Parameter(model[3].weight.data)
    return model


def shared_norm() -> nn.Sequential:
    """One batch normalisation in two places."""
    norm = nn.BatchNorm2d(4)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), norm, nn.ReLU(), nn.Conv2d(4, 4, 3), norm,
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10),
    )  # fmt: skip


class Transformer(nn.Module):
    """Encoder layers of torch, which take a fused kernel in evaluation."""

    def __init__(self, layers: int = 1, norm_first: bool = False) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, stride=4)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True, norm_first=norm_first)
            for _ in range(layers)
        )
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(1))  # type: ignore[no-any-return]


class Indexed(nn.Module):
    """Takes the layers of a sequence by their place, and does not run the sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 4, 3))
        self.head = nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.parts[2](self.parts[1](self.parts[0](x)))
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


class TakesOneTwice(nn.Module):
    """Runs a sequence, and the layer that stands first in it once more."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Flatten(), nn.Linear(768, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.parts(self.parts[0](x))  # type: ignore[no-any-return]


class TrainsOtherwise(nn.Module):
    """Runs a layer in training only, as a fused kernel of one's own would have it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = self.norm(x) if self.training else functional.group_norm(x, 2, self.norm.weight, self.norm.bias)
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


class Auxiliary(nn.Module):
    """Returns a second output in training."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head, self.aux = nn.Conv2d(3, 4, 3), nn.Linear(4, 10), nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.conv(x).mean((2, 3))
        return (self.head(x), self.aux(x)) if self.training else self.head(x)


class Squeezed(nn.Module):
    """Loses the dimension of a batch of one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 32), nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.squeeze(self.conv(x)))  # type: ignore[no-any-return]
