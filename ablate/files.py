"""Files that are replaced as a whole: a reader sees the old one or the new one."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

_SUFFIX = ".part"


@contextmanager
def atomic_write(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Opens a file whose content takes the place of `path` when the block ends without an error.

    Args:
        path: The file to write or replace; its folder exists.
        mode: "w" for UTF-8 text, "wb" for bytes.
    """
    part = _part(path)
    try:
        with part.open(mode, encoding=None if "b" in mode else "utf-8", newline=None if "b" in mode else "\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # a full disk's error names no file
    finally:
        part.unlink(missing_ok=True)


def keep_copy(path: Path, copy: Path) -> None:
    """Makes `copy` a file with the content that `path` has now, whatever replaces it later; both in one folder."""
    part = _part(copy)
    try:
        try:
            os.link(path, part)
        except OSError:  # a file system without links
            shutil.copyfile(path, part)
        part.replace(copy)
    finally:
        part.unlink(missing_ok=True)


def _part(path: Path) -> Path:
    # Hidden, in the same folder (so that the replacement is one rename), and different for each process.
    return path.with_name(f".{path.name}.{os.getpid()}{_SUFFIX}")


def remove_leftovers(folder: Path) -> None:
    """Removes the partial files of killed writes from a folder that no other process writes to."""
    for part in folder.glob(f".*{_SUFFIX}"):
        part.unlink(missing_ok=True)
