"""Text for a terminal: what to type instead, what to install, times, columns; nothing that steers one, no secrets."""

import difflib
import json
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from importlib import metadata
from typing import Any, TextIO

_NAME = "hydra-ablate"
# What a terminal obeys or cannot show: control characters but for tab and line feed, marks that turn the direction of
# a text, and halves of surrogate pairs, which the names of files may hold.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\ud800-\udfff]"
)

# In the query of an address, a name that stands for a secret, and its value.
_KEY = re.compile(r"(?i)(?<=[?&])([\w.-]*(?:token|key|secret|password|passwd|signature|credential)[\w.-]*)=[^&#\s\"']+")


def printable(text: str) -> str:
    """Returns a text in which what a terminal would obey, or cannot show, stands as its code, such as `\\x1b`."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def say(*lines: object, file: TextIO | None = None) -> None:
    """Prints lines as `printable`, without secrets: what is said of runs may hold anybody's text."""
    print(*(printable(redact(str(line))) for line in lines), sep="\n", file=file or sys.stdout, flush=True)


def to_plain(value: object) -> Any:
    """Returns a value as JSON holds it: dataclasses as objects, what is no finite number as null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if hasattr(value, "item"):  # a number of numpy's
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def say_json(content: object) -> None:
    """Prints JSON, for programs; it says its format."""
    say(json.dumps({"format": 1, **to_plain(content)}, indent=1, ensure_ascii=False, allow_nan=False))


def nearest(word: str, names: Iterable[str], most: int = 3) -> str:
    """Returns what to type instead of a mistyped word: "did you mean …?" with near names, and all if they are few."""
    names = list(dict.fromkeys(names))
    close = difflib.get_close_matches(word, names, n=most, cutoff=0.6)
    if not close:
        return f"choose from {', '.join(names[:40])}{', …' if len(names) > 40 else ''}"
    others = f" (choose from {', '.join(names)})" if len(close) < len(names) <= 8 else ""
    return f"did you mean {' or '.join(close)}?{others}"


def distribution() -> str:
    """Returns the name under which pip knows this package: that of the installed distribution whose script is ours."""
    scripts = metadata.entry_points(group="console_scripts", name="ablate")
    ours = [script.dist for script in scripts if script.value == "ablate.__main__:main"]
    return ours[0].name if ours and ours[0] is not None else _NAME  # a checkout on PYTHONPATH is not installed


def install_hint(extra: str) -> str:
    """Returns the command that installs what an optional part of ablate needs."""
    return f"pip install '{distribution()}[{extra}]'"


def first_line(error: BaseException) -> str:
    """Returns what an error says in its first line, or its kind if it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def redact(text: str) -> str:
    """Returns a text whose addresses have lost user, password and keys: `http://***@host`, `https://host/?token=***`."""
    return _KEY.sub(r"\1=***", re.sub(r"(?<=://)[^/\s\"']+@", "***@", text))


def duration(seconds: float | None) -> str:
    """Returns a time in the two largest units that it has."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def aligned(rows: Sequence[Sequence[object]]) -> str:
    """Returns rows of cells as lines, each column as wide as its widest cell."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in texts)
    return "\n".join(line.rstrip() for line in lines)
