"""ablate's launchers and sweeper; Hydra takes plugins from this package alone, and imports this file at every start."""

from ablate.sweeps import settle
from ablate.sweeps.launchers import local, ray, slurm


class CohortLauncher(local.CohortLauncher):
    """hydra/launcher=cohort."""


class PlanLauncher(local.PlanLauncher):
    """hydra/launcher=plan."""


class SlurmLauncher(slurm.SlurmLauncher):
    """hydra/launcher=slurm."""


class RayLauncher(ray.RayLauncher):
    """hydra/launcher=ray."""


class SettleSweeper(settle.SettleSweeper):
    """hydra/sweeper=settle."""
