"""One's own training code with ablate's runs: identity, pairing, resuming, launchers, records and the report.

    @hydra.main(version_base="1.3", config_path="conf", config_name="config")
    @ablate.task
    def train(cfg, run):
        ...
        for epoch in run.epochs(cfg.epochs):
            ...
            yield {"test_accuracy": accuracy}

The configuration's defaults begin with `ablate_task`, and it has `variant`, `seed` and `study.name`; all else is the
task's.
"""

import functools
import inspect
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from ablate.config.hydra_node import worst_value
from ablate.files import FOLDER_NAME
from ablate.records import provenance
from ablate.records.epochs import Epoch, measured, split_statistic, summarise, total_times
from ablate.records.interruption import terminable
from ablate.records.others import record_of_others
from ablate.records.record import ModelFacts, RunRecord, Status, describe_error
from ablate.records.run_directory import RunDirectory
from ablate.tasks.run import Run
from ablate.tasks.settings import identity, settings, study

log = logging.getLogger(__name__)

Row = Mapping[str, float]
Task = Callable[[DictConfig, Run], Iterator[Row]]


class _Diverged(ValueError):
    """The study's metric is no longer a finite number."""


def task(function: Task) -> Callable[[DictConfig], float]:
    """Makes a Hydra task function of a generator that trains.

    Args:
        function: Takes the configuration and a `Run`, and yields the metrics of each epoch by name. `test_accuracy` and
            other names that end in `accuracy` are shares from 0 to 1.

    Returns:
        What `hydra.main` decorates. It returns the study's metric after the last epoch, for Hydra's sweepers.
    """

    @functools.wraps(function)
    def job(cfg: DictConfig) -> float:
        hydra_config = HydraConfig.get()
        folder = Path(hydra_config.runtime.output_dir)
        # What option was chosen of a group, the variant's name is to tell.
        groups = set(hydra_config.runtime.choices)
        typed = [text for text in hydra_config.overrides.task if text.lstrip("+~").partition("=")[0] not in groups]
        try:
            with terminable():
                return _train(function, cfg, folder, typed)
        except _Diverged as error:
            if (worst := worst_value(hydra_config)) is None:
                raise
            log.error("%s seed %s diverged: %s; the search goes on", cfg.variant, cfg.seed, error)
            return worst

    return job


def _train(function: Task, cfg: DictConfig, folder: Path, overrides: list[str]) -> float:
    for needed in ("variant", "seed", "study.name"):
        if OmegaConf.select(cfg, needed) is None:
            raise ValueError(f"{needed} is not set: a task's configuration has variant, seed and study.name")
    for name in ("variant", "study.name"):
        if not FOLDER_NAME.fullmatch(str(OmegaConf.select(cfg, name))):
            raise ValueError(f"{name}: names a folder, so use at most 100 letters, digits, '_', '-', '.' and '+'")
    directory = RunDirectory(folder)
    name = f"{cfg.variant} seed {cfg.seed}"
    with directory.lock(lambda: log.info("%s is being run by another process; waiting for it", name)):
        earlier = _earlier(directory, identity(cfg))
        metric = study(cfg)["metric"]
        if earlier is not None and earlier.is_complete:
            log.info("%s is complete already: %s", name, folder)
            return directory.value(earlier, metric)
        run = Run(cfg, directory)
        record = _describe(function, cfg, overrides, earlier)
        directory.write_record(_noted(record, run))
        try:
            _epochs(function(cfg, run), run, name, split_statistic(metric)[0])
        except BaseException as error:
            status = Status.FAILED if isinstance(error, Exception) else Status.INTERRUPTED
            status = Status.DIVERGED if isinstance(error, _Diverged) else status
            failure = describe_error(error, len(run.rows) + 1)
            directory.write_record(replace(_noted(record, run), status=status, error=failure, ended=_now()))
            raise
        record = replace(
            _noted(record, run),
            status=Status.COMPLETE,
            results=summarise(run.rows),
            times=total_times(run.rows),
            epochs_done=len(run.rows) if run.planned is not None and len(run.rows) < run.planned else None,
            ended=_now(),
        )
        directory.write_record(record)
    value = directory.value(record, metric)
    log.info("%s: %s %.6g after %d epochs, %s", name, metric, value, len(run.rows), folder)
    return value


