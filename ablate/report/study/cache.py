"""The runs of a study as they were last read: a run is read again only where one of its two files has changed.

A study of very many runs is kept in SQLite in the user's cache folder, never beside the runs, which may come from
others. What runs have in common, most of a record, is kept once, and is one object in memory.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_path

from ablate.files import Plain
from ablate.messages import printable
from ablate.records import epochs as epochs_file
from ablate.records import forms, record, run_directory
from ablate.records.record import DataFacts, ModelFacts, Provenance, RunRecord
from ablate.records.run_directory import RunDirectory
from ablate.records.study_directory import StudyDirectory
from ablate.report.study import run_record
from ablate.report.study.run_record import Epochs, read_run

_WORTH_KEEPING = 1000  # runs; fewer are read as fast from their own files
_COMMON = ("config", "model", "data", "provenance")  # parts of a record that consist of what other runs have too
_KINDS = {"model": ModelFacts, "data": DataFacts, "provenance": Provenance}
_TABLES = """
CREATE TABLE IF NOT EXISTS runs (folder TEXT PRIMARY KEY, stamp TEXT, own TEXT, common TEXT, columns TEXT, epochs BLOB);
CREATE TABLE IF NOT EXISTS parts (digest TEXT PRIMARY KEY, content TEXT);
"""


@dataclass
class StudyRuns:
    """The runs in a study's folder.

    Attributes:
        complete: Record and epochs of each complete run, in the order of their folders.
        others: The records of the others.
        broken: What is wrong with each run directory that cannot be read, by its folder.
    """

    complete: list[tuple[RunRecord, Epochs]] = field(default_factory=list)
    others: list[RunRecord] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)


def read_runs(folder: Path) -> StudyRuns:
    """Returns the runs of a study.

    Args:
        folder: The study's folder.
    """
    stamps = dict(sorted(_stamps(folder)))
    if len(stamps) >= _WORTH_KEEPING:
        try:
            file = _file(folder)
            return _read(folder, stamps, file)
        except (OSError, sqlite3.OperationalError):  # no place for it, or another report is writing it
            pass
        except sqlite3.DatabaseError:  # damaged
            Path(file).unlink()
    return _read(folder, stamps, ":memory:")


def _file(folder: Path) -> str:
    """Returns the cache's file; another version of what reads runs has another."""
    cache = user_cache_path("ablate") / "collected"
    cache.mkdir(parents=True, exist_ok=True)
    version = hashlib.sha256(os.fsencode(folder.resolve()))
    for code in (run_record, record, forms, epochs_file, run_directory):
        version.update(Path(str(code.__file__)).read_bytes())
    version.update(Path(__file__).read_bytes())
    return str(cache / f"{version.hexdigest()[:24]}.sqlite")


def _stamps(folder: Path) -> Iterator[tuple[str, str]]:
    """Yields the run directories of a study, each with what changes when one of its files does."""
    for name in StudyDirectory(folder).names():
        directory = RunDirectory(folder / name)
        stamp = _stamp(directory.record_file)
        if stamp is not None:
            yield name, f"{stamp} {_stamp(directory.epochs_file)}"


def _is_text(name: str) -> bool:
    return not any("\ud800" <= sign <= "\udfff" for sign in name)  # what Python makes of other bytes


def _stamp(file: Path) -> str | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"


def _read(folder: Path, stamps: dict[str, str], database: str) -> StudyRuns:
    runs = StudyRuns()
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        connection.executescript(_TABLES)
        for name in [name for name in stamps if not _is_text(name)]:
            runs.broken[printable(name)] = "the name of its folder is not UTF-8"
            del stamps[name]
        known = dict(connection.execute("SELECT folder, stamp FROM runs"))
        changed = [(name,) for name in known if stamps.get(name) != known[name]]
        connection.executemany("DELETE FROM runs WHERE folder = ?", changed)
        kept: set[str] = set()
        for name, stamp in stamps.items():
            if known.get(name) == stamp:
                continue
            try:
                run, epochs = read_run(RunDirectory(folder / name))
            except ValueError as error:
                runs.broken[printable(name)] = str(error)
                continue
            if epochs is None:
                runs.others.append(run)
                continue
            connection.execute(
                "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?)",
                (name, stamp, *_pack(run, kept, connection), json.dumps(epochs.columns), epochs.values.tobytes()),
            )
        runs.complete = list(_load(connection))
    runs.broken = dict(sorted(runs.broken.items()))
    return runs


def _pack(run: RunRecord, kept: set[str], connection: sqlite3.Connection) -> tuple[str, str]:
    """Returns what a record has alone, and the digests of its common parts, which are kept if they are not yet."""
    own = forms.plain(run)
    common: dict[str, dict[str, str]] = {}
    for key in filter(own.get, _COMMON):
        for name, value in own.pop(key).items():
            content = json.dumps(value)
            digest = hashlib.sha256(content.encode()).hexdigest()[:32]
            if digest not in kept:
                connection.execute("INSERT OR IGNORE INTO parts VALUES (?, ?)", (digest, content))
                kept.add(digest)
            common.setdefault(key, {})[name] = digest
    return json.dumps(own), json.dumps(common)


def _load(connection: sqlite3.Connection) -> Iterator[tuple[RunRecord, Epochs]]:
    parts: Plain = {digest: json.loads(content) for digest, content in _all(connection, "digest, content FROM parts")}
    of_columns: dict[str, tuple[str, ...]] = {}
    of_digests: dict[tuple[str, ...], object] = {}

    def part(key: str, digests: Mapping[str, str]) -> object:
        """Returns a part of a record, one object for all the runs that have it."""
        known = (key, *digests.values())
        if known not in of_digests:
            content = {name: parts[digest] for name, digest in digests.items()}
            of_digests[known] = forms.read(_KINDS[key], content) if key in _KINDS else content
        return of_digests[known]

    rows = _all(connection, "own, common, columns, epochs FROM runs ORDER BY folder")
    for own, common, columns, epochs in rows:
        if columns not in of_columns:
            of_columns[columns] = tuple(json.loads(columns))
        values = np.frombuffer(epochs).reshape(-1, len(of_columns[columns]))
        shared = {key: part(key, digests) for key, digests in json.loads(common).items()}
        yield forms.read(RunRecord, {**json.loads(own), **shared}), Epochs(of_columns[columns], values)


def _all(connection: sqlite3.Connection, what: str) -> Iterable[tuple[Any, ...]]:
    return connection.execute(f"SELECT {what}")
