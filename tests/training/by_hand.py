"""A training loop as one would write it, to hold the settings of a run against."""

from collections.abc import Callable, Iterator

from torch import Tensor, nn
from torch.optim import Optimizer

from ablate.config.schema import Config
from ablate.runs.prepare import assemble, prepare
from ablate.training.loop import Training, fit


def trained(cfg: Config) -> tuple[nn.Module, list[dict[str, float]]]:
    """Returns a run's model and its rows, trained by ablate."""
    prepared = prepare(cfg)
    rows = [row for (row,) in fit(assemble(cfg, [prepared], [cfg.seed]), range(cfg.train.epochs), lambda: None)]
    return prepared.trainee.model, rows


def loop(
    cfg: Config,
    step: Callable[[nn.Module, Optimizer, Tensor, Tensor], None],
    change: Callable[[Tensor, Tensor, int, int], tuple[Tensor, Tensor]] = lambda images, labels, *_: (images, labels),
) -> Iterator[tuple[nn.Module, Training]]:
    """Trains the model that a configuration starts from by one's own step, and yields after each epoch.

    `change` makes something else of a batch, given with its epoch and number.
    """
    prepared = prepare(cfg)
    training = assemble(cfg, [prepared], [cfg.seed])
    (batches,), trainee = training.batches, prepared.trainee
    for epoch in range(cfg.train.epochs):
        trainee.model.train()
        images, labels = batches.epoch(epoch)
        parts = zip(images.split(batches.batch_size), labels.split(batches.batch_size), strict=True)
        for number, part in enumerate(parts):
            pixels, target = change(*part, epoch, number)
            step(trainee.model, trainee.optimizer, training.step.normalise(pixels), target)
        yield trainee.model, training
