"""One step of training: of one run, or of several in lock-step."""

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from ablate.data.batches import Normalise
from ablate.training.cohort import Cohort

log = logging.getLogger(__name__)


class Step:
    """Trains a cohort on one batch after another, each run with its own loss.

    The precision "bf16" computes forward passes in bfloat16 where torch's autocast does so. `tally` has the losses and
    right answers of the steps, on the batches as they were trained on.
    """

    def __init__(self, cohort: Cohort, normalise: Normalise, precision: str) -> None:
        self.cohort, self.normalise = cohort, normalise
        self.autocast = torch.autocast(cohort.device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
        self.tally = Tally(len(cohort.trainees), cohort.device)

    def __call__(self, images: Sequence[Tensor], labels: Sequence[Tensor]) -> None:
        """Makes a step, on the pixels, shape (images, height, width, channels), and the labels of each seed."""
        self._train(images, labels)
        for trainee in self.cohort.trainees:
            if trainee.average is not None and trainee.swa_from is None:
                trainee.average.update_parameters(trainee.model)

    def _train(self, images: Sequence[Tensor], labels: Sequence[Tensor]) -> None:
        target = torch.stack([labels[source] for source in self.cohort.inputs], dim=1)
        with self.autocast:
            output = self.cohort.forward([self.normalise(part) for part in images])
        losses = self.cohort.losses(output, target)
        self.cohort.zero_gradients()
        losses.sum().backward()
        for trainee in self.cohort.trainees:
            trainee.update()
        self.tally.add(losses.detach(), output.detach(), target)


class Tally:
    """Sums of losses and right answers of each run, kept on the device until they are asked for."""

    def __init__(self, runs: int, device: torch.device) -> None:
        self.loss = torch.zeros(runs, device=device)
        self.right = torch.zeros(runs, device=device, dtype=torch.int64)
        self.images = torch.zeros((), device=device, dtype=torch.int64)

    def add(self, losses: Tensor, output: Tensor, target: Tensor) -> None:
        """Counts a batch: mean losses, shape (runs,); scores, (images, runs, classes); labels, (images, runs).

        Of labels that are shares of the classes, the largest is the right one.
        """
        self.loss += losses * len(target)
        self.right += (output.argmax(2) == (target if target.dim() == 2 else target.argmax(2))).sum(0)
        self.images += len(target)

    def means(self) -> list[tuple[float, float]]:
        """Returns each run's mean loss and accuracy, and starts anew."""
        images = int(self.images)
        pairs = zip(self.loss.tolist(), self.right.tolist(), strict=True)
        means = [(loss / images, right / images) for loss, right in pairs]
        for total in (self.loss, self.right, self.images):
            total.zero_()
        return means
