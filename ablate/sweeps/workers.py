"""Processes that train cohorts, and what they tell the one that started them."""

import logging
import logging.handlers
import multiprocessing
import os
import queue
from collections.abc import Callable, Sequence
from typing import Any

from ablate.sweeps.cohorts import train_cohort
from ablate.sweeps.jobs import Job
from ablate.sweeps.sigterm import Terminated, terminable

_SECONDS = 0.2  # between two looks at the processes


def train_cohorts(
    cohorts: Sequence[Sequence[Job]], processes: int, since: str, on_progress: Callable[[float], object]
) -> None:
    """Trains cohorts, several at the same time.

    Processes times threads do not exceed the cores, unless the configuration sets the threads. A process that dies
    leaves its runs as they are.

    Args:
        cohorts: What to train; the order is kept.
        processes: How many cohorts at the same time; with one, in this process.
        since: When the command started.
        on_progress: Called with shares of runs that have been trained.
    """
    if processes == 1:
        with terminable():
            for cohort in cohorts:
                train_cohort(cohort, since, on_progress)
        return
    context = multiprocessing.get_context("spawn")
    tasks, news = context.Queue(), context.Queue()
    for cohort in cohorts:
        tasks.put(list(cohort))
    threads = max(1, (os.cpu_count() or 1) // processes)
    workers = [
        context.Process(target=_work, args=(tasks, news, threads, since)) for _ in range(min(processes, len(cohorts)))
    ]
    try:
        with terminable():
            for worker in workers:
                worker.start()
            while any(worker.is_alive() for worker in workers):
                _pass_on(news, on_progress)
            _pass_on(news, on_progress)
    except BaseException:
        for worker in workers:
            if worker.is_alive():
                worker.terminate()  # which records the interruption
        raise
    finally:
        for worker in workers:
            if worker.pid is not None:
                worker.join()


def _pass_on(news: "multiprocessing.Queue[Any]", on_progress: Callable[[float], object]) -> None:
    while True:
        try:
            item = news.get(timeout=_SECONDS)
        except queue.Empty:
            return
        if isinstance(item, logging.LogRecord):
            logging.getLogger(item.name).handle(item)
        else:
            on_progress(item)


def _work(tasks: "multiprocessing.Queue[Any]", news: "multiprocessing.Queue[Any]", threads: int, since: str) -> None:
    import torch

    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.addHandler(logging.handlers.QueueHandler(news))
    torch.set_num_threads(threads)
    gathered = [0.0]
    parent = multiprocessing.parent_process()

    def on_progress(share: float) -> None:
        gathered[0] += share
        if gathered[0] > 0.01:  # fewer messages than steps
            if parent is not None and not parent.is_alive():
                raise Terminated("the command that started this process is gone")
            news.put(gathered[0])
            gathered[0] = 0.0

    with terminable():
        while True:
            try:
                members = tasks.get(timeout=_SECONDS)
            except queue.Empty:
                break
            train_cohort(members, since, on_progress)
    news.put(gathered[0])
