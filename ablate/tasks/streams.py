"""The named random streams of `ablate.seeding` for training code of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    import torch


class Loading(TypedDict):
    """What a `DataLoader` of torch takes to draw from named streams."""

    sampler: Order
    generator: torch.Generator


class Streams:
    """The random streams of a run, by name."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def stream(self, name: str, epoch: int = 0) -> int:
        """Returns the seed of a random stream, of 63 bits: it depends on the run's seed, the name and the epoch alone.

        So variants of one seed that use a stream for the same thing draw the same, and a resumed run goes on as it was.

        Args:
            name: What it is for, such as `init`, `order` or `noise/dropout`.
            epoch: Counted from 0.
        """
        from ablate.seeding import stream_seed  # imports torch

        return stream_seed(self._seed, name, epoch)

    def loading(self, data: Sized, name: str = "order") -> Loading:
        """Returns what makes a loader's order, and what its workers draw, streams: `DataLoader(data, 16, **these)`.

        Args:
            data: The data set that is shuffled.
            name: Of the stream of its order; its workers draw from `<name>/workers`.
        """
        order = Order(self, data, name)
        return {"sampler": order, "generator": order.generator}


class Order:
    """The order of a data set in each epoch, from a stream: it does not depend on what was drawn before.

    Epochs follow each other with each pass; what resumes a run says where it is with `set_epoch`, as Lightning and
    Accelerate do by themselves.

    Attributes:
        generator: What the workers of a loader are seeded from.
    """

    def __init__(self, streams: Streams, data: Sized, name: str) -> None:
        import torch

        self._streams, self._data, self._name = streams, data, name
        self.generator = torch.Generator()
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Makes the next pass that of an epoch, counted from 0."""
        self._epoch = epoch
        self.generator.manual_seed(self._streams.stream(f"{self._name}/workers", epoch))

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[int]:
        import torch

        own = torch.Generator().manual_seed(self._streams.stream(self._name, self._epoch))
        self.set_epoch(self._epoch + 1)  # the loader has drawn what its workers of this epoch are seeded from
        yield from torch.randperm(len(self._data), generator=own).tolist()
