"""Records a run as it goes: how it starts, each epoch, how it ends or fails."""

import hashlib
import logging
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from ablate.config.identity import run_id
from ablate.config.plain import plain
from ablate.config.schema import Config
from ablate.data.batches import draw
from ablate.files import PlainMapping
from ablate.models.variant import layer_digests
from ablate.records import provenance
from ablate.records.epochs import Epoch, summarise, total_times
from ablate.records.record import (
    DataFacts,
    Failure,
    ModelFacts,
    Pairing,
    RunRecord,
    Size,
    Start,
    Status,
    describe_error,
)
from ablate.records.run_directory import RunDirectory
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
    """Writes the record, the epochs and the checkpoints of a run, from one start to its end.

    Args:
        cfg: The run's configuration.
        prepared: The data, the model and the device that it describes.
        directory: The run directory, locked.
        overrides: What was typed to get the configuration.
        earlier: The record of earlier starts, of a run that is resumed.
        other_runs: Counts the other runs on this machine.
        command: The identity of the command that trains it.

    Attributes:
        name: What the run is called in messages.
        record: What run.json holds, or will hold when it is written next.
        rows: The rows of epochs.csv: of all complete epochs.
    """

    def __init__(
        self,
        cfg: Config,
        prepared: Prepared,
        directory: RunDirectory,
        overrides: Sequence[str] = (),
        earlier: RunRecord | None = None,
        other_runs: Callable[[], int | None] = lambda: None,
        command: str | None = None,
    ) -> None:
        self.name = f"{cfg.model.name} seed {cfg.seed}"
        self.rows: list[Epoch] = []
        self._directory, self._epochs, self._other_runs = directory, cfg.train.epochs, other_runs
        self._trackers = Trackers(cfg.logger, self.name)
        self._saver = _saver(prepared.device)
        self._saving: Future[None] | None = None
        self._earlier = earlier
        start = provenance.process(_now(), other_runs(), command)
        self.record = _begun(describe_run(cfg, prepared, overrides, started=str(start.started)), earlier, start)

    def started(self, cohort: Sequence[str] = ()) -> None:
        """Writes that the run is running.

        Args:
            cohort: The identities of the runs that it is trained with in lock-step, its own among them; none if alone.
        """
        epochs, known = 0, dict[str, str | None]()
        if self._earlier is not None:
            epochs, known = len(self._directory.read_epochs()), dict(self._earlier.trackers)
        before = self._earlier.cohort if self._earlier is not None and epochs else None
        self.record = replace(self.record, cohort=len(cohort) or before)
        self._note_start(cohort=tuple(sorted(cohort)), epochs=epochs)
        trackers = self._trackers.start(self.record, self._directory.folder, epochs, known)
        self.record = replace(self.record, trackers=trackers)
        self._directory.write_record(self.record)

    def rewritten(self, rewrites: Sequence[str]) -> None:
        """Notes the exact rewrites that were made as the run's cohort was merged."""
        self.record = replace(self.record, model=replace(self.record.model, rewrites=tuple(rewrites)))

    def restore(self, trainee: Trainee) -> None:
        """Puts the newest checkpoint, if there is one, into the trainee, and its epochs into the rows."""
        self.rows = resume(trainee, self._directory)
        if self.rows:
            self._directory.write_epochs(self.rows)  # a kill may have come between the checkpoint and the table
        if not self.record.retries and self.record.newest_start.epochs != len(self.rows):
            self._note_start(epochs=len(self.rows))
            self._directory.write_record(self.record)

    def _note_start(self, **values: Any) -> None:
        *before, start = self.record.starts
        self.record = replace(self.record, starts=(*before, replace(start, **values)))

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

    def _save(self, state: PlainMapping, rows: list[Epoch]) -> None:
        save_checkpoint(state, self._directory, rows)
        self._directory.write_epochs(rows)

    def settle(self) -> None:
        """Waits until the epoch before is saved, and raises what kept it from being saved."""
        saving, self._saving = self._saving, None
        if saving is not None:
            saving.result()

    def retry(self, error: Exception) -> None:
        """Notes an error after which the run tries again."""
        with suppress(Exception):
            self.settle()
        self.record = replace(self.record, retries=(*self.record.retries, self._describe(error)))

    def complete(self, trainee: Trainee) -> None:
        """Writes the results."""
        self.settle()
        self._end(
            replace(
                self.record,
                status=Status.COMPLETE,
                results=summarise(self.rows),
                times=total_times(self.rows),
                final_weights=layer_digests(trainee.model),
            )
        )
        self._directory.previous_checkpoint_file.unlink(missing_ok=True)

    def fail(self, error: BaseException) -> None:
        """Writes how the run ended before its last epoch, if anything can be written."""
        with suppress(Exception):  # the error of this epoch is the one to tell
            self.settle()
        with suppress(OSError):  # the error itself may be a full disk
            self._end(replace(self.record, status=_status(error), error=self._describe(error)))

    def _end(self, record: RunRecord) -> None:
        ended = _now()
        self.record = replace(record, ended=ended)
        self._note_start(ended=ended, other_runs_at_end=self._other_runs())
        self._directory.write_record(self.record)
        self._trackers.end(self.record)

    def _describe(self, error: BaseException) -> Failure:
        return describe_error(error, epoch=len(self.rows) + 1)


