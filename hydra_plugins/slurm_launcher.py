"""Hydra's launcher `slurm`: cohorts as the tasks of an array job, by submitit."""

import logging
import re
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

from hydra_plugins.cluster_launchers import POLL, ClusterLauncher, Work

log = logging.getLogger(__name__)


class SlurmLauncher(ClusterLauncher):
    """Sends cohorts to Slurm as the tasks of an array, by submitit.

    Args:
        members: The most runs of a cohort.
        options: Of submitit, without the prefix `slurm_`: `timeout_min`, `cpus_per_task`, `mem_gb`, `partition` and
            so on.
    """

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
        """Submits array jobs, as large as the cluster takes, and waits for their tasks.

        Raises:
            ValueError: Slurm refuses them, and none of this sweep's is under way whose end might change that.
        """
        import time

        import submitit

        options = {key: value for key, value in self.options.items() if value is not None}
        folder, timeouts = options.pop("folder"), options.pop("max_num_timeout", 0)
        executor = submitit.AutoExecutor(folder=folder, cluster="slurm", slurm_max_num_timeout=timeouts)
        executor.update_parameters(
            **{key if key in self._COMMON else f"slurm_{key}": value for key, value in options.items()}
        )
        largest = _largest_array()
        jobs: list[Any] = []
        missed: dict[str, int] = {}  # looks at the queue in a row that did not find a task
        while True:
            queued = _queue()
            for job in jobs:
                missed[job.job_id] = 0 if queued is None or job.job_id in queued else missed[job.job_id] + 1
            under_way = [job for job in jobs if missed[job.job_id] <= 1 and not job.paths.result_pickle.exists()]
            watch()
            if len(jobs) == len(works) and not under_way:
                return [_what_went_wrong(job) for job in jobs]
            if len(jobs) < len(works):
                try:
                    added = executor.submit_array(works[len(jobs) : len(jobs) + largest])
                    missed.update({job.job_id: 0 for job in added})
                    jobs += added
                    continue
                except (submitit.core.utils.FailedJobError, subprocess.CalledProcessError) as error:
                    if not under_way:
                        raise _refusal(error) from error
                    log.debug("Slurm takes no more for now: %s", error)  # a full queue: when a task ends, it may
            time.sleep(POLL)


def _refusal(error: Exception) -> ValueError:
    reason = str(getattr(error, "stderr", "") or error).strip().splitlines()[-1]
    return ValueError(
        f"hydra/launcher=slurm: Slurm refuses the job: {reason}\n`sinfo -s` lists the partitions, "
        "`sacctmgr show qos` the limits, `squeue --me` what you have in the queue; set hydra.launcher.partition=… and "
        "the like, or wait and repeat the command"
    )


def _largest_array() -> int:
    """Returns how many tasks the cluster lets an array have."""
    command = ["scontrol", "show", "config"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", said, re.MULTILINE)
    return 1000 if found is None else max(1, int(found[1]))


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
