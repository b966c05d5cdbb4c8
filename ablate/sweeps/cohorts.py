"""Runs of a sweep trained in lock-step: those that agree in their data, their order of images and their base model."""

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from ablate.config.identity import fingerprint
from ablate.config.plain import plain
from ablate.config.schema import Config
from ablate.records.record import RunRecord, Status
from ablate.records.run_directory import Busy, RunDirectory, RunFailed
from ablate.runs.other_runs import counting_other_runs
from ablate.runs.prepare import Prepared, assemble, first_images, prepare
from ablate.runs.recorder import Diverged, Recorder
from ablate.runs.resume import Action, inspect_run
from ablate.sweeps.jobs import Job
from ablate.training.cohort_proof import disproved
from ablate.training.hardware import configured
from ablate.training.loop import fit

log = logging.getLogger(__name__)


def plan(jobs: Sequence[Job], most: int, processes: int = 1, across_seeds: bool = False) -> list[list[Job]]:
    """Returns the cohorts of a sweep; a run that can share none is a cohort of one.

    Args:
        jobs: Of the sweep.
        most: Runs of a cohort.
        processes: That train cohorts at the same time; each should have work.
        across_seeds: Whether a cohort may have runs of several seeds, whose batches are their own.
    """
    alike: dict[str, list[Job]] = {}
    for job in jobs:
        alike.setdefault(_in_common(job.cfg, across_seeds), []).append(job)
    cohorts = [group[start : start + most] for group in alike.values() for start in range(0, len(group), most)]
    left_over = len(cohorts) % processes
    if left_over and processes > 1:  # the last round would leave processes without work
        parts = -(-processes // left_over)
        cohorts[-left_over:] = [cohort[part::parts] for cohort in cohorts[-left_over:] for part in range(parts)]
    return [cohort for cohort in cohorts if cohort]


def _in_common(cfg: Config, across_seeds: bool) -> str:
    """Returns what the runs of a cohort have in common."""
    return fingerprint(plain(cfg), lambda meaning: meaning.cohort and not (meaning.repeats and across_seeds))


@dataclass
class _Run:
    cfg: Config
    prepared: Prepared
    recorder: Recorder

    @property
    def done(self) -> int:
        return len(self.recorder.rows)


def train_cohort(jobs: Sequence[Job], since: str, on_progress: Callable[[float], object]) -> None:
    """Trains jobs in lock-step and records them as if each had been trained alone.

    Runs that are complete, that another process works on, or that `rerun` leaves as they are do not take part. A run
    whose loss is not finite leaves the cohort; any other failure ends it, and each of its runs is then trained alone.

    Args:
        jobs: Those of a cohort.
        since: When the command started.
        on_progress: Called with the share of a run that has been trained.
    """
    with ExitStack() as stack:
        stack.enter_context(configured(jobs[0].cfg.hardware))
        other_runs = stack.enter_context(counting_other_runs())
        runs: list[_Run] = []
        try:
            wanted = [found for job in jobs if (found := _wanted(job, since, stack)) is not None]
            for job, directory, earlier in wanted:
                # What fits all members of a cohort is rewritten as they are merged.
                prepared = prepare(job.cfg, rewrite=len(wanted) == 1)
                recorder = Recorder(job.cfg, prepared, directory, job.overrides, earlier, other_runs)
                runs.append(_Run(job.cfg, prepared, recorder))
            runs = _proved(runs)
            for run in runs:
                run.recorder.started(cohort=len(runs) if len(runs) > 1 else None)
                run.recorder.restore(run.prepared.trainee)
            if runs:
                _train(runs, on_progress)
        except Exception as error:
            names = ", ".join(run.recorder.name for run in runs)
            log.warning("a cohort failed; its runs are trained alone (%s): %s", names, error, exc_info=error)
        except BaseException as error:
            for run in runs:
                if run.recorder.record.status is Status.RUNNING:
                    run.recorder.fail(error)
            raise
        finally:
            for run in runs:
                with suppress(Exception):  # what is being saved is saved before the runs' locks go
                    run.recorder.settle()


def _proved(runs: list[_Run]) -> list[_Run]:
    """Returns the runs that compute beside each other what they compute alone; the others are left to train alone."""
    left = runs
    while len(left) > 1:
        cfg, data = left[0].cfg, left[0].prepared.data
        images = first_images(data, cfg)
        trainees = [run.prepared.trainee for run in left]
        reasons = disproved(trainees, [run.cfg.seed for run in left], images, cfg.hardware.rewrite)
        if not any(reasons):
            return left
        for run, reason in zip(left, reasons, strict=True):
            if reason:
                log.info("%s is trained alone: %s", run.recorder.name, reason)
        left = [run for run, reason in zip(left, reasons, strict=True) if not reason]
    # One that is left of several was not rewritten as a run alone is.
    return left if len(runs) == 1 else []


def _wanted(job: Job, since: str, stack: ExitStack) -> tuple[Job, RunDirectory, RunRecord | None] | None:
    """Locks a job's run as long as the stack lasts, if it is to be trained.

    Returns:
        The job, its directory, and the record of the run if it is resumed; None if it is not to be trained.
    """
    directory = job.directory
    directory.folder.mkdir(parents=True, exist_ok=True)
    stack.enter_context(suppress(RunFailed))  # a store that stays away: the run's own job tries again, and says it
    try:
        stack.enter_context(directory.lock())
    except Busy:
        return None
    earlier = inspect_run(job.cfg, directory, since)
    if earlier.decision.action in (Action.KEEP, Action.LEAVE):
        return None
    if earlier.decision.action is Action.START:
        directory.forget()
        return job, directory, None
    return job, directory, earlier.record


def _train(runs: list[_Run], on_progress: Callable[[float], object]) -> None:
    epochs = runs[0].cfg.train.epochs
    for run in runs:
        on_progress(run.done / epochs)
    while runs:
        # A cohort that was killed has left its runs an epoch apart: those behind catch up first.
        levels = sorted({run.done for run in runs})
        together = [run for run in runs if run.done == levels[0]]
        until = levels[1] if len(levels) > 1 else epochs
        for run in _lock_step(together, until, on_progress):
            runs.remove(run)
        if all(run.done == epochs for run in runs):
            break
    for run in runs:
        run.recorder.complete(run.prepared.trainee)


def _lock_step(runs: Sequence[_Run], until: int, on_progress: Callable[[float], object]) -> list[_Run]:
    """Trains runs of one number of epochs up to another; ends early, returning them, where some diverge."""
    cfg = runs[0].cfg
    training = assemble(cfg, [run.prepared for run in runs], [run.cfg.seed for run in runs])
    if len(runs) > 1:
        for run in runs:
            run.recorder.rewritten(training.step.cohort.rewrites)
    share = len(runs) / (len(training.batches[0]) * cfg.train.epochs)
    for rows in fit(training, range(runs[0].done, until), lambda: on_progress(share)):
        diverged = []
        for run, row in zip(runs, rows, strict=True):
            try:
                run.recorder.epoch(run.prepared.trainee, row)
            except Diverged as error:
                run.recorder.fail(error)
                log.error("%s failed: %s", run.recorder.name, error)
                diverged.append(run)
        if diverged:
            return diverged
    return []
