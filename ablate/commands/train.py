"""Training, on Hydra: one run, or with -m a sweep. Also `ablate plan`, which says what a sweep would do."""

import logging
import logging.config
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from ablate.config.compose import register, to_config
from ablate.config.hydra_node import check_hydra, worst_value
from ablate.config.options import config_dir
from ablate.files import atomic_write
from ablate.messages import redact, say
from ablate.records.interruption import Terminated, terminable
from ablate.records.record import RunFailed
from ablate.records.run_directory import Busy
from ablate.runs.job import Job
from ablate.sweeps.preflight import Refused, failures, means, say_what_next
from ablate.sweeps.session import session
from ablate.sweeps.sigterm import stop_workers

register()

log = logging.getLogger(__name__)


@hydra.main(version_base="1.3", config_path=str(config_dir()), config_name="config")
def train(composed: DictConfig) -> float:
    """Runs one job; what it returns is what Hydra's sweepers optimise."""
    from ablate.runs.run import run  # imports torch, which --help and shell completion do without

    hydra_config = HydraConfig.get()
    if hydra_config.job.chdir:
        # Relative paths in the configuration are from where the command was typed, as for jobs trained in a cohort, and
        # all that a run writes goes to its folder anyway.
        os.chdir(hydra_config.runtime.cwd)
    folder = Path(hydra_config.runtime.output_dir)
    job = Job(to_config(composed), folder, list(hydra_config.overrides.task))
    for file in (folder.parents[1] / "multirun.yaml", *(folder / (hydra_config.output_subdir or "")).glob("*.yaml")):
        _without_passwords(file)
    with terminable():
        try:
            return run(job, session.progress, wait=not session.defers, command=session.id)
        except Busy:
            log.info("%s is being run by another process; it is left for the end", job.name)
            logs = OmegaConf.to_container(hydra_config.job_logging, resolve=True)
            session.deferred.append(partial(_run_deferred, job, logs))
            return math.nan
        except RunFailed as error:
            if not error.diverged or (worst := worst_value(hydra_config)) is None:
                raise
            log.info("A bad trial; the search goes on.")
            return worst


def _without_passwords(file: Path) -> None:
    """Takes the passwords of addresses out of what Hydra has written of the configuration."""
    if file.is_file():
        text = file.read_text(encoding="utf-8")
        if redact(text) != text:
            with atomic_write(file) as new:
                new.write(redact(text))


def _run_deferred(job: Job, logs: object) -> None:
    from ablate.runs.run import run

    assert isinstance(logs, dict)
    logging.config.dictConfig(logs)
    with terminable():
        run(job, session.progress)


def main(arguments: Sequence[str]) -> int:
    """Trains what Hydra's overrides and flags ask for; returns 0 if every run is complete, 1 if one is not."""
    session.begin()
    failed: list[str] = []
    full_error = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing; what calls this prints
    sys.argv[1:] = arguments
    try:
        check_hydra(arguments)
        with terminable(_stop_workers):
            for run in chain([train], session.deferred):  # what is deferred is known as the first one ends
                try:
                    run()
                except RunFailed as error:
                    failed.append(str(error))
    except Refused as refused:
        raise refused.error from refused.error.__cause__
    except KeyboardInterrupt as error:
        word = "Terminated" if isinstance(error, Terminated) else "Interrupted"
        say(f"{word}. The same command again resumes where this one stopped.", file=sys.stderr)
        raise
    except Exception:  # of a run that was refused later than the others were checked
        if session.folder is not None:
            say(failures(), file=sys.stderr)
        raise
    finally:
        session.progress.end_sweep()
        if full_error is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = full_error
    if session.folder is not None:
        if table := means(session.jobs):
            with suppress(OSError):  # a reader that is gone
                say(table)
        say_what_next(session.folder)
        if table := failures():
            failed = [table]
    if failed:
        say("\n".join(failed), file=sys.stderr)
    return 1 if failed else 0


def _stop_workers() -> None:
    if session.folder is not None:
        stop_workers(Path(session.folder))


def plan(arguments: Sequence[str]) -> int:
    """Says what a sweep would do and how long it would take; starts nothing. A task's begins with its program."""
    if arguments and arguments[0].endswith(".py"):
        return subprocess.call([sys.executable, arguments[0], "--multirun", *arguments[1:], "hydra/launcher=plan"])
    session.as_json = "--json" in arguments
    return main(["--multirun", *(text for text in arguments if text != "--json"), "hydra/launcher=plan"])
