"""scikit-learn's handwritten digits, for demonstrations and tests: they need no download."""

import importlib.util
from pathlib import Path

import numpy as np
import torch

from ablate.data.images import ImageData, Split

TEST_IMAGES = 360  # the last fifth, written by other people than the training images


def load() -> ImageData:
    """Returns 1,797 digits of 8x8 pixels, each pixel enlarged to 4x4 and repeated over three channels.

    Source: scikit-learn's `load_digits`, the test part of the UCI "Optical Recognition of Handwritten Digits".
    """
    # Read from scikit-learn's file: importing scikit-learn, and pandas with it, takes a second.
    spec = importlib.util.find_spec("sklearn")
    assert spec is not None and spec.submodule_search_locations is not None
    table = np.loadtxt(Path(spec.submodule_search_locations[0], "datasets", "data", "digits.csv.gz"), delimiter=",")
    pixels, labels = torch.from_numpy(table[:, :-1]), torch.from_numpy(table[:, -1])
    grey = pixels.reshape(-1, 8, 8).mul(255 / 16).round().to(torch.uint8)  # 17 levels
    images = grey.repeat_interleave(4, dim=1).repeat_interleave(4, dim=2).unsqueeze(1).repeat(1, 3, 1, 1)
    everything = Split(images, labels.long())
    train = everything[slice(0, -TEST_IMAGES)]
    scaled = train.images.double() / 255
    return ImageData(
        name="digits",
        train=train,
        test=everything[slice(-TEST_IMAGES, None)],
        classes=tuple("0123456789"),
        mean=(float(scaled.mean()),) * 3,
        std=(float(scaled.std()),) * 3,
    )