def record_failure(
    cfg: Config, directory: RunDirectory, overrides: Sequence[str], command: str | None, error: BaseException
) -> None:
    """Writes that a run failed before it could be described, if anything can be written.

    Args:
        cfg: The run's configuration.
        directory: The run directory, locked.
        overrides: What was typed to get the configuration.
        command: The identity of the command that tried to train it.
        error: What ended it.
    """
    with suppress(OSError):
        try:
            earlier, done = directory.read_record(), len(directory.read_epochs())
        except ValueError:
            earlier, done = None, 0
        if earlier is not None and earlier.id != run_id(cfg):
            return  # the folder is another run's
        now = _now()
        record = _begun(
            describe_run(cfg, None, overrides, started=now) if earlier is None else earlier,
            earlier,
            replace(provenance.process(now, command=command), ended=now, epochs=done),
        )
        failure = describe_error(error, epoch=done + 1)
        directory.write_record(replace(record, status=_status(error), error=failure, ended=now))


def _begun(record: RunRecord, earlier: RunRecord | None, start: Start) -> RunRecord:
    """Returns a record with a new start after the earlier ones."""
    if earlier is not None:
        record = replace(record, started=earlier.started, starts=earlier.starts)
    return replace(record, starts=(*record.starts, start))


def _status(error: BaseException) -> Status:
    """Returns how a run ended that an error has ended; SIGTERM is an error like Ctrl-C's."""
    if isinstance(error, Diverged):
        return Status.DIVERGED
    return Status.INTERRUPTED if isinstance(error, KeyboardInterrupt) else Status.FAILED


def describe_run(cfg: Config, prepared: Prepared | None, overrides: Sequence[str], started: str) -> RunRecord:
    """Returns the record of a run at its start: its configuration, and what it came from.

    Args:
        cfg: The run's configuration.
        prepared: The data, the model and the device that it describes; None if it failed before they were there.
        overrides: What was typed to get the configuration.
        started: When, in ISO 8601 and UTC.
    """
    record = RunRecord(
        status=Status.RUNNING,
        id=run_id(cfg),
        study=cfg.study.name,
        variant=cfg.model.name,
        seed=cfg.seed,
        config=plain(cfg),
        model=ModelFacts(after=Size()),
        data=None,
        pairing=None,
        provenance=provenance.collect(cfg.allow),
        overrides=tuple(overrides),
        started=started,
    )
    if prepared is None:
        return record
    data = prepared.data
    order = draw(len(data.train), cfg.data.padding, cfg.data.flip, cfg.seed, epoch=0).order
    return replace(
        record,
        model=prepared.variant.record,
        data=DataFacts(
            name=data.name,
            sha256=data.digest,
            images={name: len(split) for name, split in {"train": data.train, **data.evaluated}.items()},
            normalisation=data.normalisation,
        ),
        # What paired runs have in common: the report checks that it is.
        pairing=Pairing(
            initial_weights=layer_digests(prepared.trainee.model),
            first_epoch_order=hashlib.sha256(order.numpy().data).hexdigest()[:16],
        ),
        provenance=describe(record.provenance, prepared.device),
    )


def summary_line(record: RunRecord, folder: Path) -> str:
    """Returns a finished run in one line: its result, its time and its folder."""
    accuracy = record.results["test_accuracy"]
    return (
        f"{record.variant} seed {record.seed}: test accuracy {accuracy.final:.2%} after {record.planned_epochs} epochs "
        f"(highest {accuracy.maximum:.2%}, epoch {accuracy.maximum_epoch}), "
        f"{record.times['total_seconds']:.1f} s, {shown(folder)}"
    )


def shown(path: Path) -> Path:
    """Returns a path as one would type it here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _saver(device: torch.device) -> Executor | None:
    """Returns a thread that saves while an accelerator trains on; on the CPU it would only take the cores' time."""
    return None if device.type == "cpu" else ThreadPoolExecutor(1)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
