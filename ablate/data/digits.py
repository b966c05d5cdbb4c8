"""scikit-learn's handwritten digits, for demonstrations and tests: they come inside the package."""

import torch

from ablate.data.images import ImageData, Split

TEST_IMAGES = 360  # the last fifth, by other writers than the training images


def load() -> ImageData:
    """Returns 1,797 digits of 8x8 pixels, each pixel enlarged to 4x4 and repeated over three channels.

    Source: scikit-learn's `load_digits`, the test part of the UCI "Optical Recognition of Handwritten Digits".
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    grey = torch.from_numpy(digits.images).mul(255 / 16).round().to(torch.uint8)  # 17 levels
    images = grey.repeat_interleave(4, dim=1).repeat_interleave(4, dim=2).unsqueeze(1).repeat(1, 3, 1, 1)
    everything = Split(images, torch.from_numpy(digits.target).long())
    train = everything[slice(0, -TEST_IMAGES)]
    pixels = train.images.double() / 255
    return ImageData(
        name="digits",
        train=train,
        test=everything[slice(-TEST_IMAGES, None)],
        classes=tuple(str(name) for name in digits.target_names),
        mean=(float(pixels.mean()),) * 3,
        std=(float(pixels.std()),) * 3,
    )
