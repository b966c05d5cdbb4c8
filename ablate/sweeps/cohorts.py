"""Runs of a sweep trained in lock-step: those that agree in their data, their order of images and their base model."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress

from ablate.config.identity import fingerprint
from ablate.config.plain import plain
from ablate.config.schema import Config
from ablate.records.record import RunFailed, RunRecord, Status
from ablate.records.run_directory import Busy
from ablate.runs.job import Job
from ablate.runs.other_runs import counting_other_runs
from ablate.runs.prepare import assemble, first_images, prepare
from ablate.runs.recorder import Diverged, Recorder
from ablate.runs.resume import Action, inspect_run
from ablate.training.checkpoint import saved_epochs
from ablate.training.cohort_proof import disproved
from ablate.training.hardware import configured
from ablate.training.loop import fit

log = logging.getLogger(__name__)


def plan(jobs: Sequence[Job], most: int, processes: int = 1, across_seeds: bool = False) -> list[list[Job]]:
    """Returns the cohorts of a sweep, of so many runs at most; a run that can share none is a cohort of one.

    Each process should have work, and `across_seeds` allows runs of several seeds, each with its own batches.
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
    across_seeds = across_seeds and cfg.data.split is None  # else the images are not the same
    return fingerprint(plain(cfg), lambda meaning: meaning.cohort and not (meaning.repeats and across_seeds))


def train_cohort(jobs: Sequence[Job], command: str, on_progress: Callable[[float], object]) -> None:
    """Trains the jobs of a cohort in lock-step and records them as if each had been trained alone.

    Runs that are complete, that another process works on, or that `rerun` leaves as they are do not take part. A run
    whose loss is not finite leaves the cohort, and so does one that cannot be prepared; any other failure ends it, and
    each of its runs is then trained alone.

    A cohort that was stopped is resumed as it was, so that it ends with the same numbers: by the same runs, from the
    last epoch after which the states of all are there. A run that was trained alone stays alone.
    """
    with ExitStack() as stack:
        stack.enter_context(configured(jobs[0].cfg.hardware))
        other_runs = stack.enter_context(counting_other_runs())
        wanted = [run for job in jobs if (run := _wanted(job, command, stack)) is not None]
        for company, together in _companies(wanted, jobs):
            _train_together(together, company, other_runs, on_progress)


def _wanted(job: Job, command: str, stack: ExitStack) -> Recorder | None:
    """Locks a job's run as long as the stack lasts, and returns it, if it is to be trained."""
    directory = job.directory
    directory.folder.mkdir(parents=True, exist_ok=True)
    stack.enter_context(suppress(RunFailed))  # a store that stays away: the run's own job tries again, and says it
    try:
        stack.enter_context(directory.lock())
    except Busy:
        return None
    earlier = inspect_run(job, directory, command)
    if earlier.action in (Action.KEEP, Action.LEAVE):
        return None
    recorder = Recorder(job, directory, command)
    if earlier.action is Action.START:
        directory.forget()
    else:
        recorder.earlier = earlier.record
    return recorder


def _companies(wanted: Sequence[Recorder], jobs: Sequence[Job]) -> Iterator[tuple[frozenset[str], list[Recorder]]]:
    """Yields the runs that are trained together, as they lie after their common last epoch, and the whole company.

    The company is what is recorded of a cohort that was begun: also runs that have diverged since. Runs that were begun
    alone, and those that have diverged before, are left to their jobs.
    """
    saved = {run: saved_epochs(run.directory) for run in wanted}
    begun_with = {run: _company(run.earlier, jobs) for run in wanted if saved[run]}
    companies: dict[frozenset[str], list[Recorder]] = {company: [] for company in begun_with.values() if company}
    new = []
    for run in wanted:
        begun = begun_with.get(run, next((company for company in companies if run.job.id in company), None))
        if begun is None:
            new.append(run)
        elif begun:
            companies[begun].append(run)
    diverged = {job.id for job in jobs if _diverged_in(job.directory.readable_record()) is not None}
    for company, runs in companies.items():
        after = {run: _diverged_in(run.earlier) for run in runs}
        steady = [saved[run] | {0} for run in runs if after[run] is None]
        if not steady:
            continue
        level = max(frozenset.intersection(*steady))
        here = [run for run in runs if (last := after[run]) is None or last > level in saved[run] | {0}]
        for run in here:
            if level == 0:
                run.directory.forget()
            elif level < max(saved[run]):
                run.directory.take_back()
        ids = frozenset(run.job.id for run in here)
        yield company if company - ids <= diverged else ids, here
    if new:
        yield frozenset(run.job.id for run in new), new


