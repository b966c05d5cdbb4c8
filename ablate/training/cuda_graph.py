"""A training step as a CUDA graph."""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from ablate.data.batches import Normalise
from ablate.training.cohort import Cohort
from ablate.training.step import Step

log = logging.getLogger(__name__)


class GraphedStep(Step):
    """The same on a CUDA GPU, whose many small kernels one call starts again: a CUDA graph.

    A batch of another size than the captured one runs kernel by kernel.
    """

    WARM_UP = 3  # steps made kernel by kernel first, which readies memory and optimizers

    def __init__(self, cohort: Cohort, normalise: Normalise, precision: str, capture: "Capture | None" = None) -> None:
        super().__init__(cohort, normalise, precision)
        self._capture = capture or capture_cuda_graph
        self._replay: Callable[[], object] | None = None
        self._warmed_up = 0
        self._read: list[Tensor] = []  # the images, and then the labels, that the graph reads

    def _train(self, images: Sequence[Tensor], labels: Sequence[Tensor]) -> None:
        batch = [*images, *labels]
        if self._warmed_up < self.WARM_UP:
            self._warm_up(batch)
        elif len(self._read[-1]) != len(batch[-1]):
            super()._train(images, labels)
        else:
            for own, part in zip(self._read, batch, strict=True):
                own.copy_(part)
            if self._replay is None:
                self._replay = self._captured()
            self._replay()

    def _warm_up(self, batch: Sequence[Tensor]) -> None:
        with warnings.catch_warnings(), _side_stream(self.cohort.device):
            # That the optimizer is ready for a graph and runs without one.
            warnings.filterwarnings("ignore", message=".*capturable=True")
            super()._train(*_halves(batch))
        self._warmed_up += 1
        if self._warmed_up == self.WARM_UP:
            self._read = [part.clone() for part in batch]

    def _captured(self) -> Callable[[], object]:
        """Returns the graph, or the step as it is where it cannot be one."""
        try:
            return self._capture(self._step_on_own, self.cohort)
        except RuntimeError as error:
            log.warning("the training step cannot be a CUDA graph and runs without one: %s", error)
            return self._step_on_own

    def _step_on_own(self) -> None:
        super()._train(*_halves(self._read))


def _halves(batch: Sequence[Tensor]) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    return batch[: len(batch) // 2], batch[len(batch) // 2 :]


Capture = Callable[[Callable[[], None], Cohort], Callable[[], object]]


def capture_cuda_graph(call: Callable[[], None], cohort: Cohort) -> Callable[[], object]:
    """Records the kernels that a call starts, without running them, and returns what starts them again.

    They read and write the same memory each time, and draw from the cohort's streams of noise. RuntimeError says that
    the call waits for the device, or does something else that a graph cannot.
    """
    graph = torch.cuda.CUDAGraph()
    for streams in cohort.streams:
        for generator in streams.generators:
            graph.register_generator_state(generator)
    with torch.cuda.graph(graph):
        call()
    return graph.replay


@contextmanager
def _side_stream(device: torch.device) -> Iterator[None]:
    """Runs kernels in a stream of their own, as what comes before the capture of a graph should."""
    if device.type != "cuda":
        yield
        return
    main, side = torch.cuda.current_stream(device), torch.cuda.Stream(device)
    side.wait_stream(main)
    with torch.cuda.stream(side):
        yield
    main.wait_stream(side)
