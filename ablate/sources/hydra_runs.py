"""The runs of somebody's own Hydra app, as its multirun has left them. Nothing is written beside them, or executed."""

import json
import os
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ablate.config.options import load
from ablate.config.plain import flatten
from ablate.files import Plain, PlainMapping
from ablate.records.job_record import JOB_FILE, JobRecord, read_job
from ablate.records.record import Status
from ablate.sources.inference import JOB
from ablate.sources.logged_run import LoggedRun, Wanted
from ablate.sources.metric_files import in_order, read_run

_ERROR = "Traceback (most recent call last):"
_LOGGED = re.compile(r"\[\d{4}-\d\d-\d\d ")  # how a line of Hydra's log begins


def jobs(folder: Path) -> list[Path]:
    """Returns the folders of jobs at or below a folder, in the order of their numbers."""
    return sorted(
        (Path(top) for top, folders, files in os.walk(folder) if JOB_FILE in files or _is_job(top, folders)),
        key=lambda job: in_order(str(job)),
    )


def _is_job(folder: str, below: Sequence[str]) -> bool:
    return ".hydra" in below and os.path.isfile(os.path.join(folder, ".hydra", "config.yaml"))  # noqa: PTH113, PTH118


def read(folder: Path, found: Sequence[Path], wanted: Wanted) -> list[LoggedRun]:
    """Returns the runs in folders of jobs at or below a folder; a job whose files cannot be read has failed."""
    every = frozenset(found)
    return [_run(job, str(job.relative_to(folder)), wanted, every) for job in found]


def _run(job: Path, name: str, wanted: Wanted, jobs: Collection[Path]) -> LoggedRun:
    fields: Plain = {}
    chosen: list[str] = []
    broken, record = "", None
    try:
        record = read_job(job)
        fields, chosen = (
            _settings(job / ".hydra")
            if record is None
            else _fields(record.config, record.choices, record.overrides, record.app)
        )
    except ValueError as error:
        broken = str(error)
    run = read_run(job, name, fields, chosen, wanted, lambda below: below in jobs)
    if broken:
        return replace(run, status="failed", why=broken)
    return replace(run, why=_error(job) or run.why) if record is None else _recorded(run, record)


def _recorded(run: LoggedRun, job: JobRecord) -> LoggedRun:
    """Returns a run with what a callback has recorded of it: how it ended, what it returned, what it comes from."""
    history = [*run.history, *[job.returned] * bool(job.returned)]
    why = "its end is not recorded" if job.ended is None else run.why
    if job.error is not None:
        why = ": ".join(filter(None, (job.error.type, *job.error.message.splitlines()[:1])))
    unreadable = job.status is Status.COMPLETE and run.status == "failed" and (job.files or not job.returned)
    status = "failed" if unreadable else job.status.value
    return replace(run, status=status, started=job.started, history=history, came_from=job.provenance, why=why)


def _settings(folder: Path) -> tuple[Plain, list[str]]:
    """Returns what Hydra has written of a job, as `_fields` does."""
    config, hydra = load(folder / "config.yaml"), load(folder / "hydra.yaml").get("hydra") or {}
    choices = (hydra.get("runtime") or {}).get("choices") or {}
    app = (hydra.get("job") or {}).get("name")
    try:
        typed = OmegaConf.to_container(OmegaConf.load(folder / "overrides.yaml"))
    except (OSError, UnicodeDecodeError, YAMLError, OmegaConfBaseException) as error:
        raise ValueError(f"{folder / 'overrides.yaml'}: cannot be read as YAML: {error}") from error
    return _fields(config, choices, typed if isinstance(typed, list) else (), app)


def _fields(
    config: PlainMapping, choices: PlainMapping, typed: Iterable[object], app: object
) -> tuple[Plain, list[str]]:
    """Returns the options of a job's groups and the leaves of its configuration, and which of them were overridden."""
    groups = [(str(name), value) for name, value in choices.items() if not str(name).startswith("hydra/")]
    fields: Plain = {name: _text(value) for name, value in [*groups, *flatten(config)]}
    fields[JOB] = _text(app) or "run"
    chosen = {}
    for override in map(str, typed):
        key, _, chosen[key] = override.lstrip("+~").partition("=")
        if not override.startswith("~"):
            fields.setdefault(key, chosen[key])  # of a mapping, the leaves have longer names
    return fields, list(chosen)


def _text(value: object) -> str | None:
    """Returns a value as text, as one would type it; None where there is none."""
    return value if value is None or isinstance(value, str) else json.dumps(value, default=str)


def _error(job: Path) -> str:
    """Returns the last error in a job's log; empty if there is none."""
    for file in sorted(job.glob("*.log")):
        _, found, after = file.read_text(encoding="utf-8", errors="replace").rpartition(_ERROR)
        lines = [line for line in after.splitlines() if found and line[:1].strip() and not _LOGGED.match(line)]
        if lines:
            return lines[-1]
    return ""
