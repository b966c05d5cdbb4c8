"""Worker processes of a warm command, forked by a process that has imported torch and done nothing yet.

The command asks it where multiprocessing's `spawn` or joblib's loky would start an interpreter. A worker is a child of
the command, and has the descriptors, the environment and the folder that it would have had.
"""

import ctypes
import fcntl
import json
import os
import runpy
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

HIGH = 512  # descriptors of our own, out of the way of those that a worker is given by number
SUBREAPER = 36  # of prctl: what a descendant leaves behind becomes this process's child
Work = Callable[[Callable[[], None]], NoReturn]
LOKY = "joblib.externals.loky.backend"


def serve_workers(work: Work) -> None:
    """Forks what forks the workers, which ends with this process, and has workers be asked of it.

    Args:
        work: Does a worker's work, and ends the process.
    """
    ours, its = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        os._exit(_serve(its, work))
    its.close()
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    channel = socket.socket(fileno=fcntl.fcntl(ours.detach(), fcntl.F_DUPFD_CLOEXEC, HIGH))

    def ask(command: Sequence[str], descriptors: Sequence[int], env: Mapping[str, str]) -> int:
        request = {"command": list(command), "descriptors": list(descriptors), "env": dict(env), "cwd": str(Path.cwd())}
        content = json.dumps(request).encode()
        socket.send_fds(channel, [b"%16d" % len(content)], list(descriptors))
        channel.sendall(content)
        return int(channel.recv(16))

    _replace_starts(ask)


def _replace_starts(ask: Callable[[Sequence[str], Sequence[int], Mapping[str, str]], int]) -> None:
    import importlib
    from multiprocessing import util

    spawn = util.spawnv_passfds  # type: ignore[attr-defined]
    loky = importlib.import_module(f"{LOKY}.fork_exec")

    def spawnv_passfds(path: Any, args: Sequence[Any], passfds: Sequence[int]) -> int:
        command = [os.fsdecode(each) for each in args]
        if "--multiprocessing-fork" not in command:  # what keeps track of semaphores
            return int(spawn(path, args, passfds))
        return ask(command, sorted(map(int, passfds)), os.environ)

    def fork_exec(command: Sequence[str], descriptors: Sequence[int], env: Mapping[str, str] | None = None) -> int:
        if f"{LOKY}.popen_loky_posix" not in command:
            return int(start(command, descriptors, env))
        return ask(command, sorted({*map(int, descriptors)}), {**os.environ, **(env or {})})

    start = loky.fork_exec
    util.spawnv_passfds, loky.fork_exec = spawnv_passfds, fork_exec  # type: ignore[attr-defined]


def _serve(its: socket.socket, work: Work) -> int:
    """Forks a worker for each request, until there is nobody left who could ask; does not return in a worker."""
    channel = socket.socket(fileno=fcntl.fcntl(its.detach(), fcntl.F_DUPFD_CLOEXEC, HIGH))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal's, for the command to act on
    while True:
        header, received, _, _ = socket.recv_fds(channel, 16, 253)
        if not header:
            return 0
        request = json.loads(channel.recv(int(header), socket.MSG_WAITALL))
        high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, HIGH) for descriptor in received]
        reading, writing = os.pipe()
        between = os.fork()
        if between == 0:  # its end leaves the worker to the command
            pid = os.fork()
            if pid == 0:
                for descriptor in (*received, reading, writing):
                    os.close(descriptor)
                channel.close()
                signal.signal(signal.SIGINT, signal.default_int_handler)
                _become(request, high, work)
            os.write(writing, b"%16d" % pid)
            os._exit(0)
        os.close(writing)
        for descriptor in (*received, *high):
            os.close(descriptor)
        pid_of_it = os.read(reading, 16)
        os.close(reading)
        os.waitpid(between, 0)
        channel.sendall(pid_of_it)


def _become(request: dict[str, Any], high: Sequence[int], work: Work) -> NoReturn:
    """Becomes the worker that was asked for; ends the process."""
    for wanted, descriptor in zip(request["descriptors"], high, strict=True):
        os.dup2(descriptor, wanted)
        os.close(descriptor)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    command = request["command"]

    def run() -> None:
        if "--multiprocessing-fork" in command:
            sys.argv = ["-c", *command[command.index("-c") + 2 :]]
            exec(command[command.index("-c") + 1], {"__name__": "__main__"})
        else:
            sys.argv = command[command.index("-m") + 1 :]
            sys.modules.pop(sys.argv[0], None)
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)

    work(run)
