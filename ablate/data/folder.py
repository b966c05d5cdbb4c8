"""Data sets of image files, with a folder for each class, in memory or streamed."""

import hashlib
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile
from platformdirs import user_cache_path
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset
from torchvision.transforms.v2.functional import center_crop, pil_to_tensor, resize

from ablate.data.arrays import normalisation, pixel_counts
from ablate.data.images import ImageData, Split, StreamedSplit
from ablate.files import atomic_write, file_state

_PARTS = {"train": ("train",), "test": ("test", "val")}
# Of operating systems; hidden files beside.
_NO_DATA = ("__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir", "$RECYCLE.BIN")
_READER = 3  # the version of how files become pixels: with another number, cached values are computed again


def load(path: str, size: int = 32, stream: bool = False, workers: int = 2) -> ImageData:
    """Returns the images under `path/train/CLASS` and `path/test/CLASS` (or `path/val/CLASS`), in three channels.

    Hidden files and folders are left out. Photos are turned as their EXIF orientation says, 16-bit grey becomes 8-bit,
    and transparent pixels are put on white. Mean and standard deviation of the training images are computed once and
    kept in the user's cache folder.

    Args:
        path: The folder.
        size: Height and width; an image is scaled until its shorter side has it, and its middle cut out.
        stream: Whether to read the files as they are needed, for data sets larger than the memory.
        workers: Processes that read files.

    Raises:
        ValueError: The folder is not of this form, or a file is not an image.
    """
    root = Path(path).expanduser()
    if size < 1 or workers < 0:
        raise ValueError(f"data.size={size}, data.workers={workers}: must be at least 1 and 0")
    (train, classes), (test, others) = (_files(root, part, size, workers) for part in _PARTS)
    if classes != others:
        odd = sorted(set(classes) ^ set(others))
        raise ValueError(f"data.path={path}: {odd[0]} is not a class of both training and test images")
    mean, std = _normalisation(train, f"data.path={path}")
    splits = [files if stream else Split(torch.cat([*files.chunks()]), files.labels) for files in (train, test)]
    return ImageData(root.name, splits[0], splits[1], classes, mean, std)


def _files(root: Path, part: str, size: int, workers: int) -> tuple["Files", tuple[str, ...]]:
    """Returns the images of a part, and the names of its classes."""
    places = [root / name for name in _PARTS[part]]
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        names = " or ".join(map(str, places))
        raise ValueError(f"data.path={root}: there is no {names}; images are expected in {part}/CLASS/FILE")
    try:
        classes = sorted(item.name for item in folder.iterdir() if item.is_dir() and _is_data(item.name))
        if not classes:
            raise FileNotFoundError(f"there is no folder of a class in {folder}")
        numbers = {name: number for number, name in enumerate(classes)}
        samples = make_dataset(folder, numbers, is_valid_file=lambda path: _is_image(Path(path).relative_to(folder)))
    except OSError as error:
        raise ValueError(f"data.path={root}: {error}") from error
    paths, labels = zip(*samples, strict=True)
    return Files(tuple(map(Path, paths)), torch.tensor(labels), size, workers), tuple(classes)


def _is_data(name: str) -> bool:
    return not name.startswith(".") and name not in _NO_DATA


def _is_image(path: Path) -> bool:
    return path.name.lower().endswith(IMG_EXTENSIONS) and all(map(_is_data, path.parts))


