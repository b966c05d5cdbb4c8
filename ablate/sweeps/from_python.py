"""A sweep without a command line, as in a notebook: over a study, or over a function of one's own."""

import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ablate.config.options import config_dir, options
from ablate.files import PlainMapping
from ablate.messages import nearest, say
from ablate.records.record import RunFailed
from ablate.records.run_directory import RunDirectory
from ablate.report.study.collect import Runs, load_runs
from ablate.tasks.recording import Recording


def sweep_study(study: str, overrides: Iterable[str], folder: str | Path | None) -> Runs:
    """Runs the command `ablate -m study=STUDY …` and returns the study's runs."""
    groups = [*([] if folder is None else [Path(folder)]), config_dir()]
    known = options("study", groups)
    if study not in known:
        raise ValueError(f"{study}: there is no such study; {nearest(study, known)}")
    own = [] if folder is None else ["--config-dir", str(folder)]
    command = [sys.executable, "-m", "ablate", *own, "-m", f"study={study}", *overrides]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:  # a notebook shows what Python prints, and not what a process does
            say(line.rstrip("\n"))
    if running.returncode:
        raise RunFailed(f"the sweep of {study} ended with exit code {running.returncode}; repeated, it resumes")
    return load_runs(Path("outputs") / str(known[study]["study"].get("name", study)))


def sweep_function(
    train: Callable[..., object], variants: Mapping[str, PlainMapping], seeds: Iterable[int], **options: Any
) -> Runs:
    """Calls a function once for each variant and seed, each a run that is recorded, and returns the study's runs."""
    folders = set()
    for seed in seeds:
        for variant, settings in variants.items():
            run = Recording(variant, seed, **{"study": train.__name__, **options}, **settings)
            folders.add(run.folder.parents[1])
            record = RunDirectory(run.folder).readable_record()
            if record is None or not record.is_complete:
                with run:
                    train(run, **settings)
    if not folders:
        raise ValueError("there is nothing to sweep over: name one variant and one seed at least")
    return load_runs(folders.pop())
