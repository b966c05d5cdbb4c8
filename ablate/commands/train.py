"""The command line: `python -m ablate`, on Hydra."""

import logging
import logging.config
import math
import os
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from ablate.commands.errors import explain
from ablate.config import schema
from ablate.config.design import settle
from ablate.config.options import config_dir
from ablate.records.run_directory import Busy, RunFailed
from ablate.runs.progress import Progress
from ablate.sweeps.sigterm import EXIT_CODE, Terminated, terminable

schema.register()

log = logging.getLogger(__name__)
progress = Progress()
STARTED = datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass
class Sweep:
    """The sweep of this command, if it is one.

    Attributes:
        jobs: Its jobs, as far as they are known.
        folder: Its folder; None while there is no sweep.
        shares: Whether runs that another process works on are left for the end. Only jobs that run in turn in this
            process, and whose results the sweeper does not need, can be.
        left: Those runs, each as a call that does it.
    """

    jobs: Sequence[Any] = ()
    folder: str | None = None
    shares: bool = False
    left: list[Callable[[], object]] = field(default_factory=list)


sweep = Sweep()


@hydra.main(version_base="1.3", config_path=str(config_dir()), config_name="config")
def train(cfg: DictConfig) -> float:
    """Runs one job; what it returns is what Hydra's sweepers optimise."""
    from ablate.runs.run import run  # imports torch, which --help and shell completion do without

    settle(cfg)
    hydra_config = HydraConfig.get()
    folder, overrides = Path(hydra_config.runtime.output_dir), list(hydra_config.overrides.task)
    with terminable():
        try:
            return run(cfg, folder, progress, overrides, wait=not sweep.shares, since=STARTED)
        except Busy:
            log.info("%s seed %d is being run by another process; it is left for the end", cfg.model.name, cfg.seed)
            logs = OmegaConf.to_container(hydra_config.job_logging, resolve=True)
            sweep.left.append(lambda: _run_left(cfg, folder, overrides, logs))
            return math.nan


def _run_left(cfg: DictConfig, folder: Path, overrides: list[str], logs: Any) -> None:
    from ablate.runs.run import run

    logging.config.dictConfig(logs)
    with terminable():
        run(cfg, folder, progress, overrides)


class Refused(BaseException):
    """Carries the refusal of a configuration past Hydra, which turns any Exception of a callback into a warning."""


class Preflight(Callback):
    """Checks every run that a command asks for before the first one starts, and says at the end what to type next.

    The methods are those of Hydra's callbacks.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        from ablate.sweeps import jobs

        _check(lambda: jobs.single(config))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        from ablate.sweeps import jobs

        sweep.jobs = _check(lambda: jobs.swept(config))
        sweep.folder = config.hydra.sweep.dir
        in_turn = str(config.hydra.launcher._target_).endswith((".BasicLauncher", ".CohortLauncher"))
        sweep.shares = in_turn and str(config.hydra.sweeper._target_).endswith(".BasicSweeper")
        progress.start_sweep(len(sweep.jobs))

    def on_run_end(self, config: DictConfig, **kwargs: Any) -> None:
        if kwargs["job_return"].status.name == "COMPLETED":
            _say_what_next(config.hydra.sweep.dir)


def _say_what_next(study_folder: str) -> None:
    with suppress(OSError):  # a reader that is gone
        print(f"The runs are in {study_folder}. For tables and plots, type: python -m ablate.report {study_folder}")


def _check(compose: Callable[[], list[Any]]) -> list[Any]:
    """Composes and checks jobs."""
    from ablate.sweeps import jobs

    try:
        found = compose()
        jobs.check(found)
    except Exception as error:
        raise Refused from error
    return found


def _run() -> str | None:
    """Does what the command line asks; returns what failed."""
    global sweep
    sweep = Sweep()
    todo: deque[Callable[[], object]] = deque([train])
    failed = []
    try:
        while todo:
            try:
                todo.popleft()()
            except RunFailed as error:
                failed.append(str(error))
            todo += sweep.left
            sweep.left.clear()
    finally:
        progress.end_sweep()
    if sweep.folder is None:
        return "\n".join(failed) or None
    from ablate.sweeps import jobs

    _say_what_next(sweep.folder)
    return jobs.failures(sweep.jobs) or "\n".join(failed) or None


def main() -> None:
    """The console script `ablate`."""
    full_error = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing; what follows prints
    try:
        sys.exit(_run())
    except (KeyboardInterrupt, Terminated) as error:
        word, code = ("Interrupted", 130) if isinstance(error, KeyboardInterrupt) else ("Terminated", EXIT_CODE)
        print(f"{word}. The same command again goes on where this one stopped.", file=sys.stderr)
        sys.exit(code)
    except (Exception, Refused) as error:
        cause = error.__cause__ if isinstance(error, Refused) else error
        assert cause is not None
        message = explain(cause, sys.argv[1:])
        if full_error == "1" or message is None:
            raise cause from None
        sys.exit(message)
    finally:
        if full_error is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = full_error
