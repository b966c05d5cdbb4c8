"""Records a run as it goes: how it starts, each epoch, how it ends or fails."""

import hashlib
import logging
import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from ablate.config.identity import run_id
from ablate.config.plain import plain
from ablate.config.schema import Config
from ablate.data.batches import draw
from ablate.models.variant import layer_digests
from ablate.records import provenance
from ablate.records.epochs import Epoch, summarise, total_times
from ablate.records.run_directory import RunDirectory
from ablate.records.uploads import RunStore
from ablate.runs.prepare import Prepared
from ablate.runs.progress import EPOCH_LOGGER
from ablate.trackers.base import Trackers
from ablate.training.checkpoint import resume, save_checkpoint, snapshot
from ablate.training.cohort import Trainee
from ablate.training.hardware import describe

epoch_log = logging.getLogger(EPOCH_LOGGER)


class Diverged(ArithmeticError):
    """A loss is no longer a finite number."""


class Recorder:
    """Writes what one start of a run does into its directory.

    Args:
        cfg: The run's configuration.
        prepared: What it describes.
        directory: The run directory, locked.
        overrides: What was typed to get the configuration.
        earlier: The record of earlier starts of the run, if it goes on from there.
        other_runs: Counts the other runs on this machine.
        store: Where copies of the run's files go.

    Attributes:
        name: What the run is called in messages.
        record: What run.json holds, or will.
        rows: The rows of epochs.csv: of all complete epochs.
    """

    def __init__(
        self,
        cfg: Config,
        prepared: Prepared,
        directory: RunDirectory,
        overrides: Sequence[str] = (),
        earlier: Mapping[str, Any] | None = None,
        other_runs: Callable[[], int | None] = lambda: None,
        store: RunStore | None = None,
    ) -> None:
        self.name = f"{cfg.model.name} seed {cfg.seed}"
        self.rows: list[Epoch] = []
        self._directory, self._epochs, self._other_runs = directory, cfg.train.epochs, other_runs
        self._store = store
        self._trackers = Trackers(cfg.logger, self.name)
        self._saver = _saver(prepared.device)
        self._saving: Future[None] | None = None
        self._start = {"started": _now(), **provenance.process(), "other_runs": other_runs()}
        self._earlier = earlier = earlier or {}
        self.record: dict[str, Any] = {
            **describe_run(cfg, prepared),
            "overrides": list(overrides),
            "started": earlier.get("started", self._start["started"]),
            "starts": [*earlier.get("starts", []), self._start],
        }

    def started(self) -> None:
        """Writes that the run goes on."""
        epochs = len(self._directory.read_epochs()) if self._earlier else 0
        self._trackers.start(self.record, self._directory.folder, epochs, self._earlier.get("trackers") or {})
        self._directory.write_record(self.record)
        self._copy(self._directory.record_file)

    def restore(self, trainee: Trainee) -> None:
        """Puts the newest checkpoint, if there is one, into the trainee, and its epochs into the rows."""
        self.rows = resume(trainee, self._directory)
        if self.rows:
            self._directory.write_epochs(self.rows)  # a kill may have come between the checkpoint and the table

    def epoch(self, trainee: Trainee, row: Epoch) -> None:
        """Saves the state and the row of an epoch that has ended, on an accelerator while the next one goes on.

        Raises:
            Diverged: A loss is not finite.
            OSError: This epoch, or the one before it, cannot be saved.
        """
        epoch_log.info(
            "%s epoch %d of %d: training loss %.4f, test loss %.4f, test accuracy %.2f %%",
            self.name, row["epoch"], self._epochs, row["train_loss"], row["test_loss"], 100 * row["test_accuracy"],
        )  # fmt: skip
        self.settle()
        rows = [*self.rows, row]
        if not (math.isfinite(row["train_loss"]) and math.isfinite(row["test_loss"])):
            self._directory.write_epochs(rows)
            raise Diverged(f"the loss is not finite after epoch {len(rows)}; a smaller optimizer.lr may help")
        state = snapshot(trainee)
        if self._saver is None:
            self._save(state, rows)
        else:
            self._saving = self._saver.submit(self._save, state, rows)
        self.rows = rows
        self._trackers.epoch(row)

    def _save(self, state: Mapping[str, Any], rows: list[Epoch]) -> None:
        save_checkpoint(state, self._directory, rows)
        self._directory.write_epochs(rows)
        self._copy(self._directory.checkpoint_file, self._directory.epochs_file)

    def settle(self) -> None:
        """Waits until the epoch before is saved, and raises what kept it from being saved."""
        saving, self._saving = self._saving, None
        if saving is not None:
            saving.result()

    def retry(self, error: Exception) -> None:
        """Notes an error after which the run tries again."""
        with suppress(Exception):
            self.settle()
        self.record.setdefault("retries", []).append(self._describe(error))

    def complete(self, trainee: Trainee) -> None:
        """Writes the results."""
        self.settle()
        self.record |= {
            "status": "complete",
            "results": summarise(self.rows),
            "times": total_times(self.rows),
            "final_weights": layer_digests(trainee.model),
        }
        self._end()
        self._directory.previous_checkpoint_file.unlink(missing_ok=True)

    def fail(self, error: BaseException) -> None:
        """Writes how the run ended before its last epoch, if anything can be written."""
        with suppress(Exception):  # the error of this epoch is the one to tell
            self.settle()
        if isinstance(error, Diverged):
            status = "diverged"
        else:
            status = "failed" if isinstance(error, Exception) else "interrupted"
        self.record |= {"status": status, "error": self._describe(error)}
        with suppress(OSError):  # the error itself may be a full disk
            self._end()

    def _end(self) -> None:
        self.record["ended"] = self._start["ended"] = _now()
        self._start["other_runs_at_end"] = self._other_runs()
        self._directory.write_record(self.record)
        self._copy(self._directory.record_file)
        self._trackers.end(self.record)

    def _copy(self, *files: Path) -> None:
        if self._store is not None:
            self._store.push(*files)

    def _describe(self, error: BaseException) -> dict[str, Any]:
        return {
            "type": type(error).__name__,
            "message": str(error),
            "epoch": len(self.rows) + 1,
            "traceback": "".join(traceback.format_exception(error)),
        }


