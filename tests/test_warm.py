"""Commands in forks of a process that has imported torch, against those in processes of their own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from reading_runs import equal, results_of, weights_of
from warm import ROOT, Server

from ablate.records.run_directory import RunDirectory

Ablate = Callable[..., "CompletedProcess[str]"]
ENV = {**os.environ, "PYTHONPATH": str(ROOT)}
RUN = ("study=demo", "model=bn_dropout", "data.subset=30", "train.epochs=2", "train.batch_size=64", "hardware=cpu")


def test_a_run_has_the_bits_and_the_record_of_a_fresh_process(ablate: Ablate, tmp_path: Path) -> None:
    fresh = ablate(*RUN, "hydra.run.dir=fresh", fresh=True)
    forked = ablate(*RUN, "hydra.run.dir=forked")
    assert fresh.returncode == forked.returncode == 0, fresh.stderr + forked.stderr
    one, other = tmp_path / "fresh", tmp_path / "forked"
    assert results_of(one) == results_of(other)
    assert equal(weights_of(one), weights_of(other))
    records = [RunDirectory(folder).read_record() for folder in (one, other)]
    assert records[0] is not None and records[1] is not None
    for name in ("id", "config", "final_weights", "provenance"):
        assert getattr(records[0], name) == getattr(records[1], name), name


def test_a_refusal_is_the_same(ablate: Ablate) -> None:
    fresh, forked = ablate("modle=plain", fresh=True), ablate("modle=plain")
    assert (fresh.returncode, fresh.stdout, fresh.stderr) == (forked.returncode, forked.stdout, forked.stderr)


SCRIPT = """
import atexit, os, sys, __main__
atexit.register(lambda: print("the end"))
print(sys.argv, __name__, __main__.__file__ == os.path.abspath("script.py"), os.getcwd(), os.environ["MINE"])
print(os.getsid(0) == os.getpid(), sys.stdin.read() == "", sys.path[0], sorted(os.listdir("/proc/self/fd"))[:3])
print("to stderr", file=sys.stderr)
exec(sys.argv[1])
"""


@pytest.mark.parametrize(
    "end", ["sys.exit(3)", "sys.exit('why')", "1 / 0", "os.kill(os.getpid(), 15)", "pass", "os._exit(5)"]
)
def test_a_script_meets_what_it_meets_in_a_fresh_process(end: str, warm: Server, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    env = {**ENV, "MINE": "yes"}
    command = [sys.executable, "-u", "script.py", end]
    fresh = subprocess.run(
        command, cwd=tmp_path, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, start_new_session=True
    )
    forked = warm.run("script.py", end, cwd=tmp_path, env=env)
    assert forked.returncode == fresh.returncode
    if end.startswith(("os.kill", "os._exit")):  # of which what is not flushed is lost
        return
    assert forked.stdout == fresh.stdout
    assert forked.stderr.splitlines()[0] == "to stderr"
    assert forked.stderr.splitlines()[-1] == fresh.stderr.splitlines()[-1]


def test_a_shells_commands_are_sent_on_and_end_alike(warm: Server, tmp_path: Path) -> None:
    env = {**ENV, "PATH": f"{warm.shims(tmp_path / 'bin')}:{os.environ['PATH']}"}
    (tmp_path / "script.py").write_text("import sys; sys.exit('torch' in sys.modules)")
    (tmp_path / "dies.py").write_text("import os; os.kill(os.getpid(), 15)")

    def shell(line: str) -> "CompletedProcess[str]":
        return subprocess.run(line, shell=True, cwd=tmp_path, env=env, capture_output=True, text=True)

    assert shell("python script.py").returncode == 1, "a process that has imported nothing"
    assert shell("python -c 'import sys; sys.exit(\"torch\" in sys.modules)'").returncode == 0
    assert shell("exec python dies.py").returncode == -signal.SIGTERM
    assert shell("python -m ablate modle=plain 2>&1 | head -1").stdout.startswith("modle: there is no such key")
    assert "training" not in shell("ablate status nothing").stdout
    assert shell("ablate status nothing").returncode == 2


def test_commands_end_with_signals_and_timeouts(warm: Server, tmp_path: Path) -> None:
    (tmp_path / "waits.py").write_text("import time; print('here', flush=True); time.sleep(600)")
    process = warm.popen("waits.py", cwd=tmp_path, env=ENV)
    assert process.stdout.readline() == "here\n"
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=0.01)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.communicate() == ("", "")
    assert process.returncode == process.poll() == -signal.SIGKILL
