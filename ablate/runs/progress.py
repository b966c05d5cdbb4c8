"""What a person sees while runs go on: bars on a terminal, plain lines elsewhere."""

import copy
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from tqdm import tqdm

from ablate.messages import printable, redact

EPOCH_LOGGER = "ablate.epochs"  # a line an epoch; on a terminal the bar shows it instead


class FileFormatter(logging.Formatter):
    """Leaves the passwords of addresses out of a log."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns a line, or several with a traceback."""
        return printable(redact(super().format(record)))


class ConsoleHandler(logging.Handler):
    """Writes log lines above the progress bars, without tracebacks: those are in the run's log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a line."""
        if record.name == EPOCH_LOGGER and sys.stderr.isatty():
            return
        record = copy.copy(record)
        record.exc_info = record.exc_text = None
        with suppress(OSError):  # a terminal that is gone, or a reader such as `head`, stops no run
            tqdm.write(printable(redact(self.format(record))), file=sys.stdout)
            sys.stdout.flush()  # a sweep may wait for long after a line, and its reader be a file or a pipe


class Progress:
    """The bars of a process: one for its sweep, if there is one, and one for the run that goes on."""

    def __init__(self) -> None:
        self._sweep: tqdm[NoReturn] | None = None

    def start_sweep(self, runs: int) -> None:
        """Shows a bar of so many runs."""
        self._sweep = tqdm(
            total=runs,
            desc="sweep",
            position=1,  # above the runs' bars, which come and go
            smoothing=0,  # time left from the mean of all steps so far
            disable=None,
            bar_format="{desc} of {total} runs: {percentage:3.0f}% |{bar}| {elapsed} gone, {remaining} left",
        )

    def end_sweep(self) -> None:
        """Takes the sweep's bar away."""
        if self._sweep is not None:
            self._sweep.clear()  # its line below, where what is printed next would be
            self._sweep.close()
            self._sweep = None

    @contextmanager
    def run(self, name: str, steps: int, done: int = 0) -> Iterator[Callable[[], object]]:
        """Shows the bar of a run, of so many steps, and yields what to call after each."""
        with tqdm(total=steps, initial=done, desc=name, unit="step", leave=False, disable=None) as bar:

            def step(count: float = 1) -> None:
                bar.update(count)
                if self._sweep is not None:
                    self._sweep.update(count / steps)

            try:
                yield step
            finally:
                # What an earlier start has made, and what a failed run leaves, counts as gone through.
                step(steps - bar.n)
                if self._sweep is not None:
                    self._sweep.update(done / steps)

    def advance(self, runs: float) -> None:
        """Counts runs, or shares of them, that were there already or that a cohort has trained."""
        if self._sweep is not None:
            self._sweep.update(runs)
