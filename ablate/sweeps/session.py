"""One command: its identity, what it shows, and the sweep that it makes."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ablate.runs.progress import Progress

if TYPE_CHECKING:
    from ablate.runs.job import Job


def _new_id() -> str:
    return uuid.uuid4().hex[:16]


@dataclass
class Session:
    """The command that this process works on, for its jobs, its launcher and its callback.

    Attributes:
        id: The command's identity; a run that it has started itself is not restarted, whatever `rerun` says.
        progress: The bars on the terminal.
        trains: Whether the command trains ablate's own models; a task of the user's own does not.
        jobs: The jobs of the sweep, as far as they are known; empty without a sweep.
        folder: The sweep's folder; None without a sweep.
        defers: Whether a run that another process works on is left for the end of the sweep. Only jobs that run in turn
            in this process, and whose results the sweeper does not need, can be.
        deferred: Those runs, each as a call that trains it.
    """

    id: str = field(default_factory=_new_id)
    progress: Progress = field(default_factory=Progress)
    trains: bool = False
    jobs: "Sequence[Job]" = ()
    folder: str | None = None
    defers: bool = False
    deferred: list[Callable[[], object]] = field(default_factory=list)

    def begin(self) -> None:
        """Starts a training command in this process; an earlier one has ended."""
        self.id, self.trains, self.jobs, self.folder, self.defers = _new_id(), True, (), None, False
        self.deferred.clear()


session = Session()
