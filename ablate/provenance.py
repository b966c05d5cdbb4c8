"""What a result came from: code, packages and machine."""

import functools
import hashlib
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("ablate", "torch", "torchvision", "numpy", "hydra-core", "omegaconf", "scikit-learn")


def collect() -> dict[str, Any]:
    """Returns the code, the packages and the machine that a run starts with, and who else is busy on it."""
    return {"code": code(), "packages": packages(), "machine": machine(), "load": load()}


@functools.cache
def code() -> dict[str, Any]:
    """Returns the git commit of the checkout that ablate runs from, whether it is changed, and the changes' digest.

    Empty when ablate does not run from a checkout, or without git.
    """
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return {}
    try:
        commit = _git(root, "rev-parse", "HEAD").decode().strip()
        changes = _git(root, "status", "--porcelain") + _git(root, "diff", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {
        "commit": commit,
        "dirty": bool(changes),
        "changes": hashlib.sha256(changes).hexdigest() if changes else None,
    }


def _git(root: Path, *command: str) -> bytes:
    return subprocess.run(["git", "-C", str(root), *command], capture_output=True, check=True).stdout


@functools.cache
def packages() -> dict[str, str]:
    """Returns the versions of Python and of the packages that a result depends on."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


@functools.cache
def machine() -> dict[str, Any]:
    """Returns the host's name, system, processor and number of cores."""
    return {"host": platform.node(), "system": platform.platform(), "cpu": _cpu(), "cores": os.cpu_count()}


def load() -> float | None:
    """Returns the mean number of processes that ran or waited over the last minute, where the system tells."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
