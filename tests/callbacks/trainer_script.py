"""Trainings by Hugging Face's Trainer with the callback: two variants, and one more that crashes."""

import sys
from pathlib import Path

from transformers import TrainerCallback, TrainingArguments

from ablate.callbacks.transformers import Record

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "sources" / "projects")]
from guides import python_block
from trainer_project import Net, train


class Crash(TrainerCallback):
    def on_epoch_begin(self, args, state, control, **given):  # type: ignore[no-untyped-def]
        if state.epoch >= 1:
            raise RuntimeError("CUDA out of memory.")


names = {"model": Net(4), "arguments": TrainingArguments("shown", report_to=[], use_cpu=True)}
exec(python_block("runs.md", "callbacks.transformers"), names)  # what the guide shows
assert any(isinstance(callback, Record) for callback in names["trainer"].callback_handler.callbacks)
for name, width in (("plain", 4), ("wide", 16)):
    train(name, width, 1, Record(name, study="trainer"))
train("wide", 16, 2, Record("wide", study="trainer"), Crash())