def describe_run(cfg: Config, prepared: Prepared) -> dict[str, Any]:
    """Returns what the record of a run says from its start: its configuration, and what it came from."""
    data = prepared.data
    order = draw(len(data.train), cfg.data.padding, cfg.data.flip, cfg.seed, epoch=0).order
    return {
        "status": "running",
        "id": run_id(cfg),
        "study": cfg.study.name,
        "variant": cfg.model.name,
        "seed": cfg.seed,
        "config": plain(cfg),
        "model": prepared.variant.record,
        "data": {
            "name": data.name,
            "sha256": data.digest,
            "images": {name: len(split) for name, split in {"train": data.train, **data.evaluated}.items()},
        },
        # What paired runs have in common: the report checks that it is.
        "pairing": {
            "initial_weights": layer_digests(prepared.trainee.model),
            "first_epoch_order": hashlib.sha256(order.numpy().data).hexdigest()[:16],
        },
        "provenance": {**provenance.collect(cfg.allow), **describe(prepared.device)},
    }


def summary_line(record: Mapping[str, Any], folder: Path) -> str:
    """Returns a finished run in one line: its result, its time and its folder."""
    accuracy, epochs = record["results"]["test_accuracy"], record["config"]["train"]["epochs"]
    return (
        f"{record['variant']} seed {record['seed']}: test accuracy {accuracy['final']:.2%} after {epochs} epochs "
        f"(highest {accuracy['maximum']:.2%}, epoch {accuracy['maximum_epoch']}), "
        f"{record['times']['total_seconds']:.1f} s, {shown(folder)}"
    )


def shown(path: Path) -> Path:
    """Returns a path as one would type it here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _saver(device: torch.device) -> Executor | None:
    """Returns a thread that saves while an accelerator trains on; on the CPU it would only take the cores' time."""
    return None if device.type == "cpu" else ThreadPoolExecutor(1)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
