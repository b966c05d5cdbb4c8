"""A data set held in memory as tensors."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Split:
    """Images and their labels.

    Attributes:
        images: uint8, shape (images, channels, height, width).
        labels: int64, shape (images,).
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        assert self.images.dtype == torch.uint8 and self.images.ndim == 4
        assert self.labels.dtype == torch.int64 and self.labels.shape == self.images.shape[:1]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor | slice) -> Self:
        return replace(self, images=self.images[index], labels=self.labels[index])


@dataclass(frozen=True)
class ImageData:
    """A data set: its splits, class names and normalisation.

    Attributes:
        name: What messages call it.
        train: The images to learn from.
        test: The images to report on.
        classes: A name for each label.
        mean: Per channel, on the scale 0 to 1.
        std: Per channel, on the scale 0 to 1.
        validation: Training images held out to choose on.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    validation: Split | None = None

    @property
    def evaluated(self) -> dict[str, Split]:
        """The splits that a run is evaluated on, by name."""
        held_out = {} if self.validation is None else {"validation": self.validation}
        return {**held_out, "test": self.test}

    def subset(self, per_class: int) -> Self:
        """Returns the first `per_class` images of each class, of the training and of the test images.

        Raises:
            ValueError: A class has fewer training images. (Of fewer test images all are taken.)
        """
        smallest = int(torch.bincount(self.train.labels, minlength=len(self.classes)).min())
        if per_class > smallest:
            raise ValueError(
                f"data.subset={per_class}: {self.name} has only {smallest} training images of some class; "
                f"take at most {smallest}"
            )
        return replace(
            self, train=_first_of_each_class(self.train, per_class), test=_first_of_each_class(self.test, per_class)
        )

    def hold_out(self, images: int) -> Self:
        """Returns the data set with its last training images held out for validation.

        Raises:
            ValueError: No training image would be left.
        """
        if images >= len(self.train):
            raise ValueError(
                f"data.validation={images}: {self.name} has {len(self.train)} training images, and some must be left"
            )
        return replace(self, train=self.train[slice(0, -images)], validation=self.train[slice(-images, None)])

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of all that a run sees of the data: the images and labels of every split, in order."""
        sha = hashlib.sha256()
        for name, split in {"train": self.train, **self.evaluated}.items():
            sha.update(f"{name}{tuple(split.images.shape)}".encode())
            sha.update(np.ascontiguousarray(split.images.numpy()).data)
            sha.update(np.ascontiguousarray(split.labels.numpy()).data)
        return sha.hexdigest()


def _first_of_each_class(split: Split, count: int) -> Split:
    firsts = [(split.labels == label).nonzero().flatten()[:count] for label in split.labels.unique()]
    return split[torch.cat(firsts).sort().values]
