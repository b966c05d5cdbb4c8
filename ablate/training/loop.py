"""The training loop."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.optim.swa_utils import update_bn

from ablate.data.batches import EvaluationBatches, StreamedEpoch, TrainingBatches
from ablate.seeding import CPU, global_stream
from ablate.training.augment import Augment
from ablate.training.cohort import Trainee
from ablate.training.loss import cross_entropy
from ablate.training.meters import Meters
from ablate.training.metrics import Metrics
from ablate.training.step import Step, Tally


@dataclass(frozen=True)
class Training:
    """What an epoch takes."""

    step: Step
    batches: Sequence[TrainingBatches]  # of each different seed of the cohort, in their order, on its device
    evaluated: Mapping[str, EvaluationBatches]  # the splits to evaluate on after every epoch, by name
    metrics: Metrics = field(default_factory=lambda: Metrics({}, (), CPU))
    meters: Meters = field(default_factory=lambda: Meters({}, CPU))
    augment: Augment | None = None

    def augmented(
        self, images: Sequence[Tensor], labels: Sequence[Tensor], epoch: int, batch: int
    ) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """Returns the images and labels of a batch of each seed as they are trained on."""
        if self.augment is None:
            return images, labels
        sources = zip(images, labels, self.batches, strict=True)
        changed = [self.augment(pixels, own, source.seed, epoch, batch) for pixels, own, source in sources]
        return [pixels for pixels, _ in changed], [own for _, own in changed]

    def average(self, epoch: int, images: Sequence[Tensor | StreamedEpoch]) -> None:
        """Takes an epoch's weights into the means of runs, whose batch norms then measure the images of their seed."""
        cohort, size = self.step.cohort, self.batches[0].batch_size
        for trainee, seed, source in zip(cohort.trainees, cohort.seeds, cohort.inputs, strict=True):
            if trainee.average is not None and trainee.swa_from is not None and epoch + 1 >= trainee.swa_from:
                trainee.average.update_parameters(trainee.model)
                with self.step.autocast, global_stream(seed, "average", epoch, cohort.device):
                    update_bn(map(self.step.normalise, images[source].split(size)), trainee.average.module)


def fit(training: Training, epochs: Iterable[int], on_step: Callable[[], object]) -> Iterator[list[dict[str, float]]]:
    """Trains and yields the records of each epoch, counted from 0: for every run, a row of `epochs.csv`.

    Training losses and accuracies are those of the batches as they were trained on. Nothing waits for the device
    between the first and the last step of an epoch. The seconds of a cohort's run are its share.
    """
    step, cohort, device = training.step, training.step.cohort, training.step.cohort.device
    size = training.batches[0].batch_size
    runs = len(cohort.trainees)
    for epoch in epochs:
        start = now(device)
        training.meters.start()
        drawn = [source.epoch(epoch) for source in training.batches]
        data_end = now(device)
        cohort.train(True)
        with cohort.noise(epoch):
            pixels = zip(*(images.split(size) for images, _ in drawn), strict=True)
            labels = zip(*(labels.split(size) for _, labels in drawn), strict=True)
            for number, batch in enumerate(zip(pixels, labels, strict=True)):
                step(*training.augmented(*batch, epoch, number))
                rates = [_rate(trainee) for trainee in cohort.trainees]
                for trainee in cohort.trainees:
                    if trainee.scheduler is not None:
                        trainee.scheduler.step()
                on_step()
        training.average(epoch, [images for images, _ in drawn])
        trained = step.tally.means()
        train_end = now(device)
        waited = sum(images.waited for images, _ in drawn if isinstance(images, StreamedEpoch))
        rows = [
            {"epoch": epoch + 1, "lr": float(rate), "train_loss": loss, "train_accuracy": accuracy}
            for rate, (loss, accuracy) in zip(rates, trained, strict=True)
        ]
        with cohort.results():
            for name, split in training.evaluated.items():
                for row, values in zip(rows, evaluate(training, split), strict=True):
                    row |= {f"{name}_{metric}": value for metric, value in values.items()}
        eval_end = now(device)
        times = {
            "train_seconds": (train_end - data_end - waited) / runs,
            "eval_seconds": (eval_end - train_end) / runs,
            "data_seconds": (data_end - start + waited) / runs,
            "images_per_second": runs * len(drawn[0][1]) / (train_end - start),
        }
        taken = training.meters.stop(runs)
        yield [row | taken | times for row in rows]


def evaluate(training: Training, split: EvaluationBatches) -> list[dict[str, float]]:
    """Returns each run's mean cross-entropy, accuracy (0 to 1) and further metrics over a split, in evaluation mode."""
    step, metrics = training.step, training.metrics
    cohort = step.cohort
    runs = len(cohort.trainees)
    cohort.train(False)
    tally = Tally(runs, cohort.device)
    metrics.start(runs)
    with torch.inference_mode(), step.autocast:
        for pixels, labels in split:
            output = cohort.forward([step.normalise(pixels)] * len(cohort.sources))
            target = labels.unsqueeze(1).expand(-1, runs)
            tally.add(cross_entropy(output, target), output, target)
            metrics.update(output, target)
    pairs = zip(tally.means(), metrics.values(), strict=True)
    return [{"loss": loss, "accuracy": accuracy, **values} for (loss, accuracy), values in pairs]


def _rate(trainee: Trainee) -> float | Tensor:
    """Returns the learning rate, of which a schedule on the device changes the value in place."""
    rate: float | Tensor = trainee.optimizer.param_groups[0]["lr"]
    return rate.clone() if isinstance(rate, Tensor) else rate


def now(device: torch.device) -> float:
    """Returns the seconds of the clock when a device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()
