"""A run directory: its file names, and how they are written and read.

Both wings meet here: training writes what the report reads. Every file is replaced as a whole, so a reader, or a run
that is killed, sees the old one or the new one.
"""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ablate.files import atomic_write, keep_copy, refuse_links, remove_leftovers
from ablate.records.epochs import EPOCHS_FILE, Epoch
from ablate.records.record import RECORD_FILE, RunRecord
from ablate.records.uploads import HURRY, PATIENCE, RunStore, StoreFailed


class RunFailed(Exception):
    """A run that started and did not end well; its record says how, its log where."""


class Busy(Exception):
    """Another process works on the run."""


class RunDirectory:
    """Owns every file name in a run directory, and keeps the run's copy in a store up to date, if it has one.

    Args:
        folder: The run's folder; it need not exist to be read from.
        store: The address of a store. `lock` brings the run from there, if it is further there; what is written is
            brought there, and the end of `lock` waits until it has arrived.
        study: The study's name, under which the store has the run.

    Raises:
        ValueError: The store's address cannot be used.
    """

    def __init__(self, folder: Path, store: str | None = None, study: str = "") -> None:
        self.folder = folder
        self._store = None if store is None else RunStore(
            store,
            f"{study}/{folder.parent.name}/{folder.name}",
            folder,
            state=[self.checkpoint_file.name, self.previous_checkpoint_file.name],
            told=[EPOCHS_FILE, RECORD_FILE],
        )  # fmt: skip

    @property
    def record_file(self) -> Path:
        """Status, identity, results, times and provenance of the run."""
        return self.folder / RECORD_FILE

    @property
    def epochs_file(self) -> Path:
        """A row an epoch."""
        return self.folder / EPOCHS_FILE

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
            with suppress(StoreFailed):  # the error itself is the one to tell
                self._store.finish(PATIENCE if isinstance(error, Exception) else HURRY)
            raise
        try:
            self._store.finish(PATIENCE)
        except StoreFailed as error:
            raise RunFailed(str(error)) from error

    def pull(self) -> None:
        """Brings the run here without a lock, if it has a store and is further there.

        Raises:
            ValueError: The store cannot be read.
        """
        if self._store is not None:
            self._store.pull()

    def _push(self, *files: Path) -> None:
        """Has files copied to the store, if there is one, in this order, without waiting."""
        if self._store is not None:
            self._store.push(*(file.name for file in files))

    def forget(self) -> None:
        """Removes the results and the state, here and in the store, for the run to restart; its log stays.

        Raises:
            ValueError: They cannot be removed from the store.
        """
        if self._store is not None:
            self._store.forget()
        for file in (self.record_file, self.checkpoint_file, self.previous_checkpoint_file, self.epochs_file):
            file.unlink(missing_ok=True)

    def read_record(self) -> RunRecord | None:
        """Returns what run.json holds, or None if there is none.

        Raises:
            ValueError: It is not a record of this format.
        """
        try:
            text = read_text(self.record_file)
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{RECORD_FILE} cannot be read: {error}") from error
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{RECORD_FILE} is not JSON: {error}") from error
        return RunRecord.from_json(content)

    def write_record(self, record: RunRecord) -> None:
        """Replaces run.json."""
        with atomic_write(self.record_file) as file:
            json.dump(record.to_json(), file, indent=2)
            file.write("\n")
        self._push(self.record_file)

    def write_checkpoint(self, content: bytes | memoryview) -> None:
        """Replaces the newest checkpoint, and keeps the one before; it is copied to a store with the epochs."""
        if self.checkpoint_file.is_file():
            keep_copy(self.checkpoint_file, self.previous_checkpoint_file)
        with atomic_write(self.checkpoint_file, "wb") as file:
            file.write(content)

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
        self._push(self.checkpoint_file, self.epochs_file)


def read_text(file: Path) -> str:
    """Returns the text of a file. What others send may hold a pipe, which would block, or a device without an end."""
    if file.exists() and not file.is_file():
        raise OSError("it is not a plain file")
    return file.read_text(encoding="utf-8")
