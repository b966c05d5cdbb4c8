"""One's own training code with ablate's runs: identity, pairing, resuming, launchers, designs, records and the report.

    @hydra.main(version_base="1.3", config_path="conf", config_name="config")
    @ablate.task
    def train(cfg, run):
        ...
        for epoch in run.epochs(cfg.epochs):
            ...
            yield {"test_accuracy": accuracy}

or a plain function that returns its metrics. The configuration's defaults begin with `ablate_task`, and it has
`variant`, `seed` and `study.name`; all else is the task's.
"""

import functools
import inspect
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import MISSING, DictConfig, OmegaConf

from ablate.config.apply_design import apply_design
from ablate.config.compose import HydraStudy
from ablate.config.hydra_node import worst_value
from ablate.config.options import config_dir, options
from ablate.records import provenance
from ablate.records.epochs import summarise, total_times
from ablate.records.interruption import terminable
from ablate.records.others import record_of_others
from ablate.records.record import ModelFacts, RunFailed, RunRecord, Status, describe_error, now
from ablate.runs.other_runs import counting_other_runs
from ablate.runs.resume import Action, Earlier
from ablate.tasks.job import TaskJob, scripts, sources
from ablate.tasks.run import Diverged, Run
from ablate.tasks.settings import identity, settings, trackers
from ablate.trackers.base import Trackers

log = logging.getLogger(__name__)

Row = Mapping[str, float]
Task = Callable[[DictConfig, Run], Iterator[Row] | Row | None]
Job = Callable[[DictConfig], float]


@overload
def task(function: Task) -> Job: ...
@overload
def task(*, metrics: Mapping[str, Mapping[str, str]]) -> Callable[[Task], Job]: ...
def task(function: Task | None = None, *, metrics: Mapping[str, Mapping[str, str]] | None = None) -> Any:
    """Makes a Hydra task function of a function that trains.

    Args:
        function: Takes the configuration and a `Run`, and yields the metrics of each epoch by name; or returns those of
            its only epoch, or what it has measured after the epochs that it has told `run.log`.
        metrics: What each metric is, for the configuration's `study.metrics`, the study's first:
            `{"test_miou": {"better": "higher", "unit": "%", "label": "mIoU"}}`. Values in % are shares from 0 to 1, and
            so is what is called an accuracy.

    Returns:
        What `hydra.main` decorates. It returns the study's metric after the last epoch, for Hydra's sweepers.
    """
    if function is None:
        return functools.partial(task, metrics=metrics)
    if metrics:
        register(metrics)
    script = Path(getattr(inspect.getmodule(inspect.unwrap(function)), "__file__", None) or sys.argv[0])
    scripts[script.name] = script

    @functools.wraps(function)
    def job(cfg: DictConfig) -> float:
        hydra_config = HydraConfig.get()
        # What option was chosen of a group, the variant's name is to tell.
        groups = set(hydra_config.runtime.choices)
        typed = [text for text in hydra_config.overrides.task if text.lstrip("+~").partition("=")[0] not in groups]
        made = TaskJob(apply_design(cfg), Path(hydra_config.runtime.output_dir), typed)
        try:
            with terminable():
                return _run(function, script, made)
        except Diverged as error:
            if (worst := worst_value(hydra_config)) is None:
                raise
            log.error("%s diverged: %s; the search goes on", made.name, error)
            return worst

    return job


def _run(function: Task, script: Path, job: TaskJob) -> float:
    job.check()
    directory = job.directory
    waits = functools.partial(log.info, "%s is being run by another process; waiting for it", job.name)
    with directory.lock(waits), counting_other_runs() as other_runs:
        earlier = job.inspect()
        if earlier.why:
            log.info("%s %s", job.name, earlier.why)
        if earlier.action in (Action.KEEP, Action.LEAVE):
            return _kept(job, earlier)
        if earlier.action is Action.START:
            directory.forget()
            earlier = replace(earlier, record=None)
        run, told = Run(job), Trackers(trackers(job.cfg), job.name)
        record = _begun(function, script, job, earlier.record, other_runs())
        known = earlier.record.trackers if earlier.record is not None else {}
        record = replace(record, trackers=told.start(record, directory.folder, len(run.rows), known))
        run.on_epoch = told.epoch
        directory.write_record(_noted(record, run))
        try:
            _train(function, job, run)
            record = replace(
                _noted(record, run),
                status=Status.COMPLETE,
                results=summarise(run.rows),
                times=total_times(run.rows),
                epochs_done=len(run.rows) if run.planned is not None and len(run.rows) < run.planned else None,
            )
        except BaseException as error:
            status = Status.FAILED if isinstance(error, Exception) else Status.INTERRUPTED
            status = Status.DIVERGED if isinstance(error, Diverged) else status
            record = replace(_noted(record, run), status=status, error=describe_error(error, len(run.rows) + 1))
            raise
        finally:
            ended = now()
            start = replace(record.starts[-1], ended=ended, other_runs_at_end=other_runs())
            record = replace(record, ended=ended, starts=(*record.starts[:-1], start))
            directory.write_record(record)
            told.end(record)
    value = directory.value(record, job.metric)
    log.info("%s: %s %.6g after %d epochs, %s", job.name, job.metric, value, len(run.rows), directory.folder)
    return value


