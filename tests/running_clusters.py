"""Real clusters on this machine: Slurm's controller with two nodes, and a Ray cluster of two."""

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hold import HOLDING

ROOT = Path(__file__).parents[1]
PATIENCE = 600  # seconds


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Waits for as long as a slow machine may take."""
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until:
            pytest.fail(f"{what}: not within {PATIENCE} s")
        time.sleep(0.2)


class Slurm:
    """A controller and two nodes of one machine; jobs of the partition `high` displace those of `low`."""

    NODES = ("n1", "n2")

    def __init__(self, folder: Path, largest_array: int = 2) -> None:
        self.folder, self.largest_array = folder, largest_array
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.env = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "PYTHONPATH": f"{ROOT}:{HOLDING}"}

    def start(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        for name in ("state", "spool", "log"):
            (self.folder / name).mkdir()
        (self.folder / "slurm.conf").write_text(self._conf())
        munge = [f"--{name}-file={self.folder}/munge.{name}" for name in ("pid", "log", "seed")]
        self._start(
            "munged", "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={self.folder}/munge", *munge
        )
        wait_for((self.folder / "munge").exists, "munge")
        self._start("slurmctld", "slurmctld", "-D", "-i")
        for node in self.NODES:
            self.start_node(node)
        wait_for(lambda: self.idle() == len(self.NODES), "Slurm's nodes")

    def start_node(self, node: str) -> None:
        self._start(node, "slurmd", "-D", "-N", node)

    def kill_node(self, node: str) -> None:
        """Takes a node away with all that runs on it, as a power cut would."""
        process = self.processes.pop(node)
        process.kill()
        process.wait()
        steps = subprocess.run(
            ["pgrep", "-f", f"slurmstepd.*{node}|{node}.*slurmstepd"], capture_output=True, text=True
        )
        for pid in steps.stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(command, env=self.env, capture_output=True, text=True, check=False)

    def idle(self) -> int:
        """How many nodes have no work and answer."""
        return int(self.run("sinfo", "-h", "-t", "idle", "-o", "%D").stdout.strip() or 0)

    def stop(self) -> None:
        self.run("scancel", "--user=root")
        for process in reversed(self.processes.values()):
            process.terminate()
        for process in self.processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()

    def _start(self, name: str, *command: str) -> None:
        with (self.folder / "log" / f"{name}.out").open("ab") as output:
            self.processes[name] = subprocess.Popen(command, env=self.env, stdout=output, stderr=output)

    def _conf(self) -> str:
        host = socket.gethostname().partition(".")[0]
        nodes = "\n".join(
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={free_port()} CPUs=2 RealMemory=8192"
            for node in self.NODES
        )
        return f"""
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={free_port()}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={self.folder}/munge,cred_expire=5
StateSaveLocation={self.folder}/state
SlurmdSpoolDir={self.folder}/spool/%n
SlurmctldPidFile={self.folder}/slurmctld.pid
SlurmdPidFile={self.folder}/%n.pid
SlurmctldLogFile={self.folder}/log/slurmctld.log
SlurmdLogFile={self.folder}/log/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MpiDefault=none
ReturnToService=2
SlurmdTimeout=6
KillWait=2
MinJobAge=300
MaxArraySize={self.largest_array}
SchedulerParameters=sched_interval=2,batch_sched_delay=0
{nodes}
PartitionName=low Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=high Nodes=n1,n2 MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""
