"""Hydra's launchers `slurm` and `ray`: a job of the cluster trains one cohort, and the run directories are the result.

Each cohort goes to a node as a whole, is trained there in lock-step, and then its jobs are run there as always, which
find their finished records. What came of a job is read from its record, so a job that was killed, moved to another
node, or ended while nobody watched counts as what it left behind.
"""

import logging
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext, TaskFunction
from omegaconf import OmegaConf

from hydra_plugins.cohort_launcher import CohortLauncher

if TYPE_CHECKING:
    from ablate.cohort import Member

_POLL = 1.0  # seconds between two looks at the cluster


class Work:
    """What a node does: a cohort's jobs. It is pickled on its way, and starts anew where it is sent again.

    Args:
        launcher: With the sweep's configuration.
        jobs: Number and overrides of each.
        threads: For the node's cores; None leaves it to torch.
        code: Of ablate where the sweep was started: only that code is run.
    """

    def __init__(
        self, launcher: "_ClusterLauncher", jobs: Sequence[tuple[int, Sequence[str]]], threads: int | None, code: str
    ) -> None:
        from hydra.core.singleton import Singleton

        from ablate import cli

        assert launcher.hydra_context is not None and launcher.task_function is not None
        self.hydra_context: HydraContext = launcher.hydra_context
        self.task_function: TaskFunction = launcher.task_function
        self.config, self.jobs, self.threads, self.code = launcher.config, list(jobs), threads, code
        self.started = cli.STARTED
        self.singletons = Singleton.get_state()

    def __call__(self) -> None:
        """Trains the cohort, then runs each of its jobs, which finds its finished record."""
        import platform

        from hydra.core.singleton import Singleton
        from hydra.core.utils import setup_globals

        from ablate import cli, provenance  # registers what configurations are composed with

        cli.STARTED = self.started
        found = provenance.code_digest()
        if found != self.code:
            raise RuntimeError(
                f"{platform.node()} has other code of ablate ({found}) than the machine that the sweep was started on "
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
        for number, overrides in self.jobs:
            launcher.run([overrides], number)

    def checkpoint(self) -> Any:
        """Has submitit send the work again, where a job is stopped before its end: its runs go on from their epochs."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


class _ClusterLauncher(CohortLauncher):
    """What launchers of clusters have in common."""

    name = ""

    def __init__(self, members: int | None = None, **options: Any) -> None:
        super().__init__(processes=None, members=members)
        self.options: dict[str, Any] = {
            key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            for key, value in options.items()
        }

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Sends the sweep's cohorts to the cluster, waits for them, and returns what their records say."""
        from ablate import cli, provenance
        from ablate.cohort import plan
        from ablate.records import RunDirectory

        self.check()
        members = self._jobs(job_overrides, initial_job_idx)
        numbers = {member.folder: number for number, member in enumerate(members)}
        todo = [member for member in members if not self._is_complete(member)]
        cli.progress.advance(len(members) - len(todo))
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
                cli.progress.advance(max(0.0, share - done[member.folder]))
                done[member.folder] = max(share, done[member.folder])

        errors = self.send(works, watch) if works else []
        causes = {member.folder: error for cohort, error in zip(cohorts, errors, strict=True) for member in cohort}
        returns = []
        for member, overrides in zip(members, job_overrides, strict=True):
            record = RunDirectory(member.folder).read_record()
            returns.append(_job_return(member, overrides, record, causes.get(member.folder)))
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
        from ablate.experiment import look
        from ablate.records import RunDirectory
        from ablate.rerun import Action

        return look(member.cfg, RunDirectory(member.folder), None).decision.action is Action.KEEP

    def _share(self, member: "Member") -> float:
        from ablate.records import RunDirectory

        try:
            return len(RunDirectory(member.folder).read_epochs()) / int(member.cfg.train.epochs)
        except ValueError:
            return 0.0


def _job_return(
    member: "Member", overrides: Sequence[str], record: dict[str, Any] | None, cause: BaseException | None
) -> JobReturn:
    from ablate.experiment import metric
    from ablate.records import RunFailed

    found = JobReturn(overrides=list(overrides), cfg=member.cfg, working_dir=str(member.folder))
    if record is not None and record["status"] == "complete":
        found.status, found.return_value = JobStatus.COMPLETED, metric(member.cfg, record)
        return found
    error = (record or {}).get("error") or {}
    why = str(cause).strip().splitlines()[-1] if cause is not None else str(error.get("message", "nothing came of it"))
    status = "not started" if record is None else record["status"]
    found.status = JobStatus.FAILED
    found.return_value = RunFailed(f"{member.cfg.model.name} seed {member.cfg.seed} {status}: {why}")
    return found


class SlurmLauncher(_ClusterLauncher):
    """Sends cohorts to Slurm as the tasks of an array, by submitit.

    Args:
        members: The most runs of a cohort.
        options: Of submitit, without the prefix `slurm_`: `timeout_min`, `cpus_per_task`, `mem_gb`, `partition` and
            so on.
    """

    name = "slurm"
    # Those that submitit knows for every kind of cluster; the others are Slurm's.
    _COMMON = ("timeout_min", "cpus_per_task", "gpus_per_node", "mem_gb", "nodes", "tasks_per_node", "name")

    def check(self) -> None:
        """Raises ValueError where there is no Slurm, no submitit, or no answer from the controller."""
        try:
            import submitit  # noqa: F401
        except ImportError as error:
            raise ValueError("hydra/launcher=slurm: submitit is not installed; pip install 'ablate[slurm]'") from error
        try:
            said = subprocess.run(["sinfo", "--noheader"], capture_output=True, text=True, timeout=30, check=False)
        except FileNotFoundError as error:
            raise ValueError(
                "hydra/launcher=slurm: there is no Slurm on this machine (no `sinfo`); start the sweep on a login node "
                "of the cluster, or take hydra/launcher=cohort to run it here"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise ValueError(
                "hydra/launcher=slurm: the controller gives no answer (`sinfo` hangs); try later"
            ) from error
        if said.returncode != 0:
            raise ValueError(f"hydra/launcher=slurm: the controller cannot be reached: {said.stderr.strip()}")

    def gpus(self) -> float:
        """Returns the GPUs of a job."""
        return float(self.options.get("gpus_per_node") or 0)

    def threads(self) -> int | None:
        """Returns the cores of a job."""
        cpus = self.options.get("cpus_per_task")
        return None if cpus is None else int(cpus)

    def send(self, works: Sequence[Work], watch: Callable[[], None]) -> list[BaseException | None]:
        """Submits an array job, and waits for its tasks.

        Raises:
            ValueError: Slurm refuses it.
        """
        import time

        import submitit

        options = {key: value for key, value in self.options.items() if value is not None}
        folder, timeouts = options.pop("folder"), options.pop("max_num_timeout", 0)
        executor = submitit.AutoExecutor(folder=folder, cluster="slurm", slurm_max_num_timeout=timeouts)
        executor.update_parameters(
            **{key if key in self._COMMON else f"slurm_{key}": value for key, value in options.items()}
        )
        try:
            jobs = executor.submit_array(works)
        except (submitit.core.utils.FailedJobError, subprocess.CalledProcessError) as error:
            reason = str(getattr(error, "stderr", "") or error).strip().splitlines()[-1]
            raise ValueError(
                f"hydra/launcher=slurm: Slurm refuses the job: {reason}\n`sinfo -s` lists the partitions, "
                "`sacctmgr show qos` the limits; set hydra.launcher.partition=… and the like"
            ) from error
        missed = {job.job_id: 0 for job in jobs}  # looks at the queue in a row that did not find a task
        while True:
            watch()
            queued = _queue()
            for job in jobs:
                missed[job.job_id] = 0 if queued is None or job.job_id in queued else missed[job.job_id] + 1
            if all(job.paths.result_pickle.exists() or missed[job.job_id] > 1 for job in jobs):
                watch()
                return [_what_went_wrong(job) for job in jobs]
            time.sleep(_POLL)


def _queue() -> set[str] | None:
    """Returns the numbers of the tasks that wait or run; None if the controller does not say."""
    command = ["squeue", "--me", "--array", "--noheader", "--format=%i"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return set(said.stdout.split())


def _what_went_wrong(job: Any) -> BaseException | None:
    if job.paths.result_pickle.exists():
        return job.exception()  # type: ignore[no-any-return]
    return RuntimeError(f"task {job.job_id} was cancelled or lost; its log is {job.paths.stderr}")


class RayLauncher(_ClusterLauncher):
    """Sends cohorts to a Ray cluster.

    Args:
        members: The most runs of a cohort.
        options: `address` of the cluster (None starts one here), `num_cpus` and `num_gpus` of a job, and `max_retries`
            of a job whose worker or node is lost.
    """

    name = "ray"

    def check(self) -> None:
        """Raises ValueError where Ray is not installed or the cluster cannot be reached."""
        try:
            import ray
        except ImportError as error:
            raise ValueError("hydra/launcher=ray: Ray is not installed; pip install 'ablate[ray]'") from error
        if ray.is_initialized():
            return
        address = self.options.get("address")
        try:
            ray.init(address=address, logging_level=logging.WARNING, log_to_driver=False, include_dashboard=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"hydra/launcher=ray: no cluster answers at hydra.launcher.address={address}: {reason}\n"
                "`ray start --head` starts one; without an address the launcher starts one for the sweep"
            ) from error

    def gpus(self) -> float:
        """Returns the GPUs of a job."""
        return float(self.options.get("num_gpus") or 0)

    def threads(self) -> int | None:
        """Returns the cores of a job."""
        return max(1, int(self.options.get("num_cpus") or 1))

    def send(self, works: Sequence[Work], watch: Callable[[], None]) -> list[BaseException | None]:
        """Runs each work as a task of Ray, which starts it again if its worker or its node is lost."""
        import ray

        wanted: dict[str, Any] = {
            key: self.options.get(key) for key in ("num_cpus", "num_gpus", "max_retries", "resources")
        }
        remote: Any = ray.remote(**{key: value for key, value in wanted.items() if value is not None})(_do)
        tasks = [remote.remote(work) for work in works]
        waiting = list(tasks)
        while waiting:
            _, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=_POLL)
            watch()
        errors: list[BaseException | None] = []
        for task in tasks:
            try:
                ray.get(task)
                errors.append(None)
            except Exception as error:
                errors.append(error)
        return errors


def _do(work: Work) -> None:
    work()
