"""Batches: cut, shifted, flipped and normalised as whole tensors on the training device."""

import copy
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from ablate.data.images import ImageData, Split, StreamedSplit
from ablate.seeding import generator

# Images cropped at a time, which bounds the memory of their pixel indices (4 bytes for each pixel).
_CHUNK = 8192


@dataclass(frozen=True)
class Draw:
    """The random choices of one epoch."""

    order: Tensor  # int64, shape (images,): the image at each place
    offsets: Tensor  # int64, shape (images, 2): row and column of each crop in the padded image
    flips: Tensor  # bool, shape (images,): which crops are mirrored

    def to(self, device: torch.device) -> "Draw":
        return Draw(self.order.to(device), self.offsets.to(device), self.flips.to(device))


def draw(images: int, padding: int, flip: bool, seed: int, epoch: int) -> Draw:
    """Returns the choices of an epoch; they depend only on the arguments, not on the device or the variant."""
    augment = generator(seed, "augment", epoch)
    offsets = torch.randint(0, 2 * padding + 1, (images, 2), generator=augment)
    flips = torch.rand(images, generator=augment) < 0.5
    order = torch.randperm(images, generator=generator(seed, "order", epoch))
    return Draw(order, offsets, flips & flip)


def pad(images: Tensor, padding: int) -> Tensor:
    """Returns uint8 images, shape (images, channels, height, width), with a black border, channels last, contiguous."""
    return functional.pad(images.permute(0, 2, 3, 1), (0, 0, padding, padding, padding, padding)).contiguous()


def crop(padded: Tensor, choice: Draw, padding: int) -> Tensor:
    """Returns an epoch's images: shuffled, cropped at their offsets, and mirrored where chosen.

    Equal to torchvision's crop followed by its horizontal flip, for the same offsets and flips. `padded` and `padding`
    are those of `pad`, and the choices are on the same device.
    """
    tall, wide, channels = padded.shape[1:]
    height, width = tall - 2 * padding, wide - 2 * padding
    pixels = padded.view(-1, channels)
    kind = torch.int32 if len(pixels) < 2**31 else torch.int64  # of pixel indices
    rows = torch.arange(height, device=padded.device, dtype=kind)
    columns = torch.arange(width, device=padded.device, dtype=kind)
    out = padded.new_empty(len(choice.order), height, width, channels)
    for start in range(0, len(out), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        top, left = choice.offsets[chunk].to(kind).unsqueeze(2).unbind(1)
        across = torch.where(choice.flips[chunk].unsqueeze(1), columns.flip(0), columns) + left
        down = choice.order[chunk].to(kind).unsqueeze(1) * tall + top + rows
        index = down.unsqueeze(2) * wide + across.unsqueeze(1)
        torch.index_select(pixels, 0, index.flatten(), out=out[chunk].view(-1, channels))
    return out


class Normalise:
    """Turns uint8 pixels into the input of a model: (pixel / 255 - mean) / std, per channel."""

    def __init__(self, data: ImageData, device: torch.device, channels_last: bool) -> None:
        width = data.train.shape[-1]
        # Repeated along a row of pixels, so that the innermost loop is long enough to be vectorised.
        self.mean = torch.tensor(data.mean, device=device).mul(255).repeat(width)
        self.scale = torch.tensor(data.std, device=device).mul(255).reciprocal().repeat(width)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format

    def __call__(self, images: Tensor) -> Tensor:
        """Returns float32, shape (images, channels, height, width), from uint8, (images, height, width, channels)."""
        flat = images.flatten(2).float().sub_(self.mean).mul_(self.scale)
        return flat.view(images.shape).permute(0, 3, 1, 2).contiguous(memory_format=self.memory_format)


class StreamedEpoch:
    """The images of an epoch, read as they are needed."""

    def __init__(self, images: StreamedSplit, choice: Draw, padding: int) -> None:
        self._images, self._choice, self._padding = images, choice, padding
        self.waited = 0.0  # seconds that the training has waited for batches

    def split(self, size: int) -> Iterator[Tensor]:
        """Yields batches as `crop` returns them."""
        start = time.perf_counter()
        device = self._choice.order.device
        parts = zip(self._choice.offsets.split(size), self._choice.flips.split(size), strict=True)
        batches = self._images.batches(self._choice.order, size)
        for images, (offsets, flips) in zip(batches, parts, strict=True):
            choice = Draw(torch.arange(len(images), device=device), offsets, flips)
            batch = crop(pad(images.to(device), self._padding), choice, self._padding)
            self.waited += time.perf_counter() - start
            yield batch
            start = time.perf_counter()


class TrainingBatches:
    """The training images of a run, an epoch at a time."""

    def __init__(
        self, split: Split | StreamedSplit, batch_size: int, padding: int, flip: bool, seed: int, device: torch.device
    ) -> None:
        self._images = split if isinstance(split, StreamedSplit) else pad(split.images.to(device), padding)
        self.labels = split.labels.to(device)
        self.batch_size, self.padding, self.flip, self.seed = batch_size, padding, flip, seed

    def of_seed(self, seed: int) -> Self:
        """Returns the same images, sharing their memory, in the order of another seed."""
        other = copy.copy(self)
        other.seed = seed
        return other

    def __len__(self) -> int:
        """Number of batches of an epoch; the last may be smaller than the others."""
        return -(-len(self.labels) // self.batch_size)

    def draw(self, epoch: int) -> Draw:
        """Returns the choices of an epoch, counted from 0."""
        return draw(len(self.labels), self.padding, self.flip, self.seed, epoch)

    def epoch(self, epoch: int) -> tuple[Tensor | StreamedEpoch, Tensor]:
        """Returns an epoch's images (uint8, channels last) and labels, in the order they are trained on."""
        choice = self.draw(epoch).to(self.labels.device)
        if isinstance(self._images, StreamedSplit):
            return StreamedEpoch(self._images, choice, self.padding), self.labels[choice.order]
        return crop(self._images, choice, self.padding), self.labels[choice.order]


class EvaluationBatches:
    """The images of a split to evaluate on, in their stored order and unchanged."""

    BATCH_SIZE = 500

    def __init__(self, split: Split | StreamedSplit, device: torch.device) -> None:
        self._images = split if isinstance(split, StreamedSplit) else pad(split.images.to(device), 0)
        self.labels = split.labels.to(device)

    def __len__(self) -> int:
        """Number of batches."""
        return -(-len(self.labels) // self.BATCH_SIZE)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if isinstance(self._images, StreamedSplit):
            read = self._images.batches(None, self.BATCH_SIZE)
            images: Iterable[Tensor] = (pad(part.to(self.labels.device), 0) for part in read)
        else:
            images = self._images.split(self.BATCH_SIZE)
        return zip(images, self.labels.split(self.BATCH_SIZE), strict=True)
