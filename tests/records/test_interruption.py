"""Processes that end with the one that started them, however they were started."""

import multiprocessing
import os
import signal
import time
from multiprocessing.connection import Connection

import pytest

from ablate.records.interruption import Terminated, terminable


def work(news: Connection, seconds: float) -> None:
    try:
        with terminable():
            news.send(os.getpid())
            time.sleep(seconds)
    except Terminated as error:
        news.send(str(error))
    else:
        news.send("done")


def start_and_wait(method: str, news: Connection) -> None:
    """Is the parent, until it is killed."""
    process = multiprocessing.get_context(method).Process(target=work, args=(news, 3600))
    process.start()
    process.join()


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_process_ends_with_its_parent(method: str) -> None:
    ours, theirs = multiprocessing.Pipe()
    parent = multiprocessing.get_context("spawn").Process(target=start_and_wait, args=(method, theirs))
    parent.start()
    theirs.close()
    ours.recv()
    parent.kill()
    parent.join()
    assert ours.recv() == "the command that started this process is gone"
    with pytest.raises(EOFError):  # it has ended
        ours.recv()


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_process_whose_parent_is_there_is_left_to_its_work(method: str) -> None:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context(method).Process(target=work, args=(theirs, 1))
    process.start()
    ours.recv()
    assert ours.recv() == "done"
    process.join()


def test_a_second_signal_breaks_off_nothing() -> None:
    with pytest.raises(Terminated), terminable():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
