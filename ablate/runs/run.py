"""One run, top to bottom: config -> data -> model -> training -> records."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import torch

from ablate.records.record import Failure, RunFailed, Status
from ablate.runs.job import Job
from ablate.runs.other_runs import counting_other_runs
from ablate.runs.prepare import assemble, prepare
from ablate.runs.progress import Progress
from ablate.runs.recorder import Diverged, Recorder, shown, summary_line
from ablate.runs.resume import Action, Earlier, inspect_run
from ablate.training.hardware import configured
from ablate.training.loop import fit

log = logging.getLogger(__name__)


def run(job: Job, progress: Progress, wait: bool = True, command: str | None = None) -> float:
    """Trains a run from its start, or resumes it; one that is complete is kept.

    Its folder exists. While another process works on the run, `wait` waits; the command may itself have finished it in
    a cohort. The study's metric after the last epoch is returned.

    Raises:
        ValueError: The configuration is refused, or the folder holds another run; nothing was started.
        RunFailed: The run started and failed, which its record says, or its files could not be brought to its store.
        Busy: Another process works on the run, and `wait` is not set.
    """
    directory = job.directory
    recorder = Recorder(job, directory, command)
    waits = partial(
        log.info, "%s is being run by another process; waiting for it: %s", job.name, shown(directory.folder)
    )
    with directory.lock(waits if wait else None), _recording_failure(recorder):
        earlier = inspect_run(job, directory, command)
        if earlier.why:
            log.info("%s %s", job.name, earlier.why)
        if earlier.action in (Action.KEEP, Action.LEAVE):
            return _kept(recorder, earlier, progress)
        if earlier.action is Action.START:
            directory.forget()
        else:
            recorder.earlier = earlier.record
        _train_recorded(recorder, progress)
    log.info(summary_line(recorder.record, directory.folder))
    return directory.value(recorder.record, job.cfg.study.metric)


@contextmanager
def _recording_failure(recorder: Recorder) -> Iterator[None]:
    """Records an error of any kind, also one that comes before the run is described, such as full memory."""
    try:
        yield
    except RunFailed:
        raise
    except KeyboardInterrupt as error:
        if recorder.is_described:
            recorder.fail(error)
        raise
    except BaseException as error:
        recorder.fail(error)
        if isinstance(error, ValueError) and not recorder.is_described:
            raise
        name, log_file = recorder.job.name, recorder.directory.log_file
        log.error("%s failed: %s: %s", name, type(error).__name__, error, exc_info=error)
        why = str(error) or type(error).__name__
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            why += "\nThe memory is full: take a smaller train.batch_size"
        why = f"{name} failed: {why}\nIts log is {shown(log_file)}"
        raise RunFailed(why, isinstance(error, Diverged)) from error


def _kept(recorder: Recorder, earlier: Earlier, progress: Progress) -> float:
    """Says that a run is complete, and records whether it is stale, for the report to show; returns its result."""
    job, folder, record = recorder.job, recorder.directory.folder, earlier.record
    assert record is not None
    if not earlier.fresh:
        progress.advance(1)
    if earlier.action is Action.LEAVE:
        why, error = "before, and rerun=never leaves it so", record.error or Failure()
        if earlier.fresh:  # this run's log has not seen the cohort's errors
            log.error("%s %s in a cohort\n%s", job.name, record.status, error.traceback)
            why = error.message
        diverged = record.status is Status.DIVERGED
        raise RunFailed(f"{job.name} {record.status}: {why}\nIt is in {shown(folder)}", diverged)
    if earlier.fresh:
        log.info(summary_line(record, folder))
    else:
        if record.stale != earlier.stale:
            recorder.directory.write_record(replace(record, stale=earlier.stale))
        stale = f"stale: {'; '.join(earlier.stale)}; rerun=stale" if earlier.stale else "rerun=all"
        log.info("%s is complete already: %s (%s restarts it)", job.name, shown(folder), stale)
    return job.directory.value(record, job.cfg.study.metric)


def _train_recorded(recorder: Recorder, progress: Progress) -> None:
    """Trains a run to its last epoch, again after an error as often as the configuration says."""
    cfg = recorder.job.cfg
    with configured(cfg.hardware), counting_other_runs() as other_runs:
        recorder.describe(prepare(cfg), other_runs)
        recorder.started()
        for left in range(cfg.train.max_retries, -1, -1):
            try:
                train(recorder, progress, cfg.train.epochs)
                break
            except Exception as error:
                if isinstance(error, Diverged) or left == 0:
                    raise
                recorder.retry(error)
                log.warning("%s: %s: %s; trying again", recorder.job.name, type(error).__name__, error, exc_info=error)
            recorder.prepared = prepare(cfg)  # the error may have left the model in the middle of a step
        recorder.complete()


def train(recorder: Recorder, progress: Progress, until: int) -> None:
    """Trains from the newest checkpoint, or from the start, to an epoch, and records each epoch as it ends."""
    job, prepared = recorder.job, recorder.prepared
    training = assemble(job.cfg, [prepared], [job.cfg.seed])
    recorder.restore()
    done, steps = len(recorder.rows), len(training.batches[0])
    if done:
        alone = ", alone; it was begun in a cohort" if recorder.record.changed_company else ""
        log.info("%s resumes after epoch %d%s", job.name, done, alone)
    with progress.run(job.name, until * steps, done * steps) as on_step:
        for (row,) in fit(training, range(done, until), on_step):
            recorder.epoch(row)
    recorder.settle()
