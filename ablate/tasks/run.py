"""A run of a user's own task: its random streams and its epochs."""

import io
import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from ablate.files import atomic_write
from ablate.records.epochs import TIMES, Epoch, measured, split_statistic
from ablate.records.record import DataFacts, Size
from ablate.report.study.metrics import metric
from ablate.tasks.job import TaskJob
from ablate.tasks.streams import Streams

log = logging.getLogger(__name__)


class Diverged(ValueError):
    """The study's metric is no longer a finite number."""


class Run(Streams):
    """A run of a task: its random streams and its epochs.

    Attributes:
        state: What the task kept of the newest complete epoch with `keep`; None at a run's start.
        folder: The run directory, for files of the task's own.
    """

    def __init__(self, job: TaskJob) -> None:
        super().__init__(job.seed)
        self._job, self._directory = job, job.directory
        self._metric, self._declared = split_statistic(job.metric)[0], job.study["metrics"]
        self.folder = self._directory.folder
        self.rows = self._read()
        self.state = self._restore() if self.rows else None
        if self.state is None:
            self.rows = []  # without its state, it restarts
        self._kept: bytes | None = None
        self.planned: int | None = None
        self.data: DataFacts | None = None
        self.size = Size()
        self.on_epoch: Callable[[Epoch], object] = lambda row: None
        self._since = time.perf_counter()

    def epochs(self, number: int) -> range:
        """Returns the epochs that are still to train, counted from 0; each ends with a `yield` of its metrics."""
        self.planned = number
        return range(len(self.rows), number)

    def keep(self, state: object) -> None:
        """Keeps what the task needs to go on after this epoch, as it is now.

        Args:
            state: Tensors, numbers, texts, and lists and dicts of them.

        Raises:
            ValueError: It holds something else, which no later start could read.
        """
        import torch

        content = io.BytesIO()
        try:
            torch.save({"epochs": len(self.rows) + 1, "state": state}, content)
            content.seek(0)
            torch.load(content, map_location="cpu", weights_only=True)
        except Exception as error:  # pickle raises many kinds
            raise ValueError(
                "run.keep: what it is given could not be given back to a resumed run: keep tensors, numbers, texts, "
                f"and lists and dicts of them ({str(error).splitlines()[0]})"
            ) from error
        self._kept = content.getvalue()

    def describe(self, *, data: str = "", data_digest: str = "", parameters: int = 0, flops: int = 0) -> None:
        """Notes what the report shows of the data and of the model's size, and checks between runs.

        Args:
            data: The name of the data set.
            data_digest: A hash of it.
            parameters: Of the model.
            flops: Of one example's forward pass.
        """
        if data or data_digest:
            self.data = DataFacts(name=data or None, sha256=data_digest or None, images={})
        self.size = Size(parameters=parameters or None, flops=flops or None)

    def log(self, values: Mapping[str, float] | None = None, /, **metrics: float) -> None:
        """Ends an epoch with its metrics, as a `yield` does: for callbacks of trainers that have a loop of their own.

        What is logged later and is new, as a test of the finished model, is of the last epoch.

        Args:
            values: Metrics by name, of which some are no words of Python.
            metrics: Likewise.

        Raises:
            ValueError: The study's metric is not among them, or a share is none.
            Diverged: The study's metric is no finite number.
        """
        since, self._since = self._since, time.perf_counter()
        given = {**(values or {}), **metrics}
        named = measured(given, "the task yields")
        for name, value in named.items():
            if metric(name, self._declared).kind == "share" and abs(value) > 1:
                raise ValueError(
                    f"{name} is {value:g}: it is a share, from 0 to 1; divide percentages by 100, or give them another "
                    "name or unit"
                )
        row: Epoch = {"epoch": len(self.rows) + 1, **named}
        row |= {"train_seconds": self._since - since, "eval_seconds": 0.0, "data_seconds": 0.0}
        over, main = len(self.rows) == self.planned, self._metric
        if main in named and over:
            raise ValueError(f"the task yields {main} again after its {self.planned} epochs; give it another name")
        if main in named:
            self._end_epoch(row)
        elif self.rows and (over or not named.keys() & self.rows[-1].keys()):
            self._add(row)
        else:
            raise ValueError(f"study.metric={main}: the task yields {', '.join(given)}, and not that")
        if not math.isfinite(self.rows[-1][main]):
            raise Diverged(f"{main} is {self.rows[-1][main]} after epoch {len(self.rows)}")
        self.on_epoch({**row, "epoch": len(self.rows)})
        shown = ", ".join(f"{name} {value:.4g}" for name, value in named.items())
        of = f" of {self.planned}" if self.planned else ""
        log.info("%s epoch %d%s: %s", self._job.name, len(self.rows), of, shown)

    def _end_epoch(self, row: Epoch) -> None:
        """Writes an epoch that has ended."""
        self.rows = [*self.rows, row]
        if self._kept is not None:
            with atomic_write(self._directory.checkpoint_file, "wb") as file:
                file.write(self._kept)
            self._kept = None
        self._directory.write_epochs(self.rows)

    def _add(self, row: Epoch) -> None:
        """Adds to the last epoch what was measured after it, such as a test of the finished model."""
        last = self.rows[-1]
        times = {name: last[name] + row[name] for name in TIMES}
        self.rows = [*self.rows[:-1], {**last, **row, **times, "epoch": last["epoch"]}]
        self._directory.write_epochs(self.rows)

    def _read(self) -> list[Epoch]:
        try:
            return self._directory.read_epochs()
        except ValueError as error:
            log.warning("%s: %s; the run is restarted", self.folder, error)
            return []

    def _restore(self) -> Any:
        import torch

        if not self._directory.checkpoint_file.is_file():  # the task keeps nothing
            return None
        try:
            saved = torch.load(self._directory.checkpoint_file, weights_only=True)
        except Exception as error:  # of many kinds, and all mean that there is no usable state
            log.warning("%s: no usable state (%s); the run is restarted", self.folder, error)
            return None
        self.rows = self.rows[: saved["epochs"]]
        return saved["state"] if len(self.rows) == saved["epochs"] else None
