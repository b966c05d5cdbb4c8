"""What a result came from: code, packages and machine."""

import functools
import hashlib
import importlib.util
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from ablate.messages import distribution

_OF_RESULTS = ("python", "torch", "torchvision", "numpy", "scikit-learn")  # another version may mean other results
PACKAGES = ("ablate", *_OF_RESULTS[1:], "hydra-core", "omegaconf")


def collect(code_of: Iterable[str] = ()) -> dict[str, Any]:
    """Returns the code, the packages and the machine that a run starts with.

    Args:
        code_of: Packages beside ablate whose code the run uses.
    """
    sources = {name: _sources(name) for name in ("ablate", *code_of)}
    return {"code": {"sources": sources, **_commit()}, "packages": packages(), "machine": machine()}


def stale(record: Mapping[str, Any], data_digest: str, code_of: Iterable[str] = ()) -> list[str]:
    """Returns in what a run differs from one that starts now, in words: code, packages, data; nothing if in none.

    Args:
        record: The run's record.
        data_digest: Of the data as it is now.
        code_of: As for `collect`.
    """
    found = []
    then, now = record.get("provenance") or {}, collect(code_of)
    sources = (then.get("code") or {}).get("sources") or {}
    found += [f"other code of {name}" for name, digest in now["code"]["sources"].items() if sources.get(name) != digest]
    versions = then.get("packages") or {}
    for name in _OF_RESULTS:
        before, after = versions.get(name), now["packages"].get(name)
        if before != after:
            found.append(f"{name} {before}, now {after}")
    if (record.get("data") or {}).get("sha256") != data_digest:
        found.append("other data")
    return found


def code_digest() -> str:
    """Returns the digest of ablate's own code, but for the report's."""
    return _sources("ablate")


@functools.cache
def _sources(package: str) -> str:
    """Returns the digest of a package's Python files; of ablate's, those that train: the report changes no result."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return "unknown"
    root = Path(spec.origin).parent
    files = sorted(root.rglob("*.py")) if spec.submodule_search_locations else [Path(spec.origin)]
    sha = hashlib.sha256()
    for file in files:
        path = file.relative_to(root).as_posix()
        if package != "ablate" or not path.startswith("report/"):
            sha.update(f"{path}\0".encode() + file.read_bytes() + b"\0")
    return sha.hexdigest()[:16]


@functools.cache
def _commit() -> dict[str, Any]:
    """Returns the git commit of the checkout that ablate runs from, whether it is changed, and the changes' digest.

    Empty when ablate does not run from a checkout, or without git.
    """
    root = Path(__file__).parents[2]
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
            # The key stays "ablate" whatever the distribution is called: records of all times are compared by it.
            versions[name] = metadata.version(distribution() if name == "ablate" else name)
        except metadata.PackageNotFoundError:
            continue
    return versions


@functools.cache
def machine() -> dict[str, Any]:
    """Returns the host's name, system, processor and number of cores."""
    return {"host": platform.node(), "system": platform.platform(), "cpu": _cpu(), "cores": os.cpu_count()}


def process() -> dict[str, Any]:
    """Returns the host and the number of this process, and how busy the machine was over the last minute.

    The load is the mean number of processes that ran or waited, None where the system does not tell.
    """
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {"host": platform.node(), "pid": os.getpid(), "load": load}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
