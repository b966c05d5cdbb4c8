"""Hydra's launcher `cohort`: trains a sweep's runs in lock-step, then lets Hydra run every job as always.

Each job then finds its finished record; what no cohort has finished, it trains. Hydra looks for launchers in this
package, and imports this file at every start.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, configure_log, setup_globals
from omegaconf import open_dict


@dataclass
class CohortLauncherConf:
    """Options of the launcher.

    Attributes:
        processes: Cohorts trained at the same time; as many as the machine has cores if not set, on a GPU one.
        members: The most runs of a cohort; 8 if not set, on a GPU 32.
    """

    _target_: str = "hydra_plugins.cohort_launcher.CohortLauncher"
    processes: int | None = None
    members: int | None = None


ConfigStore.instance().store(group="hydra/launcher", name="cohort", node=CohortLauncherConf, provider="ablate")


class CohortLauncher(BasicLauncher):
    """Trains what can be trained in lock-step before it launches the jobs one by one.

    Args:
        processes: Cohorts at the same time.
        members: The most runs of a cohort.
    """

    def __init__(self, processes: int | None = None, members: int | None = None) -> None:
        super().__init__()
        self.processes, self.members = processes, members

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Launches jobs; those of other applications than ablate as the basic launcher does."""
        if getattr(self.task_function, "__module__", None) == "ablate.cli":
            self._train_cohorts(job_overrides, initial_job_idx)
        return super().launch(job_overrides, initial_job_idx)

    def _train_cohorts(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> None:
        from ablate import cli
        from ablate.cohort import Member, plan  # imports torch
        from ablate.hardware import choose_device
        from ablate.workers import train_cohorts

        assert self.hydra_context is not None and self.config is not None
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        members = []
        for number, overrides in enumerate(job_overrides, start=initial_job_idx):
            config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
            with open_dict(config):
                config.hydra.job.id = config.hydra.job.num = number
            HydraConfig.instance().set_config(config)
            folder = Path(config.hydra.sweep.dir) / config.hydra.sweep.subdir
            typed = list(config.hydra.overrides.task)
            with open_dict(config):
                del config["hydra"]
            members.append(Member(config, folder.absolute(), typed))
        processes = self.processes or os.cpu_count() or 1
        hardware = members[0].cfg.hardware
        on_gpu = choose_device(hardware).type != "cpu"
        if on_gpu:
            processes = 1
        elif hardware.threads is not None and self.processes is None:
            processes = max(1, processes // hardware.threads)
        # On a GPU a cohort has runs of several seeds: its cores are many more than one seed's runs fill.
        cohorts = plan(members, self.members or (32 if on_gpu else 8), processes, across_seeds=on_gpu)
        if cohorts:
            train_cohorts(cohorts, min(processes, len(cohorts)), cli.STARTED, cli.progress.advance)
