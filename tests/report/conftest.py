import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from example_config import CONFIG

from ablate.config.identity import run_id
from ablate.records.epochs import summarise, total_times
from ablate.records.forms import plain
from ablate.records.run_directory import RunDirectory

# What an edit is of which a test gives the name alone.
ANY_EDIT = {"insert": "after", "layer": {"_target_": "torch.nn.Identity"}}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return tmp_path / "trial"


def runs_in(study: Path) -> Callable[..., Path]:
    """Returns what writes a run directory with given test accuracies, as training would."""

    def make(
        variant: str = "plain",
        seed: int = 0,
        accuracies: tuple[float, ...] = (0.5, 0.7, 0.6),
        edits: dict[str, Any] | None = None,
        folder: str | None = None,
        status: str = "complete",
        record: dict[str, Any] | None = None,
        validation: bool = False,
        **settings: dict[str, Any],
    ) -> Path:
        config = copy.deepcopy(CONFIG)
        config["seed"], config["model"]["name"] = seed, variant
        config["model"]["edits"] = {name: edit or {**ANY_EDIT, "at": name} for name, edit in (edits or {}).items()}
        for group, values in settings.items():
            config[group] |= values
        rows = [
            {
                "epoch": epoch,
                "lr": 0.001,
                "train_loss": 2 - accuracy,
                "train_accuracy": accuracy,
                **({"validation_loss": 1 - accuracy, "validation_accuracy": accuracy - 0.1} if validation else {}),
                "test_loss": 1 - accuracy,
                "test_accuracy": accuracy,
                "train_seconds": 2.0 + seed,
                "eval_seconds": 1.0,
                "data_seconds": 0.5,
                "images_per_second": 100.0,
            }
            for epoch, accuracy in enumerate(accuracies, start=1)
        ]
        path = study / variant / (folder or f"seed{seed}-{run_id(config)}")
        path.mkdir(parents=True)
        directory = RunDirectory(path)
        directory.write_epochs(rows)
        directory.record_file.write_text(
            json.dumps(
                {
                    "format": 1,
                    "status": status,
                    "id": run_id(config),
                    "study": config["study"]["name"],
                    "variant": variant,
                    "seed": seed,
                    "config": config,
                    "model": {"after": {"parameters": 10, "flops": 20}},
                    "data": {"name": "digits", "sha256": "d" * 64, "images": {"train": 8, "test": 4}},
                    "pairing": {"initial_weights": {"c1": f"w{seed}"}, "first_epoch_order": f"o{seed}"},
                    "provenance": {
                        "code": {"commit": "c" * 40, "dirty": False},
                        "packages": {"torch": "2"},
                        "machine": {"cpu": "CPU", "cores": 2},
                        "accelerator": "cpu",
                        "threads": 2,
                    },
                    "overrides": [],
                    "started": f"2026-01-01T00:00:{seed:02}",
                    "results": plain(summarise(rows)),
                    "times": total_times(rows),
                    **(record or {}),
                }
            )
        )
        return path

    return make


@pytest.fixture
def make_run(study: Path) -> Callable[..., Path]:
    """Writes a run directory into the study."""
    return runs_in(study)


@pytest.fixture(scope="module")
def writer() -> Callable[[Path], Callable[..., Path]]:
    """Gives a study that all tests of a file read what writes its runs."""
    return runs_in
