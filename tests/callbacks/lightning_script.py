"""Trainings by Lightning with the callback: two variants, two seeds, and one more that crashes; it prints metrics."""

import json
import sys
from contextlib import suppress
from pathlib import Path

import torch
from lightning.pytorch import Trainer, seed_everything
from torch.utils.data import DataLoader, TensorDataset

from ablate.callbacks.lightning import Record

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "sources" / "projects")]
from guides import python_block
from lightning_project import Crash, Net


def train(variant: str, width: int, seed: int, *callbacks: object) -> None:
    seed_everything(seed)
    record = Record(variant, seed, study="lightning", metric="test/acc", width=width)
    inputs = torch.randn(16, 4)
    data = TensorDataset(inputs, (inputs[:, 0] > 0).long())
    loader = DataLoader(data, 4, **record.run.loading(data))
    trainer = Trainer(
        max_epochs=3, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False, logger=False,
        num_sanity_val_steps=1, check_val_every_n_epoch=2 if variant == "plain" else 1, callbacks=[record, *callbacks],
    )  # fmt: skip
    model = Net(width, 0.05)
    trainer.fit(model, loader, DataLoader(data, 16))
    known = {name: float(value) for name, value in trainer.callback_metrics.items()}
    tested = trainer.test(model, DataLoader(data, 16), verbose=False)[0]
    print(json.dumps({"variant": variant, "seed": seed, "known": {**known, **tested}}))


for number in range(2):
    train("plain", 4, number)
    train("wide", 16, number)
with suppress(RuntimeError):
    train("wide", 16, 2, Crash())
names: dict[str, Trainer] = {}
exec(python_block("runs.md", "callbacks.lightning"), names)  # what the guide shows
assert any(isinstance(callback, Record) for callback in names["trainer"].callbacks)
