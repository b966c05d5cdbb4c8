"""Trainings by Hugging Face's Trainer with the callback: two variants, and one more that crashes."""

import sys
from pathlib import Path

from transformers import TrainerCallback

from ablate.callbacks.transformers import Record

sys.path.append(str(Path(__file__).parents[1] / "sources" / "projects"))
from trainer_project import train


class Crash(TrainerCallback):
    def on_epoch_begin(self, args, state, control, **given):  # type: ignore[no-untyped-def]
        if state.epoch >= 1:
            raise RuntimeError("CUDA out of memory.")


for name, width in (("plain", 4), ("wide", 16)):
    train(name, width, 1, Record(name, study="trainer"))
train("wide", 16, 2, Record("wide", study="trainer"), Crash())
