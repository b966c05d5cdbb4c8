"""Hydra's launcher `ray`: cohorts as tasks of a Ray cluster."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from hydra_plugins.cluster_launchers import POLL, ClusterLauncher, Work


class RayLauncher(ClusterLauncher):
    """Sends cohorts to a Ray cluster.

    Args:
        members: The most runs of a cohort.
        options: `address` of the cluster (None starts one here), `num_cpus` and `num_gpus` of a job, and `max_retries`
            of a job whose worker or node is lost.
    """

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
            _, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=POLL)
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
