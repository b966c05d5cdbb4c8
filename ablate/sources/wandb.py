"""Runs of Weights & Biases: of a project, or from the files that its offline mode leaves."""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ablate.config.plain import flatten
from ablate.files import Plain
from ablate.sources.logged_run import LoggedRun

_STATUS = {"finished": "complete", "running": "running", "pending": "running", "killed": "interrupted"}

# The format of LevelDB's log. It is read here because wandb has no reader in Python any more: up to 0.19 that was
# wandb.sdk.internal.datastore; since then its compiled program alone reads such a file, and only to upload it.
# A file begins with these bytes. Blocks follow, of chunks that do not cross the border of a block; each chunk has a
# checksum of four bytes, its length in two, and in one whether it is a whole record or which part of one.
_MAGIC, _START = b":W&B", 7
_BLOCK, _HEADER = 32768, 7
_WHOLE, _FIRST, _LAST = 1, 2, 4


def read(address: str) -> list[LoggedRun]:
    """Returns the runs in a folder, or of a project; settings, and tags such as `seed:0`, are their fields."""
    folder = Path(address)
    if folder.is_dir():
        files = sorted(folder.rglob("*.wandb"))
        if not files:
            raise ValueError(f"{address}: there is no .wandb file in it, which is what W&B's offline mode writes")
        return [_offline(file) for file in files]
    if address.count("/") != 1 or address.startswith((".", "/")):
        raise ValueError(f"{address}: no such folder, and no project either, whose form is entity/project")
    import wandb

    try:
        return [_online(run) for run in wandb.Api().runs(address)]
    except (wandb.errors.Error, ValueError, OSError) as error:  # without a key, refused, or out of reach
        raise ValueError(f"{address}: W&B cannot be asked: {error}") from error


def _online(run: Any) -> LoggedRun:
    return LoggedRun(
        name=str(run.id),
        status=_STATUS.get(run.state, "failed"),
        started=str(run.created_at),
        fields=_fields(run.tags, run.config),
        history=[_numbers(row) for row in run.scan_history()],
    )


def _offline(file: Path) -> LoggedRun:
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    status, started = "running", ""
    config: Plain = {}
    tags: list[str] = []
    history = []
    for content in _records(file):
        record = Record.FromString(content)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            tags = list(record.run.tags)
            started = datetime.fromtimestamp(record.run.start_time.seconds, UTC).isoformat(timespec="seconds")
            config |= _items(record.run.config.update)
        elif kind == "config":
            config |= _items(record.config.update)
        elif kind == "history":
            history.append(_numbers(_items(record.history.item)))
        elif kind == "exit":
            status = "failed" if record.exit.exit_code else "complete"
    return LoggedRun(file.stem.removeprefix("run-"), status, started, _fields(tags, config), history)


def _items(items: Iterable[Any]) -> Plain:
    return {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}


def _fields(tags: Iterable[str], config: Plain) -> Plain:
    """Returns tags of the form `name:value`, and settings by dotted name."""
    named = (tag.partition(":") for tag in tags)
    return {**{name: value for name, colon, value in named if colon}, **dict(flatten(config))}


def _records(file: Path) -> Iterator[bytes]:
    """Yields the records of an offline file, up to where it was cut off."""
    content = file.read_bytes()
    if not content.startswith(_MAGIC):
        raise ValueError(f"{file}: is not a file of W&B")
    at, record = _START, b""
    while at + _HEADER <= len(content):
        left = _BLOCK - at % _BLOCK
        if left < _HEADER:  # too small for a chunk
            at += left
            continue
        length, place = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        chunk = content[at + _HEADER : at + _HEADER + length]
        if len(chunk) < length or not place:
            return
        at += _HEADER + length
        record = chunk if place in (_WHOLE, _FIRST) else record + chunk
        if place in (_WHOLE, _LAST):
            yield record


def _numbers(row: Plain) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in row.items()
        if name[:1] != "_" and (isinstance(value, int | float) or value in ("NaN", "Infinity", "-Infinity"))
    }
