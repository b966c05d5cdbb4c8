"""One run, top to bottom: config -> data -> model -> training -> records."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ablate.config.schema import Config
from ablate.records.run_directory import RunDirectory, RunFailed
from ablate.records.uploads import HURRY, PATIENCE, RunStore, StoreFailed, store_of
from ablate.runs.other_runs import announced
from ablate.runs.prepare import Prepared, assemble, prepare
from ablate.runs.progress import Progress
from ablate.runs.recorder import Diverged, Recorder, shown, summary_line
from ablate.runs.resume import Action, Found, look
from ablate.training.hardware import configured
from ablate.training.loop import fit

log = logging.getLogger(__name__)


def run(
    cfg: Config,
    folder: Path,
    progress: Progress,
    overrides: Sequence[str] = (),
    wait: bool = True,
    since: str | None = None,
) -> float:
    """Trains one run, or goes on with it, or finds it complete.

    Args:
        cfg: The composed configuration, without Hydra's own node.
        folder: The run directory, which exists.
        progress: Shows how far the run is.
        overrides: What was typed to get this configuration, as Hydra tells; recorded.
        wait: Whether to wait while another process works on the run.
        since: When the command started, if it may have finished the run in a cohort.

    Returns:
        The study's metric after the last epoch.

    Raises:
        ValueError: The configuration is refused; nothing was started.
        RunFailed: The run started and failed; it is recorded as such.
        Busy: Another process works on the run, and `wait` is not set.
    """
    directory = RunDirectory(folder)
    name = f"{cfg.model.name} seed {cfg.seed}"
    on_wait = partial(log.info, "%s is being run by another process; waiting for it: %s", name, shown(folder))
    store = store_of(cfg.store, cfg.study.name, directory)
    with directory.lock(on_wait if wait else None), _in_store(store, name):
        if store is not None:
            store.pull()
        found = look(cfg, directory, since)
        record, decision = found.record, found.decision
        if decision.why:
            log.info("%s %s", name, decision.why)
        if store is not None:
            store.forget() if decision.action is Action.START else store.catch_up()
        if decision.action is Action.START:
            directory.forget()
        elif record is not None and decision.action is not Action.RESUME:
            if not found.fresh:
                progress.advance(1)
            if decision.action is Action.LEAVE:
                if found.fresh:  # in a cohort, whose errors this run's log has not seen
                    log.error("%s %s in a cohort\n%s", name, record["status"], record["error"]["traceback"])
                why = record["error"]["message"] if found.fresh else "before, and rerun=never leaves it so"
                raise RunFailed(f"{name} {record['status']}: {why}\nIt is in {shown(folder)}")
            _tell(name, directory, record, found)
            return metric(cfg, record)

        with configured(cfg.hardware), announced() as other_runs:
            prepared = prepare(cfg)
            earlier = record if decision.action is Action.RESUME else None
            recorder = Recorder(cfg, prepared, directory, overrides, earlier, other_runs, store)
            try:
                recorder.started()
                prepared = _train_with_retries(cfg, prepared, recorder, progress)
                recorder.complete(prepared.trainee)
            except BaseException as error:
                recorder.fail(error)
                if not isinstance(error, Exception):
                    raise
                log.error("%s failed: %s: %s", name, type(error).__name__, error, exc_info=error)
                raise RunFailed(f"{name} failed: {_explain(error)}\nIts log is {shown(directory.log_file)}") from error
    log.info(summary_line(recorder.record, folder))
    return metric(cfg, recorder.record)


@contextmanager
def _in_store(store: RunStore | None, name: str) -> Iterator[None]:
    """Waits at the end of a run, however it ends, until its files are in the store."""
    try:
        yield
    except BaseException as error:
        if store is not None:
            with suppress(StoreFailed):  # the error itself is the one to tell
                store.finish(PATIENCE if isinstance(error, Exception) else HURRY)
        raise
    try:
        if store is not None:
            store.finish(PATIENCE)
    except StoreFailed as error:
        raise RunFailed(f"{name}: {error}") from error


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
        log.info("%s goes on after epoch %d", recorder.name, done)
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


def _tell(name: str, directory: RunDirectory, record: Mapping[str, Any], found: Found) -> None:
    """Says that a run is complete, and records whether it is stale, for the report to show."""
    if found.fresh:
        log.info(summary_line(record, directory.folder))
        return
    if record.get("stale", []) != found.stale:
        directory.write_record({**record, "stale": found.stale})
    note = f"stale: {'; '.join(found.stale)}; rerun=stale runs it anew" if found.stale else "rerun=all runs it anew"
    log.info("%s is complete already: %s (%s)", name, shown(directory.folder), note)


def _explain(error: Exception) -> str:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return f"{error}\nThe memory is full: take a smaller train.batch_size"
    return str(error)


def metric(cfg: Config, record: Mapping[str, Any]) -> float:
    """Returns the study's metric of a complete run."""
    name = cfg.study.metric
    return float(record["times"][name] if name in record["times"] else record["results"][name]["final"])
