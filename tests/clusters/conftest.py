import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running_clusters import Slurm


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    if not os.environ.get("ABLATE_CLUSTERS"):
        pytest.skip("clusters are started by `make test-slurm` and `make test-ray`")
    missing = [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"Slurm is not installed ({', '.join(missing) or 'not root'}); `make slurm` installs it on Debian")
    cluster = Slurm(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., list[str]]:
    """The command of a sweep of quick runs: two variants, two seeds."""

    def make(*overrides: str) -> list[str]:
        return [
            sys.executable, "-m", "ablate", "-m", "study=demo", "model=plain,dropout", "seed=0,1", "data.subset=30",
            "train.batch_size=64", f"hydra.sweep.dir={tmp_path}/study", *overrides,
        ]  # fmt: skip

    return make
