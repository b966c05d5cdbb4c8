"""Jobs checked before the first one starts, and looked at after the last."""

import atexit
import logging
import os
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ablate.config.identity import but_seed, variant_id
from ablate.files import refuse_links
from ablate.messages import aligned, say
from ablate.records import provenance
from ablate.records.record import Plan
from ablate.records.run_directory import RunDirectory
from ablate.records.store import Store
from ablate.records.study_directory import StudyDirectory
from ablate.report.study.metrics import metric as metric_of
from ablate.sweeps.jobs import AnyJob, differences, is_task, job_of, single, swept
from ablate.sweeps.session import session
from ablate.tasks.job import TaskJob

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
        (job,) = _checked(config, single)
        provenance.set_plan(Plan(seeds=(job.seed,)))

    def on_multirun_start(self, config: DictConfig, **kwargs: object) -> None:
        session.jobs = _checked(config, swept)
        session.folder = config.hydra.sweep.dir
        own = None
        with suppress(ValueError, OmegaConfBaseException):  # without what is swept over it may be no configuration
            own = variant_id(job_of(config, None).config)
        provenance.set_plan(Plan(seeds=tuple(sorted({job.seed for job in session.jobs})), own_variant=own))
        if is_task(config):
            atexit.register(say_end)  # Hydra calls nothing at the end of a sweep that has failed
            return
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


def say_end() -> None:
    """Prints what came of a sweep, and what to type next."""
    if session.folder is None:  # as after a plan
        return
    with suppress(OSError):  # a reader that is gone
        for table in (means(session.jobs), failures()):
            if table:
                say(table)
    say_what_next(session.folder)


def _checked(config: DictConfig, compose: Callable[[DictConfig], list[AnyJob]]) -> list[AnyJob]:
    try:
        jobs = compose(config)
        check(jobs)
    except (ValueError, OSError, HydraException, OmegaConfBaseException) as error:
        if not is_task(config) or os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise Refused(error) from error
        say(str(error), file=sys.stderr)  # what calls this is not ours
        raise SystemExit(2) from error
    except Exception as error:
        raise Refused(error) from error
    return jobs


def check(jobs: Iterable[AnyJob]) -> None:
    """Checks everything that can be known before a run starts; ValueError says what cannot be used and why."""
    fitting, stores = set(), set()
    for job in jobs:
        if job.store is not None and job.store not in stores:
            Store(job.store).check()
            stores.add(job.store)
        if job.folder is not None:
            _check_folder(job.folder)
        if isinstance(job, TaskJob):
            job.check()
            continue
        if but_seed(job.cfg) not in fitting:  # what fits together with one seed does with all
            from ablate.runs.prepare import prepare  # imports torch

            try:
                prepare(job.cfg)
            except (ValueError, OSError, HydraException, OmegaConfBaseException, KeyboardInterrupt):
                raise
            except BaseException as error:  # of full memory, for example: the run itself fails and records it
                log.warning("%s cannot be prepared: %s: %s", job.name, type(error).__name__, error)
            fitting.add(but_seed(job.cfg))


def _searched() -> list[Path]:
    """Returns the folders of the runs of the study that the command has started: what its search has asked for."""
    assert session.folder is not None
    runs = [(run.folder, run.readable_record()) for run in StudyDirectory(Path(session.folder)).runs()]
    return [folder for folder, record in runs if record is not None and record.newest_start.command == session.id]


def means(jobs: Sequence[AnyJob]) -> str:
    """Returns a table of the study's metric by variant, of the runs that are complete; empty if none is."""
    if not jobs:
        return ""
    metric = jobs[0].metric
    kind = metric_of(metric, jobs[0].config["study"]["metrics"])
    factor, unit = (100, " %") if kind.kind == "share" else (1, f" {kind.unit}".rstrip())
    values: dict[str, list[float]] = {}
    for job, told_apart in zip(jobs, differences([job.overrides for job in jobs]), strict=True):
        directory = RunDirectory(job.folder or Path())
        record = None if job.folder is None else directory.readable_record()
        if record is not None and record.is_complete:
            with suppress(ValueError, KeyError):  # it has not the metric
                value = factor * directory.value(record, metric)
                values.setdefault(" ".join([job.variant, *told_apart]), []).append(value)
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
        "The log in each folder says more. The same command again tries them again, and skips the others."
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
