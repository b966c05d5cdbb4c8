"""Tables: with a row a run, a row an epoch of several runs, or a row a step of one run.

Labels are read as text, as they stand: `None`, `0.10`, `001` and `true` are names. Numbers are plain decimals, with a
comma only where it does not separate columns; an empty cell, or `nan`, is a value that was not logged. Other texts in
a column of numbers are refused.
"""

import csv
import io
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from ablate.messages import nearest
from ablate.sources.logged_run import LoggedRun, Step, Wanted, by_epoch, epoch_column, is_seed

SUFFIXES = (".csv", ".tsv")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.ASCII | re.IGNORECASE)
_WITH_COMMA = re.compile(r"[-+]?\d*,\d+(e[-+]?\d+)?", re.ASCII | re.IGNORECASE)
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}", re.ASCII)  # or a decimal: which one, only other cells can tell
_NOT_LOGGED = ("", "nan")  # in lower case


class _Row(NamedTuple):
    line: int
    cells: Mapping[str, str]


class Table:
    """A CSV or TSV file, with what spreadsheets put between columns and into numbers."""

    def __init__(self, file: Path) -> None:
        self.file = file
        separator, ((_, self.columns), *below) = _lines(file)
        twice = [name for name, number in Counter(self.columns).items() if name and number > 1]
        if twice:
            places = " and ".join(str(place) for place, name in enumerate(self.columns, start=1) if name == twice[0])
            raise ValueError(f"{file}: columns {places} are both called {twice[0]}; give each column a name of its own")
        for line, cells in below:
            if len(cells) != len(self.columns):
                raise ValueError(
                    f"{file}, row {line}: has {len(cells)} cells, and the first row names {len(self.columns)} columns; "
                    "put a text with a comma in it in quotes, and give every row all columns"
                )
        self.rows = [_Row(line, dict(zip(self.columns, cells, strict=True))) for line, cells in below]
        commas = [cell for _, cells in below for cell in cells if _WITH_COMMA.fullmatch(cell)]
        is_clear = separator == ";" or not all(map(_THOUSANDS.fullmatch, commas))
        self._sign = "," if separator != "," and commas and is_clear else "."  # for decimals

    def number(self, row: _Row, column: str) -> float | None:
        """Returns the number in a cell, None where nothing was logged; ValueError where there is something else."""
        text = row.cells[column]
        if text.lower() in _NOT_LOGGED:
            return None
        plain = text if self._sign == "." else text.replace(".", "?").replace(",", ".")
        if _NUMBER.fullmatch(plain) is None or abs(float(plain)) == float("inf"):
            raise ValueError(
                f"{self.file}, row {row.line}, column {column}: {text!r} is not a number; write it as 1021.3 (no "
                "separators of thousands, no sign of a unit), and leave the cell empty where the run gave none"
            )
        return float(plain)

    def numbers(self) -> list[str]:
        """Returns the columns that hold numbers and nothing else."""
        found = []
        for column in filter(None, self.columns):
            try:
                found += [column] * any([self.number(row, column) is not None for row in self.rows])  # noqa: C419
            except ValueError:
                continue
        return found

    def steps(self, rows: Sequence[_Row], metrics: Sequence[str], epoch: str | None) -> Iterator[Step]:
        """Yields rows as steps; one that says no epoch, as one of learning rates may, is of the epoch before."""
        at = None
        for row in rows:
            at = at if epoch is None or (said := self.number(row, epoch)) is None else said
            values = {name: self.number(row, name) for name in metrics}
            logged = {name: value for name, value in values.items() if value is not None}
            yield Step(at, logged, f"{self.file}, row {row.line}")


def read(file: Path, wanted: Wanted, known: Mapping[str, str] | None = None) -> list[LoggedRun]:
    """Returns the runs in a table: a row a run or, with a column of epochs, a row an epoch."""
    table, known = Table(file), known or {}
    numbers = table.numbers()
    _check(table, wanted, known)
    epoch = wanted.epoch or epoch_column(name for name in numbers if name not in wanted.metrics.values())
    no_metrics = (epoch, wanted.variant, wanted.seed, *(wanted.settings or ()))
    metrics = list(wanted.metrics.values()) or [
        name for name in numbers if name not in no_metrics and not is_seed(name)
    ]
    named = [*filter(None, (wanted.variant, wanted.seed, *(wanted.settings or ())))]
    if not (wanted.variant and wanted.seed):
        named += [name for name in table.columns if name and (is_seed(name) or name not in (*numbers, *metrics, epoch))]
    labels = [name for name in dict.fromkeys(named) if name in table.columns]
    by_run: defaultdict[tuple[str, ...], list[_Row]] = defaultdict(list)
    for row in table.rows:
        by_run[(f"row {row.line}",) if epoch is None else tuple(row.cells[label] for label in labels)].append(row)
    started = datetime.fromtimestamp(file.stat().st_mtime, UTC).isoformat(timespec="seconds")
    runs = []
    for key, rows in by_run.items():
        if wanted.epoch is not None:  # of a table of many runs, the order of rows says nothing
            rows.sort(key=lambda row: _epoch(table, row, wanted.epoch or ""))
        history = [step.values for step in by_epoch(table.steps(rows, metrics, epoch), wanted.resumed)]
        name = " ".join([*known.values(), *key])
        runs.append(LoggedRun(name, "complete", started, {**rows[0].cells, **known}, history, list(known)))
    return runs


def _epoch(table: Table, row: _Row, column: str) -> float:
    at = table.number(row, column)
    if at is None:
        raise ValueError(f"{table.file}, row {row.line}, column {column}: there is no epoch; leave the row out")
    return at


def _check(table: Table, wanted: Wanted, known: Mapping[str, str]) -> None:
    """Raises ValueError where something was named that is not in a table, or holds no numbers."""
    named = [("--variant", wanted.variant), ("--seed", wanted.seed), ("--epoch", wanted.epoch)]
    named += [("--setting", name) for name in wanted.settings or ()]
    for option, name in [*named, *(("--metric", name) for name in wanted.metrics.values())]:
        if name not in (None, "none", *table.columns) and (option == "--metric" or name not in known):
            columns = list(filter(None, table.columns))
            raise ValueError(f"{option} {name}: {table.file} has no such column; {nearest(str(name), columns)}")
    for name in wanted.metrics.values():
        if not any(_NUMBER.fullmatch(row.cells[name].replace(",", ".")) for row in table.rows):
            raise ValueError(f"--metric {name}: its column in {table.file} has no numbers")


def _lines(file: Path) -> tuple[str, list[tuple[int, list[str]]]]:
    """Returns what separates the cells of a table, and the cells of each line that has any, with its number."""
    try:
        content = file.read_bytes()
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
        first = re.sub(r'"[^"]*"', "", text.lstrip().split("\n")[0])
        separator = next((sign for sign in "\t;" if sign in first), ",")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        table = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(cells)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{file}: cannot be read as a table: {error}") from error
    if len(table) < 2:
        raise ValueError(f"{file}: has no row below the one with the names of the columns")
    return separator, table
