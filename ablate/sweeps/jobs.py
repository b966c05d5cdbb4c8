"""The jobs of a command: composed as Hydra will, checked before the first one starts, looked at after the last."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, flag_override, open_dict
from omegaconf.errors import OmegaConfBaseException

from ablate.config.apply_design import apply_design, edits_and_name, plain_value
from ablate.config.compose import composer, to_config
from ablate.config.design import read_components, read_variants, variants_of_design
from ablate.config.schema import Config
from ablate.runs.job import Job
from ablate.runs.resume import Earlier, inspect_run
from ablate.sweeps.composition_cache import remember
from ablate.tasks.job import TaskJob

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader


AnyJob = Job | TaskJob  # of ablate's own training, or of a task


def job_of(config: DictConfig, folder: Path | None, overrides: Sequence[str] = ()) -> AnyJob:
    """Returns the job that a composed configuration describes: a task's has a `variant`."""
    return (
        TaskJob(apply_design(config), folder, overrides)
        if is_task(config)
        else Job(to_config(config), folder, overrides)
    )


def is_task(config: DictConfig) -> bool:
    """Whether a composed configuration is a task's."""
    return "variant" in config


def inspect(job: AnyJob) -> Earlier:
    """Returns what an earlier command left of a run, and what to do with it."""
    return job.inspect() if isinstance(job, TaskJob) else inspect_run(job, job.directory)


def single(config: DictConfig) -> list[AnyJob]:
    """Returns the job of a command without a sweep."""
    for key in ("design", "variants"):
        if config.study[key] and config.study.variant is None:
            raise ValueError(f"study.{key}={config.study[key]}: makes variants for a sweep; add -m (or --multirun)")
    _tell(config)
    return [job_of(config, Path(config.hydra.run.dir))]


def swept(config: DictConfig) -> list[AnyJob]:
    """Returns the jobs that Hydra's basic sweeper will make, or ours at first; of another's, the one it starts from."""
    add_design(config)
    loader = GlobalHydra.instance().config_loader()
    keep = expands(config)
    remember(loader, keep=keep)
    if not keep:
        _tell(config)
        return [job_of(config, None)]
    return composed(config, expand(config, config.hydra.overrides.task))


def composed(config: DictConfig, jobs: Sequence[Sequence[str]]) -> list[AnyJob]:
    """Returns jobs of a sweep by their overrides."""
    loader = GlobalHydra.instance().config_loader()
    made = list[AnyJob]()
    for overrides in jobs:
        job = loader.load_sweep_config(config, list(overrides))
        _tell(job)
        try:
            folder = Path(config.hydra.sweep.dir, job.hydra.sweep.subdir)
        except OmegaConfBaseException:
            folder = None  # named by what Hydra knows only as it starts the job
        made.append(job_of(job, folder, overrides))
    return made


def _tell(config: DictConfig) -> None:
    """Has `${hydra:…}` in a task's configuration resolved as it will be when the job starts."""
    if is_task(config):
        HydraConfig.instance().set_config(copy.deepcopy(config))


def expands(config: DictConfig) -> bool:
    """Whether the sweeper makes all combinations of what is typed: Hydra's basic one, and ours, which adds seeds."""
    return str(config.hydra.sweeper._target_).endswith((".BasicSweeper", ".SettleSweeper"))


def add_design(config: DictConfig) -> None:
    """Adds to a sweep the variants that the study makes or names, as values of `study.variant`; in place."""
    study = plain_value(config.study)
    assert isinstance(study, dict)
    design, named = study.get("design"), study.get("variants")
    if (design is None and not named) or study.get("variant") is not None:
        return
    key = "study.variants" if named else f"study.design={design}"
    if not expands(config):
        raise ValueError(f"{key}: goes with hydra/sweeper=basic and settle only")
    swept = {text.partition("=")[0] for text in config.hydra.overrides.task}
    if not named and "model" in (config.hydra.sweeper.params or {}) and "model" not in swept:
        raise ValueError(f"{key}: makes its variants of one model; name it with model=…")
    apply_design(config)  # checks the names
    if named:
        variants = ",".join(read_variants(named))
    else:
        known = {name: each.first for name, each in read_components(study, *edits_and_name(config)).items()}
        variants = ",".join(f"[{','.join(used)}]" for used in variants_of_design(str(design), known))
    with flag_override(config, ["struct", "readonly"], [False, False]):
        config.hydra.sweeper.params = {**(config.hydra.sweeper.params or {}), "study.variant": variants}


def expand(config: DictConfig, overrides: Sequence[str]) -> list[list[str]]:
    """Returns the overrides of every job of a sweep: of the study's own, and in their place what is typed."""
    defaults = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    parsed = OverridesParser.create().parse_overrides([*defaults, *overrides])
    (batch,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    return [list(job) for job in batch]


def jobs_of(
    loader: "ConfigLoader", config: DictConfig, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
) -> list[AnyJob]:
    """Returns the jobs of a batch that Hydra launches, numbered from the first."""
    jobs = list[AnyJob]()
    for number, overrides in enumerate(job_overrides, start=initial_job_idx):
        composed = loader.load_sweep_config(config, list(overrides))
        with open_dict(composed):
            composed.hydra.job.id = composed.hydra.job.num = number
        HydraConfig.instance().set_config(composed)
        folder = Path(composed.hydra.sweep.dir) / composed.hydra.sweep.subdir
        jobs.append(job_of(composed, folder.absolute(), list(composed.hydra.overrides.task)))
    return jobs


_NAMED = ("model=", "study.variant=")  # what the name of a variant tells


def variants_of(overrides: Sequence[str], folder: Path | None = None) -> tuple[dict[str, Config], Path]:
    """Returns the configurations of the variants that overrides mean, by what tells them apart, and the study's folder.

    Args:
        overrides: As of a sweep; without any the study's own. Of several seeds the first counts.
        folder: A folder of config groups beside ablate's own.
    """
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    fixed = [str(item.input_line) for item in parsed if not item.is_sweep_override()]
    with composer(folder) as composed_of:
        whole = composed_of(fixed)
        add_design(whole)
        jobs = expand(whole, overrides)
        variants: dict[str, Config] = {}
        for job, told_apart in zip(jobs, differences(jobs), strict=True):
            config = to_config(composed_of(job))
            variants.setdefault(" ".join([config.model.name, *told_apart]), config)
    return variants, Path(whole.hydra.sweep.dir)


def differences(jobs: Sequence[Sequence[str]]) -> list[list[str]]:
    """Returns which overrides of each job tell its variant from the others', beside what the variant's name tells."""
    differing = [key for key in dict.fromkeys(_key(item) for job in jobs for item in job) if key != "seed"]
    differing = [key for key in differing if len({tuple(i for i in job if _key(i) == key) for job in jobs}) > 1]
    return [[item for item in job if _key(item) in differing and not item.startswith(_NAMED)] for job in jobs]


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]
