"""Records a run as it goes: how it starts, each epoch, how it ends or fails."""

import hashlib
import logging
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ablate.config.plain import plain
from ablate.data.batches import draw
from ablate.files import PlainMapping
from ablate.models.variant import layer_digests, weight_digests
from ablate.records import provenance
from ablate.records.epochs import Epoch, summarise, total_times
from ablate.records.record import DataFacts, Failure, ModelFacts, Pairing, RunRecord, Size, Status, describe_error, now
from ablate.records.run_directory import RunDirectory
from ablate.runs.job import Job
from ablate.runs.prepare import Prepared
from ablate.runs.progress import EPOCH_LOGGER
from ablate.trackers.base import Trackers
from ablate.training.checkpoint import resume, save_checkpoint, snapshot
from ablate.training.hardware import describe

epoch_log = logging.getLogger(EPOCH_LOGGER)


class Diverged(ArithmeticError):
    """A loss is no longer a finite number."""


class Recorder:
    """A run under way: writes its record, its epochs and its checkpoints, from one start to its end.

    Its directory is locked. `prepared` and `record` are there once the run is described.
    """

    earlier: RunRecord | None = None  # of earlier starts, of a run that is resumed
    prepared: Prepared  # what is trained
    record: RunRecord  # what run.json holds, or will hold when it is written next
    is_described = False

    def __init__(self, job: Job, directory: RunDirectory, command: str | None = None) -> None:
        self.job, self.directory, self._command = job, directory, command
        self.rows: list[Epoch] = []  # of all complete epochs
        self._other_runs: Callable[[], int | None] = lambda: None
        self._trackers = Trackers({}, job.name)
        self._saver: Executor | None = None
        self._saving: Future[None] | None = None

    def describe(self, prepared: Prepared, other_runs: Callable[[], int | None] = lambda: None) -> None:
        """Takes what is trained, and what counts the other runs on this machine; writes nothing."""
        self.prepared, self._other_runs = prepared, other_runs
        cfg, data = self.job.cfg, prepared.data
        self._trackers = Trackers(cfg.logger, self.job.name)
        self._saver = _saver(prepared.device)
        record = _described(self.job)
        order = draw(len(data.train), cfg.data.padding, cfg.data.flip, cfg.seed, epoch=0).order
        record = replace(
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
                initial_weights=weight_digests(prepared.trainee.model),
                first_epoch_order=hashlib.sha256(order.numpy().data).hexdigest()[:16],
            ),
            provenance=describe(record.provenance, prepared.device),
        )
        self._begin(record, self.earlier)
        self.is_described = True

    def _begin(self, record: RunRecord, earlier: RunRecord | None) -> None:
        moment = now()
        start = provenance.process(moment, self._other_runs(), self._command)
        started, before = (moment, ()) if earlier is None else (earlier.started, earlier.starts)
        self.record = replace(record, started=started, starts=(*before, start))

    def started(self, cohort: Sequence[str] = ()) -> None:
        """Writes that the run is running, and the identities of its cohort, its own among them."""
        epochs, known, before = 0, dict[str, str | None](), None
        if self.earlier is not None:
            epochs, known = len(self.directory.read_epochs()), dict(self.earlier.trackers)
            before = self.earlier.cohort if epochs else None
        self.record = replace(self.record, cohort=len(cohort) or before)
        self._note_start(cohort=tuple(sorted(cohort)), epochs=epochs)
        trackers = self._trackers.start(self.record, self.directory.folder, epochs, known)
        self.record = replace(self.record, trackers=trackers)
        self.directory.write_record(self.record)

    def rewritten(self, rewrites: Sequence[str]) -> None:
        """Notes the exact rewrites that were made as the run's cohort was merged."""
        self.record = replace(self.record, model=replace(self.record.model, rewrites=tuple(rewrites)))

    def restore(self) -> None:
        """Puts the newest checkpoint, if there is one, into what is trained, and its epochs into the rows."""
        self.rows = resume(self.prepared.trainee, self.directory)
        if self.rows:
            self.directory.write_epochs(self.rows)  # a kill may have come between the checkpoint and the table
        if not self.record.retries and self.record.newest_start.epochs != len(self.rows):
            self._note_start(epochs=len(self.rows))
            self.directory.write_record(self.record)

    def _note_start(self, **values: Any) -> None:
        *before, start = self.record.starts
        self.record = replace(self.record, starts=(*before, replace(start, **values)))

    def epoch(self, row: Epoch) -> None:
        """Saves the state and the row of an epoch that has ended, on an accelerator while the next one goes on.

        Raises:
            Diverged: A loss is not finite.
            OSError: This epoch, or the one before it, cannot be saved.
        """
        epoch_log.info(
            "%s epoch %d of %d: training loss %.4f, test loss %.4f, test accuracy %.2f %%", self.job.name, row["epoch"],
            self.job.cfg.train.epochs, row["train_loss"], row["test_loss"], 100 * row["test_accuracy"],
        )  # fmt: skip
        self.settle()
        rows = [*self.rows, row]
        if not (math.isfinite(row["train_loss"]) and math.isfinite(row["test_loss"])):
            self.directory.write_epochs(rows)
            raise Diverged(f"the loss is not finite after epoch {len(rows)}; a smaller optimizer.lr may help")
        state = snapshot(self.prepared.trainee)
        if self._saver is None:
            self._save(state, rows)
        else:
            self._saving = self._saver.submit(self._save, state, rows)
        self.rows = rows
        self._trackers.epoch(row)

    def _save(self, state: PlainMapping, rows: list[Epoch]) -> None:
        save_checkpoint(state, self.directory, rows)
        self.directory.write_epochs(rows)

    def settle(self) -> None:
        """Waits until the epoch before is saved, and raises what kept it from being saved."""
        saving, self._saving = self._saving, None
        if saving is not None:
            saving.result()

    def retry(self, error: Exception) -> None:
        """Notes an error after which the run tries again."""
        with suppress(Exception):
            self.settle()
        self.record = replace(self.record, retries=(*self.record.retries, self._failure(error)))

    def complete(self) -> None:
        """Writes the results."""
        self.settle()
        results, times = summarise(self.rows), total_times(self.rows)
        weights = layer_digests(self.prepared.trainee.result)
        self._end(replace(self.record, status=Status.COMPLETE, results=results, times=times, final_weights=weights))
        self.directory.previous_checkpoint_file.unlink(missing_ok=True)

    def fail(self, error: BaseException) -> None:
        """Writes how the run ended before its last epoch, if anything can be written and the folder is its own."""
        with suppress(Exception):  # the error of this epoch is the one to tell
            self.settle()
        with suppress(OSError):  # the error itself may be a full disk
            if self.is_described or self._begin_undescribed():
                self._end(replace(self.record, status=_status(error), error=self._failure(error)))

    def _begin_undescribed(self) -> bool:
        """Begins the record of a run that could not be prepared, or continues the one that is there, if it is its."""
        try:
            earlier, self.rows = self.directory.read_record(), self.directory.read_epochs()
        except ValueError:
            earlier = None
        if earlier is not None and earlier.id != self.job.id:
            return False
        self._begin(earlier or _described(self.job), earlier)
        self._note_start(epochs=len(self.rows))
        return True

    def _end(self, record: RunRecord) -> None:
        self.record = replace(record, ended=now())
        self._note_start(ended=self.record.ended, other_runs_at_end=self._other_runs())
        self.directory.write_record(self.record)
        self._trackers.end(self.record)

    def _failure(self, error: BaseException) -> Failure:
        return describe_error(error, epoch=len(self.rows) + 1)


def _status(error: BaseException) -> Status:
    """Returns how a run ended that an error has ended; SIGTERM is an error like Ctrl-C's."""
    if isinstance(error, Diverged):
        return Status.DIVERGED
    return Status.INTERRUPTED if isinstance(error, KeyboardInterrupt) else Status.FAILED


def _described(job: Job) -> RunRecord:
    """Returns the record of a run as far as it is known before the run is prepared."""
    return RunRecord(
        status=Status.RUNNING,
        id=job.id,
        study=job.cfg.study.name,
        variant=job.cfg.model.name,
        seed=job.cfg.seed,
        config=plain(job.cfg),
        model=ModelFacts(after=Size()),
        data=None,
        pairing=None,
        provenance=provenance.collect(job.cfg.allow),
        overrides=tuple(job.overrides),
        started="",
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
