"""Files that are either the old or the new whole one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def atomic_write(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Opens a file whose content takes the place of `path` when the block ends without an error.

    Args:
        path: The file to write or replace; its folder exists.
        mode: "w" for UTF-8 text, "wb" for bytes.
    """
    # Hidden, in the same folder (so that the replacement is one rename), and one's own to each process.
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open(mode, encoding=None if "b" in mode else "utf-8", newline=None if "b" in mode else "\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
