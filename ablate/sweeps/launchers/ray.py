"""Hydra's launcher `ray`: cohorts as tasks of a Ray cluster."""

import logging
import os
import re
import socket
from collections.abc import Callable, Sequence
from typing import Any

from ablate.files import Plain
from ablate.messages import install_hint
from ablate.sweeps.launchers.cluster import POLL, ClusterLauncher, Work

log = logging.getLogger(__name__)


class RayLauncher(ClusterLauncher):
    """Sends cohorts to a Ray cluster, with the options of `conf/hydra/launcher/ray.yaml`."""

    gpus = "num_gpus"

    def check(self) -> None:
        """Raises ValueError where Ray is not installed or the cluster cannot be reached."""
        try:
            import ray
        except ImportError as error:
            raise ValueError(f"hydra/launcher=ray: Ray is not installed; {install_hint('ray')}") from error
        if ray.is_initialized():
            return
        address = self.options.get("address")
        what = f"no cluster answers at hydra.launcher.address={address}"
        if address is None:
            what = "a cluster on this machine did not start"
            os.environ.setdefault("RAY_gcs_rpc_server_connect_timeout_s", "60")  # a busy machine takes longer than 5
        try:
            _reach(address)
            ray.init(address=address, logging_level=logging.WARNING, log_to_driver=False, include_dashboard=False)
        except (OSError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"hydra/launcher=ray: {what}: {reason}\n"
                "`ray start --head` starts one; one that has a token takes RAY_AUTH_MODE=token and ~/.ray/auth_token; "
                "without an address the launcher starts one for the sweep"
            ) from error

    def threads(self) -> int | None:
        return max(1, int(self.options.get("num_cpus") or 1))

    def send(self, works: Sequence[Work], watch: Callable[[], None]) -> list[BaseException | None]:
        """Runs each work as a task of Ray, which starts it again if its worker or its node is lost."""
        import ray

        wanted: Plain = {key: self.options.get(key) for key in ("num_cpus", "num_gpus", "max_retries", "resources")}
        for key, resource in {"num_cpus": "CPU", "num_gpus": "GPU"}.items():
            most = max((node["Resources"].get(resource, 0) for node in ray.nodes() if node["Alive"]), default=0)
            if (wanted[key] or 0) > most:  # not an error: a cluster that grows may get such a node
                log.warning(
                    "hydra.launcher.%s=%g: no node of the cluster has so many (the largest has %g); the tasks wait for "
                    "a node that has; to ask for less, interrupt this command", key, wanted[key], most,
                )  # fmt: skip
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


def _reach(address: str | None) -> None:
    """Raises OSError where nothing answers at a host and port, which Ray itself would try for minutes."""
    match = re.fullmatch(r"(?:ray://)?(.+):(\d+)", address or "")
    if match is not None:
        socket.create_connection((match[1], int(match[2])), timeout=10).close()


def _do(work: Work) -> None:
    work()
