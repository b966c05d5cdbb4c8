"""Runs that end before their last epoch: SIGTERM as an exception, and processes that end with their parent."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODE = 128 + signal.SIGTERM
_SECONDS = 0.2  # between two looks at the parent


class Terminated(KeyboardInterrupt):
    """The process was asked to stop."""


class _Process:
    """What this process knows of its end."""

    why = "SIGTERM"  # as its runs say
    stopped = False  # whether it was asked to: a worker of joblib would take its next job all the same
    watched = False  # whether a thread looks after its parent


@contextmanager
def terminable(stop_workers: Callable[[], object] | None = None) -> Iterator[None]:
    """Raises Terminated in the block where SIGTERM would end the process; another handler of it stays.

    A process that another one has started, such as a worker of joblib, gets a SIGTERM when that one is gone.
    `stop_workers` is called before the exception is raised, as it is for Ctrl-C then: what starts the workers may kill
    them when it sees the exception.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    parent = multiprocessing.parent_process()
    if parent is not None and not _Process.watched:
        _Process.watched = True
        threading.Thread(target=_end_with, args=(parent.pid,), daemon=True).start()

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would break off what the first one's end writes
        _Process.stopped = parent is not None
        if stop_workers is not None:
            stop_workers()
        raise Terminated(_Process.why) if number == signal.SIGTERM else KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGTERM, stop)
    if stop_workers is not None:
        signal.signal(signal.SIGINT, stop)
    try:
        if _Process.stopped:
            raise Terminated(_Process.why)
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if stop_workers is not None:
            signal.signal(signal.SIGINT, before)


def _end_with(parent: int | None) -> None:
    """Ends this process with its parent: the first SIGTERM ends what it does, a later one the process itself."""
    first = os.getppid()  # a server that forks for the parent, or what takes the processes of a parent that is gone
    while os.getppid() == first and (first == parent or is_there(parent)):
        time.sleep(_SECONDS)
    _Process.why = "the command that started this process is gone"
    while True:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_SECONDS)


def is_there(process: int | None) -> bool:
    """Whether a process of this machine runs, be it another user's."""
    try:
        os.kill(process or 0, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
