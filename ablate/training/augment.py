"""Further augmentations of the training images, by torchvision."""

import inspect

from torch import Tensor

from ablate.config.targets import instantiate, resolve
from ablate.files import PlainMapping
from ablate.messages import first_line
from ablate.seeding import global_stream


class Augment:
    """Changes whole batches by transforms, each of which draws from a stream of its own for every batch."""

    def __init__(self, config: PlainMapping, classes: int) -> None:
        """Makes the transforms that a configuration names, for so many classes."""
        self._transforms = {}
        for name, node in config.items():
            takes = inspect.signature(resolve(f"augment.{name}", node).func).parameters
            known = {"num_classes": classes} if "num_classes" in takes else {}
            self._transforms[name] = instantiate(f"augment.{name}", {**known, **node})

    def __call__(self, images: Tensor, labels: Tensor, seed: int, epoch: int, batch: int) -> tuple[Tensor, Tensor]:
        """Returns a batch of an epoch, both counted from 0, as it is trained on.

        Images are pixels from 0 to 255, shape (images, height, width, channels), and as transforms take them from 0 to
        1. Labels, shape (images,), may come back as shares of the classes, shape (images, classes).
        """
        pixels = images.permute(0, 3, 1, 2).float() / 255
        for name, transform in self._transforms.items():
            shape = pixels.shape
            try:
                with global_stream(seed, f"augment/{name}/{batch}", epoch, images.device):
                    pixels, labels = transform(pixels, labels)
            except (RuntimeError, ValueError, TypeError) as error:
                raise ValueError(f"augment.{name}: does not take a batch of images: {first_line(error)}") from error
            if pixels.shape != shape or not pixels.is_floating_point():
                given = f"{tuple(pixels.shape[1:])} of {pixels.dtype} for images of {tuple(shape[1:])}"
                raise ValueError(f"augment.{name}: gives {given}; take a transform that leaves them as they are")
        return pixels.permute(0, 2, 3, 1) * 255, labels
