"""The runs of somebody's own Hydra app, as its multirun has left them. Nothing is written beside them, or executed."""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ablate.config.options import load
from ablate.config.plain import flatten
from ablate.files import Plain
from ablate.sources.inference import JOB
from ablate.sources.logged_run import LoggedRun, Wanted
from ablate.sources.metric_files import in_order, read_run

_ERROR = "Traceback (most recent call last):"
_LOGGED = re.compile(r"\[\d{4}-\d\d-\d\d ")  # how a line of Hydra's log begins


def jobs(folder: Path) -> list[Path]:
    """Returns the folders of jobs at or below a folder, in the order of their numbers."""
    return sorted(
        (Path(top).parent for top, _, _ in os.walk(folder) if _is_of_job(top)), key=lambda job: in_order(str(job))
    )


def _is_of_job(folder: str) -> bool:
    return folder.endswith(f"{os.sep}.hydra") and os.path.isfile(os.path.join(folder, "config.yaml"))  # noqa: PTH113, PTH118


def read(folder: Path, found: Sequence[Path], wanted: Wanted) -> list[LoggedRun]:
    """Returns the runs in folders of jobs at or below a folder; a job whose files cannot be read has failed."""
    return [_run(job, str(job.relative_to(folder)), wanted) for job in found]


def _run(job: Path, name: str, wanted: Wanted) -> LoggedRun:
    fields: Plain = {}
    chosen: list[str] = []
    try:
        fields, chosen = _settings(job / ".hydra")
        broken = ""
    except ValueError as error:
        broken = str(error)
    run = read_run(job, name, fields, chosen, wanted, lambda below: (below / ".hydra").is_dir())
    if broken:
        return replace(run, status="failed", why=broken)
    return replace(run, why=_error(job) or run.why)


def _settings(folder: Path) -> tuple[Plain, list[str]]:
    """Returns the options of a job's groups and the leaves of its configuration, and which of them were overridden."""
    config, hydra = load(folder / "config.yaml"), load(folder / "hydra.yaml").get("hydra") or {}
    choices = (hydra.get("runtime") or {}).get("choices") or {}
    groups = [(str(name), value) for name, value in choices.items() if not str(name).startswith("hydra/")]
    fields: Plain = {name: _text(value) for name, value in [*groups, *flatten(config)]}
    fields[JOB] = _text((hydra.get("job") or {}).get("name")) or "run"
    try:
        typed = OmegaConf.to_container(OmegaConf.load(folder / "overrides.yaml"))
    except (OSError, UnicodeDecodeError, YAMLError, OmegaConfBaseException) as error:
        raise ValueError(f"{folder / 'overrides.yaml'}: cannot be read as YAML: {error}") from error
    chosen = {}
    for override in map(str, typed if isinstance(typed, list) else ()):
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
