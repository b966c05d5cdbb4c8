"""Data sets as folders of image files, a folder a class, in memory or streamed."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from platformdirs import user_cache_path
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder
from torchvision.transforms.v2.functional import center_crop, pil_to_tensor, resize

from ablate.data.arrays import of_counts
from ablate.data.images import ImageData, Split, StreamedSplit
from ablate.files import atomic_write

_PARTS = {"train": ("train",), "test": ("test", "val")}


def load(path: str, size: int = 32, stream: bool = False, workers: int = 2) -> ImageData:
    """Returns the images under `path/train/CLASS` and `path/test/CLASS` (or `path/val/CLASS`), in three channels.

    Mean and deviation of the training images are computed once and kept in the user's cache folder.

    Args:
        path: The folder.
        size: Height and width; an image's shorter side is brought to it, and its middle cut out.
        stream: Whether to read the files as they are needed, for sets larger than the memory.
        workers: Processes that read files.

    Raises:
        ValueError: The folder is not of this form, or a file is not an image.
    """
    root = Path(path).expanduser()
    if size < 1 or workers < 0:
        raise ValueError(f"data.size={size}, data.workers={workers}: must be at least 1 and 0")
    train, test = (_files(root, part) for part in _PARTS)
    if train.classes != test.classes:
        odd = sorted(set(train.classes) ^ set(test.classes))
        raise ValueError(f"data.path={path}: {odd[0]} is not a class of both training and test images")
    streamed = [
        Files(tuple(map(Path, part.paths)), torch.tensor(part.targets), size, workers) for part in (train, test)
    ]
    mean, std = _normalisation(streamed[0])
    splits: list[Any] = (
        streamed if stream else [Split(torch.cat([*files.chunks()]), files.labels) for files in streamed]
    )
    return ImageData(root.name, splits[0], splits[1], tuple(train.classes), mean, std)


@dataclass(frozen=True)
class _Found:
    paths: list[str]
    targets: list[int]
    classes: list[str]


def _files(root: Path, part: str) -> _Found:
    folders = [root / name for name in _PARTS[part] if (root / name).is_dir()]
    if not folders:
        names = " or ".join(f"{root / name}" for name in _PARTS[part])
        raise ValueError(f"data.path={root}: there is no {names}; images are expected in {part}/CLASS/FILE")
    try:
        found = ImageFolder(str(folders[0]))
    except (FileNotFoundError, OSError) as error:
        raise ValueError(f"data.path={root}: {error}") from error
    return _Found([path for path, _ in found.samples], list(found.targets), found.classes)


@dataclass(frozen=True, eq=False)
class Files(StreamedSplit):
    """Images that stay in their files until they are needed.

    Attributes:
        paths: Of the files.
        labels: int64, shape (images,).
        size: Height and width that images are brought to.
        workers: Processes that read.
    """

    paths: tuple[Path, ...]
    labels: Tensor
    size: int
    workers: int

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Tensor | slice) -> "Files":
        chosen = torch.arange(len(self))[index].tolist()
        return Files(tuple(self.paths[number] for number in chosen), self.labels[index], self.size, self.workers)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return (3, self.size, self.size)

    def batches(self, order: Tensor | None, batch_size: int) -> Any:
        """Yields the images in an order, as uint8 of shape (images, channels, height, width)."""
        # With a generator of its own: else the loader draws from the global one, which is a run's noise.
        return DataLoader(
            _Images(self.paths, self.size),
            batch_size,
            sampler=range(len(self)) if order is None else order.tolist(),
            num_workers=self.workers,
            generator=torch.Generator(),
        )

    @cached_property
    def key(self) -> str:
        """A hash of the files' names, sizes and times: while it stays, so do the images."""
        sha = hashlib.sha256(f"{self.size}\0{self.labels.tolist()}".encode())
        for path in self.paths:
            state = path.stat()
            sha.update(f"{path}\0{state.st_size}\0{state.st_mtime_ns}\0".encode())
        return sha.hexdigest()


class _Images(Dataset[Tensor]):
    def __init__(self, paths: tuple[Path, ...], size: int) -> None:
        self.paths, self.size = paths, size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> Tensor:
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(self.paths[number]) as file:
                image: Tensor = pil_to_tensor(file.convert("RGB"))
        except (UnidentifiedImageError, OSError) as error:
            raise ValueError(f"{self.paths[number]}: cannot be read as an image: {error}") from error
        if image.shape[1:] != (self.size, self.size):
            image = center_crop(resize(image, [self.size], antialias=True), [self.size])
        return image


def _normalisation(files: Files) -> tuple[tuple[float, ...], tuple[float, ...]]:
    cached = user_cache_path("ablate") / "normalisation" / f"{files.key}.json"
    try:
        mean, std = json.loads(cached.read_text(encoding="utf-8"))
        return tuple(mean), tuple(std)
    except (OSError, ValueError):
        pass
    counts = torch.zeros(3, 256, dtype=torch.float64)
    for images in files.chunks():
        for channel, values in enumerate(images.unbind(1)):
            counts[channel] += torch.from_numpy(np.bincount(values.numpy().ravel(), minlength=256))
    found = of_counts(counts)
    cached.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(cached) as file:
        json.dump(found, file)
    return found
