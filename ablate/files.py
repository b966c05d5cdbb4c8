"""Files that are replaced as a whole (a reader sees the old one or the new one), and that stay in their folder.

And the type of what their JSON and YAML hold.
"""

import functools
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeAlias

# Plain data, such as a configuration, as YAML and JSON hold it: mappings by text, lists, texts, numbers, truth values
# and None. The one is made and changed, the other only read.
Plain: TypeAlias = dict[str, Any]
PlainMapping: TypeAlias = Mapping[str, Any]

# What the folder of a study or a variant may be called, wherever its name comes from. It is a part of paths, and of the
# names of temporary files beside it, which file systems limit to 255 bytes.
FOLDER_NAME = re.compile(r"(?!\.+$)[\w.+-]{1,100}")
_SUFFIX = ".part"


def check_folder_name(key: str, name: str) -> None:
    """Refuses what no folder of a study or a variant may be called; `key` is what says the name."""
    if not FOLDER_NAME.fullmatch(name):
        raise ValueError(f"{key}={name}: names a folder, so use at most 100 letters, digits, '_', '-', '.' and '+'")


def short_digest(text: str) -> str:
    """Returns eight hexadecimal digits that tell a text from others, as the names of runs have them."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@contextmanager
def atomic_write(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Opens a file whose content takes the place of `path` when the block ends without an error.

    Args:
        path: The file to write or replace; its folder exists. A link is replaced, not followed.
        mode: "w" for UTF-8 text, "wb" for bytes.
    """
    part = _part(path)
    try:
        # Never a file that is there already: it may be another's, or a link to one.
        with part.open("xb") if mode == "wb" else part.open("x", encoding="utf-8", newline="\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # a full disk's error names no file
    finally:
        part.unlink(missing_ok=True)


def file_digest(path: Path) -> str:
    """Returns the SHA-256 of a file's content; read once as long as the file stays as it is."""
    return _file_digest(path, file_state(path))


def file_state(path: Path) -> tuple[int, ...]:
    """Returns what changes when a file's content does, as the file system tells: also if its time was set back."""
    state = path.stat()
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino


@functools.lru_cache(maxsize=1024)
def _file_digest(path: Path, _state: tuple[int, ...]) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def keep_copy(path: Path, copy: Path) -> None:
    """Makes `copy` a file with the content that `path` has now, whatever replaces it later; both in one folder."""
    part = _part(copy)
    try:
        try:
            os.link(path, part)
        except OSError:  # a file system without links
            with path.open("rb") as source, part.open("xb") as target:
                shutil.copyfileobj(source, target)
        part.replace(copy)
    finally:
        part.unlink(missing_ok=True)


def _part(path: Path) -> Path:
    # Hidden, in the same folder (so that the replacement is one rename), and under a name that nobody can guess.
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}{_SUFFIX}")


def remove_leftovers(folder: Path) -> None:
    """Removes the partial files of killed writes from a folder that no other process writes to."""
    for part in folder.glob(f".*{_SUFFIX}"):
        part.unlink(missing_ok=True)


def refuse_links(*paths: Path) -> None:
    """Refuses to write to what is a link: a folder that somebody else has sent may lead anywhere."""
    for path in paths:
        if path.is_symlink():
            raise ValueError(
                f"{path}: is a link to {path.readlink()}, and would be written to; take it away, or name the folder "
                "that it leads to"
            )
