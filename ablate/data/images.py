"""A data set: tensors in memory, or images that are read as they are needed."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import torch
from platformdirs import user_cache_path
from torch import Tensor

from ablate.files import atomic_write
from ablate.seeding import generator


@dataclass(frozen=True)
class Split:
    """Images and their labels, in memory."""

    images: Tensor  # uint8, shape (images, channels, height, width)
    labels: Tensor  # int64, shape (images,)

    def __post_init__(self) -> None:
        assert self.images.dtype == torch.uint8 and self.images.ndim == 4
        assert self.labels.dtype == torch.int64 and self.labels.shape == self.images.shape[:1]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor | slice) -> Self:
        return replace(self, images=self.images[index], labels=self.labels[index])

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        channels, height, width = self.images.shape[1:]
        return (channels, height, width)

    def chunks(self) -> Iterator[Tensor]:
        """Yields the images in their order."""
        yield self.images


class StreamedSplit(ABC):
    """Images that are read as they are needed, with labels in memory."""

    labels: Tensor  # int64, shape (images,)

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def __getitem__(self, index: Tensor | slice) -> Self: ...

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""

    @property
    @abstractmethod
    def key(self) -> str:
        """Stays the same as long as the images do, and is computed without reading them."""

    @abstractmethod
    def batches(self, order: Tensor | None, batch_size: int) -> Iterable[Tensor]:
        """Yields the images in an order, by default their own: uint8, shape (images, channels, height, width)."""

    def chunks(self) -> Iterator[Tensor]:
        """Yields the images in their order."""
        yield from self.batches(None, _CHUNK)


_CHUNK = 256


@dataclass(frozen=True)
class ImageData:
    """A data set: its splits, class names and normalisation."""

    name: str  # in messages
    train: Split | StreamedSplit
    test: Split | StreamedSplit
    classes: tuple[str, ...]  # a name for each label
    mean: tuple[float, ...]  # per channel, on the scale 0 to 1
    std: tuple[float, ...]
    validation: Split | StreamedSplit | None = None  # training images held out for choosing hyperparameters

    @property
    def normalisation(self) -> tuple[float, ...]:
        """The means of the channels, and then their deviations."""
        return (*self.mean, *self.std)

    @property
    def evaluated(self) -> dict[str, Split | StreamedSplit]:
        """The splits that a run is evaluated on, by name."""
        held_out = {} if self.validation is None else {"validation": self.validation}
        return {**held_out, "test": self.test}

    def subset(self, per_class: int) -> Self:
        """Returns the first `per_class` images of each class, of the training images and of the test's, if so many."""
        smallest = int(torch.bincount(self.train.labels, minlength=len(self.classes)).min())
        if per_class > smallest:
            raise ValueError(
                f"data.subset={per_class}: {self.name} has only {smallest} training images of some class; "
                f"take at most {smallest}"
            )
        return replace(
            self, train=_first_of_each_class(self.train, per_class), test=_first_of_each_class(self.test, per_class)
        )

    def hold_out(self, images: int, seed: int = 0) -> Self:
        """Returns the data set with some of its training images held out for validation.

        They are drawn stratified: of each class its share, rounded so that the number is met. The draw is a seed's
        stream `validation`: with the same seed, all runs of a study hold out the same images. ValueError says that a
        class would have no training image left.
        """
        counts = torch.bincount(self.train.labels, minlength=len(self.classes)).tolist()
        if images >= len(self.train):
            raise ValueError(
                f"data.validation={images}: {self.name} has {len(self.train)} training images, and some must be left"
            )
        shares, left = zip(*(divmod(images * count, len(self.train)) for count in counts), strict=True)
        rest = sorted(range(len(counts)), key=lambda label: -left[label])[: images - sum(shares)]
        wanted = [share + (label in rest) for label, share in enumerate(shares)]
        for label, count in enumerate(counts):
            if count and wanted[label] == count:
                raise ValueError(
                    f"data.validation={images}: takes all {count} training images of {self.classes[label]}; hold out "
                    "fewer"
                )
        order = torch.randperm(len(self.train), generator=generator(seed, "validation"))
        chosen = [order[self.train.labels[order] == label][:count] for label, count in enumerate(wanted)]
        held_out = torch.zeros(len(self.train), dtype=torch.bool).index_fill(0, torch.cat(chosen), True)
        train, validation = (self.train[mask.nonzero().flatten()] for mask in (~held_out, held_out))
        return replace(self, train=train, validation=validation)

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of all data that a run uses: the images and labels of every split, in order."""
        splits = {"train": self.train, **self.evaluated}
        keys = [split.key for split in splits.values() if isinstance(split, StreamedSplit)]
        if len(keys) < len(splits):
            return _digest(splits)
        cached = user_cache_path("ablate") / "digests" / hashlib.sha256("".join(keys).encode()).hexdigest()
        try:
            return cached.read_text(encoding="ascii")
        except OSError:
            cached.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(cached) as file:
                file.write(digest := _digest(splits))
            return digest


def _digest(splits: Mapping[str, Split | StreamedSplit]) -> str:
    sha = hashlib.sha256()
    for name, split in splits.items():
        sha.update(f"{name}{(len(split), *split.shape)}".encode())
        for images in split.chunks():
            sha.update(np.ascontiguousarray(images.numpy()).data)
        sha.update(np.ascontiguousarray(split.labels.numpy()).data)
    return sha.hexdigest()


def _first_of_each_class(split: Split | StreamedSplit, count: int) -> Split | StreamedSplit:
    firsts = [(split.labels == label).nonzero().flatten()[:count] for label in split.labels.unique()]
    return split[torch.cat(firsts).sort().values]
