"""Jobs checked before the first one starts, and looked at after the last."""

import json
import logging
import os
import statistics
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ablate.config.compose import to_config
from ablate.config.identity import variant_id
from ablate.config.plain import plain
from ablate.files import refuse_links
from ablate.messages import aligned, say
from ablate.records import provenance
from ablate.records.record import Plan
from ablate.records.run_directory import RunDirectory
from ablate.records.store import Store
from ablate.records.study_directory import StudyDirectory
from ablate.report.study.metrics import metric as metric_of
from ablate.runs.job import Job
from ablate.sweeps.jobs import differences, single, swept
from ablate.sweeps.session import session

log = logging.getLogger(__name__)


class Refused(BaseException):
    """Carries the refusal of a configuration past Hydra, which turns any Exception of a callback into a warning."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Preflight(Callback):
    """Checks every run that a command asks for before the first one starts, and says at the end what to type next.

    The methods are those of Hydra's callbacks.
    """

    def on_run_start(self, config: DictConfig, **kwargs: object) -> None:
        (job,) = _checked(lambda: single(config))
        provenance.set_plan(Plan(seeds=(job.cfg.seed,)))

    def on_multirun_start(self, config: DictConfig, **kwargs: object) -> None:
        session.jobs = _checked(lambda: swept(config))
        session.folder = config.hydra.sweep.dir
        own = None
        with suppress(ValueError):  # without what is swept over it may be no configuration
            own = variant_id(to_config(config))
        provenance.set_plan(Plan(seeds=tuple(sorted({job.cfg.seed for job in session.jobs})), own_variant=own))
        in_turn = str(config.hydra.launcher._target_).endswith((".BasicLauncher", ".CohortLauncher"))
        session.defers = in_turn and str(config.hydra.sweeper._target_).endswith(".BasicSweeper")
        session.progress.start_sweep(len(session.jobs))

    def on_run_end(self, config: DictConfig, **about: object) -> None:
        job = about["job_return"]
        if isinstance(job, JobReturn) and job.status is JobStatus.COMPLETED:
            say_what_next(config.hydra.sweep.dir)


def say_what_next(study_folder: str) -> None:
    """Prints where the runs are, and the command for the report."""
    with suppress(OSError):  # a reader that is gone
        say(f"The runs are in {study_folder}. For tables and plots, type: ablate report {study_folder}")


def _checked(compose: Callable[[], list[Job]]) -> list[Job]:
    try:
        jobs = compose()
        check(jobs)
    except Exception as error:
        raise Refused(error) from error
    return jobs


def check(jobs: Iterable[Job]) -> None:
    """Checks everything that can be known before a run starts; ValueError says what cannot be used and why."""
    from ablate.runs.prepare import prepare  # imports torch

    fitting, stores = set(), set()
    for job in jobs:
        if job.cfg.store is not None and job.cfg.store not in stores:
            Store(job.cfg.store).check()
            stores.add(job.cfg.store)
        if job.folder is not None:
            _check_folder(job.folder)
        but_seed = json.dumps({**plain(job.cfg), "seed": None})
        if but_seed not in fitting:  # what fits together with one seed does with all
            try:
                prepare(job.cfg)
            except (ValueError, OSError, HydraException, OmegaConfBaseException, KeyboardInterrupt):
                raise
            except BaseException as error:  # of full memory, for example: the run itself fails and records it
                log.warning("%s cannot be prepared: %s: %s", job.name, type(error).__name__, error)
            fitting.add(but_seed)


def _searched() -> list[Path]:
    """Returns the folders of the runs of the study that the command has started: what its search has asked for."""
    assert session.folder is not None
    runs = [(run.folder, run.readable_record()) for run in StudyDirectory(Path(session.folder)).runs()]
    return [folder for folder, record in runs if record is not None and record.newest_start.command == session.id]


def means(jobs: Sequence[Job]) -> str:
    """Returns a table of the study's metric by variant, of the runs that are complete; empty if none is."""
    if not jobs:
        return ""
    metric = jobs[0].cfg.study.metric
    factor, unit = (100, " %") if metric_of(metric).kind == "share" else (1, "")
    values: dict[str, list[float]] = {}
    for job, told_apart in zip(jobs, differences([job.overrides for job in jobs]), strict=True):
        directory = RunDirectory(job.folder or Path())
        record = None if job.folder is None else directory.readable_record()
        if record is not None and record.is_complete:
            with suppress(ValueError, KeyError):  # it has not the metric
                value = factor * directory.value(record, metric)
                values.setdefault(" ".join([job.cfg.model.name, *told_apart]), []).append(value)
    rows = []
    for variant, of in values.items():
        spread = f" ± {statistics.stdev(of):.2f}" if len(of) > 1 else ""
        rows.append((variant, f"{statistics.mean(of):.2f}{spread}{unit}", len(of)))
    return aligned([("variant", f"{metric}, mean ± SD", "seeds"), *rows]) if rows else ""


def failures() -> str:
    """Returns a table of the sweep's runs that did not end well, and what to do; empty if there are none."""
    folders = [job.folder for job in session.jobs if job.folder is not None] or _searched()
    rows: list[tuple[object, ...]] = []
    for folder in folders:
        try:
            record = RunDirectory(folder).read_record()
        except ValueError as error:
            rows.append((folder, "unreadable", "–", error))
            continue
        if record is None:
            rows.append((folder, "not started", "–", ""))
        elif not record.is_complete:
            epoch = record.error.epoch if record.error is not None else None
            rows.append((folder, record.status, "–" if epoch is None else epoch, record.cause))
    if not rows:
        return ""
    return (
        f"{len(rows)} of {len(folders)} runs did not end well:\n"
        f"{aligned([('run', 'status', 'epoch', 'cause'), *rows])}\n"
        "The train.log in each folder says more. The same command again tries them again, and skips the others."
    )


def _check_folder(folder: Path) -> None:
    # Hydra writes the configuration and the log before the run itself begins.
    refuse_links(folder, *folder.glob("*"), *(folder / ".hydra").glob("*"))
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists() or path.is_symlink())
    if not existing.is_dir():
        raise ValueError(f"{existing}: is not a folder, and the runs' folders would be in it; move it away")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ValueError(f"{existing}: cannot be written to; choose another folder with hydra.sweep.dir=… (for a "
                         "single run hydra.run.dir=…), or change its permissions")  # fmt: skip
