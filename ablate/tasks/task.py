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
import traceback
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from ablate.records import provenance
from ablate.records.epochs import RESERVED, Epoch, summarise, total_times
from ablate.records.run_directory import RunDirectory
from ablate.tasks.run import Run

log = logging.getLogger(__name__)

Row = Mapping[str, float]
Task = Callable[[DictConfig, Run], Iterator[Row]]

# What of a configuration determines no result.
_NO_RESULT = ("study", "variant", "hydra", "rerun")


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
    for key in ("variant", "seed", "study.name"):
        if OmegaConf.select(cfg, key) is None:
            raise ValueError(f"{key} is not set: a task's configuration has variant, seed and study.name")
    directory = RunDirectory(folder)
    name = f"{cfg.variant} seed {cfg.seed}"
    with directory.lock(lambda: log.info("%s is being run by another process; waiting for it", name)):
        earlier = _earlier(directory, identity(cfg))
        metric = str(OmegaConf.select(cfg, "study.metric", default="test_accuracy"))
        if earlier is not None and earlier["status"] == "complete":
            log.info("%s is complete already: %s", name, folder)
            return float(earlier["results"][metric]["final"])
        run = Run(cfg, directory)
        record = _describe(function, cfg, overrides, run, earlier or {})
        directory.write_record(record)
        try:
            _epochs(function(cfg, run), run, name, metric)
        except BaseException as error:
            status = "failed" if isinstance(error, Exception) else "interrupted"
            text = "".join(traceback.format_exception(error))
            what = {"type": type(error).__name__, "message": str(error), "epoch": len(run.rows) + 1, "traceback": text}
            directory.write_record({**record, "status": status, "error": what, "ended": _now()})
            raise
        _note(record, run)
        results = summarise(run.rows)
        record |= {"status": "complete", "results": results, "times": total_times(run.rows), "ended": _now()}
        directory.write_record(record)
    log.info("%s: %s %.6g after %d epochs, %s", name, metric, results[metric]["final"], len(run.rows), folder)
    return float(results[metric]["final"])


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
        for key in values:
            if key in RESERVED:
                raise ValueError(f"the task yields {key}, which is a column of ablate's own; call it something else")
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


def _earlier(directory: RunDirectory, run_id: str) -> dict[str, Any] | None:
    try:
        record = directory.read_record()
    except ValueError as error:
        log.warning("%s: %s; the run starts anew", directory.folder, error)
        return None
    if record is not None and record.get("id") != run_id:
        raise ValueError(
            f"{directory.folder}: holds the run of another configuration ({record.get('id')}, this one is {run_id}); "
            "let the defaults list begin with ablate_task, whose folders have the identity in their names"
        )
    return record


def _describe(
    function: Task, cfg: DictConfig, overrides: list[str], run: Run, earlier: Mapping[str, Any]
) -> dict[str, Any]:
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    settings = {key: value for key, value in plain.items() if key not in (*_NO_RESULT, "seed")}
    module = inspect.getmodule(inspect.unwrap(function))
    file = Path(getattr(module, "__file__", None) or sys.argv[0])
    code = hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.is_file() else "unknown"
    found = provenance.collect()
    found["code"]["sources"][file.name] = code
    record = {
        "status": "running",
        "id": identity(cfg),
        "task": f"{file.stem}.{inspect.unwrap(function).__name__}",
        "study": str(cfg.study.name),
        "variant": str(cfg.variant),
        "seed": int(cfg.seed),
        "config": {
            "seed": int(cfg.seed),
            "study": {"metric": "test_accuracy", "claims": [], **plain["study"]},
            "model": {"name": str(cfg.variant), "base": {}, "edits": {}},
            "hardware": {"precision": "of the task"},
            "data": {},
            "train": {"epochs": 0},
            "settings": settings,
        },
        # Of what a label is made: the settings are the task's own.
        "overrides": [f"settings.{text.lstrip('+')}" for text in overrides if "=" in text],
        "started": earlier.get("started", _now()),
        "starts": [*earlier.get("starts", []), {"started": _now(), **provenance.process()}],
        "pairing": {"initial_weights": {}, "first_epoch_order": ""},
        "provenance": {**found, "accelerator": "of the task", "threads": 0},
    }
    _note(record, run)
    return record


def _note(record: dict[str, Any], run: Run) -> None:
    """Puts into a record what the task has said of itself."""
    size = {name: run.facts.get(name, 0) for name in ("parameters", "flops")}
    record["config"]["train"]["epochs"] = run.planned or len(run.rows)
    record["model"] = {"before": size, "after": size, "layers": {}}
    record["data"] = {
        "name": run.facts.get("data") or "the task's",
        "sha256": run.facts.get("digest", ""),
        "images": {},
    }


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
