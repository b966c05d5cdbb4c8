"""Hydra's launcher `cohort`: trains a sweep's runs in lock-step, then lets Hydra run every job as always.

Each job then finds its finished record; what no cohort has finished, it trains. Hydra imports the launchers at every
start, so they import torch only as they launch.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, configure_log, setup_globals

from ablate.runs.job import Job
from ablate.sweeps.jobs import AnyJob, jobs_of
from ablate.sweeps.session import session


@dataclass
class CohortLauncherConf:
    """Options of the launcher."""

    _target_: str = "hydra_plugins.ablate_launchers.CohortLauncher"
    processes: int | None = None  # that train cohorts; as many as the machine has cores if not set, on a GPU one
    members: int | None = None  # the most runs of a cohort; 8 if not set, on a GPU 32


@dataclass
class PlanLauncherConf(CohortLauncherConf):
    """Options of the launcher `plan`, which says what the launcher `cohort` would do with the same options."""

    _target_: str = "hydra_plugins.ablate_launchers.PlanLauncher"


for name, node in {"cohort": CohortLauncherConf, "plan": PlanLauncherConf}.items():
    ConfigStore.instance().store(group="hydra/launcher", name=name, node=node, provider="ablate")


class CohortLauncher(BasicLauncher):
    """Trains what can be trained in lock-step before it launches the jobs one by one."""

    def __init__(self, processes: int | None = None, members: int | None = None) -> None:
        super().__init__()
        self.processes, self.members = processes, members

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Launches jobs; those of other applications than ablate as the basic launcher does."""
        if session.trains:
            self.train(job_overrides, initial_job_idx)
        return self.run(job_overrides, initial_job_idx)

    def train(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> None:
        """Trains what can be trained in lock-step."""
        from ablate.sweeps.workers import train_cohorts

        cohorts, processes = self._plan(_own(self._jobs(job_overrides, initial_job_idx)))
        if processes == 1:
            cohorts = [cohort for cohort in cohorts if len(cohort) > 1]  # the others are run as jobs
        if cohorts:
            train_cohorts(cohorts, min(processes, len(cohorts)), session.id, session.progress.advance)

    def run(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Runs every job, one after another, as Hydra's basic launcher does."""
        return super().launch(job_overrides, initial_job_idx)

    def _jobs(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[AnyJob]:
        assert self.hydra_context is not None and self.config is not None
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        return jobs_of(self.hydra_context.config_loader, self.config, job_overrides, initial_job_idx)

    def _plan(self, jobs: Sequence[Job]) -> tuple[list[list[Job]], int]:
        """Returns the cohorts, and how many processes train them."""
        from ablate.sweeps.cohorts import plan
        from ablate.training.hardware import choose_device

        processes = self.processes or os.cpu_count() or 1
        if not jobs:
            return [], processes
        hardware = jobs[0].cfg.hardware
        on_gpu = choose_device(hardware).type != "cpu"
        if on_gpu:
            processes = 1
        elif hardware.threads is not None and self.processes is None:
            processes = max(1, processes // hardware.threads)
        # On a GPU a cohort has runs of several seeds: its cores are many more than one seed's runs fill.
        return plan(jobs, self.members or (32 if on_gpu else 8), processes, across_seeds=on_gpu), processes


def _own(jobs: Sequence[AnyJob]) -> list[Job]:
    """Returns the jobs of ablate's own training: no others can be trained in lock-step."""
    return [job for job in jobs if isinstance(job, Job)]


class PlanLauncher(CohortLauncher):
    """Says what a sweep would do, and does nothing: hydra/launcher=plan."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Prints the plan of the jobs."""
        from ablate.sweeps.plan import show

        assert self.config is not None
        jobs = self._jobs(job_overrides, initial_job_idx)
        show(jobs, self._plan(_own(jobs))[0], self.config.hydra.sweep.dir, session.as_json)
        session.folder = None
        raise SystemExit(0)
