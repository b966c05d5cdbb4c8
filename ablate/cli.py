"""The command line: `python -m ablate`, on Hydra."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict

from ablate import config
from ablate.explain import explain
from ablate.options import config_dir
from ablate.progress import Progress
from ablate.validation import validate

config.register()

progress = Progress()


@hydra.main(version_base="1.3", config_path=str(config_dir()), config_name="config")
def train(cfg: DictConfig) -> float:
    """Runs one job; what it returns is what Hydra's sweepers optimise."""
    from ablate.experiment import run  # imports torch, which --help and shell completion do without

    hydra_config = HydraConfig.get()
    overrides = list(hydra_config.overrides.task)
    return run(cfg, Path(hydra_config.runtime.output_dir), progress, overrides)


class Refused(BaseException):
    """Carries the refusal of a configuration past Hydra, which turns any Exception of a callback into a warning."""


class Preflight(Callback):
    """Checks every run that a command asks for before the first one starts, and says at the end what to type next.

    The methods are those of Hydra's callbacks.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        _check(lambda: [_without_hydra(config)])

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        progress.start_sweep(_check(lambda: _jobs(config)))

    def on_run_end(self, config: DictConfig, **kwargs: Any) -> None:
        if kwargs["job_return"].status.name == "COMPLETED":
            _say_what_next(config.hydra.sweep.dir)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        progress.end_sweep()
        _say_what_next(config.hydra.sweep.dir)


def _say_what_next(study_folder: str) -> None:
    print(f"The runs are in {study_folder}. For tables and plots, type: python -m ablate.report {study_folder}")


def _without_hydra(cfg: DictConfig) -> DictConfig:
    cfg = cfg.copy()
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg


def _jobs(cfg: DictConfig) -> list[DictConfig]:
    """Composes the jobs that Hydra's basic sweeper will make; of another sweeper's, the one it starts from."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    if not str(cfg.hydra.sweeper._target_).endswith(".BasicSweeper"):
        return [_without_hydra(cfg)]
    defaults = [f"{key}={value}" for key, value in (cfg.hydra.sweeper.params or {}).items()]
    overrides = OverridesParser.create().parse_overrides([*defaults, *cfg.hydra.overrides.task])
    (batch,) = BasicSweeper.split_arguments(overrides, max_batch_size=None)
    return [hydra.compose(cfg.hydra.job.config_name, list(job)) for job in batch]


def _check(compose: Callable[[], list[DictConfig]]) -> int:
    """Composes and checks jobs; returns how many there are."""
    from ablate.experiment import prepare

    try:
        jobs = compose()
        fitting = set()
        for job in jobs:
            validate(job)
            but_seed = json.dumps({**OmegaConf.to_container(job, resolve=True), "seed": None})  # type: ignore[dict-item]
            if but_seed not in fitting:  # what fits together with one seed does with all
                prepare(job)
                fitting.add(but_seed)
    except Exception as error:
        raise Refused from error
    return len(jobs)


def main() -> None:
    """The console script `ablate`."""
    full_error = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing; what follows prints
    try:
        train()
    except KeyboardInterrupt:
        print("Interrupted. The same command again goes on where this one stopped.", file=sys.stderr)
        sys.exit(130)
    except (Exception, Refused) as error:
        cause = error.__cause__ if isinstance(error, Refused) else error
        assert cause is not None
        message = explain(cause, sys.argv[1:])
        if full_error == "1" or message is None:
            raise cause from None
        sys.exit(message)
    finally:
        progress.end_sweep()
        os.environ.pop("HYDRA_FULL_ERROR")
        if full_error is not None:
            os.environ["HYDRA_FULL_ERROR"] = full_error
