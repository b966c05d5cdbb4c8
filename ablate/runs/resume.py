"""What a command does with a run that is there already."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from ablate.records.run_directory import RunDirectory

# What `rerun` can be, each doing what the ones before it do as well. Runs that were stopped always go on.
RERUN = ("never", "failed", "stale", "all")
_FAILED = ("failed", "diverged")


class Action(Enum):
    """What to do with a run."""

    START = auto()  # from the first epoch
    RESUME = auto()  # after its last complete epoch
    KEEP = auto()  # it is complete
    LEAVE = auto()  # it failed, and is not wanted again


@dataclass(frozen=True)
class Decision:
    """What to do with a run, and why, in words for its log."""

    action: Action
    why: str = ""


def decide(directory: RunDirectory, record: Mapping[str, Any] | None, stale: Sequence[str], rerun: str) -> Decision:
    """Returns what to do with a run.

    Args:
        directory: Its folder.
        record: Its record, if it has a readable one.
        stale: In what it differs from a run that starts now: code, packages or data.
        rerun: What the user wants run again, one of `RERUN`.
    """
    if record is None:
        return Decision(Action.START)
    scope, status = RERUN.index(rerun), record["status"]
    if scope >= RERUN.index("all"):
        return Decision(Action.START, f"was {status}; rerun=all starts it anew")
    if status == "complete":
        if stale and scope >= RERUN.index("stale"):
            return Decision(Action.START, f"is stale ({'; '.join(stale)}); rerun=stale starts it anew")
        if not _epochs_are_whole(directory, record):
            return Decision(Action.RESUME, f"has a damaged {directory.epochs_file.name}, which is restored")
        return Decision(Action.KEEP)
    if status in _FAILED and scope < RERUN.index("failed"):
        return Decision(Action.LEAVE)
    if stale:  # epochs of two versions would be a run of neither
        return Decision(Action.START, f"was {status} under other conditions ({'; '.join(stale)}); it starts anew")
    return Decision(Action.RESUME)


def _epochs_are_whole(directory: RunDirectory, record: Mapping[str, Any]) -> bool:
    try:
        epochs: int = record["config"]["train"]["epochs"]
        return len(directory.read_epochs()) == epochs
    except (ValueError, KeyError, TypeError):
        return False
