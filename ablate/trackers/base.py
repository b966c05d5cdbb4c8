"""What a tracker is, and how a run calls its trackers."""

import importlib
import importlib.util
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from ablate.config.plain import can_alter
from ablate.config.targets import instantiate
from ablate.files import Plain, PlainMapping
from ablate.messages import install_hint
from ablate.records.record import RunRecord

log = logging.getLogger(__name__)

_PACKAGES = ("tensorboard", "mlflow", "wandb")  # that trackers need, whose modules have their names


class Tracker(ABC):
    """Sends a run to a tracking tool. If a method raises, the run continues without the tool."""

    @abstractmethod
    def start(self, record: RunRecord, folder: Path, earlier: str | None, epochs: int) -> str | None:
        """Starts a run, or resumes it.

        Args:
            record: The run's record.
            folder: The run directory.
            earlier: What this method returned at an earlier start of the run, if the run is resumed.
            epochs: Number of complete epochs.

        Returns:
            The name or number that the tool gives the run, to be kept in its record.
        """

    @abstractmethod
    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """Takes the metrics of a complete epoch, counted from 1."""

    @abstractmethod
    def end(self, record: RunRecord) -> None:
        """Takes the record of the run at its end."""

    def publish(self, study: str, report: Path) -> bool:
        """Takes the folder of a study's report, and returns whether the tool stores reports."""
        return False


Answer = TypeVar("Answer")


class Trackers:
    """The trackers of a run. If one raises, that is logged, and the run continues without it."""

    def __init__(self, loggers: PlainMapping, run: str) -> None:
        self._run = run
        self._open: dict[str, Tracker] = {name: instantiate(f"logger.{name}", node) for name, node in loggers.items()}

    def start(
        self, record: RunRecord, folder: Path, epochs: int, earlier: Mapping[str, str | None]
    ) -> dict[str, str | None]:
        """Starts the run with each tracker, and returns what each calls it, for its record."""
        if not self._open:
            return {}
        started = self._tell(lambda name, tracker: tracker.start(record, folder, earlier.get(name), epochs))
        return {**earlier, **started}

    def epoch(self, row: Mapping[str, float]) -> None:
        """Sends a row of epochs.csv."""
        values = {name: value for name, value in row.items() if name != "epoch"}
        self._tell(lambda _, tracker: tracker.epoch(int(row["epoch"]), values))

    def end(self, record: RunRecord) -> None:
        """Sends the record of the run at its end."""
        self._tell(lambda _, tracker: tracker.end(record))

    def _tell(self, call: Callable[[str, Tracker], Answer]) -> dict[str, Answer]:
        """Calls each tracker, and returns what they answer; continues without one that raises."""
        answers: dict[str, Answer] = {}
        for name, tracker in list(self._open.items()):
            try:
                answers[name] = call(name, tracker)
            except Exception as error:
                log.warning("%s continues without logger=%s: %s: %s", self._run, name, type(error).__name__, error)
                del self._open[name]
        return answers


def check_loggers(loggers: PlainMapping) -> None:
    """Refuses a tracker that is not installed; ValueError says what installs it."""
    for name, node in loggers.items():
        package = str(node.get("_target_", "")).split(".")[-2:][0]
        if package in _PACKAGES and importlib.util.find_spec(package) is None:
            raise ValueError(f"logger={name}: {package} is not installed; {install_hint(package)}")


def is_tracker(target: object) -> bool:
    """Whether a `_target_` names a tracker: one of ablate's, or a class that is derived from `Tracker`."""
    module, _, name = str(target).rpartition(".")
    if module.startswith("ablate."):
        return True
    with suppress(ImportError, ValueError):  # what is not there, its owner is told
        found = getattr(importlib.import_module(module), name, None)
        return isinstance(found, type) and issubclass(found, Tracker)
    return False


def parameters(record: RunRecord) -> Plain:
    """Returns the settings of a run by dotted key, as trackers show them."""
    shown = {part: value for part, value in record.config.items() if can_alter(part) or part == "settings"}
    return dict(_leaves(shown, ""))


def tags(record: RunRecord) -> dict[str, str]:
    """Returns the tags by which a run is searched for."""
    return {"study": record.study, "variant": record.variant, "seed": str(record.seed), "id": record.id}


def totals(record: RunRecord) -> dict[str, float]:
    """Returns the numbers of a complete run: the size of its model, its times, and the extremes of its metrics."""
    results = {
        f"{metric}.{kind}": value
        for metric, result in record.results.items()
        for kind, value in (("maximum", result.maximum), ("minimum", result.minimum))
    }
    size = record.model.after
    return {"parameters": float(size.parameters or 0), "flops": float(size.flops or 0), **record.times, **results}


def _leaves(node: PlainMapping, prefix: str) -> Iterator[tuple[str, object]]:
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        elif value is not None:
            yield f"{prefix}{key}", value
