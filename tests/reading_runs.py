"""What tests read of run directories."""

from pathlib import Path
from typing import Any

import torch

from ablate.records.run_directory import RunDirectory

TIMES = ("train_seconds", "eval_seconds", "data_seconds", "images_per_second")


def record_of(folder: Path) -> dict[str, Any]:
    record = RunDirectory(folder).read_record()
    assert record is not None
    return record


def results_of(folder: Path) -> list[dict[str, float]]:
    """The rows of epochs.csv without their times."""
    rows = RunDirectory(folder).read_epochs()
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    state = torch.load(RunDirectory(folder).checkpoint_file, weights_only=True)
    weights: dict[str, torch.Tensor] = state["model"]
    return weights


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
