"""A callback for Hugging Face's Trainer: `Trainer(callbacks=[Record(variant="wide")])` records what it logs."""

import atexit
import sys
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ablate.tasks.recording import Recording


class Record(TrainerCallback):
    """Records a training, and an evaluation that follows it, as `ablate.record` does; `run` is the run, once it trains.

    Args:
        variant: What tables call it.
        seed: What pairs it with the runs of other variants; that of the training's arguments if left out.
        options: The further ones of `ablate.record`.
    """

    def __init__(self, variant: str, seed: int | None = None, **options: Any) -> None:
        self._variant, self._seed, self._options = variant, seed, options
        self.run: Recording | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Begins the run."""
        if state.is_world_process_zero:
            self.run = Recording(self._variant, args.seed if self._seed is None else self._seed, **self._options)
            self.run.__enter__()
            atexit.register(self._fail)  # the Trainer calls nothing when it fails

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
        logs: dict[str, float] | None = None, **_: object,
    ) -> None:  # fmt: skip
        """Notes what is logged."""
        if self.run is not None:
            values = {name: value for name, value in (logs or {}).items() if name != "epoch"}
            self.run.log(values, epoch=state.epoch)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Ends the run."""
        if self.run is not None:
            atexit.unregister(self._fail)
            self.run.__exit__(None, None, None)

    def _fail(self) -> None:
        error = getattr(sys, "last_value", None) or KeyboardInterrupt("the process ended before the training")
        if self.run is not None:
            self.run.__exit__(type(error), error, None)
