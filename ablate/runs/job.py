"""A run that is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ablate.config.identity import run_id
from ablate.config.plain import plain
from ablate.config.schema import Config
from ablate.files import Plain
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
    def variant(self) -> str:
        """What tables call its variant."""
        return self.cfg.model.name

    @property
    def seed(self) -> int:
        """Its seed."""
        return self.cfg.seed

    @property
    def metric(self) -> str:
        """The study's metric."""
        return self.cfg.study.metric

    @property
    def epochs(self) -> int:
        """The epochs that it is to have."""
        return self.cfg.train.epochs

    @property
    def store(self) -> str | None:
        """Where it keeps copies of its files."""
        return self.cfg.store

    @property
    def config(self) -> Plain:
        """Its configuration as plain data."""
        return plain(self.cfg)

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"{self.variant} seed {self.seed}"

    @property
    def id(self) -> str:
        """The run's identity."""
        return run_id(self.cfg)
