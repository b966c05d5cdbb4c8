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

    The first steps run as they are, which readies memory and optimizers; so does a batch of another size. What cannot
    be captured goes on that way.

    Args:
        cohort: As for `Step`.
        normalise: As for `Step`.
        precision: As for `Step`.
        capture: Records the kernels of a call, and returns what starts them again.
    """

    WARM_UP = 3

    def __init__(self, cohort: Cohort, normalise: Normalise, precision: str, capture: "Capture | None" = None) -> None:
        super().__init__(cohort, normalise, precision)
        self._capture = capture or capture_cuda_graph
        self._to_warm_up = self.WARM_UP
        self._images: list[Tensor] = []  # what the graph reads
        self._target: Tensor | None = None
        self._replay: Callable[[], object] | None = None

    def __call__(self, images: Sequence[Tensor], target: Tensor) -> None:
        """Makes a step; the arguments are those of `Step`."""
        if self._to_warm_up:
            self._to_warm_up -= 1
            with warnings.catch_warnings(), _side_stream(self.cohort.device):
                # That the optimizer is ready for a graph and runs without one.
                warnings.filterwarnings("ignore", message=".*capturable=True")
                super().__call__(images, target)
            if self._to_warm_up == 0:
                self._images, self._target = [part.clone() for part in images], target.clone()
        elif self._target is None or len(self._target) != len(target):
            super().__call__(images, target)
        else:
            for own, part in zip([*self._images, self._target], [*images, target], strict=True):
                own.copy_(part)
            if self._replay is None:
                try:
                    self._replay = self._capture(self._step_on_own, self.cohort)
                except RuntimeError as error:
                    log.warning("the training step cannot be a CUDA graph and goes on without: %s", error)
                    self._target = None
                    super().__call__(images, target)
                    return
            self._replay()

    def _step_on_own(self) -> None:
        assert self._target is not None
        super().__call__(self._images, self._target)


Capture = Callable[[Callable[[], None], Cohort], Callable[[], object]]


def capture_cuda_graph(call: Callable[[], None], cohort: Cohort) -> Callable[[], object]:
    """Records the kernels that a call starts, without running them.

    Args:
        call: Starts the kernels, which read and write the same memory each time.
        cohort: Whose streams of noise the kernels draw from.

    Returns:
        What starts the kernels again.

    Raises:
        RuntimeError: The call waits for the device, or does something else that a graph cannot.
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
