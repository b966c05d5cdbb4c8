"""Runs from a CSV or TSV file: a row a run, or, with a column of epochs, a row an epoch.

Labels are read as text, as they stand: `None`, `0.10`, `001` and `true` are names. Numbers are plain decimals; an
empty cell, or `nan`, is a value that was not logged. Other texts in a column of numbers are refused.
"""

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from ablate.messages import nearest
from ablate.sources.logged_run import LoggedRun, Wanted

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.ASCII | re.IGNORECASE)
_NOT_LOGGED = ("", "nan")  # in lower case


class _Row(NamedTuple):
    line: int
    cells: Mapping[str, str]


def read(file: Path, wanted: Wanted, epoch: str | None = None) -> list[LoggedRun]:
    """Returns the runs in a table.

    Args:
        file: The table, with the columns' names in its first row.
        wanted: The names of columns.
        epoch: The column with the epoch; without one, each row is a run.

    Raises:
        ValueError: The file cannot be read, lacks a column, has one twice, or a cell holds no number where one belongs.
    """
    columns, rows = _read(file)
    metrics = list(wanted.metrics.values())
    if not metrics:
        raise ValueError(f"--metric: say which column to compare; {nearest('', columns)}")
    named = [("--variant", wanted.variant), ("--seed", wanted.seed)]
    named += [("--setting", name) for name in wanted.settings]
    named += [("--epoch", epoch)] if epoch is not None else []
    named += [("--metric", name) for name in metrics]
    for option, name in named:
        if name not in columns:
            raise ValueError(f"{option} {name}: {file} has no such column; {nearest(name, columns)}")
    for name in metrics:
        if not any(_NUMBER.fullmatch(row.cells[name]) for row in rows):
            raise ValueError(f"--metric {name}: its column in {file} has no numbers")
    by_run: defaultdict[tuple[str, ...], list[tuple[float, _Row]]] = defaultdict(list)
    for row in rows:
        if epoch is None:
            by_run[(f"row {row.line}",)].append((0, row))
            continue
        at = _number(file, row, epoch)
        if at is None:
            raise ValueError(f"{file}, row {row.line}, column {epoch}: there is no epoch; leave the row out")
        key = tuple(row.cells[name] for name in (wanted.variant, wanted.seed, *wanted.settings))
        by_run[key].append((at, row))
    started = datetime.fromtimestamp(file.stat().st_mtime, UTC).isoformat(timespec="seconds")
    return [
        LoggedRun(
            name=" ".join(key),
            status="complete",
            started=started,
            fields=members[0][1].cells,
            history=[_values(file, row, metrics) for _, row in sorted(members, key=lambda pair: pair[0])],
        )
        for key, members in by_run.items()
    ]


def _read(file: Path) -> tuple[list[str], list[_Row]]:
    """Returns the names of the columns, and the rows below them with their line in the file."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as content:
            reader = csv.reader(content, delimiter="\t" if file.suffix.lower() == ".tsv" else ",", strict=True)
            table = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(cells)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{file}: cannot be read as a table: {error}") from error
    if len(table) < 2:
        raise ValueError(f"{file}: has no row below the one with the names of the columns")
    (_, columns), *below = table
    twice = [name for name, number in Counter(columns).items() if name and number > 1]
    if twice:
        places = " and ".join(str(place) for place, name in enumerate(columns, start=1) if name == twice[0])
        raise ValueError(f"{file}: columns {places} are both called {twice[0]}; give each column a name of its own")
    for line, cells in below:
        if len(cells) != len(columns):
            raise ValueError(
                f"{file}, row {line}: has {len(cells)} cells, and the first row names {len(columns)} columns; put a "
                "text with a comma in it in quotes, and give every row all columns"
            )
    return columns, [_Row(line, dict(zip(columns, cells, strict=True))) for line, cells in below]


def _values(file: Path, row: _Row, metrics: Sequence[str]) -> dict[str, float]:
    numbers = {name: _number(file, row, name) for name in metrics}
    return {name: value for name, value in numbers.items() if value is not None}


def _number(file: Path, row: _Row, column: str) -> float | None:
    """Returns the number in a cell, None where nothing was logged."""
    text = row.cells[column]
    if text.lower() in _NOT_LOGGED:
        return None
    if _NUMBER.fullmatch(text) is None or abs(float(text)) == float("inf"):
        raise ValueError(
            f"{file}, row {row.line}, column {column}: {text!r} is not a number; write it as 1021.3 (no separators of "
            "thousands, no sign of a unit), and leave the cell empty where the run gave none"
        )
    return float(text)
