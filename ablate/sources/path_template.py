"""Runs whose paths say what they are: `runs/{variant}/seed{seed}/log.csv`."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from ablate.sources import csv_table
from ablate.sources.logged_run import LoggedRun, Wanted, is_seed
from ablate.sources.metric_files import find, in_order, read_run

_PART = re.compile(r"\{(\w+)\}|\*")
_SEED = re.compile(r"(?i)((?<![a-z])seed[-_=]?)(\d+)")


def is_template(text: str) -> bool:
    """Whether a path has placeholders, such as `{seed}`, or `*`."""
    return _PART.search(text) is not None


def fixed_part(template: str) -> Path:
    """Returns the folder in which all that a template names is."""
    return Path(_PART.split(template)[0] + "x").parent


def read(template: str, wanted: Wanted) -> list[LoggedRun]:
    """Returns the runs whose files, folders or rows a template names; what its placeholders stand for are fields."""
    base = fixed_part(template)
    rest = os.path.relpath(template, base)
    named = set()
    made, end = "", 0
    for part in _PART.finditer(rest):
        made += re.escape(rest[end : part.start()])
        made += "[^/]*" if part[1] is None else f"(?P={part[1]})" if part[1] in named else f"(?P<{part[1]}>[^/]+)"
        named.add(part[1])
        end = part.end()
    pattern = re.compile(made + re.escape(rest[end:]))
    paths = sorted((str(path.relative_to(base)) for path in base.glob(_PART.sub("*", rest))), key=in_order)
    matched = {path: match.groupdict() for path in paths if (match := pattern.fullmatch(path)) is not None}
    if not matched:
        raise ValueError(f"{template}: there is no such file; a name in braces stands for a part of a name, * for any")
    return [run for path, known in matched.items() for run in _read(base / path, path, known, wanted)]


def _read(path: Path, name: str, known: dict[str, str], wanted: Wanted) -> list[LoggedRun]:
    if path.suffix.lower() in csv_table.SUFFIXES and not any(is_seed(key) or key == wanted.seed for key in known):
        columns = csv_table.Table(path).columns
        if any(column == wanted.seed or is_seed(column) for column in columns):
            return csv_table.read(path, wanted, known)
    fields = known if {*known} - {*filter(is_seed, known)} else {"variant": path.parent.name, **known}
    return [read_run(path, name, fields, list(known), wanted)]


def guess(folder: Path) -> str:
    """Returns the template of the runs in a folder whose paths hold `seed` and its number."""
    units = list(dict.fromkeys(os.path.relpath(_unit(file), folder) for file in find(folder)))
    parts = sorted({_SEED.sub(r"\1{seed}", unit) for unit in units})
    without = [part for part in parts if "{seed}" not in part]
    if not units:
        raise ValueError(
            f"{folder}: there are no runs in it; `python -m ablate -m` makes those of a study, and of others it needs "
            "each one's file of metrics (CSV, JSON, trainer_state.json, TensorBoard's events)"
        )
    if without:
        example = re.sub(r"^[^\W\d_]+", "{variant}", re.sub(r"\d+(?=\D*$)", "{seed}", without[0]))
        raise ValueError(
            f"{folder}: the path of {without[0]} says no seed; say with a template which part of it is the variant and "
            f"which the seed, such as '{folder / example}'"
        )
    start, end = _common(parts), _common([part[::-1] for part in parts])[::-1]
    middle = [part[len(start) : len(part) - len(end)] for part in parts] if len(parts) > 1 else []
    if any("/" in each or not each or "{" in each for each in middle):
        raise ValueError(
            f"{folder}: the paths of runs differ in more than a seed and one name ({', '.join(parts[:3])}); say what "
            f"is what with a template, such as '{folder}/{{variant}}/{{optimizer}}/seed{{seed}}/log.csv'"
        )
    return str(folder / (f"{start}{{variant}}{end}" if middle else parts[0]))


def _unit(file: Path) -> Path:
    """Returns what a template names of a run: its file or, where it may have several, its folder."""
    folder = file if file.is_dir() else file.parent
    if folder.name.startswith("version_"):
        return folder.parent.parent
    if file.name == "trainer_state.json":
        return folder.parent if folder.name.startswith("checkpoint-") else folder
    return folder.parent if file.is_dir() and folder.name in ("train", "validation", "test", "eval") else file


def _common(texts: Sequence[str]) -> str:
    """Returns how texts begin in common, up to the last sign that separates parts of names."""
    begin = os.path.commonprefix(list(texts))  # noqa: RUF071 (of texts)
    return begin[: max(map(begin.rfind, "/_-.=")) + 1]
