"""The models that are trained in lock-step."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel

from ablate.seeding import LayerStreams
from ablate.stacking.stacked import Stacked, own_layers
from ablate.training.loss import Loss, cross_entropy


@dataclass(frozen=True)
class Trainee:
    """What is trained: a model, the layers of it that draw from streams of their own, and what changes its weights."""

    model: nn.Module
    layers: Mapping[str, nn.Module]
    optimizer: Optimizer
    scheduler: LRScheduler | None
    loss: Loss | None = None  # None is cross-entropy
    clip_norm: float | None = None  # the largest norm of all gradients together
    average: AveragedModel | None = None  # of the weights after each step, or of those after epochs
    swa_from: int | None = None  # the first of these epochs, counted from 1

    @property
    def result(self) -> nn.Module:
        """The model that is evaluated and recorded: the average as soon as there is one."""
        return self.model if self.average is None or self.average.n_averaged == 0 else self.average.module

    def update(self) -> None:
        """Changes the weights by their gradients."""
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.optimizer.step()


class Cohort:
    """One run, or several in lock-step, which may be rewritten exactly as they are merged: `rewrites` says how."""

    def __init__(
        self, trainees: Sequence[Trainee], seeds: Sequence[int], device: torch.device, rewrite: bool = True
    ) -> None:
        self.trainees, self.seeds, self.device = trainees, seeds, device
        self.sources = list(dict.fromkeys(seeds))  # runs of one seed take the same batches
        self.inputs = [self.sources.index(seed) for seed in seeds]
        self._stacked = Stacked([t.model for t in trainees], self.inputs, rewrite) if len(trainees) > 1 else None
        self.rewrites = [] if self._stacked is None else self._stacked.rewrites
        self.streams = []
        for trainee, seed in zip(trainees, seeds, strict=True):
            base = () if self._stacked is None else own_layers(trainee.model, trainee.layers.values())
            self.streams.append(LayerStreams(trainee.layers, seed, "noise", device, base))

    def forward(self, images: Sequence[Tensor]) -> Tensor:
        """Returns the scores, shape (images, runs, classes), for the images of each different seed."""
        if self._stacked is not None:
            return self._stacked(*images)  # type: ignore[no-any-return]
        scores: Tensor = self.trainees[0].model(images[0])
        return scores.unsqueeze(1)

    def losses(self, output: Tensor, target: Tensor) -> Tensor:
        """Returns each run's loss, shape (runs,), from shapes (images, runs, classes) and (images, runs)."""
        if all(trainee.loss is None for trainee in self.trainees):
            return cross_entropy(output, target)
        each = zip(self.trainees, output.split(1, 1), target.split(1, 1), strict=True)
        return torch.cat([(trainee.loss or cross_entropy)(scores, labels) for trainee, scores, labels in each])

    def train(self, mode: bool) -> None:
        """Puts the models into training or evaluation mode."""
        (self._stacked or self.trainees[0].model).train(mode)

    def zero_gradients(self) -> None:
        """Forgets the gradients of the step before."""
        if self._stacked is not None:
            self._stacked.zero_gradients()
        else:
            self.trainees[0].optimizer.zero_grad()

    @contextmanager
    def results(self) -> Iterator[None]:
        """Has the models compute with the weights that are evaluated, and puts their own back afterwards."""
        averaged = [trainee for trainee in self.trainees if trainee.result is not trainee.model]
        kept = [{name: value.clone() for name, value in t.model.state_dict().items()} for t in averaged]
        for trainee in averaged:
            trainee.model.load_state_dict(trainee.result.state_dict())
        yield
        for trainee, own in zip(averaged, kept, strict=True):
            trainee.model.load_state_dict(own)

    def noise(self, epoch: int) -> ExitStack:
        """Returns a context in which every run draws its noise as it does alone."""
        stack = ExitStack()
        for streams in self.streams:
            stack.enter_context(streams.epoch(epoch))
        return stack
