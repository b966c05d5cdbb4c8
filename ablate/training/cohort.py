"""The models that are trained in lock-step."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ablate.seeding import LayerStreams
from ablate.stacking.stacked import Stacked, own_layers


@dataclass(frozen=True)
class Trainee:
    """What is trained: a model, the layers of it that draw from streams of their own, and what changes its weights."""

    model: nn.Module
    layers: Mapping[str, nn.Module]
    optimizer: Optimizer
    scheduler: LRScheduler | None


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
