"""What a command does with a run that was started before: keep it, resume it, restart it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from ablate.config.schema import RERUN
from ablate.records import provenance
from ablate.records.record import RunRecord, Status
from ablate.records.run_directory import RunDirectory
from ablate.runs.job import Job

_FAILED = (Status.FAILED, Status.DIVERGED)


class Action(StrEnum):
    """What to do with a run, as a plan says it."""

    START = "to run"  # from the first epoch
    RESUME = "to resume"  # after its last complete epoch
    KEEP = "complete"
    LEAVE = "left as it is"  # it failed, and `rerun` leaves it so


def decide(directory: RunDirectory, record: RunRecord | None, stale: Sequence[str], rerun: str) -> tuple[Action, str]:
    """Returns what to do with a run, and why, in words for its log."""
    if record is None:
        return Action.START, ""
    scope, status = RERUN.index(rerun), record.status
    if scope >= RERUN.index("all"):
        return Action.START, f"was {status}; rerun=all restarts it"
    if status is Status.COMPLETE:
        if stale and scope >= RERUN.index("stale"):
            return Action.START, f"is stale ({'; '.join(stale)}); rerun=stale restarts it"
        if not _epochs_are_whole(directory, record):
            return Action.RESUME, f"has a damaged {directory.epochs_file.name}, which is restored"
        return Action.KEEP, ""
    if status in _FAILED and scope < RERUN.index("failed"):
        return Action.LEAVE, ""
    if stale:  # epochs of two versions would be a run of neither
        return Action.START, f"was {status} under other conditions ({'; '.join(stale)}), and is restarted"
    return Action.RESUME, ""


def _epochs_are_whole(directory: RunDirectory, record: RunRecord) -> bool:
    try:
        return len(directory.read_epochs()) == record.epochs
    except ValueError:
        return False


@dataclass(frozen=True)
class Earlier:
    """What an earlier command left of a run, and what to do with it."""

    record: RunRecord | None  # None if it has no readable one
    stale: tuple[str, ...]  # in what it differs from a run that starts now, in words
    fresh: bool  # whether the present command has started it itself, as it does in a cohort
    action: Action
    why: str  # in words, for its log


def inspect_run(job: Job, directory: RunDirectory, command: str | None = None) -> Earlier:
    """Returns what an earlier command left of a run, and what to do with it; ValueError where the folder has another.

    What the present command has started itself is kept whatever `rerun` says. No clock tells it: those of two machines
    may differ, and one may be set back.
    """
    cfg = job.cfg
    record = directory.earlier_record(job.id, "give this one a folder of its own, such as Hydra's default")
    stale: tuple[str, ...] = ()
    if record is not None and record.data is not None:  # else it failed before there was anything that could be stale
        from ablate.runs.prepare import load_data  # imports torch

        data = load_data(cfg.data, cfg.seed)
        stale = tuple(provenance.stale(record, data.digest, cfg.allow, data.normalisation))
    fresh = record is not None and command is not None and record.newest_start.command == command
    return Earlier(record, stale, fresh, *decide(directory, record, stale, "never" if fresh else cfg.rerun))
