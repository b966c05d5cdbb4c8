"""Jobs composed once for all seeds, against each composed by Hydra."""

from collections.abc import Iterator

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from ablate.config.compose import register
from ablate.config.options import config_dir
from ablate.sweeps.composition_cache import remember

JOBS = [
    ["model=dropout", f"seed={seed}", "model.edits.drop3.layer.p=0.1", "+optimizer.amsgrad=true"] for seed in (0, 7, 10)
] + [["seed=3", "train.epochs=4"], ["seed=13", "train.epochs=4"], ["model=plain"], ["model=plain", "seed=0"]]


@pytest.fixture
def master() -> Iterator[DictConfig]:
    GlobalHydra.instance().clear()
    register()
    with hydra.initialize_config_dir(str(config_dir()), version_base="1.3"):
        yield hydra.compose("config", ["study=demo"], return_hydra_config=True)


def test_each_job_is_what_hydra_composes(master: DictConfig) -> None:
    loader = GlobalHydra.instance().config_loader()
    expected = [loader.load_sweep_config(master, list(job)) for job in JOBS]
    remember(loader)
    for _ in range(2):
        for job, whole in zip(JOBS, expected, strict=True):
            found = loader.load_sweep_config(master_config=master, sweep_overrides=list(job))
            assert OmegaConf.to_container(found) == OmegaConf.to_container(whole)
            assert found.hydra.sweep.subdir == whole.hydra.sweep.subdir  # with the run's identity
            assert OmegaConf.is_readonly(found.hydra) == OmegaConf.is_readonly(whole.hydra)
            assert OmegaConf.is_struct(found) == OmegaConf.is_struct(whole)


def test_a_job_may_be_changed_without_changing_the_next(master: DictConfig) -> None:
    loader = GlobalHydra.instance().config_loader()
    remember(loader)
    first = loader.load_sweep_config(master, ["seed=1"])
    first.train.epochs = 99
    assert loader.load_sweep_config(master, ["seed=2"]).train.epochs == 50


def test_what_was_composed_stays_in_its_process(master: DictConfig) -> None:
    loader = GlobalHydra.instance().config_loader()
    remember(loader)
    before = loader.load_sweep_config.__getstate__()
    loader.load_sweep_config(master, ["seed=1"])
    assert loader.load_sweep_config.__getstate__() == before
    assert loader.load_sweep_config.__getstate__()["_composed"] == {}
