"""The runs of a study as they were last read: a run is read again only where one of its two files has changed.

A study of very many runs is kept in SQLite in the user's cache folder, never beside the runs, which may come from
others. What runs have in common, most of a record, is kept once, and is one object in memory.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from platformdirs import user_cache_path

from ablate.files import file_state
from ablate.messages import printable
from ablate.records import forms
from ablate.records.record import DataFacts, ModelFacts, Provenance, RunRecord
from ablate.records.run_directory import RunDirectory
from ablate.records.study_directory import StudyDirectory
from ablate.report.study.run_record import Epochs, read_run

_WORTH_KEEPING = 1000  # runs; fewer are read as fast from their own files
_COMMON = ("config", "model", "data", "provenance")  # parts of a record that consist of what other runs have too
_KINDS = {"model": ModelFacts, "data": DataFacts, "provenance": Provenance}
_TABLES = """
CREATE TABLE IF NOT EXISTS runs (folder TEXT PRIMARY KEY, stamp TEXT, record TEXT, columns TEXT, epochs BLOB);
CREATE TABLE IF NOT EXISTS parts (digest TEXT PRIMARY KEY, content TEXT);
"""


@dataclass
class StudyRuns:
    """The runs of a study, by their names: complete ones with their epochs, others, and what cannot be read."""

    complete: dict[str, tuple[RunRecord, Epochs]] = field(default_factory=dict)
    others: dict[str, RunRecord] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)  # what is wrong, by folder

    def add(self, run: str, record: RunRecord, epochs: Epochs) -> None:
        """Adds a complete run; of copies of one run, the one started last counts."""
        if run in self.complete:
            self.broken["several folders"] = "hold copies of one run; of each, the one started last counts"
            if record.started < self.complete[run][0].started:
                return
        self.complete[run] = record, epochs


def read_runs(folder: Path) -> StudyRuns:
    """Returns the runs in a study's folder."""
    names = sorted(StudyDirectory(folder).names())
    if len(names) >= _WORTH_KEEPING:
        try:
            file = _file(folder)
            return _read(folder, names, file)
        except (OSError, sqlite3.OperationalError):  # no place for it, or another report is writing it
            pass
        except sqlite3.DatabaseError:  # damaged
            Path(file).unlink()
    return _read(folder, names, ":memory:")


def _file(folder: Path) -> str:
    """Returns the cache's file; another version of what reads runs has another."""
    cache = user_cache_path("ablate") / "collected"
    cache.mkdir(parents=True, exist_ok=True)
    version = hashlib.sha256(os.fsencode(folder.resolve()))
    package = Path(__file__).parents[2]
    for code in sorted([*package.glob("records/*.py"), *package.glob("report/study/*.py")]):
        version.update(code.read_bytes())
    return str(cache / f"{version.hexdigest()[:24]}.sqlite")


def _stamp(directory: RunDirectory) -> str:
    """Returns what changes when one of a run's two files does."""
    states: list[tuple[int, ...]] = []
    for file in (directory.record_file, directory.epochs_file):
        with suppress(OSError):
            states.append(file_state(file))
    return str(states)


def _read(folder: Path, names: Sequence[str], database: str) -> StudyRuns:
    runs = StudyRuns()
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        connection.executescript(_TABLES)
        stamps = {name: _stamp(RunDirectory(folder / name)) for name in names}
        known = dict(connection.execute("SELECT folder, stamp FROM runs"))
        changed = [(name,) for name in known if stamps.get(name) != known[name]]
        connection.executemany("DELETE FROM runs WHERE folder = ?", changed)
        parts: dict[str, str] = {}
        for name, stamp in stamps.items():
            if known.get(name) == stamp:
                continue
            try:
                if any("\ud800" <= sign <= "\udfff" for sign in name):  # what Python makes of other bytes
                    raise ValueError("the name of its folder is not UTF-8")
                record, epochs = read_run(RunDirectory(folder / name))
            except ValueError as error:
                runs.broken[printable(name)] = str(error)
                continue
            if epochs is None:
                runs.others[record.run] = record
                continue
            connection.execute(
                "INSERT INTO runs VALUES (?, ?, ?, ?, ?)",
                (name, stamp, _pack(record, parts), json.dumps(epochs.columns), epochs.values.tobytes()),
            )
        connection.executemany("INSERT OR IGNORE INTO parts VALUES (?, ?)", parts.items())
        for record, epochs in _load(connection):
            runs.add(record.run, record, epochs)
    return runs


def _pack(run: RunRecord, parts: dict[str, str]) -> str:
    """Returns a record as JSON in which digests stand for its common parts, which are added to `parts`."""
    content = forms.plain(run)
    for key in filter(content.get, _COMMON):
        for name, value in content[key].items():
            part = json.dumps(value)
            digest = hashlib.sha256(part.encode()).hexdigest()[:32]
            parts[digest] = part
            content[key][name] = digest
    return json.dumps(content)


def _load(connection: sqlite3.Connection) -> Iterator[tuple[RunRecord, Epochs]]:
    parts = {digest: json.loads(part) for digest, part in connection.execute("SELECT digest, content FROM parts")}
    of_columns: dict[str, tuple[str, ...]] = {}
    of_digests: dict[tuple[str, ...], object] = {}

    def common(key: str, digests: Mapping[str, str]) -> object:
        """Returns a part of a record, one object for all the runs that have it."""
        known = (key, *digests.values())
        if known not in of_digests:
            content = {name: parts[digest] for name, digest in digests.items()}
            of_digests[known] = forms.read(_KINDS[key], content) if key in _KINDS else content
        return of_digests[known]

    for packed, columns, epochs in connection.execute("SELECT record, columns, epochs FROM runs ORDER BY folder"):
        if columns not in of_columns:
            of_columns[columns] = tuple(json.loads(columns))
        values = np.frombuffer(epochs).reshape(-1, len(of_columns[columns]))
        content = json.loads(packed)
        content |= {key: common(key, content[key]) for key in filter(content.get, _COMMON)}
        yield forms.read(RunRecord, content), Epochs(of_columns[columns], values)
