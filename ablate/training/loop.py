"""The training loop."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ablate.data.batches import EvaluationBatches, Normalise, TrainingBatches
from ablate.seeding import layer_streams


@dataclass(frozen=True)
class Trainee:
    """What is trained: a model, the layers of it that draw from streams of their own, and what changes its weights."""

    model: nn.Module
    layers: Mapping[str, nn.Module]
    optimizer: Optimizer
    scheduler: LRScheduler | None


def fit(
    trainee: Trainee,
    batches: TrainingBatches,
    evaluated: Mapping[str, EvaluationBatches],
    normalise: Normalise,
    epochs: Iterable[int],
    seed: int,
    precision: str,
    on_step: Callable[[], object],
) -> Iterator[dict[str, float]]:
    """Trains with cross-entropy and yields the record of each epoch, a row of `epochs.csv`.

    Training losses and accuracies are those of the batches as they were trained on. Nothing waits for the device
    between the first and the last step of an epoch.

    Args:
        trainee: On the device of the batches.
        batches: The training images.
        evaluated: The splits to evaluate on after every epoch, by name.
        normalise: Turns pixels into the model's input.
        epochs: Which to train, counted from 0.
        seed: The run's seed.
        precision: "bf16" computes forward passes in bfloat16 where torch's autocast does so.
        on_step: Called after every step.
    """
    model, optimizer, scheduler = trainee.model, trainee.optimizer, trainee.scheduler
    device = batches.labels.device
    autocast = torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
    for epoch in epochs:
        start = _now(device)
        images, labels = batches.epoch(epoch)
        data_end = _now(device)
        model.train()
        tally = _Tally(device)
        with layer_streams(trainee.layers, seed, "noise", epoch, device):
            for pixels, target in zip(images.split(batches.batch_size), labels.split(batches.batch_size), strict=True):
                with autocast:
                    output = model(normalise(pixels))
                    loss = functional.cross_entropy(output.float(), target)
                optimizer.zero_grad()
                loss.backward()
                rate = optimizer.param_groups[0]["lr"]
                optimizer.step()
                if scheduler is not None:
                    scheduler.step()
                tally.add(loss.detach(), output.detach(), target)
                on_step()
        train_loss, train_accuracy = tally.means()
        train_end = _now(device)
        row = {"epoch": epoch + 1, "lr": float(rate), "train_loss": train_loss, "train_accuracy": train_accuracy}
        for name, split in evaluated.items():
            with autocast:
                row[f"{name}_loss"], row[f"{name}_accuracy"] = evaluate(model, split, normalise)
        eval_end = _now(device)
        yield row | {
            "train_seconds": train_end - data_end,
            "eval_seconds": eval_end - train_end,
            "data_seconds": data_end - start,
            "images_per_second": len(labels) / (train_end - start),
        }


def evaluate(model: nn.Module, split: EvaluationBatches, normalise: Normalise) -> tuple[float, float]:
    """Returns the mean cross-entropy and the accuracy (0 to 1) over a split, in evaluation mode."""
    model.eval()
    tally = _Tally(split.labels.device)
    with torch.inference_mode():
        for pixels, target in split:
            output = model(normalise(pixels))
            tally.add(functional.cross_entropy(output.float(), target), output, target)
    return tally.means()


class _Tally:
    """Sums of losses and right answers, kept on the device until they are asked for."""

    def __init__(self, device: torch.device) -> None:
        self.loss = torch.zeros((), device=device)
        self.right = torch.zeros((), device=device, dtype=torch.int64)
        self.images = 0

    def add(self, loss: Tensor, output: Tensor, target: Tensor) -> None:
        self.loss += loss * len(target)
        self.right += (output.argmax(1) == target).sum()
        self.images += len(target)

    def means(self) -> tuple[float, float]:
        return float(self.loss) / self.images, int(self.right) / self.images


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()
