"""A callback for somebody's own Hydra app: it records each job, and reports them when the multirun has ended.

python train.py -m model=plain,wide 'seed=range(6)' +hydra.callbacks.ablate._target_=ablate.callbacks.Report
"""

import atexit
import inspect
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, ListConfig, OmegaConf

from ablate.files import Plain
from ablate.messages import say
from ablate.records.job_record import JobRecord
from ablate.records.provenance import of_script
from ablate.records.record import Failure, Status, now


class Report(Callback):
    """Records the jobs of an app and, at the end of a multirun, writes the report of all in its folder.

    Args:
        options: Those of `ablate report`, such as `metric=val/acc` or `setting=[lr,depth]`. Unless `out` says where,
            the report is in `report` below the multirun's folder.
    """

    def __init__(self, **options: object) -> None:
        self._options = options
        self._job: JobRecord | None = None

    def on_multirun_start(self, config: DictConfig, **_: object) -> None:
        """Refuses what cannot be reported before a job starts, and sees to it that a failed one is reported too."""
        from ablate.report.cli import parser  # imports pandas, which a job does without

        command = self._command(config)
        parser().parse_args(command)
        atexit.register(_report, command)  # Hydra calls nothing at the end of a multirun that has failed

    def on_multirun_end(self, config: DictConfig, **_: object) -> None:
        """Writes the report."""
        atexit.unregister(_report)
        _report(self._command(config))

    def on_job_start(self, config: DictConfig, **about: object) -> None:
        """Records what was asked for and what it comes from."""
        hydra = config.hydra
        function = about["task_function"]
        assert callable(function)
        unwrapped = inspect.unwrap(function)
        script = getattr(inspect.getmodule(unwrapped), "__file__", None) or sys.argv[0]
        own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        content = OmegaConf.to_container(own)
        assert isinstance(content, dict)
        self._job = JobRecord(
            status=Status.RUNNING,
            app=hydra.job.name,
            config={str(key): value for key, value in content.items()},
            choices={str(group): choice for group, choice in hydra.runtime.choices.items()},
            overrides=tuple(hydra.overrides.task),
            provenance=of_script(Path(script)),
            started=now(),
        )
        self._job.write(Path(hydra.runtime.output_dir))

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: object) -> None:
        """Records how it ended, what it returned, and where its metrics are."""
        from ablate.sources.metric_files import find

        assert self._job is not None
        folder = Path(config.hydra.runtime.output_dir)
        done: Plain = {}
        if job_return.status == JobStatus.COMPLETED:
            done = {"status": Status.COMPLETE, "returned": numbers(job_return.return_value)}
        else:
            error = job_return._return_value
            done = {"status": Status.FAILED, "error": Failure(type=type(error).__name__, message=str(error))}
        files = tuple(str(path.relative_to(folder)) for path in find(folder))
        replace(self._job, ended=now(), files=files, **done).write(folder)

    def _command(self, config: DictConfig) -> list[str]:
        folder = config.hydra.sweep.dir
        command = [str(folder)]
        for name, given in {"out": f"{folder}/report", **self._options}.items():
            for value in given if isinstance(given, list | tuple | ListConfig) else [given]:
                command += [f"--{name}"] if value is True else [f"--{name}", str(value)]
        return command


def numbers(returned: object) -> dict[str, float]:
    """Returns the numbers that a job returned, by name: its own of a mapping, else `returned`."""
    found = {}
    for name, value in (returned if isinstance(returned, Mapping) else {"returned": returned}).items():
        if hasattr(value, "__float__") and not isinstance(value, bool):  # numbers of torch and numpy, too
            found[str(name)] = float(value)
    return found


def _report(command: list[str]) -> None:
    """Does what `ablate report` does; what cannot be reported is said, and the jobs are what they are."""
    from ablate.report.cli import main

    try:
        main(command)
    except (ValueError, OSError) as error:
        way_out = f"The jobs are recorded, and `ablate report {command[0]}` reports them."
        say(f"No report: {error}", way_out, file=sys.stderr)
