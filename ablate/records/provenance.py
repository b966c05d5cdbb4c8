"""What a result came from: code, packages and machine."""

import functools
import hashlib
import importlib.util
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from ablate.files import file_digest
from ablate.messages import distribution
from ablate.records.forms import plain, read
from ablate.records.record import Code, Machine, Plan, Provenance, RunRecord, Start

_OF_RESULTS = ("python", "torch", "torchvision", "numpy", "scikit-learn")  # another version may mean other results
PACKAGES = ("ablate", *_OF_RESULTS[1:], "hydra-core", "omegaconf")
# The parts of ablate that compute results. The others launch, record, show and report them.
_COMPUTES = ("config/", "models/", "stacking/", "data/", "training/", "runs/", "seeding.py")


def collect(code_of: Iterable[str] = ()) -> Provenance:
    """Returns the code (also of packages beside ablate), the packages and the machine that a run starts with."""
    sources = {"ablate": _digest("ablate", _COMPUTES), **{name: _digest(name) for name in code_of}}
    root = Path(__file__).parents[2]
    commit, dirty, changes = (_commit(root) if (root / ".git").exists() else None) or (None, None, None)
    code = Code(sources=sources, commit=commit, dirty=dirty, changes=changes)
    return Provenance(code=code, packages=packages(), machine=machine())


def of_script(file: Path) -> Provenance:
    """Returns what a run of somebody's own script starts with: a digest of the script, and the commit of its folder."""
    known = collect()
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.is_file() else "unknown"
    commit, dirty, changes = _commit(file.absolute().parent) or (None, None, None)
    sources = {**known.code.sources, file.name: digest}
    return replace(known, code=Code(sources=sources, commit=commit, dirty=dirty, changes=changes))


def stale(
    record: RunRecord, data_digest: str, code_of: Iterable[str] = (), normalisation: Sequence[float] | None = None
) -> list[str]:
    """Returns in words in what a run differs from one that starts now: code, packages, data, files."""
    found = changed(record.provenance, collect(code_of).code.sources)
    if record.data is None or record.data.sha256 != data_digest:
        found.append("other data")
    elif normalisation is not None and record.data.normalisation not in ((), tuple(normalisation)):
        found.append("other means and deviations of the data")
    return found + [f"other content of {path}" for path, digest in record.model.files.items() if _now(path) != digest]


def changed(then: Provenance, sources: Mapping[str, str]) -> list[str]:
    """Returns in words in what code, whose digests are given, and packages have changed."""
    found = [f"other code of {name}" for name, digest in sources.items() if then.code.sources.get(name) != digest]
    pairs = [(name, then.packages.get(name), packages().get(name)) for name in _OF_RESULTS]
    return found + [f"{name} {before}, now {after}" for name, before, after in pairs if before != after]


def _now(path: str) -> str | None:
    """Returns the digest of a file as it is now; None if it cannot be read."""
    try:
        return file_digest(Path(path))
    except OSError:
        return None


def code_digest() -> str:
    """Returns the digest of all of ablate's code but the report's: machines that share a sweep must agree in it."""
    return _digest("ablate", without="report/")


@functools.cache
def _digest(package: str, parts: tuple[str, ...] = ("",), without: str | None = None) -> str:
    """Returns the digest of a package's Python files; of those in some parts, and not in `without`."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return "unknown"
    root = Path(spec.origin).parent
    files = sorted(root.rglob("*.py")) if spec.submodule_search_locations else [Path(spec.origin)]
    sha = hashlib.sha256()
    for file in files:
        path = file.relative_to(root).as_posix()
        if path.startswith(parts) and not (without is not None and path.startswith(without)):
            sha.update(f"{path}\0".encode() + file.read_bytes() + b"\0")
    return sha.hexdigest()[:16]


@functools.cache
def _commit(root: Path) -> tuple[str, bool, str | None] | None:
    """Returns the git commit of a checkout, whether it is changed, and the changes' digest; None without one."""
    try:
        commit = _git(root, "rev-parse", "HEAD").decode().strip()
        changes = _git(root, "status", "--porcelain") + _git(root, "diff", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit, bool(changes), hashlib.sha256(changes).hexdigest() if changes else None


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
def machine() -> Machine:
    """Returns the host's name, system, processor and number of cores."""
    return Machine(host=platform.node(), system=platform.platform(), cpu=_cpu(), cores=os.cpu_count())


_PLAN = "ABLATE_PLAN"  # in the environment, which the processes that a command starts have too


def set_plan(plan: Plan | None) -> None:
    """Sets what the runs of this process, and of those that it starts, are made under."""
    if plan is None:
        os.environ.pop(_PLAN, None)
    else:
        os.environ[_PLAN] = json.dumps(plain(plan))


def plan() -> Plan | None:
    """Returns what the runs of this process are made under; None if that was not said."""
    text = os.environ.get(_PLAN)
    return None if text is None else read(Plan, json.loads(text))


def process(started: str | None = None, other_runs: int | None = None, command: str | None = None) -> Start:
    """Returns the start of a run in this process, with how busy the machine was over the last minute."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return Start(
        started=started, host=platform.node(), pid=os.getpid(), load=load, other_runs=other_runs, command=command,
        plan=plan(),
    )  # fmt: skip


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
