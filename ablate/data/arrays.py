"""Data sets given as arrays: an `.npz` file, or what a function of the user's returns."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ablate.data.images import ImageData, Split

NAMES = ("train_images", "train_labels", "test_images", "test_labels")


def load(path: str) -> ImageData:
    """Returns the data set of an `.npz` file.

    Args:
        path: A file with the arrays of `from_arrays`, by their names.

    Raises:
        ValueError: It cannot be read, or an array is missing or has the wrong form.
    """
    file = Path(path).expanduser()
    try:
        with np.load(file, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
    except (OSError, ValueError, zipfile.BadZipFile, AttributeError) as error:
        raise ValueError(f"data.path={path}: cannot be read as .npz: {error}") from error
    return from_arrays(arrays, file.stem)


def from_arrays(arrays: Mapping[str, Any], name: str) -> ImageData:
    """Returns a data set of arrays, normalised by the mean and deviation of its training images.

    Args:
        arrays: NumPy arrays or tensors. `train_images` and `test_images`: uint8, with 1 or 3 channels, shape (images,
            height, width), (images, height, width, channels) or (images, channels, height, width). `train_labels` and
            `test_labels`: whole numbers from 0, shape (images,). `classes`, if there: a name for each label.
        name: What messages call it.

    Raises:
        ValueError: An array is missing or has the wrong form; the message names it.
    """
    missing = [key for key in NAMES if key not in arrays]
    if missing:
        raise ValueError(f"{name}: there is no array {missing[0]}; a data set has {', '.join(NAMES)}")
    train, test = (
        Split(
            _images(f"{name}: {part}_images", arrays[f"{part}_images"]), _labels(f"{name}: {part}_labels", arrays, part)
        )
        for part in ("train", "test")
    )
    if train.shape != test.shape:
        raise ValueError(f"{name}: training images have shape {train.shape}, test images {test.shape}; they must agree")
    classes = _classes(name, arrays.get("classes"), max(int(split.labels.max()) for split in (train, test)) + 1)
    mean, std = normalisation(train.images)
    return ImageData(name, train, test, classes, mean, std)


def normalisation(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns mean and standard deviation of each channel, on the scale 0 to 1.

    Args:
        images: uint8, shape (images, channels, height, width).
    """
    counts = torch.stack([channel.flatten().bincount(minlength=256) for channel in images.unbind(1)]).double()
    return of_counts(counts)


def of_counts(counts: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The same from how often each value occurs, shape (channels, 256).

    A channel of one value has no deviation to divide by: it gets 1.
    """
    values = torch.arange(256, dtype=torch.float64) / 255
    shares = counts / counts.sum(1, keepdim=True)
    mean = shares @ values
    std = (shares @ values.square() - mean.square()).clamp(min=0).sqrt()
    return tuple(mean.tolist()), tuple(torch.where(std > 1e-6, std, 1.0).tolist())


def _images(where: str, raw: Any) -> Tensor:
    images = torch.as_tensor(raw)
    if images.dtype != torch.uint8:
        raise ValueError(f"{where}: must be uint8, 0 to 255; it is {str(images.dtype).removeprefix('torch.')}")
    if images.ndim == 3:
        images = images.unsqueeze(1)
    if images.ndim == 4 and images.shape[1] not in (1, 3) and images.shape[3] in (1, 3):
        images = images.permute(0, 3, 1, 2)
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not len(images):
        raise ValueError(f"{where}: shape {tuple(images.shape)} is not that of images with 1 or 3 channels")
    return images.contiguous()


def _labels(where: str, arrays: Mapping[str, Any], part: str) -> Tensor:
    labels = torch.as_tensor(arrays[f"{part}_labels"]).squeeze()
    if labels.is_floating_point() or labels.is_complex() or labels.shape != (len(arrays[f"{part}_images"]),):
        raise ValueError(f"{where}: must be whole numbers, one an image; shape {tuple(labels.shape)}, {labels.dtype}")
    labels = labels.long()
    if int(labels.min()) < 0:
        raise ValueError(f"{where}: {int(labels.min())} is not a label; they count from 0")
    return labels


def _classes(name: str, given: Sequence[Any] | None, labels: int) -> tuple[str, ...]:
    if given is None:
        return tuple(map(str, range(labels)))
    classes = tuple(str(item) for item in given)
    if len(classes) < labels:
        raise ValueError(f"{name}: classes names {len(classes)}, and there are labels up to {labels - 1}")
    return classes