def _company(record: RunRecord | None, jobs: Sequence[Job]) -> frozenset[str]:
    """Returns the runs that a run was last trained with, its own among them; none if alone."""
    if record is None:
        return frozenset()
    known, command = record.newest_start.cohort, record.newest_start.command
    # Records of before do not name them.
    return frozenset(job.id for job in jobs) if record.cohort and not known and command is None else frozenset(known)


def _diverged_in(record: RunRecord | None) -> int | None:
    """Returns the epoch in which a run diverged, if it did."""
    return record.error.epoch if record and record.error and record.status is Status.DIVERGED else None


def _train_together(
    wanted: Sequence[Recorder],
    company: frozenset[str],
    other_runs: Callable[[], int | None],
    on_progress: Callable[[float], object],
) -> None:
    runs: list[Recorder] = []
    try:
        for run in wanted:
            try:
                # What fits all members of a cohort is rewritten as they are merged.
                prepared = prepare(run.job.cfg, rewrite=len(company) == 1)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # its own job tells it
                log.warning("%s cannot be prepared beside others: %s", run.job.name, error)
                continue
            run.describe(prepared, other_runs)
            runs.append(run)
        runs = _proved(runs)
        company -= {run.job.id for run in wanted} - {run.job.id for run in runs}
        if len(company) == 1 < len(wanted):
            return  # what is left of several was not rewritten as a run alone is
        for run in runs:
            run.started(sorted(company) if len(company) > 1 else ())
            run.restore()
        if runs:
            _train(runs, on_progress)
    except KeyboardInterrupt as error:
        for run in runs:
            if run.record.status is Status.RUNNING:
                run.fail(error)
        raise
    except BaseException as error:
        names = ", ".join(run.job.name for run in runs)
        log.warning("a cohort failed; its runs are trained alone (%s): %s", names, error, exc_info=error)
    finally:
        for run in runs:
            with suppress(Exception):  # what is being saved is saved before the runs' locks go
                run.settle()


def _proved(runs: list[Recorder]) -> list[Recorder]:
    """Returns the runs that compute beside each other what they compute alone; the others are left to train alone."""
    left = runs
    while len(left) > 1:
        cfg = left[0].job.cfg
        trainees, images = [run.prepared.trainee for run in left], first_images(left[0].prepared.data, cfg)
        reasons = disproved(trainees, [run.job.cfg.seed for run in left], images, cfg.hardware.rewrite)
        if not any(reasons):
            return left
        for run, reason in zip(left, reasons, strict=True):
            if reason:
                log.info("%s is trained alone: %s", run.job.name, reason)
        left = [run for run, reason in zip(left, reasons, strict=True) if not reason]
    return left if len(runs) == 1 else []


def _train(runs: list[Recorder], on_progress: Callable[[float], object]) -> None:
    epochs = runs[0].job.cfg.train.epochs
    for run in runs:
        on_progress(len(run.rows) / epochs)
    while runs and len(runs[0].rows) < epochs:
        for run in _lock_step(runs, on_progress):
            runs.remove(run)
    _settle(runs)  # else one would be complete, and of another an epoch still to train
    for run in runs:
        run.complete()


def _settle(runs: Sequence[Recorder]) -> None:
    for run in runs:
        run.settle()


def _lock_step(runs: Sequence[Recorder], on_progress: Callable[[float], object]) -> list[Recorder]:
    """Trains runs of one number of epochs to their last; ends early, returning them, where some diverge."""
    cfg = runs[0].job.cfg
    training = assemble(cfg, [run.prepared for run in runs], [run.job.cfg.seed for run in runs])
    if len(runs) > 1:
        for run in runs:
            run.rewritten(training.step.cohort.rewrites)
    share = len(runs) / (len(training.batches[0]) * cfg.train.epochs)
    for rows in fit(training, range(len(runs[0].rows), cfg.train.epochs), lambda: on_progress(share)):
        _settle(runs)  # so that no two are more than an epoch apart, and all can go back to the same
        diverged = []
        for run, row in zip(runs, rows, strict=True):
            try:
                run.epoch(row)
            except Diverged as error:
                run.fail(error)
                log.error("%s failed: %s", run.job.name, error)
                diverged.append(run)
        if diverged:
            return diverged
    return []
