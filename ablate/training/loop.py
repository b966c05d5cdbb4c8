"""The training loop."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ablate.data.batches import EvaluationBatches, Normalise, TrainingBatches
from ablate.models.stacked import Stacked, own_layers
from ablate.seeding import layer_streams


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
        rewrite: Whether several may be rewritten exactly as they are merged.

    Attributes:
        rewrites: What was rewritten, in words.
    """

    def __init__(self, trainees: Sequence[Trainee], seeds: Sequence[int], rewrite: bool = True) -> None:
        self.trainees, self.seeds = trainees, seeds
        self.sources = list(dict.fromkeys(seeds))  # runs of one seed take the same batches
        inputs = [self.sources.index(seed) for seed in seeds]
        self._stacked = Stacked([t.model for t in trainees], inputs, rewrite) if len(trainees) > 1 else None
        self.rewrites = [] if self._stacked is None else self._stacked.rewrites

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

    def noise(self, epoch: int, device: torch.device) -> ExitStack:
        """Returns a context in which every run draws its noise as it does alone."""
        streams = ExitStack()
        for trainee, seed in zip(self.trainees, self.seeds, strict=True):
            base = own_layers(trainee.model, trainee.layers.values()) if self._stacked is not None else ()
            streams.enter_context(layer_streams(trainee.layers, seed, "noise", epoch, device, base))
        return streams


def fit(
    cohort: Cohort,
    batches: Sequence[TrainingBatches],
    evaluated: Mapping[str, EvaluationBatches],
    normalise: Normalise,
    epochs: Iterable[int],
    precision: str,
    on_step: Callable[[], object],
) -> Iterator[list[dict[str, float]]]:
    """Trains with cross-entropy and yields the records of each epoch: for every run, a row of `epochs.csv`.

    Training losses and accuracies are those of the batches as they were trained on. Nothing waits for the device
    between the first and the last step of an epoch. The seconds of a cohort's run are its share.

    Args:
        cohort: On the device of the batches.
        batches: The training images of each different seed of the cohort, in their order.
        evaluated: The splits to evaluate on after every epoch, by name.
        normalise: Turns pixels into the model's input.
        epochs: Which to train, counted from 0.
        precision: "bf16" computes forward passes in bfloat16 where torch's autocast does so.
        on_step: Called after every step.
    """
    runs = len(cohort.trainees)
    device, size = batches[0].labels.device, batches[0].batch_size
    inputs = [cohort.sources.index(seed) for seed in cohort.seeds]
    autocast = torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
    for epoch in epochs:
        start = _now(device)
        drawn = [source.epoch(epoch) for source in batches]
        labels = torch.stack([drawn[source][1] for source in inputs], dim=1)
        data_end = _now(device)
        cohort.train(True)
        tally = _Tally(runs, device)
        with cohort.noise(epoch, device):
            pixels = zip(*(images.split(size) for images, _ in drawn), strict=True)
            for images, target in zip(pixels, labels.split(size), strict=True):
                with autocast:
                    output = cohort.forward([normalise(part) for part in images])
                losses = _losses(output, target)
                cohort.zero_gradients()
                losses.sum().backward()
                rates = [trainee.optimizer.param_groups[0]["lr"] for trainee in cohort.trainees]
                for trainee in cohort.trainees:
                    trainee.optimizer.step()
                    if trainee.scheduler is not None:
                        trainee.scheduler.step()
                tally.add(losses.detach(), output.detach(), target)
                on_step()
        trained = tally.means()
        train_end = _now(device)
        rows = [
            {"epoch": epoch + 1, "lr": float(rate), "train_loss": loss, "train_accuracy": accuracy}
            for rate, (loss, accuracy) in zip(rates, trained, strict=True)
        ]
        for name, split in evaluated.items():
            with autocast:
                results = evaluate(cohort, split, normalise)
            for row, (loss, accuracy) in zip(rows, results, strict=True):
                row |= {f"{name}_loss": loss, f"{name}_accuracy": accuracy}
        eval_end = _now(device)
        times = {
            "train_seconds": (train_end - data_end) / runs,
            "eval_seconds": (eval_end - train_end) / runs,
            "data_seconds": (data_end - start) / runs,
            "images_per_second": runs * len(labels) / (train_end - start),
        }
        yield [row | times for row in rows]


def evaluate(cohort: Cohort, split: EvaluationBatches, normalise: Normalise) -> list[tuple[float, float]]:
    """Returns each run's mean cross-entropy and accuracy (0 to 1) over a split, in evaluation mode."""
    cohort.train(False)
    tally = _Tally(len(cohort.trainees), split.labels.device)
    with torch.inference_mode():
        for pixels, labels in split:
            output = cohort.forward([normalise(pixels)] * len(cohort.sources))
            target = labels.unsqueeze(1).expand(-1, len(cohort.trainees))
            tally.add(_losses(output, target), output, target)
    return tally.means()


def _losses(output: Tensor, target: Tensor) -> Tensor:
    """Returns each run's mean cross-entropy, from shapes (images, runs, classes) and (images, runs)."""
    each = functional.cross_entropy(output.float().flatten(0, 1), target.flatten(), reduction="none")
    return each.view(target.shape).mean(0)


class _Tally:
    """Sums of losses and right answers of each run, kept on the device until they are asked for."""

    def __init__(self, runs: int, device: torch.device) -> None:
        self.loss = torch.zeros(runs, device=device)
        self.right = torch.zeros(runs, device=device, dtype=torch.int64)
        self.images = 0

    def add(self, losses: Tensor, output: Tensor, target: Tensor) -> None:
        self.loss += losses * len(target)
        self.right += (output.argmax(2) == target).sum(0)
        self.images += len(target)

    def means(self) -> list[tuple[float, float]]:
        pairs = zip(self.loss.tolist(), self.right.tolist(), strict=True)
        return [(loss / self.images, right / self.images) for loss, right in pairs]


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()
