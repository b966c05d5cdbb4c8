"""A run that is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ablate.config.identity import run_id
from ablate.config.schema import Config
from ablate.records.run_directory import RunDirectory


@dataclass(frozen=True)
class Job:
    """A run that a command asks for."""

    cfg: Config  # without Hydra's own node
    folder: Path | None  # its run directory; None if that is named by what Hydra knows only as it starts the job
    overrides: Sequence[str] = ()  # what was typed for it

    @property
    def directory(self) -> RunDirectory:
        """Its run directory, of a job whose folder is known."""
        assert self.folder is not None
        return RunDirectory(self.folder, self.cfg.store, self.cfg.study.name)

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"{self.cfg.model.name} seed {self.cfg.seed}"

    @property
    def id(self) -> str:
        """The run's identity."""
        return run_id(self.cfg)
