"""The files that a model was made of, such as pretrained weights, and whether they still hold the same."""

import functools
import os
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ablate.files import file_digest

# Code and what belongs to installed packages: versions and digests of sources stand for these.
_CODE = (".py", ".pyc", ".so", ".pyd", ".dll", ".dylib")
_INSTALLED = tuple({f"{sysconfig.get_path(name)}{os.sep}" for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_MADE_UP = ("/proc/", "/sys/", "/dev/")
_watch = threading.local()


@contextmanager
def files_read() -> Iterator[dict[str, str]]:
    """Notes the files that this thread opens to read, but for code and what the system makes up, such as /proc.

    The mapping holds, after the context, the SHA-256 of each by its absolute path.
    """
    _add_hook()
    outer, _watch.opened = getattr(_watch, "opened", None), set()
    digests: dict[str, str] = {}
    try:
        yield digests
    finally:
        opened, _watch.opened = sorted(_watch.opened), outer
    data = [path for path in opened if not path.startswith((*_INSTALLED, *_MADE_UP))]
    digests |= {path: file_digest(Path(path)) for path in data if os.path.isfile(path)}  # noqa: PTH113 (never raises)


@functools.cache
def _add_hook() -> None:
    sys.addaudithook(_on_event)  # it stays: Python has no way to take one away


def _on_event(event: str, arguments: tuple[object, ...]) -> None:
    if event != "open" or (opened := getattr(_watch, "opened", None)) is None:
        return
    path, mode = arguments[0], arguments[1]
    reads = mode is None or not any(sign in str(mode) for sign in "wax")
    if isinstance(path, str | os.PathLike) and reads:
        name = os.fsdecode(path)
        if not name.endswith(_CODE):
            opened.add(str(Path(name).absolute()))
