"""Commands in processes that need not import torch: a server has imported it, and forks for each of them.

A command gets a folder, an environment, pipes and a session of its own, as `subprocess` gives them, and ends alike.

    with Server() as server:
        done = server.run("ablate", "report", "outputs/demo", cwd=folder, env=os.environ)

What it may not be used for: commands whose process is the point, such as one that may not import torch.
UNDRAWN in the environment of a command leaves its report without figures.
"""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

HERE = Path(__file__)
ROOT = HERE.parents[1]
os.fsync = lambda descriptor: None  # here, and in those that import this: no test cuts the power
# What a fresh process reads once, as it starts: a server serves only those who agree with it.
HERE_TOO = {**os.environ, "PYTHONPATH": str(ROOT)}
READ_AT_START = ("OMP_NUM_THREADS", "PYTHONHASHSEED", "PYTHONWARNINGS")


class Server:
    """A process that has imported torch, Hydra and ablate.

    Args:
        python: The interpreter, of this environment or another.
        env: The server's environment; of a command's own, `READ_AT_START` has to agree with it.
    """

    def __init__(self, python: str = sys.executable, env: Mapping[str, str] = HERE_TOO) -> None:
        self.python, self.env = python, dict(env)
        self._folder = tempfile.TemporaryDirectory(prefix="warm")  # a socket's path may not be long
        self.address = f"{self._folder.name}/socket"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.communicate()  # closes its stdin, by which it also ends if this process is killed
        self._folder.cleanup()

    def popen(
        self, *command: str, cwd: Path, env: Mapping[str, str], stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
    ) -> "Popen":  # fmt: skip
        """Starts a command.

        Args:
            command: `ablate …`, or a script's path and its arguments.
            cwd: Its folder.
            env: The whole of its environment.
            stdout: As for `subprocess.Popen`, which text comes through.
            stderr: Likewise.
        """
        self.start()
        for name in READ_AT_START:
            assert env.get(name) == self.env.get(name), f"{name} is read as the process starts"
        return Popen(self.address, command, cwd, env, stdout, stderr)

    def run(self, *command: str, cwd: Path, env: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
        """Runs a command to its end; the arguments are those of `popen`."""
        process = self.popen(*command, cwd=cwd, env=env)
        out, errors = process.communicate()
        assert process.returncode is not None
        return subprocess.CompletedProcess(command, process.returncode, out, errors)

    def shims(self, folder: Path) -> Path:
        """Makes `ablate` and `python` for a shell, and returns the folder of them, which comes first on the PATH.

        That `python` sends scripts and `-m ablate` to the server, and all else to the interpreter.
        """
        self.start()
        folder.mkdir(exist_ok=True)
        call = shlex.join([self.python, "-I", "-S", str(HERE), "call", self.address])
        python = (
            f'case "$1" in *.py) exec {call} "$@" ;; esac\n'
            f'if [ "$1 $2" = "-m ablate" ]; then shift 2; exec {call} ablate "$@"; fi\n'
            f'exec {self.python} "$@"\n'
        )
        for name, body in (("ablate", f'exec {call} ablate "$@"\n'), ("python", python)):
            (folder / name).write_text("#!/bin/sh\n" + body)
            (folder / name).chmod(0o755)
        return folder

    def start(self) -> None:
        """Starts the server, unless it runs."""
        if self._process is not None:
            return
        self._process = subprocess.Popen(
            [self.python, str(HERE), "serve", self.address], env=self.env, cwd=self._folder.name,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n", "the server did not start"


class Popen:
    """A command under way; what it has of `subprocess.Popen` behaves as there."""

    def __init__(
        self, address: str, command: Sequence[str], cwd: Path, env: Mapping[str, str], stdout: int, stderr: int
    ) -> None:
        null = os.open(os.devnull, os.O_RDWR)
        mine: list[Any] = []
        given = [null]
        for wish in (stdout, stderr):
            if wish == subprocess.PIPE:
                reading, writing = os.pipe()
                mine.append(os.fdopen(reading, encoding="utf-8"))
                given.append(writing)
            else:
                mine.append(None)
                given.append({subprocess.DEVNULL: null, subprocess.STDOUT: given[-1]}.get(wish, wish))
        self.stdout, self.stderr = mine
        self._server, self.pid = _ask(address, command, str(cwd), env, given, session=True)
        for descriptor in {null, *(g for g, m in zip(given[1:], mine, strict=True) if m is not None)}:
            os.close(descriptor)
        self.args, self.returncode = command, None

    returncode: int | None

    def poll(self) -> int | None:
        """Returns the exit code, None while it runs."""
        if self.returncode is None:
            self._server.setblocking(False)
            with suppress(BlockingIOError):
                self._end()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end, and returns the exit code."""
        try:
            if self.returncode is None:
                self._server.settimeout(timeout)
                self._end()
        except TimeoutError:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0) from None
        assert self.returncode is not None
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Reads all that it prints, and waits for its end; after a timeout it may be called again."""
        if not hasattr(self, "_readers"):
            self._said = ["", ""]

            def read(number: int, stream: Any) -> None:
                with stream:
                    self._said[number] = stream.read()

            streams = [(number, each) for number, each in enumerate((self.stdout, self.stderr)) if each is not None]
            self._readers = [threading.Thread(target=read, args=each, daemon=True) for each in streams]
            for reader in self._readers:
                reader.start()
        self.wait(timeout)
        for reader in self._readers:
            reader.join()
        return self._said[0], self._said[1]

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Sends SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Sends SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _end(self) -> None:
        answer = self._server.recv(16)
        assert answer, "the server is gone"
        self.returncode = int(answer)
        self._server.close()


def _ask(
    address: str, command: Sequence[str], cwd: str, env: Mapping[str, str], descriptors: Sequence[int], session: bool
) -> tuple[socket.socket, int]:
    """Has the server start a command; returns where its exit code comes from, and its pid."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.connect(address)
    request = {"command": list(command), "cwd": cwd, "env": dict(env), "session": session}
    content = json.dumps(request).encode()
    socket.send_fds(server, [b"%16d" % len(content)], list(descriptors))
    server.sendall(content)
    return server, int(server.recv(16))


def _call(address: str, command: Sequence[str]) -> int:
    """What a shell's command does: it stands for the one of the server, whose exit code it has."""
    server, pid = _ask(address, command, str(Path.cwd()), os.environ, (0, 1, 2), session=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: os.kill(pid, number))
    code = int(server.recv(16))
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def _import() -> None:
    """Imports what commands import, and starts no thread, which a fork would lose."""
    import importlib
    import pkgutil

    import hydra_plugins

    for name in (
        "numpy", "pandas", "scipy.stats", "sklearn.datasets", "matplotlib.pyplot", "PIL.Image", "torch", "torchvision",
        "hydra", "ablate", "ablate.commands.errors", "ablate.commands.train", "ablate.commands.tree",
        "ablate.commands.timing", "ablate.commands.status", "ablate.commands.verify", "ablate.report.cli",
        "ablate.runs.run", "ablate.sweeps.cohorts", "ablate.tasks.task", "ablate.data.digits", "undrawn",
        "joblib.externals.loky.backend.fork_exec", "warm_workers",
    ):  # fmt: skip
        importlib.import_module(name)
    for module in pkgutil.walk_packages(hydra_plugins.__path__, "hydra_plugins."):
        importlib.import_module(module.name)
    assert threading.active_count() == 1


def _serve(address: str) -> dict[str, Any]:
    """Forks for each request; returns in the child, with what it is to run. The server ends with its stdin."""
    import gc
    import selectors

    _import()
    gc.collect()
    gc.freeze()  # so that a child's collections leave the common pages common
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(address)
    listening.listen(64)
    woken, wake = socket.socketpair()
    for end in (woken, wake):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    waiting: dict[int, socket.socket] = {}
    looking = selectors.DefaultSelector()
    for each in (listening, woken, sys.stdin):
        looking.register(each, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in looking.select():
            if key.fileobj is sys.stdin:
                os._exit(0)
            if key.fileobj is woken:
                with suppress(BlockingIOError):
                    woken.recv(4096)
                while waiting:
                    pid, status = os.waitpid(-1, os.WNOHANG)
                    if pid == 0:
                        break
                    with waiting.pop(pid) as client, suppress(OSError):
                        client.sendall(b"%16d" % os.waitstatus_to_exitcode(status))
                continue
            client, _ = listening.accept()
            header, descriptors, _, _ = socket.recv_fds(client, 16, 3)
            request: dict[str, Any] = json.loads(client.recv(int(header), socket.MSG_WAITALL))
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                looking.close()
                for each in (listening, woken, wake, client, *waiting.values()):
                    each.close()
                for number, descriptor in enumerate(descriptors):
                    os.dup2(descriptor, number)
                for descriptor in set(descriptors):
                    os.close(descriptor)
                return request
            for descriptor in descriptors:
                os.close(descriptor)
            waiting[pid] = client
            client.sendall(b"%16d" % pid)


def ended(run: Callable[[], None]) -> NoReturn:
    """Runs what this process is for, and ends it as the interpreter would."""
    import atexit
    import traceback

    import numpy

    numpy.random.seed()  # torch's seed is a constant, and Python's own changes with a fork
    code = 0
    try:
        run()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if not isinstance(end.code, int | None):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    # The end of the interpreter without its tidying up, which takes a second for torch.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(code)


def _run(request: dict[str, Any]) -> None:
    import multiprocessing.process
    import runpy
    import types

    if request["session"]:
        os.setsid()
    os.chdir(request["cwd"])
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ.clear()
    os.environ.update(request["env"])
    if sys.platform == "linux":
        sys.modules["warm_workers"].serve_workers(ended)
    multiprocessing.process.ORIGINAL_DIR = request["cwd"]  # type: ignore[attr-defined]
    path = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each and each not in before]
    program, *arguments = request["command"]
    script = str(Path(program).absolute())
    # The first is the server's own folder; of a module it is the current one, of a script its own.
    sys.path[:1] = [request["cwd"] if program == "ablate" else str(Path(script).parent), *map(os.path.abspath, path)]
    sys.argv = [program, *arguments]
    if os.environ.get("UNDRAWN"):
        sys.modules["undrawn"].undraw()
    if program == "ablate":
        runpy.run_module("ablate", run_name="__main__", alter_sys=True)
    else:  # not by `runpy`, for which the script's name is its path
        sys.modules["__main__"] = module = types.ModuleType("__main__")
        module.__file__ = script
        exec(compile(Path(script).read_bytes(), script, "exec"), vars(module))


if __name__ == "__main__":
    verb, address, *command = sys.argv[1:]
    if verb == "call":
        sys.exit(_call(address, command))
    asked = _serve(address)
    ended(lambda: _run(asked))
