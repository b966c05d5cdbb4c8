"""The jobs of a command: composed as Hydra will, checked before the first one starts, looked at after the last."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, flag_override, open_dict
from omegaconf.errors import OmegaConfBaseException

from ablate.config import schema
from ablate.config.design import components, points, settle
from ablate.config.options import config_dir
from ablate.sweeps.composition_cache import remember


@dataclass(frozen=True)
class Job:
    """A run that a command asks for: its configuration without Hydra's node, and its folder if that can be told."""

    cfg: DictConfig
    folder: Path | None


def single(config: DictConfig) -> list[Job]:
    """Returns the job of a command without a sweep.

    Raises:
        ValueError: The study has a design, which is one of a sweep.
    """
    if config.study.design is not None and config.model.components is None:
        raise ValueError(f"study.design={config.study.design}: makes variants for a sweep; add -m (or --multirun)")
    return [_job(config, config.hydra.run.dir)]


def swept(config: DictConfig) -> list[Job]:
    """Returns the jobs that Hydra's basic sweeper will make; of another sweeper's, the one it starts from.

    Raises:
        ValueError: The study's design cannot be made.
    """
    add_design(config)
    loader = GlobalHydra.instance().config_loader()
    in_turn = str(config.hydra.sweeper._target_).endswith(".BasicSweeper")
    remember(loader, keep=in_turn)
    if not in_turn:
        return [_job(config, None)]
    found = []
    for job in expand(config, config.hydra.overrides.task):
        cfg = loader.load_sweep_config(config, job)
        try:
            folder = f"{config.hydra.sweep.dir}/{cfg.hydra.sweep.subdir}"
        except OmegaConfBaseException:
            folder = None  # named by what Hydra knows only as it starts the job
        found.append(_job(cfg, folder))
    return found


def add_design(config: DictConfig) -> None:
    """Adds to a sweep the variants of the study's design, if it has one, as values of `model.components`; in place.

    Args:
        config: A composed configuration with Hydra's node.

    Raises:
        ValueError: The design cannot be made of this model, by this sweeper.
    """
    design = config.study.design
    if design is None or config.model.components is not None:
        return
    if not str(config.hydra.sweeper._target_).endswith(".BasicSweeper"):
        raise ValueError(f"study.design={design}: goes with hydra/sweeper=basic only")
    swept = {text.partition("=")[0] for text in config.hydra.overrides.task}
    if "model" in (config.hydra.sweeper.params or {}) and "model" not in swept:
        raise ValueError(f"study.design={design}: makes its variants of one model; name it with model=…")
    settle(config.copy())  # its names are checked
    variants = ",".join(f"[{','.join(used)}]" for used in points(design, components(config)))
    with flag_override(config, ["struct", "readonly"], [False, False]):
        config.hydra.sweeper.params = {**(config.hydra.sweeper.params or {}), "model.components": variants}


def expand(config: DictConfig, overrides: Sequence[str]) -> list[list[str]]:
    """Returns the overrides of every job of a sweep: those of the study's own sweep, and in their place what is typed.

    Args:
        config: A composed configuration with Hydra's node, for the study's own sweep.
        overrides: What is typed, with lists and ranges of values.
    """
    defaults = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    parsed = OverridesParser.create().parse_overrides([*defaults, *overrides])
    (batch,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    return [list(job) for job in batch]


def _job(config: DictConfig, folder: str | None) -> Job:
    cfg = config.copy()
    with open_dict(cfg):
        del cfg["hydra"]
    settle(cfg)
    return Job(cfg, None if folder is None else Path(folder))


@dataclass(frozen=True)
class Member:
    """A job that may be trained in a cohort: its configuration, its run directory, and what was typed for it."""

    cfg: DictConfig
    folder: Path
    overrides: Sequence[str]


def members_of(
    loader: Any, config: DictConfig, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
) -> list[Member]:
    """Returns the jobs of a batch that Hydra launches.

    Args:
        loader: Hydra's config loader.
        config: The sweep's configuration, with Hydra's node.
        job_overrides: Those of each job.
        initial_job_idx: The number of the first.
    """
    found = []
    for number, overrides in enumerate(job_overrides, start=initial_job_idx):
        cfg = loader.load_sweep_config(config, list(overrides))
        with open_dict(cfg):
            cfg.hydra.job.id = cfg.hydra.job.num = number
        HydraConfig.instance().set_config(cfg)
        folder = Path(cfg.hydra.sweep.dir) / cfg.hydra.sweep.subdir
        typed = list(cfg.hydra.overrides.task)
        with open_dict(cfg):
            del cfg["hydra"]
        settle(cfg)
        found.append(Member(cfg, folder.absolute(), typed))
    return found


_NAMED = ("model=", "model.components=")  # what the name of a variant tells


def compose(overrides: Sequence[str], folder: Path | None = None) -> tuple[dict[str, DictConfig], Path]:
    """Returns the configurations of the variants that overrides mean, by what tells them apart, and the study's folder.

    Args:
        overrides: As of a sweep; without any the study's own. Of several seeds the first counts.
        folder: A folder of config groups beside ablate's own.
    """
    schema.register()
    search = [] if folder is None else [f"hydra.searchpath=[file://{folder.absolute()}]"]
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    fixed = [str(item.input_line) for item in parsed if not item.is_sweep_override()]
    with hydra.initialize_config_dir(str(config_dir()), version_base="1.3"):
        whole = hydra.compose("config", [*search, *fixed], return_hydra_config=True)
        add_design(whole)
        jobs = expand(whole, overrides)
        differing = [key for key in dict.fromkeys(_key(item) for job in jobs for item in job) if key != "seed"]
        differing = [key for key in differing if len({tuple(i for i in job if _key(i) == key) for job in jobs}) > 1]
        found: dict[str, DictConfig] = {}
        for job in jobs:
            cfg = hydra.compose("config", [*search, *job])
            settle(cfg)
            told_apart = [item for item in job if _key(item) in differing and not item.startswith(_NAMED)]
            found.setdefault(" ".join([cfg.model.name, *told_apart]), cfg)
    return found, Path(whole.hydra.sweep.dir)


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]
