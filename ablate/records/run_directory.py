"""A run directory: its file names, and how they are written and read.

Both wings meet here: training writes what the report reads. Every file is replaced as a whole, so a reader, or a run
that is killed, sees the old one or the new one.
"""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ablate.files import atomic_write, refuse_links, remove_leftovers
from ablate.messages import redact
from ablate.records.epochs import Epoch

FORMAT = 1  # of run.json
STATUSES = ("running", "complete", "failed", "diverged", "interrupted")


class RunFailed(Exception):
    """A run that started and did not end well; its record says how, its log where."""


class Busy(Exception):
    """Another process works on the run."""


class RunDirectory:
    """Owns every file name in a run directory.

    Args:
        folder: The run's folder; it need not exist to be read from.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def record_file(self) -> Path:
        """Status, identity, results, times and provenance of the run."""
        return self.folder / "run.json"

    @property
    def epochs_file(self) -> Path:
        """A row an epoch."""
        return self.folder / "epochs.csv"

    @property
    def checkpoint_file(self) -> Path:
        """The state after the newest complete epoch."""
        return self.folder / "checkpoint.pt"

    @property
    def previous_checkpoint_file(self) -> Path:
        """The state an epoch earlier, for when the newest is damaged."""
        return self.folder / "checkpoint.previous.pt"

    @property
    def lock_file(self) -> Path:
        """Held by the process that works on the run; gone when none does, unless one was killed."""
        return self.folder / "run.lock"

    @property
    def log_file(self) -> Path:
        """The run's log, which Hydra's job logging opens under this name."""
        return self.folder / "train.log"

    @contextmanager
    def lock(self, on_wait: Callable[[], object] | None = None) -> Iterator[None]:
        """Keeps other processes off the run, and cleans up after one that was killed; the folder exists.

        The lock is the operating system's, so it goes with its holder; on file systems without such locks, filelock
        falls back to the existence of the file.

        Args:
            on_wait: Called before waiting for another process; without it, none is waited for.

        Raises:
            Busy: Another process holds the lock.
            ValueError: The folder is a link.
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
            yield
        finally:
            with suppress(OSError):  # where an open file cannot be removed, it stays
                self.lock_file.unlink(missing_ok=True)  # still held: whoever waits for it sees that it is gone
            lock.release()

    def forget(self) -> None:
        """Removes the results and the state, for the run to start anew; its log stays."""
        for file in (self.record_file, self.checkpoint_file, self.previous_checkpoint_file, self.epochs_file):
            file.unlink(missing_ok=True)

    def read_record(self) -> dict[str, Any] | None:
        """Returns run.json, or None if there is none.

        Raises:
            ValueError: It is not a record of this format.
        """
        try:
            text = read_text(self.record_file)
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{self.record_file.name} cannot be read: {error}") from error
        try:
            record = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{self.record_file.name} is not JSON: {error}") from error
        if not isinstance(record, dict) or record.get("format") != FORMAT or record.get("status") not in STATUSES:
            raise ValueError(f"{self.record_file.name} is not a run's record of format {FORMAT}")
        return record

    def write_record(self, record: dict[str, Any]) -> None:
        """Replaces run.json; the passwords of addresses in it are left out."""
        with atomic_write(self.record_file) as file:
            file.write(redact(json.dumps({"format": FORMAT, **record}, indent=2)) + "\n")

    def read_epochs(self) -> list[Epoch]:
        """Returns the rows of epochs.csv; none if there is no file.

        Raises:
            ValueError: It is not a table of numbers.
        """
        columns, rows = self.read_epoch_table()
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def read_epoch_table(self) -> tuple[list[str], list[list[float]]]:
        """Returns the columns of epochs.csv, and a row of values for each epoch.

        Raises:
            ValueError: It is not a table of numbers.
        """
        try:
            columns, *rows = [row for row in csv.reader(read_text(self.epochs_file).splitlines()) if row] or [[]]
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


def read_text(file: Path) -> str:
    """Returns the text of a file. What others send may hold a pipe, which would block, or a device without an end."""
    if file.exists() and not file.is_file():
        raise OSError("it is not a plain file")
    return file.read_text(encoding="utf-8")
