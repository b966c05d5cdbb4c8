"""Run directories, read into tidy frames."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ablate.records import TIMES, RunDirectory

# Parts of a run's config that tell no two variants apart: what is the same for all, or changes no result.
_NOT_DISTINGUISHING = (
    "seed",
    "study",
    "hardware.device",
    "hardware.threads",
    "hardware.channels_last",
    "model.name",
    "data.root",
)

# What the report reads from the record of a complete run, and of which type.
_NUMBER = (int, float)
_NEEDED: Mapping[str, type | tuple[type, ...]] = {
    "variant": str,
    "seed": int,
    "started": str,
    "config.model.edits": Mapping,
    "config.study.name": str,
    "config.study.baseline": str,
    "config.train.epochs": int,
    "config.hardware.precision": str,
    "model.after.parameters": int,
    "model.after.flops": int,
    "data.name": str,
    "data.sha256": str,
    "data.images": Mapping,
    "pairing.initial_weights": Mapping,
    "pairing.first_epoch_order": str,
    "provenance.code": Mapping,
    "provenance.packages": Mapping,
    "provenance.machine.cpu": str,
    "provenance.machine.cores": int,
    "provenance.accelerator": str,
    "provenance.threads": int,
    **{f"results.test_accuracy.{name}": _NUMBER for name in ("final", "maximum", "minimum")},
    "results.test_loss.final": _NUMBER,
    **{f"times.{name}": _NUMBER for name in (*TIMES, "total_seconds")},
}


@dataclass(frozen=True)
class Study:
    """The runs of a study.

    Attributes:
        folder: The study's folder.
        definition: The study option that the newest run was started with.
        records: run.json of each complete run, by the run's folder below the study's.
        variants: The label of each complete run's variant, by its folder; baseline first, then by number of edits.
        epochs: The epochs of the complete runs: run, variant, seed, and the columns of epochs.csv.
        unfinished: Status and, where there is one, error of each run that is not complete, by its folder.
        broken: What is wrong with each run directory that cannot be read, by its folder.
    """

    folder: Path
    definition: Mapping[str, Any]
    records: Mapping[str, Mapping[str, Any]]
    variants: Mapping[str, str]
    epochs: pd.DataFrame
    unfinished: Mapping[str, str]
    broken: Mapping[str, str]

    @property
    def labels(self) -> list[str]:
        """The variants in the order they are shown."""
        return list(dict.fromkeys(self.variants.values()))

    def records_of(self, variant: str) -> list[Mapping[str, Any]]:
        """Returns the records of a variant's runs, by seed."""
        return [record for run, record in self.records.items() if self.variants[run] == variant]


def find_studies(folder: Path) -> list[Path]:
    """Returns the folders of the studies at or below a folder: those that hold `<variant>/<run>/run.json`.

    Raises:
        ValueError: There is no run.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; give the folder of a study, such as outputs/lenet_cifar10")
    studies = sorted({path.parents[2] for path in folder.rglob("run.json")})
    if not studies:
        raise ValueError(f"{folder}: there are no runs in it; `python -m ablate -m` makes those of a study")
    return studies


def collect(folder: Path) -> Study:
    """Reads the runs of a study. What cannot be read is named and left out.

    Args:
        folder: The study's folder.

    Raises:
        ValueError: No run is complete.
    """
    records: dict[str, dict[str, Any]] = {}
    frames: dict[str, pd.DataFrame] = {}
    unfinished, broken = {}, {}
    for path in sorted(folder.glob("*/*/run.json")):
        directory = RunDirectory(path.parent)
        run = path.parent.relative_to(folder).as_posix()
        try:
            record = directory.read_record()
            assert record is not None
            if record["status"] != "complete":
                error = record.get("error", {}).get("message", "").split("\n")[0]
                unfinished[run] = f"{record['status']}: {error}" if error else record["status"]
                continue
            _require(record)
            frames[run] = _epochs(directory, record)
            records[run] = record
        except (AttributeError, TypeError, ValueError) as error:
            broken[run] = str(error)
    if not records:
        others = "; ".join(f"{run}: {why}" for run, why in [*unfinished.items(), *broken.items()][:5])
        raise ValueError(f"{folder}: no run is complete ({others}); repeat the sweep's command to finish them")
    newest = max(records.values(), key=lambda record: str(record["started"]))
    definition = _with_defaults(newest["config"]["study"])
    variants = _labels(records, str(definition["baseline"]))
    epochs = pd.concat(
        [frames[run].assign(run=run, variant=label, seed=records[run]["seed"]) for run, label in variants.items()],
        ignore_index=True,
    )
    return Study(folder, definition, {run: records[run] for run in variants}, variants, epochs, unfinished, broken)


def _require(record: Mapping[str, Any]) -> None:
    """Raises ValueError where a complete run's record lacks what the report reads from it."""
    for path, kind in _NEEDED.items():
        value: Any = record
        for key in path.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        if not isinstance(value, kind):
            raise ValueError(f"run.json has no usable {path}")


def _with_defaults(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Adds what the records of an earlier version may lack."""
    published = {"source": "", "epochs": None, "variants": {}, **definition.get("published", {})}
    return {"title": "", "baseline": "plain", **definition, "published": published}


def _epochs(directory: RunDirectory, record: Mapping[str, Any]) -> pd.DataFrame:
    rows = directory.read_epochs()
    expected = record["config"]["train"]["epochs"]
    if len(rows) != expected:
        raise ValueError(f"{directory.epochs_file.name} has {len(rows)} epochs, the run is complete after {expected}")
    frame = pd.DataFrame(rows)
    for column in ("epoch", "train_loss", "test_loss", "test_accuracy"):
        if column not in frame or frame[column].isna().any():
            raise ValueError(f"{directory.epochs_file.name} has no usable {column}")
    return frame


def _labels(records: Mapping[str, Mapping[str, Any]], baseline: str) -> dict[str, str]:
    """Labels each run by its model's name and by what else tells it from other runs of that name."""
    settings = {run: dict(_distinguishing(record["config"])) for run, record in records.items()}
    by_name: defaultdict[str, list[str]] = defaultdict(list)
    for run, record in records.items():
        by_name[str(record["variant"])].append(run)
    labels = {}
    for name, runs in by_name.items():
        keys = dict.fromkeys(key for run in runs for key in settings[run])
        differing = [key for key in keys if len({settings[run].get(key) for run in runs}) > 1]
        for run in runs:
            parts = [f"{key.rpartition('.')[2]}={settings[run].get(key, 'unset')}" for key in differing]
            labels[run] = f"{name} ({', '.join(parts)})" if parts else name

    def order(run: str) -> tuple[Any, ...]:
        record = records[run]
        model = record["config"]["model"]
        return record["variant"] != baseline, len(model["edits"]), record["variant"], labels[run], record["seed"], run

    return {run: labels[run] for run in sorted(records, key=order)}


def _distinguishing(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in _flatten(config):
        if not any(key == part or key.startswith(f"{part}.") for part in _NOT_DISTINGUISHING):
            yield key, value if isinstance(value, str) else json.dumps(value)


def _flatten(node: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
