"""A run of any script, recorded where it is: `with ablate.record(variant="wide", seed=3) as run: run.log(…)`."""

import json
import logging
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from ablate.config.plain import flatten
from ablate.files import Plain, check_folder_name, short_digest
from ablate.records import provenance
from ablate.records.epochs import Epoch, field_name, measured, metric_rank, split_statistic
from ablate.records.interruption import terminable
from ablate.records.others import clock_of, epochs_of, record_of_others, with_results
from ablate.records.record import Failure, RunRecord, Status, describe_error, now
from ablate.records.study_directory import StudyDirectory
from ablate.tasks.streams import Streams

log = logging.getLogger(__name__)


class Recording(Streams):
    """A run of a script: what it logs, its random streams, and how it ends.

    Attributes:
        folder: The run directory, for files of the script's own.
    """

    def __init__(
        self, variant: str, seed: int, study: str | None = None, metric: str | None = None,
        baseline: str | None = None, out: str | Path = "outputs", **settings: Any,
    ) -> None:  # fmt: skip
        super().__init__(seed)
        script = Path(getattr(sys.modules["__main__"], "__file__", None) or "recorded")
        study = script.stem if study is None else study
        for name, value in (("variant", variant), ("study", study)):
            check_folder_name(name, value)
        known = json.dumps([variant, seed, settings], sort_keys=True, default=str)
        identity = short_digest(known)
        self._directory = StudyDirectory(Path(out) / study).run(variant, seed, identity)
        self.folder = self._directory.folder
        self._name, self._script = f"{variant} seed {seed}", script
        self._metric = None if metric is None else field_name(split_statistic(metric)[0])
        self._study: Plain = {"name": study, "claims": []}
        if metric is not None:
            self._study["metric"] = f"{self._metric}.{split_statistic(metric)[1]}"
        if baseline is not None:
            self._study["baseline"] = baseline
        self._about: Plain = {"variant": variant, "seed": seed, "settings": json.loads(known)[2], "id": identity}
        self._steps: list[dict[str, float]] = []
        self._epoch: float | None = None
        self._stack = ExitStack()
        self._record: RunRecord | None = None
        self._has_ended = False

    @property
    def is_running(self) -> bool:
        """Whether it has begun and not ended."""
        return self._record is not None and not self._has_ended

    def __enter__(self) -> "Recording":
        self.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            stack.enter_context(terminable())
            waits = lambda: log.info("%s is being run by another process; waiting for it", self._name)  # noqa: E731
            stack.enter_context(self._directory.lock(waits))
            if self._directory.record_file.exists():
                log.info("%s is run again: %s", self._name, self.folder)
                self._directory.forget()
            self._stack = stack.pop_all()
        self._steps, self._epoch, self._has_ended = [], None, False
        started = now()
        self._record = record_of_others(
            self._study,
            **self._about,
            precision="of the script",
            status=Status.RUNNING,
            task=f"recorded by {self._script.name}",
            overrides=tuple(f"settings.{name}={value}" for name, value in flatten(self._about["settings"])),
            started=started,
            starts=(provenance.process(started),),
            provenance=provenance.of_script(self._script),
        )
        self._directory.write_record(self._record)
        return self

    def log(self, values: Mapping[str, float] | None = None, /, epoch: float | None = None, **metrics: float) -> None:
        """Notes metrics: `run.log(epoch=1, val_accuracy=0.61)`, or `run.log({"val/acc": 0.61})`.

        Args:
            values: Metrics by name, of which some are no words of Python.
            epoch: Or a part of one, or a step, in whatever the script counts; without it, metrics are of the newest
                epoch, or of a next one where that has them already. What comes after the end, as a test of the finished
                model, counts for the last epoch.
            metrics: Likewise.

        Raises:
            ValueError: The epoch goes back, or a metric is called as what ablate itself records.
        """
        if self._record is None:
            raise ValueError("run.log is for the block of `with ablate.record(…) as run:`")
        if epoch is not None and self._epoch is not None and epoch < self._epoch:
            raise ValueError(
                f"epoch={epoch}: the epoch goes back, {self._epoch:g} was logged before; what begins anew is another "
                "run, with a `with ablate.record(…) as run:` of its own"
            )
        named = measured({**(values or {}), **metrics}, "the script logs")
        newest = self._steps[-1] if self._steps else {}
        if not newest or (epoch != self._epoch if epoch is not None else named.keys() & newest.keys()):
            self._write()  # the epoch before is complete
            self._steps.append({})
        self._steps[-1] |= named
        self._epoch = self._epoch if epoch is None else epoch
        if self._has_ended:
            self._end(Status.COMPLETE)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._stack:
            if error is not None:
                self._end(Status.FAILED if isinstance(error, Exception) else Status.INTERRUPTED, error)
                return
            if not self._steps:
                error = ValueError(f"{self._name}: nothing was logged; say run.log(epoch=1, val_accuracy=0.61)")
                self._end(Status.FAILED, error)
                raise error
            self._end(Status.COMPLETE)

    def _end(self, status: Status, error: BaseException | None = None) -> None:
        assert self._record is not None
        rows = self._write()
        study = {"metric": next(iter(self._names()), ""), **self._study}
        config = {**self._record.config, "study": study, "train": {"epochs": len(rows)}}
        failure = None if error is None else describe_error(error, len(rows) + 1)
        ended = replace(self._record, status=status, error=failure, config=config, ended=now())
        ended = with_results(ended, rows)
        main = split_statistic(study["metric"])[0]
        if status is Status.COMPLETE and not ended.is_complete and any(main in step for step in self._steps):
            ended = replace(ended, status=Status.DIVERGED, error=Failure(message=f"{main} is no finite number"))
        if status is Status.COMPLETE and not ended.is_complete:
            log.warning("%s: %s: %s", self._name, ended.status, ended.cause)
        self._directory.write_record(ended)
        self._has_ended = True

    def _names(self) -> list[str]:
        """Returns the metrics that were logged, first the study's: the one that was named, or the best evidence."""
        names = {name for step in self._steps for name in step}
        return sorted(names, key=lambda name: (name != self._metric, metric_rank(name)))

    def _write(self) -> list[Epoch]:
        """Writes the epochs so far, and returns them."""
        names = self._names()
        clock = clock_of([self._steps], names) if names else ""
        rows = epochs_of(self._steps, dict(zip(names, names, strict=True)), clock)
        if rows:
            self._directory.write_epochs(rows)
        return rows
