"""A run's files on their way to a store and from it."""

import json
import logging
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from ablate.files import atomic_write
from ablate.records.epochs import EPOCHS_FILE
from ablate.records.record import RECORD_FILE, RunFailed
from ablate.records.store import Store, reason

log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds between two tries, doubled each time
PATIENCE = 600.0  # seconds that a run which has ended waits for its files to arrive
HURRY = 5.0  # the same for a run that was interrupted


class RunStore:
    """One run's files in a store, and here.

    A thread brings them to the store: training does not wait, and a store that is away is tried again. `key` is the
    run's folder in it, and `files` are in the order in which they are to arrive: the record never says more than there
    is.
    """

    def __init__(self, store: Store, key: str, folder: Path, files: Sequence[str]) -> None:
        self._store, self._key, self._folder, self._files = store, key, folder, files
        self._further_here = False
        self._changed = threading.Condition()
        self._waiting: dict[str, object] = {}  # names of files in the order they are to arrive; a mark for each push
        self._error: Exception | None = None
        self._thread: threading.Thread | None = None

    def pull(self) -> None:
        """Brings the run here, if it is further in the store."""
        try:
            there = _progress(self._read(EPOCHS_FILE), self._read(RECORD_FILE))
            here = _progress(*(_content(self._folder / name) for name in (EPOCHS_FILE, RECORD_FILE)))
            self._further_here = here > there
            if there > here:
                log.info("%s is further in %s than here, and is taken from there", self._key, self._store.address)
                self._folder.mkdir(parents=True, exist_ok=True)
                for name in self._files:
                    content = self._read(name)
                    if content is not None:
                        with atomic_write(self._folder / name, "wb") as local:
                            local.write(content)
        except Exception as error:  # each store raises its own
            raise ValueError(f"store={self._store.address}: {self._key} cannot be read: {reason(error)}") from error

    def _read(self, name: str) -> bytes | None:
        return self._store.read(f"{self._key}/{name}")

    def forget(self) -> None:
        """Removes the run from the store, for it to restart: what is there would else count as further."""
        self._further_here = False
        try:
            for name in reversed(self._files):
                self._store.remove(f"{self._key}/{name}")
        except Exception as error:
            raise ValueError(f"store={self._store.address}: {self._key} cannot be removed: {reason(error)}") from error

    def push(self, names: Iterable[str]) -> None:
        """Has files brought to the store after those before them, without waiting; of each, its newest state."""
        if self._further_here:  # what the store lacks goes first, once
            self._further_here = False
            self.push(self._files)
        with self._changed:
            for name in names:
                self._waiting.pop(name, None)  # its newest state arrives after what is before it
                self._waiting[name] = object()
            if self._thread is None and self._waiting:
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def finish(self, patience: float) -> None:
        """Waits so many seconds until all is there, with what `pull` found to be further here, or raises RunFailed."""
        self.push([])
        with self._changed:
            if not self._changed.wait_for(lambda: not self._waiting, patience):
                raise RunFailed(
                    f"{self._key}: {', '.join(self._waiting)} could not be brought to {self._store.address} "
                    f"({reason(self._error)}); the run is in {self._folder}; the same command tries again"
                )

    def _work(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            with self._changed:
                if not self._waiting:
                    self._thread = None
                    return
                name, mark = next(iter(self._waiting.items()))
            error = self._send(name)
            with self._changed:
                before, self._error = self._error, error
                if error is None:
                    if before is not None:
                        log.info("%s can be reached again", self._store.address)
                    if self._waiting[name] is mark:  # else there is a newer state of it
                        del self._waiting[name]
                    self._changed.notify_all()
                    pause = _FIRST_PAUSE
                else:
                    if before is None:
                        log.warning("%s cannot be written to (%s); trying again", self._store.address, reason(error))
                    self._changed.wait(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE)

    def _send(self, name: str) -> Exception | None:
        try:
            content = _content(self._folder / name)
            if content is not None:
                self._store.write(f"{self._key}/{name}", content)
        except Exception as error:  # each store raises its own
            return error
        return None


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None


def _progress(epochs: bytes | None, record: bytes | None) -> tuple[bool, int]:
    """Returns whether a run has ended well, and its complete epochs; a damaged record says nothing."""
    try:
        complete = record is not None and json.loads(record)["status"] == "complete"
    except (ValueError, KeyError, TypeError):
        complete = False
    return complete, 0 if epochs is None else max(0, epochs.count(b"\n") - 1)
