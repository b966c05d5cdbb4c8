"""A launcher `elsewhere`, for the tests: machines that have no folder in common with the one that starts the sweep."""

import pickle
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import cloudpickle
from hydra.core.config_store import ConfigStore

from ablate.sweeps.launchers.cluster import ClusterLauncher, Work

NODE = str(Path(__file__).parents[1] / "node.py")


class ElsewhereLauncher(ClusterLauncher):
    """Does each work in a process and a folder of its own.

    Args:
        options: `machine`, the folder that stands for the machine.
    """

    def send(self, works: Sequence[Work], watch: Callable[[], None]) -> list[BaseException | None]:
        errors: list[BaseException | None] = []
        for work in works:
            work.folder = Path("/there/is/no/such/folder")
            done = subprocess.run(
                ["python", NODE],
                input=cloudpickle.dumps(work, protocol=pickle.HIGHEST_PROTOCOL),
                cwd=self.options["machine"],
                capture_output=True,
                check=False,
            )
            errors.append(None if done.returncode == 0 else RuntimeError(done.stderr.decode()))
            watch()
        return errors


node = {"_target_": f"{ElsewhereLauncher.__module__}.ElsewhereLauncher", "members": 8, "machine": "???"}
ConfigStore.instance().store(group="hydra/launcher", name="elsewhere", node=node, provider="tests")
