"""A run directory: its file names, and how they are written and read.

Both wings meet here: training writes what the report reads. Every file is replaced as a whole, so a reader, or a run
that is killed, sees the old one or the new one.
"""

import csv
import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ablate.files import atomic_write, keep_copy, refuse_links, remove_leftovers
from ablate.messages import redact
from ablate.records.epochs import EPOCHS_FILE, Epoch, over_epochs, split_statistic
from ablate.records.record import RECORD_FILE, RunFailed, RunRecord
from ablate.records.store import Store
from ablate.records.uploads import HURRY, PATIENCE, RunStore

log = logging.getLogger(__name__)

MOST_BYTES = 2**28  # of epochs.csv, whatever its run; of JSON a sixteenth
_LONGEST_NUMBER = 26  # of characters: -2.2250738585072014e-308, what separates it, and one to spare
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # as JSON writes half a character
_CHECKPOINT, _PREVIOUS_CHECKPOINT = "checkpoint.pt", "checkpoint.previous.pt"
# Of a run's state and results, in the order in which they are copied; they are removed in the opposite one.
_FILES = (_CHECKPOINT, _PREVIOUS_CHECKPOINT, EPOCHS_FILE, RECORD_FILE)


class Busy(Exception):
    """Another process works on the run."""


class _File:
    """The path of a file in a run directory, under a name of its own."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, directory: "RunDirectory", _: object) -> Path:
        return directory.folder / self._name


class RunDirectory:
    """Owns every file name in a run directory, and keeps the run's copy in a store up to date, if it has one.

    `lock` brings the run from the store, if it is further there; what is written is brought there, under the study's
    name, and the end of `lock` waits until it has arrived.
    """

    record_file = _File(RECORD_FILE)  # status, identity, results, times and provenance
    epochs_file = _File(EPOCHS_FILE)  # a row an epoch
    checkpoint_file = _File(_CHECKPOINT)  # the state after the newest complete epoch
    previous_checkpoint_file = _File(_PREVIOUS_CHECKPOINT)  # an epoch earlier, for when the newest is damaged
    lock_file = _File("run.lock")  # gone when no process works on the run, unless one was killed
    log_file = _File("train.log")  # which Hydra's job logging opens under this name

    def __init__(self, folder: Path, store: str | None = None, study: str = "") -> None:
        self.folder = folder
        self._store = None
        if store is not None:
            self._store = RunStore(Store(store), f"{study}/{folder.parent.name}/{folder.name}", folder, _FILES)

    @contextmanager
    def lock(self, on_wait: Callable[[], object] | None = None) -> Iterator[None]:
        """Keeps other processes off the run, and cleans up after one that was killed; the folder exists.

        The lock is the operating system's, so it goes with its holder; on file systems without such locks, filelock
        falls back to the existence of the file.

        Raises:
            Busy: Another process holds the lock, and there is no `on_wait`, which is called before waiting for it.
            ValueError: The folder is a link, or the run's store cannot be read.
            RunFailed: At the end, the run's files could not be brought to its store; they are in its folder.
        """
        refuse_links(self.folder)
        lock = FileLock(self.lock_file)
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            if on_wait is None:
                raise Busy(str(self.folder)) from error
            on_wait()
            lock.acquire()
        try:
            remove_leftovers(self.folder)
            with self._copied():
                yield
        finally:
            with suppress(OSError):  # where an open file cannot be removed, it stays
                self.lock_file.unlink(missing_ok=True)  # still held: whoever waits for it sees that it is gone
            lock.release()

    @contextmanager
    def _copied(self) -> Iterator[None]:
        """Brings the run from its store, and at the end, however that comes, waits until its files are there."""
        if self._store is None:
            yield
            return
        try:
            self._store.pull()
            yield
        except BaseException as error:
            with suppress(RunFailed):  # the error itself is the one to tell
                self._store.finish(PATIENCE if isinstance(error, Exception) else HURRY)
            raise
        self._store.finish(PATIENCE)

    def pull(self) -> None:
        """Brings the run here without a lock, if it has a store and is further there."""
        if self._store is not None:
            self._store.pull()

    def _push(self, *files: Path) -> None:
        """Has files copied to the store, if there is one, in this order, without waiting."""
        if self._store is not None:
            self._store.push(file.name for file in files)

    def forget(self) -> None:
        """Removes the results and the state, here and in the store, for the run to restart; its log stays."""
        if self._store is not None:
            self._store.forget()
        for name in reversed(_FILES):
            (self.folder / name).unlink(missing_ok=True)

    def read_record(self) -> RunRecord | None:
        """Returns what run.json holds, or None if there is none; ValueError where it is no record of this format."""
        try:
            content = read_json(self.record_file)
        except FileNotFoundError:
            return None
        return RunRecord.from_json(content)

    def readable_record(self) -> RunRecord | None:
        """Returns the record, or None if there is none that can be read."""
        with suppress(ValueError):
            return self.read_record()
        return None

    def earlier_record(self, identity: str, way_out: str) -> RunRecord | None:
        """Returns the record of an earlier start; None if there is none, or it cannot be read, which is said.

        ValueError says that the folder holds another run, and the way out.
        """
        try:
            record = self.read_record()
        except ValueError as error:
            log.warning("%s: %s; the run is restarted", self.folder, error)
            return None
        if record is not None and record.id != identity:
            raise ValueError(
                f"{self.folder}: holds the run of another configuration ({record.id}, this one is {identity}); "
                f"{way_out}"
            )
        return record

    def write_record(self, record: RunRecord) -> None:
        """Replaces run.json; the passwords of addresses in it are left out."""
        with atomic_write(self.record_file) as file:
            file.write(redact(json.dumps(record.to_json(), indent=2)) + "\n")
        self._push(self.record_file)

    def write_checkpoint(self, content: bytes | memoryview) -> None:
        """Replaces the newest checkpoint, and keeps the one before; it is copied to a store with the epochs."""
        if self.checkpoint_file.is_file():
            keep_copy(self.checkpoint_file, self.previous_checkpoint_file)
        with atomic_write(self.checkpoint_file, "wb") as file:
            file.write(content)

    def take_back(self) -> None:
        """Makes the checkpoint of the epoch before the newest one."""
        self.previous_checkpoint_file.replace(self.checkpoint_file)

    def value(self, record: RunRecord, metric: str) -> float:
        """Returns a time, or a metric by its statistic over epochs, of the run, which is complete."""
        if split_statistic(metric)[1] == "final":
            return record.value(metric.removesuffix(".final"))
        columns, rows = self.read_epoch_table(record.epochs)
        values = dict(zip(columns, zip(*rows, strict=True), strict=True))
        return over_epochs(metric, values, record.metrics)

    def read_epochs(self, most: int | None = None) -> list[Epoch]:
        """Returns the rows of epochs.csv as `read_epoch_table` does, by column."""
        columns, rows = self.read_epoch_table(most)
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def read_epoch_table(self, most: int | None = None) -> tuple[list[str], list[list[float]]]:
        """Returns the columns of epochs.csv, and a row of values for each epoch; none if there is no file.

        ValueError says that it is not a table of numbers, or too large for `most` epochs, if that is known.
        """
        try:
            text = _read_text(self.epochs_file, MOST_BYTES, most)
            columns, *rows = [row for row in csv.reader(text.splitlines()) if row] or [[]]
            if any(len(row) != len(columns) for row in rows):
                raise ValueError("its rows differ in length")
            return columns, [list(map(float, row)) for row in rows]
        except FileNotFoundError:
            return [], []
        except (OSError, ValueError, csv.Error) as error:
            raise ValueError(f"{self.epochs_file.name} is not a table of numbers: {error}") from error

    def write_epochs(self, rows: Sequence[Epoch]) -> None:
        """Replaces epochs.csv; at least one row."""
        with atomic_write(self.epochs_file) as file:
            # An earlier start may have had other metrics.
            columns = dict.fromkeys(name for row in rows for name in row)
            writer = csv.DictWriter(file, columns, restval="nan", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        self._push(self.checkpoint_file, self.epochs_file)


def _read_text(file: Path, most: int, epochs: int | None = None) -> str:
    """Returns the text of a file, of which no more is read than it may hold, in bytes or in epochs below a first line.

    What others send may hold a pipe, which would block, a device without an end, or gigabytes.
    """
    if file.exists() and not file.is_file():
        raise OSError("it is not a plain file")
    with file.open("rb") as opened:
        content = b""
        if epochs is not None:
            content = opened.readline(most + 1)
            longest_row = _LONGEST_NUMBER * (content.count(b",") + 1) + 2
            most = min(most, len(content) + (epochs + 1) * longest_row)
        content += opened.read(max(most + 1 - len(content), 0))
    if len(content) > most:
        raise OSError(f"it has more than the {most:,} bytes that it can have")
    return content.decode()


def read_json(file: Path) -> Any:
    """Returns what a JSON file of ours holds, whose texts can all be written again; ValueError where it cannot be."""
    try:
        text = _read_text(file, MOST_BYTES // 16)
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file.name} cannot be read: {error}") from error
    try:
        content = json.loads(text)
        if _SURROGATE.search(text):  # half a character, which no file can hold
            json.dumps(content, ensure_ascii=False).encode()
        if _is_deep(content):
            raise ValueError("its values are nested too deeply")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file.name} is not JSON: {error}") from error
    return content


def _is_deep(value: object, left: int = 100) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return left == 0 or any(_is_deep(each, left - 1) for each in inner)
