"""Hydra's launcher `slurm`: cohorts as the tasks of an array job, by submitit."""

import logging
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ablate.messages import install_hint
from ablate.sweeps.launchers.cluster import POLL, ClusterLauncher, Work

if TYPE_CHECKING:
    from submitit import Job

log = logging.getLogger(__name__)

# Reasons of Slurm why a task waits: those that every task may have, and those that waiting does not remove.
_USUAL = ("None", "Priority", "Resources", "BeginTime", "Dependency", "JobArrayTaskLimit", "Cleaning")
_NEVER = (
    "PartitionConfig", "PartitionNodeLimit", "PartitionTimeLimit", "BadConstraints", "InvalidAccount", "InvalidQOS",
)  # fmt: skip
_PATIENCE = 10  # queries of the queue


class SlurmLauncher(ClusterLauncher):
    """Sends cohorts to Slurm as the tasks of an array, by submitit, whose options are here without `slurm_`."""

    gpus = "gpus_per_node"
    # Options that submitit has for every kind of cluster; the others are Slurm's own.
    _COMMON = ("timeout_min", "cpus_per_task", "gpus_per_node", "mem_gb", "nodes", "tasks_per_node", "name")

    def check(self) -> None:
        """Raises ValueError where there is no Slurm, no submitit, or no answer from the controller."""
        try:
            import submitit  # noqa: F401
        except ImportError as error:
            raise ValueError(f"hydra/launcher=slurm: submitit is not installed; {install_hint('slurm')}") from error
        try:
            said = _ask("sinfo", "--noheader", timeout=30)
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

    def threads(self) -> int | None:
        cpus = self.options.get("cpus_per_task")
        return None if cpus is None else int(cpus)

    def send(self, works: Sequence[Work], watch: Callable[[], None]) -> list[BaseException | None]:
        """Submits array jobs, as large as the cluster takes, and waits; ValueError where Slurm refuses a task."""
        import submitit

        options = {key: value for key, value in self.options.items() if value is not None}
        folder, timeouts = options.pop("folder"), options.pop("max_num_timeout", 0)
        executor = submitit.AutoExecutor(folder=folder, cluster="slurm", slurm_max_num_timeout=timeouts)
        executor.update_parameters(
            **{key if key in self._COMMON else f"slurm_{key}": value for key, value in options.items()}
        )
        largest, tasks = _largest_array(), _Tasks()
        while True:
            under_way = tasks.under_way()
            watch()
            if len(tasks.jobs) == len(works) and not under_way:
                return [tasks.error(job) for job in tasks.jobs]
            if len(tasks.jobs) < len(works):
                try:
                    tasks.jobs += executor.submit_array(works[len(tasks.jobs) : len(tasks.jobs) + largest])
                    continue
                except (submitit.core.utils.FailedJobError, subprocess.CalledProcessError) as error:
                    reason = str(getattr(error, "stderr", "") or error).strip().splitlines()[-1]
                    if not under_way:
                        raise ValueError(
                            f"hydra/launcher=slurm: Slurm refuses the job: {reason}\n`sinfo -s` lists the partitions, "
                            "`sacctmgr show qos` the limits, `squeue --me` what you have in the queue; set "
                            "hydra.launcher.partition=… and the like, or wait and repeat the command"
                        ) from error
                    tasks.say(f"Slurm takes no more tasks for now ({reason}); the others follow")
            time.sleep(POLL)


class _Tasks:
    """The submitted tasks, as the queue shows them."""

    def __init__(self) -> None:
        self.jobs: list[Job[None]] = []
        self._missed: Counter[str] = Counter()  # successive queries that did not show the task
        self._hopeless: Counter[str] = Counter()  # queries that showed it waiting in vain
        self._said: set[str] = set()

    def under_way(self) -> bool:
        """Asks for the queue, and returns whether a task waits or runs; a task that waits in vain is cancelled."""
        queue = _queue()
        if queue is not None:
            for job in self.jobs:
                reason = queue.get(job.job_id)
                self._missed[job.job_id] = 0 if reason is not None else self._missed[job.job_id] + 1
                if reason in _NEVER:
                    self._hopeless[job.job_id] += 1
                    if self._hopeless[job.job_id] == _PATIENCE:
                        _ask("scancel", job.job_id, timeout=None)
                elif reason not in (None, *_USUAL):
                    self.say(f"Tasks wait; the reason that Slurm gives: {reason}")
        return any(not job.paths.result_pickle.exists() and self._missed[job.job_id] < 2 for job in self.jobs)

    def say(self, what: str) -> None:
        """Logs something once."""
        if what not in self._said:
            log.info(what)
            self._said.add(what)

    def error(self, job: "Job[None]") -> BaseException | None:
        """Returns what went wrong with a task that has ended."""
        if job.paths.result_pickle.exists():
            return job.exception()
        if self._hopeless[job.job_id] >= _PATIENCE:
            return RuntimeError(
                "it would wait for ever: its partition has no node with what it asks for, or not for so long; "
                "`sinfo --Node --long` lists the nodes; set hydra.launcher.cpus_per_task=…, partition=… and the like"
            )
        return RuntimeError(f"task {job.job_id} was cancelled or lost; its log is {job.paths.stderr}")


def _ask(*command: str, timeout: int | None = 60, check: bool = False) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=check)


def _largest_array() -> int:
    """Returns how many tasks the cluster lets an array have."""
    said = _ask("scontrol", "show", "config").stdout
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", said, re.MULTILINE)
    return 1000 if match is None else max(1, int(match[1]))


def _queue() -> dict[str, str] | None:
    """Returns why each task in the queue waits, by its number; None if the controller does not answer."""
    try:
        said = _ask("squeue", "--me", "--array", "--noheader", "--format=%i %r", check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return dict(line.split(maxsplit=1) for line in said.stdout.splitlines() if line.strip())