def _kept(job: TaskJob, earlier: Earlier) -> float:
    """Says that a run is complete, and records whether it is stale; returns its result."""
    record, directory = earlier.record, job.directory
    assert record is not None
    if earlier.action is Action.LEAVE:
        raise RunFailed(f"{job.name} {record.status}: before, and rerun=never leaves it so\nIt is in {job.folder}")
    if record.stale != earlier.stale:
        directory.write_record(replace(record, stale=earlier.stale))
    stale = f"stale: {'; '.join(earlier.stale)}; rerun=stale" if earlier.stale else "rerun=all"
    log.info("%s is complete already: %s (%s restarts it)", job.name, job.folder, stale)
    return directory.value(record, job.metric)


def _train(function: Task, job: TaskJob, run: Run) -> None:
    takes: Callable[..., object] = function
    given = takes(*(job.cfg, run)[: len(inspect.signature(function).parameters)])
    if isinstance(given, Mapping):
        run.log(given)
    elif isinstance(given, Iterator):
        for values in given:
            run.log(values)
    elif given is not None:
        raise ValueError(f"the task returned {type(given).__name__}: it yields or returns its metrics by name")
    if not run.rows:
        raise ValueError("the task yielded nothing: it yields the metrics of each epoch, or returns them")


def _begun(function: Task, script: Path, job: TaskJob, earlier: RunRecord | None, other_runs: int | None) -> RunRecord:
    """Returns the record of a run at its start."""
    started, came_from = now(), provenance.of_script(script)
    record = record_of_others(
        job.study,
        job.variant,
        job.seed,
        settings(job.cfg),
        precision="of the task",
        status=Status.RUNNING,
        id=job.id,
        task=f"{script.stem}.{inspect.unwrap(function).__name__}",
        # Labels are made of these: the settings are the task's own.
        overrides=tuple(
            text if text.lstrip("+").startswith("study.") else f"settings.{text.lstrip('+')}"
            for text in job.overrides
            if "=" in text
        ),
        started=started if earlier is None else earlier.started,
        starts=(*(earlier.starts if earlier is not None else ()), provenance.process(started, other_runs)),
        provenance=replace(came_from, code=replace(came_from.code, sources=sources(earlier, script))),
    )
    return replace(record, config=job.config)


def _noted(record: RunRecord, run: Run) -> RunRecord:
    """Returns a record with what the task has said of itself."""
    return replace(
        record,
        config={**record.config, "train": {"epochs": run.planned or len(run.rows)}},
        model=ModelFacts(before=run.size, after=run.size),
        data=run.data,
    )


def register(metrics: Mapping[str, Mapping[str, str]] | None = None) -> None:
    """Makes `ablate_task` known to Hydra, which a task's configuration begins its defaults list with, and loggers."""
    OmegaConf.register_new_resolver("task_id", lambda *, _root_: identity(apply_design(_root_)), replace=True)
    OmegaConf.register_new_resolver("task_variant", lambda *, _root_: str(apply_design(_root_).variant), replace=True)
    folder = "${task_variant:}/seed${seed}-${task_id:}"
    node = {
        "study": HydraStudy(metric=MISSING, metrics={name: dict(said) for name, said in (metrics or {}).items()}),
        "rerun": "failed",
        "logger": {},
        "hydra": {
            "job": {"name": "train"},
            "run": {"dir": f"outputs/${{study.name}}/{folder}"},
            "sweep": {"dir": "outputs/${study.name}", "subdir": folder},
            "callbacks": {"preflight": {"_target_": "ablate.sweeps.preflight.Preflight"}},
        },
    }
    store = ConfigStore.instance().store
    store(name="ablate_task", node=node, package="_global_")
    for name, option in options("logger", [config_dir()]).items():
        store(group="tracker", name=name, node=option, package="logger")


register()
