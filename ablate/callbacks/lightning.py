"""A callback for Lightning: `Trainer(callbacks=[Record(variant="wide", seed=3)])` records what is logged."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger

from ablate.tasks.recording import Recording


class Record(Callback):
    """Records a training, and a test that follows it, as `ablate.record` does; `run` is the run, with its streams.

    Args:
        variant: What tables call it.
        seed: What pairs it with the runs of other variants.
        options: The further ones of `ablate.record`.
    """

    def __init__(self, variant: str, seed: int, **options: Any) -> None:
        self.run = Recording(variant, seed, **options)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins the run, and has it told of all that is logged."""
        if trainer.is_global_zero:
            self.run.__enter__()
            trainer.loggers = [*trainer.loggers, _Log(self.run)]

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ends the run."""
        if trainer.is_global_zero:
            self.run.__exit__(None, None, None)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Ends a run that has failed, or was interrupted."""
        if trainer.is_global_zero and self.run.is_running:
            self.run.__exit__(type(exception), exception, None)


class _Log(Logger):
    """A logger, since only these are told what is new of an epoch."""

    def __init__(self, run: Recording) -> None:
        super().__init__()
        self._run = run

    name = version = None

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        values = {name: value for name, value in metrics.items() if name != "epoch"}
        if values:
            self._run.log(values, epoch=metrics.get("epoch", step))

    def log_hyperparams(self, *_: object, **__: object) -> None:
        """Settings are the run's own."""
