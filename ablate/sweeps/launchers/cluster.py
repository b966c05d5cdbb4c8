"""What the launchers of clusters have in common: a task trains one cohort, and the run directories are the result.

Each cohort is sent to a node as a whole and trained there in lock-step. Then its jobs are run there as always, and find
their finished records. The result of a job is read from its record, whether its task was killed, moved to another node,
or ended while no command was waiting for it.
"""

import logging
import os
import platform
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import OmegaConf

from ablate.config.compose import register
from ablate.files import Plain
from ablate.records import provenance
from ablate.records.record import RunFailed
from ablate.records.run_directory import RunDirectory
from ablate.runs.job import Job
from ablate.runs.resume import Action
from ablate.sweeps.jobs import AnyJob, inspect
from ablate.sweeps.launchers.local import CohortLauncher
from ablate.sweeps.session import session

log = logging.getLogger(__name__)

POLL = 1.0  # seconds between two questions to the cluster


class Work:
    """What a node does: the jobs of a cohort. It is pickled on its way, and restarts where it is sent again."""

    def __init__(self, launcher: "ClusterLauncher", jobs: Sequence[tuple[int, Sequence[str]]]) -> None:
        assert launcher.hydra_context is not None and launcher.task_function is not None
        self.hydra_context: HydraContext = launcher.hydra_context
        self.task_function: TaskFunction = launcher.task_function
        self.config, self.jobs, self.threads = launcher.config, list(jobs), launcher.threads()
        self.command, self.folder, self.plan = session.id, Path.cwd(), provenance.plan()
        self.singletons, self.code = Singleton.get_state(), provenance.code_digest()

    def __call__(self) -> None:
        """Trains the cohort, then runs each of its jobs, which finds its finished record.

        Raises what refused a run here before it had a record, and RuntimeError where ablate has other code here.
        """
        register()  # configurations are composed with it
        session.id = self.command
        provenance.set_plan(self.plan)
        if self.folder.is_dir():  # else the machines share no file system, and what is relative is relative to here
            os.chdir(self.folder)
        code = provenance.code_digest()
        if code != self.code:
            raise RuntimeError(
                f"{platform.node()} has other code of ablate ({code}) than the machine that the sweep was started on "
                f"({self.code}); install the same there, and repeat the command"
            )
        Singleton.set_state(self.singletons)
        setup_globals()
        if self.threads is not None:
            import torch

            torch.set_num_threads(self.threads)
        launcher = CohortLauncher(processes=1, members=len(self.jobs))
        assert self.config is not None
        launcher.setup(hydra_context=self.hydra_context, task_function=self.task_function, config=self.config)
        launcher.train([overrides for _, overrides in self.jobs], self.jobs[0][0])
        refusals = []
        for number, overrides in self.jobs:
            (done,) = launcher.run([overrides], number)
            try:
                _ = done.return_value
            except RunFailed:  # its record says so
                pass
            except Exception as error:
                refusals.append(error)
        if refusals:
            raise refusals[0]

    def checkpoint(self) -> object:
        """Has submitit send the work again if a task is stopped before its end: its runs then resume."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


class ClusterLauncher(CohortLauncher):
    """What launchers of clusters have in common."""

    gpus = ""  # the option that says how many GPUs a job has

    def __init__(self, members: int | None = None, **options: object) -> None:
        super().__init__(processes=None, members=members)
        self.options: Plain = {
            key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            for key, value in options.items()
        }

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Sends the sweep's cohorts to the cluster, waits for them, and returns what their records say."""
        from ablate.sweeps.cohorts import plan

        self.check()
        jobs = self._jobs(job_overrides, initial_job_idx)
        overrides = {job.folder: job_overrides[number] for number, job in enumerate(jobs)}
        numbers = {job.folder: number for number, job in enumerate(jobs, start=initial_job_idx)}
        done = {job.folder: _share(job) for job in jobs if not _is_done(job)}
        session.progress.advance(len(jobs) - len(done))
        # Planned of all, so that those that are left stay together as they were.
        planned: list[list[AnyJob]] = [[job] for job in jobs if not isinstance(job, Job)]
        if own := [job for job in jobs if isinstance(job, Job)]:
            across_seeds = float(self.options.get(self.gpus) or 0) > 0
            planned += map(list[AnyJob], plan(own, self.members or 8, across_seeds=across_seeds))
        cohorts = [left for cohort in planned if (left := [job for job in cohort if job.folder in done])]
        works = [Work(self, [(numbers[job.folder], list(overrides[job.folder])) for job in left]) for left in cohorts]

        def watch() -> None:
            for job in (job for cohort in cohorts for job in cohort):
                share = max(_share(job), done[job.folder])
                session.progress.advance(share - done[job.folder])
                done[job.folder] = share

        errors = self.send(works, watch) if works else []
        causes = {job.folder: error for cohort, error in zip(cohorts, errors, strict=True) for job in cohort}
        return [_job_return(job, overrides[job.folder], causes.get(job.folder)) for job in jobs]

    def check(self) -> None:
        """Raises ValueError where the cluster cannot be used, with the way out."""

    def send(self, works: Sequence[Work], watch: Callable[[], None]) -> list[BaseException | None]:
        """Has the cluster do the work, calling `watch` now and then, and returns what went wrong with each."""
        raise NotImplementedError

    def threads(self) -> int | None:
        """Returns the threads of a job, for its cores; None leaves them to torch."""
        return None


def _share(job: AnyJob) -> float:
    """Returns how much of a run is done; of a task, how many epochs it is to have is not known before."""
    try:
        return len(job.directory.read_epochs()) / job.epochs if job.epochs is not None else 0.0
    except ValueError:
        return 0.0


def _is_done(job: AnyJob) -> bool:
    _directory(job)
    return inspect(job).action is Action.KEEP


def _directory(job: AnyJob) -> RunDirectory:
    """Returns a run's directory, with what its store has of it, if it has one."""
    directory = job.directory
    directory.pull()
    return directory


def _job_return(job: AnyJob, overrides: Sequence[str], cause: BaseException | None) -> JobReturn:
    job_return = JobReturn(overrides=list(overrides), cfg=OmegaConf.create(job.config), working_dir=str(job.folder))
    status, why = "not started", f"there is no record in {job.folder}; machines without a common folder need store=…"
    try:
        directory = _directory(job)
        record = directory.read_record()
        if record is not None:
            status, why = record.status.value, record.error.message if record.error else "its task ended"
            if record.is_complete:
                job_return.return_value = directory.value(record, job.metric)
                job_return.status = JobStatus.COMPLETED
                return job_return
    except ValueError as error:
        status, why = "unreadable", str(error)
    if cause is not None:
        # Clusters send the traceback as text, with text of their own around it; its last line names the error.
        lines = str(cause).strip().splitlines()
        why = next((line for line in reversed(lines) if re.match(r"[A-Za-z_][\w.]*: ", line)), lines[-1])
    said = f"{job.name} {status}: {why}"
    log.error(said)
    job_return.status, job_return.return_value = JobStatus.FAILED, RunFailed(said)
    return job_return
