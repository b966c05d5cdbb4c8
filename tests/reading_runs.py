"""What tests read of run directories, and records that are made by hand."""

import json
from pathlib import Path
from typing import Any

import torch
from jsonschema import Draft202012Validator

from ablate.records.record import RunRecord
from ablate.records.run_directory import RunDirectory

SCHEMA = Draft202012Validator(
    json.loads((Path(__file__).parents[1] / "docs" / "run.schema.json").read_text(encoding="utf-8"))
)
FORMAT_1 = Path(__file__).parent / "fixtures" / "runs_of_format_1"  # written by the version that made that format
TIMES = ("train_seconds", "eval_seconds", "data_seconds", "images_per_second")


def record_of(folder: Path) -> dict[str, Any]:
    """What run.json holds, which is a usable record in the form that is published."""
    assert RunDirectory(folder).read_record() is not None
    content: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    SCHEMA.validate(content)
    return content


def example_json(**values: Any) -> dict[str, Any]:
    """A record of a run that is running, as run.json holds it, with some of its values changed."""
    return {
        "format": 1,
        "status": "running",
        "id": "0123abcd",
        "study": "trial",
        "variant": "plain",
        "seed": 0,
        "config": {
            "model": {"name": "plain", "edits": {}},
            "train": {"epochs": 3},
            "hardware": {"precision": "fp32"},
            "study": {"name": "trial"},
            "data": {},
        },
        "model": {"after": {"parameters": 10, "flops": 20}},
        "data": {"name": "digits", "sha256": "d" * 64, "images": {"train": 8, "test": 4}},
        "pairing": {"initial_weights": {"c1": "w"}, "first_epoch_order": "o"},
        "provenance": {
            "code": {"sources": {"ablate": "0" * 16}},
            "packages": {"torch": "2"},
            "machine": {"cpu": "CPU", "cores": 2},
            "accelerator": "cpu",
            "threads": 2,
        },
        "started": "2026-01-01T00:00:00+00:00",
        **values,
    }


def example_record(**values: Any) -> RunRecord:
    return RunRecord.from_json(example_json(**values))


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
