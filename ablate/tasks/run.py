"""A run of a user's own task: its random streams and its epochs."""

import io
import logging
from typing import Any

from omegaconf import DictConfig

from ablate.files import atomic_write
from ablate.records.epochs import TIMES, Epoch
from ablate.records.record import DataFacts, Size
from ablate.records.run_directory import RunDirectory
from ablate.tasks.streams import Streams

log = logging.getLogger(__name__)


class Run(Streams):
    """A run of a task: its random streams and its epochs.

    Attributes:
        state: What the task kept of the newest complete epoch with `keep`; None at a run's start.
        folder: The run directory, for files of the task's own.
    """

    def __init__(self, cfg: DictConfig, directory: RunDirectory) -> None:
        super().__init__(int(cfg.seed))
        self._directory = directory
        self.folder = directory.folder
        self.rows = directory.read_epochs()
        self.state = self._restore() if self.rows else None
        if self.state is None:
            self.rows = []  # without its state, it restarts
        self._kept: bytes | None = None
        self.planned: int | None = None
        self.data: DataFacts | None = None
        self.size = Size()

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

    def end_epoch(self, row: Epoch) -> None:
        """Writes an epoch that has ended."""
        self.rows = [*self.rows, row]
        if self._kept is not None:
            with atomic_write(self._directory.checkpoint_file, "wb") as file:
                file.write(self._kept)
            self._kept = None
        self._directory.write_epochs(self.rows)

    def add(self, row: Epoch) -> None:
        """Adds to the last epoch what was measured after it, such as a test of the finished model."""
        last = self.rows[-1]
        times = {name: last[name] + row[name] for name in TIMES}
        self.rows = [*self.rows[:-1], {**last, **row, **times, "epoch": last["epoch"]}]
        self._directory.write_epochs(self.rows)

    def _restore(self) -> Any:
        import torch

        if not self._directory.checkpoint_file.is_file():  # the task keeps nothing
            return None
        try:
            saved = torch.load(self._directory.checkpoint_file, weights_only=True)
        except Exception as error:  # of many kinds, and all mean that there is no usable state
            log.warning("%s: no usable state (%s); the run is restarted", self._directory.folder, error)
            return None
        self.rows = self.rows[: saved["epochs"]]
        return saved["state"] if len(self.rows) == saved["epochs"] else None
