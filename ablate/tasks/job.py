"""A run of a task that is asked for, as a command checks, plans and launches it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from ablate.config.plain import read
from ablate.config.schema import RERUN, StudyConfig
from ablate.files import Plain, check_folder_name
from ablate.messages import nearest
from ablate.records import provenance
from ablate.records.epochs import split_statistic
from ablate.records.others import record_of_others
from ablate.records.record import Code, Provenance, RunRecord, Status
from ablate.records.run_directory import RunDirectory
from ablate.runs.resume import Earlier, decide
from ablate.tasks.settings import identity, settings, study, trackers
from ablate.trackers.base import Trackers, check_loggers

scripts: dict[str, Path] = {}  # of this process's tasks, by name


@dataclass(frozen=True)
class TaskJob:
    """A run of a task that a command asks for; to what launches jobs, it is what a `runs.job.Job` is."""

    cfg: DictConfig  # as the variant that its design asks for
    folder: Path | None  # its run directory
    overrides: Sequence[str] = ()  # what was typed for it

    epochs = None  # which only its code knows
    store = None

    @cached_property
    def study(self) -> Plain:
        """The study's options, as a record has them."""
        return study(self.cfg)

    @property
    def directory(self) -> RunDirectory:
        """Its run directory, of a job whose folder is known."""
        assert self.folder is not None
        return RunDirectory(self.folder)

    @property
    def variant(self) -> str:
        """What tables call its variant."""
        return str(self.cfg.variant)

    @property
    def seed(self) -> int:
        """Its seed."""
        return int(self.cfg.seed)

    @property
    def metric(self) -> str:
        """The study's metric."""
        return str(self.study["metric"])

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"{self.variant} seed {self.seed}"

    @cached_property
    def id(self) -> str:
        """The run's identity."""
        return identity(self.cfg)

    @property
    def config(self) -> Plain:
        """Its configuration as a record has it; how many epochs it is to have, it says when it runs."""
        about = (self.study, self.variant, self.seed, settings(self.cfg))
        unknown = Provenance(code=Code(), packages={}, machine=provenance.machine())
        made = record_of_others(
            *about, precision="of the task", status=Status.RUNNING, id=self.id, started="", provenance=unknown
        )
        return {**made.config, "logger": trackers(self.cfg)}

    def check(self) -> None:
        """Checks all that can be known before it starts; ValueError says what cannot be used and why."""
        for needed in ("variant", "seed", "study.name"):
            if OmegaConf.select(self.cfg, needed) is None:
                raise ValueError(f"{needed} is not set: a task's configuration has variant, seed and study.name")
        for name in ("variant", "study.name"):
            check_folder_name(name, str(OmegaConf.select(self.cfg, name)))
        if (rerun := self.cfg.get("rerun", "failed")) not in RERUN:
            raise ValueError(f"rerun={rerun}: there is no such choice; {nearest(str(rerun), RERUN)}")
        read("study", StudyConfig, self.study)
        check_loggers(trackers(self.cfg))
        Trackers(trackers(self.cfg), self.name)
        declared, name = self.study["metrics"], split_statistic(self.metric)[0]
        if declared and name not in declared and not name.endswith("_seconds"):
            raise ValueError(
                f"study.metric={self.metric}: the task declares {', '.join(declared)}, and not that; declare it in "
                f"study.metrics, or {nearest(name, declared)}"
            )

    def inspect(self) -> Earlier:
        """Returns what an earlier command left of the run, and what to do with it; code that changed makes it stale.

        Unlike a run of ablate's own training, an unfinished one is resumed by other code: authors mend theirs.
        """
        directory = self.directory
        way_out = "let the defaults list begin with ablate_task, whose folders have the identity in their names"
        record = directory.earlier_record(self.id, way_out)
        stale = () if record is None else tuple(_changed(record))
        judged = stale if record is not None and record.is_complete else ()
        rerun = str(self.cfg.get("rerun", "failed"))
        return Earlier(record, stale, False, *decide(directory, record, judged, rerun))


def sources(earlier: RunRecord | None, script: Path) -> Mapping[str, str]:
    """Returns the digests of the code of a run that starts, or goes on with what other code has begun."""
    now = dict(provenance.of_script(script).code.sources)
    then = earlier.provenance.code.sources.get(script.name) if earlier is not None else None
    if then is not None and then != now[script.name]:
        now[script.name] = f"{then}+{now[script.name]}"  # no version's own
    return now


def _changed(record: RunRecord) -> list[str]:
    known = [script for name, script in scripts.items() if name in record.provenance.code.sources]
    now = {name: digest for script in known for name, digest in provenance.of_script(script).code.sources.items()}
    now.pop("ablate", None)  # what it computes of a task are seeds of streams
    return provenance.changed(record.provenance, now)
