"""What a command does with a run that was started before: keep it, resume it, restart it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from ablate.config.identity import run_id
from ablate.config.schema import RERUN, Config
from ablate.records import provenance
from ablate.records.record import RunRecord, Status
from ablate.records.run_directory import RunDirectory
from ablate.runs.prepare import load_data
from ablate.runs.recorder import shown

_FAILED = (Status.FAILED, Status.DIVERGED)


log = logging.getLogger(__name__)


class Action(Enum):
    """What to do with a run."""

    START = auto()  # from the first epoch
    RESUME = auto()  # after its last complete epoch
    KEEP = auto()  # it is complete
    LEAVE = auto()  # it failed, and `rerun` leaves it so


@dataclass(frozen=True)
class Decision:
    """What to do with a run, and why, in words for its log."""

    action: Action
    why: str = ""


def decide(directory: RunDirectory, record: RunRecord | None, stale: Sequence[str], rerun: str) -> Decision:
    """Returns what to do with a run.

    Args:
        directory: Its folder.
        record: Its record, if it has a readable one.
        stale: In what it differs from a run that starts now: code, packages or data.
        rerun: What the user wants run again, one of `RERUN`.
    """
    if record is None:
        return Decision(Action.START)
    scope, status = RERUN.index(rerun), record.status
    if scope >= RERUN.index("all"):
        return Decision(Action.START, f"was {status}; rerun=all restarts it")
    if status is Status.COMPLETE:
        if stale and scope >= RERUN.index("stale"):
            return Decision(Action.START, f"is stale ({'; '.join(stale)}); rerun=stale restarts it")
        if not _epochs_are_whole(directory, record):
            return Decision(Action.RESUME, f"has a damaged {directory.epochs_file.name}, which is restored")
        return Decision(Action.KEEP)
    if status in _FAILED and scope < RERUN.index("failed"):
        return Decision(Action.LEAVE)
    if stale:  # epochs of two versions would be a run of neither
        return Decision(Action.START, f"was {status} under other conditions ({'; '.join(stale)}), and is restarted")
    return Decision(Action.RESUME)


def _epochs_are_whole(directory: RunDirectory, record: RunRecord) -> bool:
    try:
        return len(directory.read_epochs()) == record.planned_epochs
    except ValueError:
        return False


@dataclass(frozen=True)
class Earlier:
    """What an earlier command left of a run, and what to do with it.

    Attributes:
        record: The run's record; None if it has no readable one.
        stale: In what it differs from a run that starts now, in words.
        decision: What to do.
        fresh: Whether the present command has started it itself, as it does in a cohort.
    """

    record: RunRecord | None
    stale: list[str]
    decision: Decision
    fresh: bool


def run_directory(cfg: Config, folder: Path) -> RunDirectory:
    """Returns the directory of a configuration's run, with its store if it has one."""
    return RunDirectory(folder, cfg.store, cfg.study.name)


def inspect_run(cfg: Config, directory: RunDirectory, command: str | None) -> Earlier:
    """Returns what an earlier command left of a run, and what to do with it.

    Args:
        cfg: The run's configuration.
        directory: Its folder, locked.
        command: The present command's identity, if what it has started itself is to be kept whatever `rerun` says. No
            clock tells it: those of two machines may differ, and one may be set back.

    Raises:
        ValueError: The folder holds another run.
    """
    record = _read_earlier(cfg, directory)
    stale = []
    if record is not None and record.data is not None:  # else it failed before there was anything that could be stale
        data = load_data(cfg.data)
        stale = provenance.stale(record, data.digest, cfg.allow, data.normalisation)
    fresh = record is not None and command is not None and record.newest_start.command == command
    return Earlier(record, stale, decide(directory, record, stale, "never" if fresh else cfg.rerun), fresh)


def _read_earlier(cfg: Config, directory: RunDirectory) -> RunRecord | None:
    """Returns the record of an earlier start.

    Raises:
        ValueError: The folder holds another run.
    """
    try:
        record = directory.read_record()
    except ValueError as error:
        log.warning("%s: %s; the run is restarted", shown(directory.folder), error)
        return None
    if record is not None and record.id != run_id(cfg):
        raise ValueError(
            f"{shown(directory.folder)}: holds the run of another configuration ({record.id}, this one is "
            f"{run_id(cfg)}); give this one a folder of its own, such as Hydra's default"
        )
    return record
