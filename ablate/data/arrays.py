"""Data sets given as arrays: an `.npz` file, or what a function of the user's returns."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ablate.data.images import ImageData, Split
from ablate.files import PlainMapping

NAMES = ("train_images", "train_labels", "test_images", "test_labels")


def load(path: str) -> ImageData:
    """Returns the data set of an `.npz` file with the arrays of `from_arrays`, by their names."""
    file = Path(path).expanduser()
    try:
        with np.load(file, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
    except Exception as error:  # a damaged file makes NumPy raise almost anything
        raise ValueError(f"data.path={path}: cannot be read as .npz: {error}") from error
    return from_arrays(arrays, file.stem, f"data.path={path}")


def from_arrays(arrays: PlainMapping, name: str, where: str | None = None) -> ImageData:
    """Returns a data set of arrays, normalised by the mean and deviation of its training images.

    Args:
        arrays: NumPy arrays or tensors. `train_images` and `test_images`: uint8, with 1 or 3 channels, shape (images,
            height, width), (images, height, width, channels) or (images, channels, height, width). `train_labels` and
            `test_labels`: whole numbers from 0, shape (images,). `classes` (optional): a name for each label.
        name: Of the data set.
        where: How messages name the data set, if not by its name.

    Raises:
        ValueError: An array is missing or has the wrong form; the message names it.
    """
    where = name if where is None else where
    missing = [key for key in NAMES if key not in arrays]
    if missing:
        raise ValueError(f"{where}: there is no array {missing[0]}; a data set has {', '.join(NAMES)}")
    train, test = (
        Split(
            channels_first(f"{where}: {part}_images", arrays[f"{part}_images"]),
            _labels(f"{where}: {part}_labels", arrays[f"{part}_labels"], len(arrays[f"{part}_images"])),
        )
        for part in ("train", "test")
    )
    if train.shape != test.shape:
        raise ValueError(
            f"{where}: training images have shape {train.shape}, test images {test.shape}; they must agree"
        )
    classes = _classes(where, arrays.get("classes"), max(int(split.labels.max()) for split in (train, test)) + 1)
    mean, std = normalisation(pixel_counts(train.images), where)
    return ImageData(name, train, test, classes, mean, std)


def pixel_counts(images: Tensor) -> Tensor:
    """Returns how often the channels of uint8 images have each value, shape (channels, 256)."""
    return torch.stack([channel.flatten().bincount(minlength=256) for channel in images.unbind(1)])


def normalisation(counts: Tensor, where: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns mean and standard deviation of each channel, on the scale 0 to 1, from the counts of training images.

    A channel with a single value, whose deviation is 0, gets a deviation of 1.
    """
    if bool((counts.count_nonzero(1) <= 1).all()):
        value = ", ".join(str(int(channel.argmax())) for channel in counts)
        raise ValueError(
            f"{where}: all pixels of all training images are {value}, so nothing can be learnt from them; check how "
            "the images were made"
        )
    values = torch.arange(256, dtype=torch.float64) / 255
    shares = counts.double() / counts.sum(1, keepdim=True)
    mean = shares @ values
    std = (shares @ values.square() - mean.square()).clamp(min=0).sqrt()
    return tuple(mean.tolist()), tuple(torch.where(std > 1e-6, std, 1.0).tolist())


def channels_first(where: str, raw: object) -> Tensor:
    """Returns uint8 images of any form that `from_arrays` takes in shape (images, channels, height, width)."""
    images = _tensor(where, raw)
    if images.dtype != torch.uint8:
        raise ValueError(f"{where}: must be uint8, 0 to 255; it is {str(images.dtype).removeprefix('torch.')}")
    if images.ndim == 3:
        images = images.unsqueeze(1)
    if images.ndim == 4 and images.shape[1] not in (1, 3) and images.shape[3] in (1, 3):
        images = images.permute(0, 3, 1, 2)
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not len(images):
        raise ValueError(f"{where}: shape {tuple(images.shape)} is not that of images with 1 or 3 channels")
    return images.contiguous()


def _tensor(where: str, raw: object) -> Tensor:
    try:
        return torch.as_tensor(raw)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{where}: is not an array of numbers: {error}") from error


def _labels(where: str, raw: object, images: int) -> Tensor:
    labels = _tensor(where, raw).squeeze()
    labels = labels.unsqueeze(0) if images == 1 and labels.ndim == 0 else labels
    if labels.is_floating_point() or labels.is_complex() or labels.shape != (images,):
        raise ValueError(
            f"{where}: must be whole numbers, one for each image, not {tuple(labels.shape)} {labels.dtype}"
        )
    labels = labels.long()
    if int(labels.min()) < 0:
        raise ValueError(f"{where}: {int(labels.min())} is not a label; labels count from 0")
    return labels


def _classes(where: str, given: Sequence[object] | None, labels: int) -> tuple[str, ...]:
    if given is None:
        return tuple(map(str, range(labels)))
    classes = tuple(str(item) for item in given)
    if len(classes) < labels:
        raise ValueError(f"{where}: classes names {len(classes)}, and there are labels up to {labels - 1}")
    twice = [name for number, name in enumerate(classes) if name in classes[:number]]
    if twice:
        raise ValueError(f"{where}: two of its classes are called {twice[0]!r}; give each a name of its own")
    return classes
