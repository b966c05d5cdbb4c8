"""Runs from a CSV or TSV file: a row a run, or, with a column of epochs, a row an epoch."""

import csv
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from ablate.messages import nearest
from ablate.sources.logged_run import LoggedRun


def read(file: Path, of_a_run: Sequence[str], epoch: str | None) -> list[LoggedRun]:
    """Returns the runs in a table.

    Args:
        file: The table, with names in its first row.
        of_a_run: Columns that are the same for all epochs of a run, and together for those of no other.
        epoch: The column with the epoch; without one, each row is a run.

    Raises:
        ValueError: The file cannot be read, lacks a column, or a row has no number as its epoch.
    """
    try:
        delimiter = "\t" if file.suffix.lower() == ".tsv" else ","
        with file.open(newline="", encoding="utf-8-sig") as content:
            table = csv.DictReader(content, delimiter=delimiter, strict=True)
            rows, columns = list(table), table.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{file}: cannot be read as a table: {error}") from error
    if not rows:
        raise ValueError(f"{file}: has no row below the one with the names of the columns")
    for name in (*of_a_run, *([epoch] if epoch else [])):
        if name not in columns:
            raise ValueError(f"{file} has no column {name}; {nearest(name, columns)}")
    by_run: defaultdict[tuple[str, ...], list[tuple[float, dict[str, str]]]] = defaultdict(list)
    for line, row in enumerate(rows, start=2):
        key = tuple(row[name] or "" for name in of_a_run)
        if epoch is None:
            by_run[*key, str(line)].append((line, row))
            continue
        try:
            by_run[key].append((float(row[epoch]), row))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{file}, line {line}: {epoch}={row[epoch]} is no number") from error
    started = datetime.fromtimestamp(file.stat().st_mtime, UTC).isoformat(timespec="seconds")
    return [
        LoggedRun(
            name=" ".join(key),
            status="complete",
            started=started,
            fields=members[0][1],
            history=[dict(_numbers(row)) for _, row in sorted(members, key=lambda pair: pair[0])],
        )
        for key, members in by_run.items()
    ]


def _numbers(row: dict[str, str]) -> Iterator[tuple[str, float]]:
    for name, text in row.items():
        with suppress(TypeError, ValueError):
            yield name, float(text)