@dataclass(frozen=True, eq=False)
class Files(StreamedSplit):
    """Images that stay in their files until they are needed."""

    paths: tuple[Path, ...]
    labels: Tensor
    size: int  # height and width that images are scaled to
    workers: int  # processes that read

    def __getitem__(self, index: Tensor | slice) -> "Files":
        chosen = torch.arange(len(self))[index].tolist()
        return Files(tuple(self.paths[number] for number in chosen), self.labels[index], self.size, self.workers)

    @property
    def shape(self) -> tuple[int, int, int]:
        return (3, self.size, self.size)

    def batches(self, order: Tensor | None, batch_size: int) -> Iterator[Tensor]:
        # With a generator of its own: else the loader draws from the global one, which is a run's noise.
        loader: DataLoader[Path] = DataLoader(
            self.paths,  # type: ignore[arg-type]  # any sequence will do
            batch_size,
            sampler=range(len(self)) if order is None else order.tolist(),
            num_workers=self.workers,
            collate_fn=partial(_read_batch, self.size),
            generator=torch.Generator(),
        )
        for batch in loader:
            if isinstance(batch, ValueError):
                raise batch
            yield batch

    @cached_property
    def key(self) -> str:
        """A hash of the files' names, sizes and times: while it stays, so do the images."""
        sha = hashlib.sha256(f"{_READER}\0{self.size}\0{self.labels.tolist()}".encode())
        for path in self.paths:
            sha.update(os.fsencode(path) + f"\0{file_state(path)}\0".encode())
        return sha.hexdigest()


def _read_batch(size: int, paths: Sequence[Path]) -> Tensor | ValueError:
    """Returns images, or the error of a file that cannot be used, which a worker's process would else wrap."""
    images = []
    for path in paths:
        try:
            image = read_image(path)
            if image.shape[1:] != (size, size):
                image = center_crop(resize(image, [size], antialias=True), [size])
        except Exception as error:  # Pillow's readers raise almost anything
            return ValueError(f"{path}: cannot be read as an image: {error}")
        images.append(image)
    return torch.stack(images)


def read_image(path: Path) -> Tensor:
    """Returns an image as it looks: uint8, shape (3, height, width); any error where it is none that is known."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)  # an image of more pixels than are safe to open
        with Image.open(path) as file:
            frames = getattr(file, "n_frames", 1)
            if frames > 1 and file.format != "MPO":  # of which the first is the photo, and others are previews
                raise ValueError(f"it has {frames} frames; save the one that is meant")
            transparent = file.has_transparency_data
            upright = ImageOps.exif_transpose(file)  # as a camera says that it was held
            if file.mode[0] in "IF":  # more than 8 bits, which Pillow would clip
                if transparent or _bits(file) != 16:
                    raise ValueError(f"its pixels ({file.mode}) have no known black and white; save it with 8 bits")
                pixels = np.asarray(upright).astype(np.int64)
                return torch.from_numpy(((pixels * 255 + 32767) // 65535).astype(np.uint8)).repeat(3, 1, 1)
            if transparent:
                image = upright.convert("RGBA")
                return _rgb(Image.alpha_composite(Image.new("RGBA", image.size, "white"), image))
            return _rgb(upright)


def _rgb(image: Image.Image) -> Tensor:
    pixels: Tensor = pil_to_tensor(image.convert("RGB"))
    return pixels


def _bits(file: Image.Image) -> int | None:
    """Returns how many bits the pixels of an image of more than 8 have from black to white, if that is known."""
    if file.format in ("PNG", "PPM") and file.mode != "F":  # PPM: Pillow brings its values to 16 bits
        return 16
    if isinstance(file, TiffImageFile) and file.mode.startswith("I;16"):
        bits, black_is_0 = file.tag_v2.get(258, (1,)), file.tag_v2.get(262) == 1
        return int(bits[0] if isinstance(bits, tuple) else bits) if black_is_0 else None
    return None


def _normalisation(files: Files, where: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    cached = user_cache_path("ablate") / "normalisation" / f"{files.key}.json"
    try:
        mean, std = json.loads(cached.read_text(encoding="utf-8"))
        return tuple(mean), tuple(std)
    except (OSError, ValueError):
        pass
    counts = sum(map(pixel_counts, files.chunks()), torch.zeros(3, 256, dtype=torch.int64))
    computed = normalisation(counts, where)
    cached.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(cached) as file:
        json.dump(computed, file)
    return computed
