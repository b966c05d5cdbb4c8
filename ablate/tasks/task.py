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
import hashlib
import inspect
import json
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from ablate.config.keys import Meaning, key, told
from ablate.config.schema import StudyConfig
from ablate.files import Plain
from ablate.records import provenance
from ablate.records.epochs import RESERVED, Epoch, summarise, total_times
from ablate.records.record import ModelFacts, RunRecord, Size, Status, config_of_others, describe_error
from ablate.records.run_directory import RunDirectory
from ablate.tasks.run import Run

log = logging.getLogger(__name__)

Row = Mapping[str, float]
Task = Callable[[DictConfig, Run], Iterator[Row]]


@dataclass
class TaskConfig:
    """What ablate reads of a task's configuration; all else is the task's own, and alters its results."""

    variant: str = key("what tables call it", alters=False)
    seed: int = key(repeats=True)
    study: StudyConfig = key(alters=False)
    rerun: str = key("has no meaning for a task", "failed", alters=False)
    hydra: Plain = key("Hydra's own", make=dict, alters=False)


_NO_RESULT = tuple(item.name for item in fields(TaskConfig) if not Meaning(**told(item)).alters)


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
        return _train(function, cfg, folder, typed)

    return job


def _train(function: Task, cfg: DictConfig, folder: Path, overrides: list[str]) -> float:
    for needed in ("variant", "seed", "study.name"):
        if OmegaConf.select(cfg, needed) is None:
            raise ValueError(f"{needed} is not set: a task's configuration has variant, seed and study.name")
    directory = RunDirectory(folder)
    name = f"{cfg.variant} seed {cfg.seed}"
    with directory.lock(lambda: log.info("%s is being run by another process; waiting for it", name)):
        earlier = _earlier(directory, identity(cfg))
        metric = str(OmegaConf.select(cfg, "study.metric", default="test_accuracy"))
        if earlier is not None and earlier.is_complete:
            log.info("%s is complete already: %s", name, folder)
            return earlier.value(metric)
        run = Run(cfg, directory)
        record = _describe(function, cfg, overrides, run, earlier)
        directory.write_record(record)
        try:
            _epochs(function(cfg, run), run, name, metric)
        except BaseException as error:
            status = Status.FAILED if isinstance(error, Exception) else Status.INTERRUPTED
            failure = describe_error(error, len(run.rows) + 1)
            directory.write_record(replace(record, status=status, error=failure, ended=_now()))
            raise
        record = replace(
            _noted(record, run),
            status=Status.COMPLETE,
            results=summarise(run.rows),
            times=total_times(run.rows),
            ended=_now(),
        )
        directory.write_record(record)
    log.info("%s: %s %.6g after %d epochs, %s", name, metric, record.value(metric), len(run.rows), folder)
    return record.value(metric)


def _epochs(rows: Iterator[Row], run: Run, name: str, metric: str) -> None:
    while True:
        start = time.perf_counter()
        try:
            values = next(rows)
        except StopIteration:
            break
        seconds = time.perf_counter() - start
        if metric not in values:
            raise ValueError(f"study.metric={metric}: the task yields {', '.join(values)}, and not that")
        for column in values:
            if column in RESERVED:
                raise ValueError(f"the task yields {column}, which is a column of ablate's own; call it something else")
        row: Epoch = {"epoch": len(run.rows) + 1, **{str(key): float(value) for key, value in values.items()}}
        row |= {"train_seconds": seconds, "eval_seconds": 0.0, "data_seconds": 0.0}
        run.end_epoch(row)
        if not math.isfinite(row[metric]):
            raise ValueError(f"{metric} is {row[metric]} after epoch {len(run.rows)}")
        shown = ", ".join(f"{key} {float(value):.4g}" for key, value in values.items())
        log.info("%s epoch %d%s: %s", name, len(run.rows), f" of {run.planned}" if run.planned else "", shown)
    if not run.rows:
        raise ValueError("the task yielded nothing: it yields the metrics of each epoch")


def identity(cfg: DictConfig) -> str:
    """Returns a hash of all that determines a task's result: the configuration but for the study and names."""
    plain: Any = OmegaConf.to_container(OmegaConf.create({k: cfg[k] for k in cfg if k not in _NO_RESULT}), resolve=True)
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:8]


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


def _describe(function: Task, cfg: DictConfig, overrides: list[str], run: Run, earlier: RunRecord | None) -> RunRecord:
    """Returns the record of a task's run at its start."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    module = inspect.getmodule(inspect.unwrap(function))
    file = Path(getattr(module, "__file__", None) or sys.argv[0])
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.is_file() else "unknown"
    came_from = provenance.collect()
    sources = {**came_from.code.sources, file.name: digest}
    started = _now()
    record = RunRecord(
        status=Status.RUNNING,
        id=identity(cfg),
        task=f"{file.stem}.{inspect.unwrap(function).__name__}",
        study=str(cfg.study.name),
        variant=str(cfg.variant),
        seed=int(cfg.seed),
        config=config_of_others(
            str(cfg.variant),
            int(cfg.seed),
            study={"metric": "test_accuracy", "claims": [], **plain["study"]},
            settings={key: value for key, value in plain.items() if key not in (*_NO_RESULT, "seed")},
            precision="of the task",
        ),
        # Labels are made of these: the settings are the task's own.
        overrides=tuple(f"settings.{text.lstrip('+')}" for text in overrides if "=" in text),
        started=started if earlier is None else earlier.started,
        starts=(*(earlier.starts if earlier is not None else ()), provenance.process(started)),
        model=ModelFacts(after=Size()),
        data=None,
        pairing=None,
        provenance=replace(came_from, code=replace(came_from.code, sources=sources)),
    )
    return _noted(record, run)


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
