"""Data sets that torchvision reads, and downloads into the user's cache folder."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from platformdirs import user_cache_path
from torch import Tensor
from torch.nn import functional
from torchvision import datasets
from torchvision.transforms.v2.functional import resize

from ablate.data.arrays import channels_first, from_arrays
from ablate.data.images import ImageData
from ablate.files import Plain

_BY_FLAG = ("MNIST", "FashionMNIST", "KMNIST", "CIFAR100")  # train=True or False
_BY_NAME = ("SVHN", "STL10")  # split="train" or "test"
DIGITS = tuple(map(str, range(10)))


def load(dataset: str, root: str | None = None, size: int | None = None) -> ImageData:
    """Returns one of the data sets of torchvision: MNIST, FashionMNIST, KMNIST, CIFAR100, SVHN or STL10.

    Args:
        dataset: Which.
        root: A folder that holds its files as torchvision lays them out; without it they are downloaded once.
        size: Height and width of the images: smaller ones get a black border, larger ones are shrunk.
    """
    if dataset not in (*_BY_FLAG, *_BY_NAME):
        raise ValueError(f"data.dataset={dataset}: choose from {', '.join((*_BY_FLAG, *_BY_NAME))}")
    parts = _open(dataset, root)
    arrays: Plain = {"classes": getattr(parts[0], "classes", DIGITS)}
    for name, part in zip(("train", "test"), parts, strict=True):
        arrays[f"{name}_images"] = _sized(channels_first(dataset, np.asarray(part.data)), size)
        arrays[f"{name}_labels"] = np.asarray(part.targets if hasattr(part, "targets") else part.labels)
    return from_arrays(arrays, dataset)


def _open(dataset: str, root: str | None) -> list[Any]:
    kind = getattr(datasets, dataset)
    parts: list[Plain] = (
        [{"train": True}, {"train": False}] if dataset in _BY_FLAG else [{"split": "train"}, {"split": "test"}]
    )
    if root is not None:
        try:
            return [kind(str(Path(root).expanduser()), **part) for part in parts]
        except (RuntimeError, OSError, ValueError) as error:
            raise ValueError(
                f"data.root={root}: does not hold {dataset} as torchvision lays it out ({error}); "
                "leave data.root out to download it"
            ) from error
    folder = user_cache_path("ablate") / "torchvision"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{dataset}.lock"):  # several processes may start at once: one downloads
        try:
            return [kind(str(folder), download=True, **part) for part in parts]
        except (RuntimeError, OSError) as error:
            raise ValueError(
                f"{dataset} cannot be downloaded: {error}\n"
                f"With its files in a folder of yours, as torchvision's {dataset} lays them out, set data.root=FOLDER"
            ) from error


def _sized(images: Tensor, size: int | None) -> Tensor:
    height, width = images.shape[-2:]
    if size is None or (height, width) == (size, size):
        return images
    if max(height, width) < size:
        top, left = (size - height) // 2, (size - width) // 2
        return functional.pad(images, (left, size - width - left, top, size - height - top))
    return torch.cat([resize(chunk, [size, size], antialias=True) for chunk in images.split(1000)])
