"""One run, top to bottom: config -> data -> model -> training -> records."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from ablate.config.schema import Config
from ablate.records.record import Failure, RunRecord, Status
from ablate.records.run_directory import RunDirectory, RunFailed
from ablate.runs.other_runs import counting_other_runs
from ablate.runs.prepare import Prepared, assemble, prepare
from ablate.runs.progress import Progress
from ablate.runs.recorder import Diverged, Recorder, record_failure, shown, summary_line
from ablate.runs.resume import Action, Earlier, inspect_run, run_directory
from ablate.training.hardware import configured
from ablate.training.loop import fit

log = logging.getLogger(__name__)


def run(
    cfg: Config,
    folder: Path,
    progress: Progress,
    overrides: Sequence[str] = (),
    wait: bool = True,
    command: str | None = None,
) -> float:
    """Trains a run from its start, or resumes it; one that is complete is kept.

    Args:
        cfg: The composed configuration, without Hydra's own node.
        folder: The run directory, which exists.
        progress: Shows how far the run is.
        overrides: What was typed to get this configuration, as Hydra tells; recorded.
        wait: Whether to wait while another process works on the run.
        command: The identity of the command, which may have finished the run in a cohort.

    Returns:
        The study's metric after the last epoch.

    Raises:
        ValueError: The configuration is refused, or the folder holds another run; nothing was started.
        RunFailed: The run started and failed, which its record says, or its files could not be brought to its store.
        Busy: Another process works on the run, and `wait` is not set.
    """
    directory = run_directory(cfg, folder)
    name = f"{cfg.model.name} seed {cfg.seed}"
    on_wait = partial(log.info, "%s is being run by another process; waiting for it: %s", name, shown(folder))
    with directory.lock(on_wait if wait else None), _recording_failure(cfg, directory, overrides, command):
        earlier = inspect_run(cfg, directory, command)
        action, why = earlier.decision.action, earlier.decision.why
        if why:
            log.info("%s %s", name, why)
        if action in (Action.KEEP, Action.LEAVE) and earlier.record is not None:
            if not earlier.fresh:
                progress.advance(1)
            if action is Action.LEAVE:
                raise _left(name, folder, earlier.record, earlier.fresh)
            _tell_complete(name, directory, earlier.record, earlier)
            return directory.value(earlier.record, cfg.study.metric)
        if action is Action.START:
            directory.forget()
        resumed = earlier.record if action is Action.RESUME else None
        record = _train_recorded(cfg, directory, progress, overrides, resumed, command)
    log.info(summary_line(record, folder))
    return directory.value(record, cfg.study.metric)


@contextmanager
def _recording_failure(
    cfg: Config, directory: RunDirectory, overrides: Sequence[str], command: str | None
) -> Iterator[None]:
    """Records an error of any kind that comes before the run has a recorder, such as full memory as its model is built.

    Raises:
        ValueError: The configuration is refused, as it could have been before.
        RunFailed: For any other error.
    """
    try:
        yield
    except (RunFailed, KeyboardInterrupt):
        raise
    except BaseException as error:
        record_failure(cfg, directory, overrides, command, error)
        if isinstance(error, ValueError):
            raise
        raise _failed(f"{cfg.model.name} seed {cfg.seed}", directory, error) from error


def _failed(name: str, directory: RunDirectory, error: BaseException) -> RunFailed:
    log.error("%s failed: %s: %s", name, type(error).__name__, error, exc_info=error)
    why = f"{name} failed: {_explain(error)}\nIts log is {shown(directory.log_file)}"
    return RunFailed(why, isinstance(error, Diverged))


def _left(name: str, folder: Path, record: RunRecord, fresh: bool) -> RunFailed:
    """Returns the error that stands for a run that failed, before or just now in a cohort, and is not run again."""
    why, error = "before, and rerun=never leaves it so", record.error or Failure()
    if fresh:  # this run's log has not seen the cohort's errors
        log.error("%s %s in a cohort\n%s", name, record.status, error.traceback)
        why = error.message
    return RunFailed(f"{name} {record.status}: {why}\nIt is in {shown(folder)}", record.status is Status.DIVERGED)


def _tell_complete(name: str, directory: RunDirectory, record: RunRecord, earlier: Earlier) -> None:
    """Says that a run is complete, and records whether it is stale, for the report to show."""
    if earlier.fresh:
        log.info(summary_line(record, directory.folder))
        return
    if record.stale != tuple(earlier.stale):
        directory.write_record(replace(record, stale=tuple(earlier.stale)))
    note = f"stale: {'; '.join(earlier.stale)}; rerun=stale restarts it" if earlier.stale else "rerun=all restarts it"
    log.info("%s is complete already: %s (%s)", name, shown(directory.folder), note)


def _train_recorded(
    cfg: Config,
    directory: RunDirectory,
    progress: Progress,
    overrides: Sequence[str],
    earlier: RunRecord | None,
    command: str | None,
) -> RunRecord:
    """Trains a run to its last epoch and returns its record; how it ends is recorded whatever happens.

    Args:
        cfg: The run's configuration.
        directory: Its directory, locked.
        progress: Shows how far the run is.
        overrides: What was typed to get the configuration.
        earlier: The record of the run that is resumed; None to start it.
        command: The identity of the command.

    Raises:
        RunFailed: Its training failed.
    """
    with configured(cfg.hardware), counting_other_runs() as other_runs:
        prepared = prepare(cfg)
        recorder = Recorder(cfg, prepared, directory, overrides, earlier, other_runs, command)
        try:
            recorder.started()
            prepared = _train_with_retries(cfg, prepared, recorder, progress)
            recorder.complete(prepared.trainee)
        except BaseException as error:
            recorder.fail(error)
            if isinstance(error, KeyboardInterrupt):
                raise
            raise _failed(recorder.name, directory, error) from error
        return recorder.record


def train(cfg: Config, prepared: Prepared, recorder: Recorder, progress: Progress, until: int) -> None:
    """Trains from the newest checkpoint, or from the start, and records each epoch as it ends.

    Args:
        cfg: The run's configuration.
        prepared: What it describes.
        recorder: Records the epochs.
        progress: Shows how far the run is.
        until: The last epoch to train, counted from 1.

    Raises:
        Diverged: A loss is not finite.
    """
    training = assemble(cfg, [prepared], [cfg.seed])
    recorder.restore(prepared.trainee)
    done, steps = len(recorder.rows), len(training.batches[0])
    if done:
        alone = ", alone; it was begun in a cohort" if recorder.record.changed_company else ""
        log.info("%s resumes after epoch %d%s", recorder.name, done, alone)
    with progress.run(recorder.name, until * steps, done * steps) as on_step:
        for (row,) in fit(training, range(done, until), on_step):
            recorder.epoch(prepared.trainee, row)
    recorder.settle()


def _train_with_retries(cfg: Config, prepared: Prepared, recorder: Recorder, progress: Progress) -> Prepared:
    for left in range(cfg.train.max_retries, -1, -1):
        try:
            train(cfg, prepared, recorder, progress, cfg.train.epochs)
            break
        except Exception as error:
            if isinstance(error, Diverged) or left == 0:
                raise
            recorder.retry(error)
            log.warning("%s: %s: %s; trying again", recorder.name, type(error).__name__, error, exc_info=error)
        prepared = prepare(cfg)  # the error may have left the model in the middle of a step
    return prepared


def _explain(error: BaseException) -> str:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return f"{_message(error)}\nThe memory is full: take a smaller train.batch_size"
    return _message(error)


def _message(error: BaseException) -> str:
    return str(error) or type(error).__name__
