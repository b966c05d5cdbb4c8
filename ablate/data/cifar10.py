"""CIFAR-10, kept once in the user's cache folder.

The images and labels of A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

import logging
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from platformdirs import user_cache_path

from ablate.data.cifar10_sources import ARRAYS, Arrays, check, fetch, from_folder
from ablate.data.images import ImageData, Split
from ablate.files import atomic_write

log = logging.getLogger(__name__)

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2023, 0.1994, 0.2010)  # as the first study's pipeline normalises


def load(root: str | None = None) -> ImageData:
    """Returns CIFAR-10 from a folder with `cifar-10-batches-py` or `cifar-10-python.tar.gz`, or that is the former.

    Without one, the cache is used, and filled from the network if it is empty. ValueError says what was not there, or
    what each source answered.
    """
    arrays = from_folder(Path(root)) if root is not None else from_cache()
    splits = [
        Split(torch.from_numpy(arrays[f"{part}_images"]), torch.from_numpy(arrays[f"{part}_labels"]).long())
        for part in ("train", "test")
    ]
    return ImageData(name="CIFAR-10", train=splits[0], test=splits[1], classes=CLASSES, mean=MEAN, std=STD)


def from_cache() -> Arrays:
    """Returns CIFAR-10 from the user's cache folder, and fills it first if need be.

    Several processes may start at once: one fetches, the others wait for it.
    """
    folder = user_cache_path("ablate") / "cifar10"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        if all((folder / f"{name}.npy").is_file() for name in ARRAYS):
            try:
                return check(_read(folder))
            except (ValueError, OSError) as error:
                log.warning("The cached CIFAR-10 in %s is damaged (%s); fetching it again.", folder, error)
        for name, array in fetch(folder).items():
            with atomic_write(folder / f"{name}.npy", "wb") as file:
                np.save(file, array)
        return _read(folder)


def _read(folder: Path) -> Arrays:
    # Copy-on-write maps: processes share the pages, and torch gets writable memory, which it asks for.
    return {name: np.load(folder / f"{name}.npy", mmap_mode="c") for name in ARRAYS}
