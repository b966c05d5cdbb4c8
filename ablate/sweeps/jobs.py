"""The jobs of a command: composed as Hydra will, checked before the first one starts, looked at after the last."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, flag_override, open_dict
from omegaconf.errors import OmegaConfBaseException

from ablate.columns import aligned
from ablate.config.design import components, points, settle
from ablate.config.validation import validate
from ablate.records.run_directory import RunDirectory
from ablate.records.store import Store
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
    if not str(config.hydra.sweeper._target_).endswith(".BasicSweeper"):
        return [_job(config, None)]
    found = []
    loader = GlobalHydra.instance().config_loader()
    remember(loader)
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


def check(jobs: Iterable[Job]) -> None:
    """Checks everything that can be known before a run starts.

    Raises:
        ValueError: A configuration or a folder cannot be used; the message says which and why.
    """
    from ablate.runs.prepare import prepare  # imports torch

    fitting, stores = set(), set()
    for job in jobs:
        validate(job.cfg)
        if job.cfg.store is not None and job.cfg.store not in stores:
            Store(job.cfg.store).check()
            stores.add(job.cfg.store)
        if job.folder is not None:
            _check_folder(job.folder)
        but_seed = json.dumps({**OmegaConf.to_container(job.cfg, resolve=True), "seed": None})  # type: ignore[dict-item]
        if but_seed not in fitting:  # what fits together with one seed does with all
            prepare(job.cfg)
            fitting.add(but_seed)


def failures(jobs: Sequence[Job]) -> str:
    """Returns a table of the jobs whose runs did not end well, and what to do; empty if there are none."""
    rows = []
    for job in jobs:
        if job.folder is None:
            continue
        try:
            record = RunDirectory(job.folder).read_record() or {"status": "not started"}
        except ValueError as unreadable:
            record = {"status": "unreadable", "error": {"message": str(unreadable)}}
        if record["status"] != "complete":
            error = record.get("error") or {}
            cause = str(error.get("message", "")).split("\n")[0]
            rows.append((str(job.folder), record["status"], str(error.get("epoch", "–")), cause))
    if not rows:
        return ""
    table = [("run", "status", "epoch", "cause"), *rows]
    return "\n".join(
        [
            f"{len(rows)} of {len(jobs)} runs did not end well:",
            aligned(table),
            "The train.log in each folder says more. The same command again tries them again, and skips the others.",
        ]
    )


def _job(config: DictConfig, folder: str | None) -> Job:
    cfg = config.copy()
    with open_dict(cfg):
        del cfg["hydra"]
    settle(cfg)
    return Job(cfg, None if folder is None else Path(folder))


def _check_folder(folder: Path) -> None:
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists() or path.is_symlink())
    if not existing.is_dir():
        raise ValueError(f"{existing}: is not a folder, and the runs' folders would be in it; move it away")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ValueError(f"{existing}: cannot be written to; choose another folder with hydra.sweep.dir=… (for a "
                         "single run hydra.run.dir=…), or change its permissions")  # fmt: skip
