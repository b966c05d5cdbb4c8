"""Commands that end before their workers do: these are asked to stop, and to record it."""

import multiprocessing
import os
import platform
import signal
import time
from pathlib import Path

from ablate.records.record import Status
from ablate.records.run_directory import RunDirectory
from ablate.records.study_directory import StudyDirectory

_SECONDS = 0.05  # between two looks at the workers
_PATIENCE = 30.0  # seconds in which they write that they were interrupted


def stop_workers(study: Path) -> None:
    """Sends a SIGTERM to the workers of this process that train a study's runs, and waits until these are recorded."""
    until = time.monotonic() + _PATIENCE
    asked: set[int] = set()
    while multiprocessing.active_children() and time.monotonic() < until:
        trained_by = {_trained_by(run) for run in StudyDirectory(study).runs()}
        training = {child.pid for child in multiprocessing.active_children() if child.pid and child.pid in trained_by}
        for process in training - asked:
            os.kill(process, signal.SIGTERM)
        asked |= training
        if not training:
            break
        time.sleep(_SECONDS)


def _trained_by(directory: RunDirectory) -> int | None:
    """Returns the process of this machine that trains a run, or was killed as it did."""
    record = directory.readable_record()
    if record is None or record.status is not Status.RUNNING or record.newest_start.host != platform.node():
        return None
    return record.newest_start.pid
