"""Other runs on the same machine at the same time: they share its cores, so times are read with them in mind."""

import getpass
import os
import stat
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def counting_other_runs() -> Iterator[Callable[[], int | None]]:
    """Yields a function that counts the runs of other processes on this machine, and lets them count this one.

    Every run holds the lock of a file of its own in one folder of the machine; files that nobody holds are leftovers.
    Where that folder cannot be written, or is not the user's own, the count is None.
    """
    folder = Path(tempfile.gettempdir()) / f"ablate-{getpass.getuser()}"
    own = folder / f"{os.getpid()}-{uuid.uuid4().hex[:8]}.lock"
    lock = FileLock(own)
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        _check_own(folder)
        lock.acquire(blocking=False)
    except (OSError, Timeout):
        yield lambda: None
        return
    try:
        yield lambda: _held(folder, own)
    finally:
        with suppress(OSError):
            own.unlink(missing_ok=True)
        lock.release()


def _check_own(folder: Path) -> None:
    """Refuses a folder that somebody else has put there, or can write to: files in it are removed."""
    state = folder.lstat()
    owner = os.getuid() if hasattr(os, "getuid") else state.st_uid
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != owner or (os.name == "posix" and state.st_mode & 0o022):
        raise PermissionError(f"{folder} is not the user's own")


def _held(folder: Path, own: Path) -> int:
    held = 0
    for file in folder.glob("*.lock"):
        if file == own:
            continue
        lock = FileLock(file)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            held += 1
        except OSError:
            continue
        else:
            with suppress(OSError):
                file.unlink(missing_ok=True)
            lock.release()
    return held
