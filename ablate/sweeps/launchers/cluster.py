"""What the launchers of clusters have in common: a task trains one cohort, and the run directories are the result.

Each cohort is sent to a node as a whole and trained there in lock-step. Then its jobs are run there as always, and find
their finished records. The result of a job is read from its record, whether its task was killed, moved to another node,
or ended while no command was waiting for it.
"""

import logging
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext, TaskFunction
from omegaconf import OmegaConf

from ablate.sweeps.launchers.local import CohortLauncher
from ablate.sweeps.session import session

if TYPE_CHECKING:
    from ablate.records.run_directory import RunDirectory
    from ablate.sweeps.jobs import Member

log = logging.getLogger(__name__)

POLL = 1.0  # seconds between two questions to the cluster


class Work:
    """What a node does: the jobs of a cohort. It is pickled on its way, and restarts where it is sent again.

    Args:
        launcher: With the sweep's configuration.
        jobs: Number and overrides of each.
        threads: For the node's cores; None leaves it to torch.
        code: Of ablate where the sweep was started: only that code is run.
    """

    def __init__(
        self, launcher: "ClusterLauncher", jobs: Sequence[tuple[int, Sequence[str]]], threads: int | None, code: str
    ) -> None:
        from hydra.core.singleton import Singleton

        assert launcher.hydra_context is not None and launcher.task_function is not None
        self.hydra_context: HydraContext = launcher.hydra_context
        self.task_function: TaskFunction = launcher.task_function
        self.config, self.jobs, self.threads, self.code = launcher.config, list(jobs), threads, code
        self.started, self.folder = session.started, Path.cwd()
        self.singletons = Singleton.get_state()

    def __call__(self) -> None:
        """Trains the cohort, then runs each of its jobs, which finds its finished record.

        Raises:
            RuntimeError: ablate has other code here than where the sweep was started.
            Exception: A run was refused here before it had a record, for example because its data are missing.
        """
        import platform

        from hydra.core.singleton import Singleton
        from hydra.core.utils import setup_globals

        from ablate.config import schema
        from ablate.records import provenance
        from ablate.records.run_directory import RunFailed

        schema.register()  # configurations are composed with it
        session.started = self.started
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
            for found in launcher.run([overrides], number):
                try:
                    _ = found.return_value
                except RunFailed:  # its record says so
                    pass
                except Exception as error:
                    refusals.append(error)
        if refusals:
            raise refusals[0]

    def checkpoint(self) -> Any:
        """Has submitit send the work again if a task is stopped before its end: its runs then resume."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


class ClusterLauncher(CohortLauncher):
    """What launchers of clusters have in common."""

    def __init__(self, members: int | None = None, **options: Any) -> None:
        super().__init__(processes=None, members=members)
        self.options: dict[str, Any] = {
            key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            for key, value in options.items()
        }

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Sends the sweep's cohorts to the cluster, waits for them, and returns what their records say."""
        from ablate.records import provenance
        from ablate.sweeps.cohorts import plan

        self.check()
        members = self._jobs(job_overrides, initial_job_idx)
        numbers = {member.folder: number for number, member in enumerate(members)}
        todo = [member for member in members if not self._is_complete(member)]
        session.progress.advance(len(members) - len(todo))
        cohorts = plan(todo, self.members or 8, across_seeds=bool(self.gpus()))
        works = [
            Work(
                self,
                [
                    (initial_job_idx + numbers[member.folder], list(job_overrides[numbers[member.folder]]))
                    for member in cohort
                ],
                self.threads(),
                provenance.code_digest(),
            )
            for cohort in cohorts
        ]
        done: dict[Path, float] = {member.folder: self._share(member) for member in todo}

        def watch() -> None:
            for member in todo:
                share = self._share(member)
                session.progress.advance(max(0.0, share - done[member.folder]))
                done[member.folder] = max(share, done[member.folder])

        errors = self.send(works, watch) if works else []
        causes = {member.folder: error for cohort, error in zip(cohorts, errors, strict=True) for member in cohort}
        returns = []
        for member, overrides in zip(members, job_overrides, strict=True):
            returns.append(_job_return(member, overrides, causes.get(member.folder)))
        return returns

    def check(self) -> None:
        """Raises ValueError where the cluster cannot be used, with the way out."""

    def send(self, works: Sequence[Work], watch: Callable[[], None]) -> list[BaseException | None]:
        """Has the cluster do the work, and returns what went wrong with each.

        Args:
            works: What to do.
            watch: To be called now and then while waiting.
        """
        raise NotImplementedError

    def gpus(self) -> float:
        """Returns the GPUs of a job."""
        return 0.0

    def threads(self) -> int | None:
        """Returns the threads of a job, for its cores."""
        return None

    def _is_complete(self, member: "Member") -> bool:
        from ablate.runs.resume import Action, inspect_run

        return inspect_run(member.cfg, _directory(member), None).decision.action is Action.KEEP

    def _share(self, member: "Member") -> float:
        from ablate.records.run_directory import RunDirectory

        try:
            return len(RunDirectory(member.folder).read_epochs()) / int(member.cfg.train.epochs)
        except ValueError:
            return 0.0


def _directory(member: "Member") -> "RunDirectory":
    """Returns a run's directory, with what its store has of it, if it has one."""
    from ablate.runs.resume import run_directory

    directory = run_directory(member.cfg, member.folder)
    directory.pull()
    return directory


def _job_return(member: "Member", overrides: Sequence[str], cause: BaseException | None) -> JobReturn:
    from ablate.records.run_directory import RunFailed

    job = JobReturn(overrides=list(overrides), cfg=member.cfg, working_dir=str(member.folder))
    status, why = "not started", f"there is no record in {member.folder}; machines without a common folder need store=…"
    try:
        record = _directory(member).read_record()
        if record is not None:
            status, why = record.status.value, record.error.message if record.error else "its task ended"
            if record.is_complete:
                job.status, job.return_value = JobStatus.COMPLETED, record.value(member.cfg.study.metric)
                return job
    except ValueError as error:
        status, why = "unreadable", str(error)
    if cause is not None:
        # Clusters send the traceback as text, with text of their own around it; its last line names the error.
        lines = str(cause).strip().splitlines()
        why = next((line for line in reversed(lines) if re.match(r"[A-Za-z_][\w.]*: ", line)), lines[-1])
    said = f"{member.cfg.model.name} seed {member.cfg.seed} {status}: {why}"
    log.error(said)
    job.status, job.return_value = JobStatus.FAILED, RunFailed(said)
    return job
