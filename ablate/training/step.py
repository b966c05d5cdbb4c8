"""One step of training: of one run, or of several in lock-step."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ablate.data.batches import Normalise
from ablate.seeding import LayerStreams
from ablate.stacking.stacked import Stacked, own_layers

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trainee:
    """What is trained: a model, the layers of it that draw from streams of their own, and what changes its weights."""

    model: nn.Module
    layers: Mapping[str, nn.Module]
    optimizer: Optimizer
    scheduler: LRScheduler | None


class Cohort:
    """One run, or several in lock-step.

    Args:
        trainees: What each trains.
        seeds: Of each.
        device: Of the models.
        rewrite: Whether several may be rewritten exactly as they are merged.

    Attributes:
        rewrites: What was rewritten, in words.
    """

    def __init__(
        self, trainees: Sequence[Trainee], seeds: Sequence[int], device: torch.device, rewrite: bool = True
    ) -> None:
        self.trainees, self.seeds, self.device = trainees, seeds, device
        self.sources = list(dict.fromkeys(seeds))  # runs of one seed take the same batches
        self.inputs = [self.sources.index(seed) for seed in seeds]
        self._stacked = Stacked([t.model for t in trainees], self.inputs, rewrite) if len(trainees) > 1 else None
        self.rewrites = [] if self._stacked is None else self._stacked.rewrites
        self.streams = [
            LayerStreams(
                trainee.layers,
                seed,
                "noise",
                device,
                own_layers(trainee.model, trainee.layers.values()) if self._stacked is not None else (),
            )
            for trainee, seed in zip(trainees, seeds, strict=True)
        ]

    def forward(self, images: Sequence[Tensor]) -> Tensor:
        """Returns the scores, shape (images, runs, classes), for the images of each different seed."""
        if self._stacked is not None:
            return self._stacked(*images)  # type: ignore[no-any-return]
        scores: Tensor = self.trainees[0].model(images[0])
        return scores.unsqueeze(1)

    def train(self, mode: bool) -> None:
        """Puts the models into training or evaluation mode."""
        (self._stacked or self.trainees[0].model).train(mode)

    def zero_gradients(self) -> None:
        """Forgets the gradients of the step before."""
        if self._stacked is not None:
            self._stacked.zero_gradients()
        else:
            self.trainees[0].optimizer.zero_grad()

    def noise(self, epoch: int) -> ExitStack:
        """Returns a context in which every run draws its noise as it does alone."""
        stack = ExitStack()
        for streams in self.streams:
            stack.enter_context(streams.epoch(epoch))
        return stack


class Step:
    """Trains a cohort on one batch after another, with cross-entropy.

    Args:
        cohort: What is trained.
        normalise: Turns pixels into the models' input.
        precision: "bf16" computes forward passes in bfloat16 where torch's autocast does so.

    Attributes:
        tally: The losses and right answers of the steps, on the batches as they were trained on.
    """

    def __init__(self, cohort: Cohort, normalise: Normalise, precision: str) -> None:
        self.cohort, self.normalise = cohort, normalise
        self.autocast = torch.autocast(cohort.device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
        self.tally = Tally(len(cohort.trainees), cohort.device)

    def __call__(self, images: Sequence[Tensor], target: Tensor) -> None:
        """Makes a step.

        Args:
            images: Of each different seed of the cohort, uint8, shape (images, height, width, channels).
            target: Labels, shape (images, runs).
        """
        with self.autocast:
            output = self.cohort.forward([self.normalise(part) for part in images])
        losses = cross_entropy(output, target)
        self.cohort.zero_gradients()
        losses.sum().backward()
        for trainee in self.cohort.trainees:
            trainee.optimizer.step()
        self.tally.add(losses.detach(), output.detach(), target)


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


class Tally:
    """Sums of losses and right answers of each run, kept on the device until they are asked for."""

    def __init__(self, runs: int, device: torch.device) -> None:
        self.loss = torch.zeros(runs, device=device)
        self.right = torch.zeros(runs, device=device, dtype=torch.int64)
        self.images = torch.zeros((), device=device, dtype=torch.int64)

    def add(self, losses: Tensor, output: Tensor, target: Tensor) -> None:
        """Counts a batch: mean losses, shape (runs,); scores, (images, runs, classes); labels, (images, runs)."""
        self.loss += losses * len(target)
        self.right += (output.argmax(2) == target).sum(0)
        self.images += len(target)

    def means(self) -> list[tuple[float, float]]:
        """Returns each run's mean loss and accuracy, and starts anew."""
        images = int(self.images)
        pairs = zip(self.loss.tolist(), self.right.tolist(), strict=True)
        means = [(loss / images, right / images) for loss, right in pairs]
        for total in (self.loss, self.right, self.images):
            total.zero_()
        return means


def cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """Returns each run's mean cross-entropy, from shapes (images, runs, classes) and (images, runs)."""
    each = functional.cross_entropy(output.float().flatten(0, 1), target.flatten(), reduction="none")
    return each.view(target.shape).mean(0)
