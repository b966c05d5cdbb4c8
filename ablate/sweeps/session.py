"""One command: its identity, what it shows, and the sweep that it makes."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ablate.runs.job import Job
from ablate.runs.progress import Progress
from ablate.tasks.job import TaskJob


def _new_id() -> str:
    return uuid.uuid4().hex[:16]


@dataclass
class Session:
    """The command that this process works on, for its jobs, its launcher and its callback."""

    id: str = field(default_factory=_new_id)  # a run that the command has started itself is not restarted by `rerun`
    progress: Progress = field(default_factory=Progress)  # the bars on the terminal
    trains: bool = False  # ablate's own models, and no task of the user's own
    jobs: Sequence[Job | TaskJob] = ()  # of the sweep, as far as they are known
    folder: str | None = None  # the sweep's, if there is one
    as_json: bool = False  # whether a plan is for programs
    # Whether a run that another process works on is left for the end of the sweep. Only jobs that run in turn in this
    # process, and whose results the sweeper does not need, can be.
    defers: bool = False
    deferred: list[Callable[[], object]] = field(default_factory=list)  # what trains those runs

    def begin(self) -> None:
        """Starts a training command in this process; an earlier one has ended."""
        self.id, self.trains, self.jobs, self.folder, self.defers = _new_id(), True, (), None, False
        self.deferred.clear()


session = Session()
