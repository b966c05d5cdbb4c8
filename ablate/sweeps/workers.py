"""Processes that train cohorts, and what they tell the one that started them.

Each has a pipe of its own: of a queue that several share, one that is killed may take the lock with it.
"""

import logging
import logging.handlers
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, cast

from ablate.records.interruption import terminable
from ablate.runs.job import Job
from ablate.sweeps.cohorts import train_cohort

log = logging.getLogger(__name__)

_TRIES = 3  # of a cohort whose process is killed


@dataclass
class _Task:
    cohort: list[Job]
    tries: int = 0


@dataclass
class _Worker:
    process: BaseProcess
    task: _Task | None = None


def train_cohorts(
    cohorts: Sequence[Sequence[Job]], processes: int, command: str, on_progress: Callable[[float], object]
) -> None:
    """Trains cohorts in their order, so many at the same time; with one process, in this one.

    Processes times threads do not exceed the cores, unless the configuration sets the threads. The cohort of a process
    that is killed is resumed by another, since its runs would end with other numbers alone; one whose processes are
    killed again and again is left as it is. `on_progress` is called with shares of runs that have been trained.
    """
    if processes == 1:
        with terminable():
            for cohort in cohorts:
                train_cohort(cohort, command, on_progress)
        return
    waiting = deque(_Task(list(cohort)) for cohort in cohorts)
    workers: dict[Connection, _Worker] = {}
    threads = max(1, (os.cpu_count() or 1) // processes)
    try:
        with terminable():
            while waiting or workers:
                while waiting and len(workers) < processes:
                    connection, worker = _start(threads, command)
                    workers[connection] = worker
                    _give(connection, worker, waiting)
                for ready in wait(list(workers)):
                    assert isinstance(ready, Connection)
                    if not _listen(ready, workers[ready], waiting, on_progress):
                        workers.pop(ready).process.join()
    finally:
        for worker in workers.values():
            worker.process.terminate()  # which records the interruption
        for worker in workers.values():
            worker.process.join()


def _start(threads: int, command: str) -> tuple[Connection, _Worker]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, threads, command))
    process.start()
    theirs.close()  # else its end would not be seen
    return ours, _Worker(process)


def _give(connection: Connection, worker: _Worker, waiting: "deque[_Task]") -> None:
    """Gives a worker its next cohort, or lets it end."""
    worker.task = waiting.popleft() if waiting else None
    with suppress(OSError):  # it is gone, which is seen next
        connection.send(worker.task and worker.task.cohort)


def _listen(
    connection: Connection, worker: _Worker, waiting: "deque[_Task]", on_progress: Callable[[float], object]
) -> bool:
    """Does what a worker's news ask for; returns whether it is still there."""
    try:
        news = connection.recv()
    except Exception:  # it has ended, perhaps in the middle of a message
        worker.process.kill()
        if worker.task is not None:
            worker.task.tries += 1
            if worker.task.tries < _TRIES:
                waiting.appendleft(worker.task)
            else:
                log.warning("processes that train a cohort are killed again and again; its runs are trained alone")
        return False
    if news is None:
        _give(connection, worker, waiting)
    elif isinstance(news, logging.LogRecord):
        logging.getLogger(news.name).handle(news)
    else:
        on_progress(news)
    return True


class _News(logging.handlers.QueueHandler):
    """Sends news, one at a time, among them log records."""

    def enqueue(self, record: Any) -> None:
        with suppress(OSError):  # the reader is gone, and this process soon
            cast(Any, self.queue).send(record)

    def tell(self, item: float | None) -> None:
        self.acquire()
        try:
            self.enqueue(item)
        finally:
            self.release()


def _work(connection: Connection, threads: int, command: str) -> None:
    import torch

    news = _News(connection)  # type: ignore[arg-type]
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.addHandler(news)
    torch.set_num_threads(threads)
    gathered = 0.0

    def on_progress(share: float) -> None:
        nonlocal gathered
        gathered += share
        if gathered > 0.01:  # fewer messages than steps
            news.tell(gathered)
            gathered = 0.0

    with suppress(EOFError, KeyboardInterrupt), terminable():
        while (cohort := connection.recv()) is not None:
            train_cohort(cohort, command, on_progress)
            news.tell(None)
        news.tell(gathered)