def _epochs(rows: Iterator[Row], run: Run, name: str, metric: str) -> None:
    while True:
        start = time.perf_counter()
        try:
            values = next(rows)
        except StopIteration:
            break
        seconds = time.perf_counter() - start
        named = measured(values, "the task yields")
        row: Epoch = {"epoch": len(run.rows) + 1, **named}
        row |= {"train_seconds": seconds, "eval_seconds": 0.0, "data_seconds": 0.0}
        over = len(run.rows) == run.planned
        if metric in named and over:
            raise ValueError(f"the task yields {metric} again after its {run.planned} epochs; give it another name")
        if metric in named:
            run.end_epoch(row)
        elif run.rows and (over or not named.keys() & run.rows[-1].keys()):
            run.add(row)  # to the epoch that has ended, as a test of the finished model is
        else:
            raise ValueError(f"study.metric={metric}: the task yields {', '.join(values)}, and not that")
        if not math.isfinite(run.rows[-1][metric]):
            raise _Diverged(f"{metric} is {run.rows[-1][metric]} after epoch {len(run.rows)}")
        shown = ", ".join(f"{name} {value:.4g}" for name, value in named.items())
        log.info("%s epoch %d%s: %s", name, len(run.rows), f" of {run.planned}" if run.planned else "", shown)
    if not run.rows:
        raise ValueError("the task yielded nothing: it yields the metrics of each epoch")


def _earlier(directory: RunDirectory, run_id: str) -> RunRecord | None:
    try:
        record = directory.read_record()
    except ValueError as error:
        log.warning("%s: %s; the run is restarted", directory.folder, error)
        return None
    if record is not None and record.id != run_id:
        raise ValueError(
            f"{directory.folder}: holds the run of another configuration ({record.id}, this one is {run_id}); "
            "let the defaults list begin with ablate_task, whose folders have the identity in their names"
        )
    return record


def _describe(function: Task, cfg: DictConfig, overrides: list[str], earlier: RunRecord | None) -> RunRecord:
    """Returns the record of a task's run at its start."""
    module = inspect.getmodule(inspect.unwrap(function))
    file = Path(getattr(module, "__file__", None) or sys.argv[0])
    started = _now()
    return record_of_others(
        study(cfg),
        str(cfg.variant),
        int(cfg.seed),
        settings(cfg),
        precision="of the task",
        status=Status.RUNNING,
        id=identity(cfg),
        task=f"{file.stem}.{inspect.unwrap(function).__name__}",
        # Labels are made of these: the settings are the task's own.
        overrides=tuple(f"settings.{text.lstrip('+')}" for text in overrides if "=" in text),
        started=started if earlier is None else earlier.started,
        starts=(*(earlier.starts if earlier is not None else ()), provenance.process(started)),
        provenance=provenance.of_script(file),
    )


def _noted(record: RunRecord, run: Run) -> RunRecord:
    """Returns a record with what the task has said of itself."""
    return replace(
        record,
        config={**record.config, "train": {"epochs": run.planned or len(run.rows)}},
        model=ModelFacts(before=run.size, after=run.size),
        data=run.data,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def register() -> None:
    """Makes `ablate_task` known to Hydra, which a task's configuration begins its defaults list with."""
    OmegaConf.register_new_resolver("task_id", lambda *, _root_: identity(_root_), replace=True)
    folder = "${variant}/seed${seed}-${task_id:}"
    node = {
        "hydra": {
            "job": {"name": "train"},
            "run": {"dir": f"outputs/${{study.name}}/{folder}"},
            "sweep": {"dir": "outputs/${study.name}", "subdir": folder},
        }
    }
    ConfigStore.instance().store(name="ablate_task", node=node, package="_global_")


register()
