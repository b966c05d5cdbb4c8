"""A study's folder: its runs, its timings and its plans."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from ablate.files import Plain, PlainMapping, atomic_write, refuse_links
from ablate.records.record import FORMAT, RECORD_FILE
from ablate.records.run_directory import RunDirectory, read_json

# Folders in a study's, beside those of its variants.
TIMING, PLAN, LOOKS, KNOCKOUT, REPORT = "timing", "plan", "looks", "knockout", "report"


class StudyDirectory:
    """Owns the layout of a study's folder: `<variant>/seed<k>-<id>/run.json`, and folders of other files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def report(self) -> Path:
        """The folder of its report."""
        return self.folder / REPORT

    def runs(self) -> list[RunDirectory]:
        """Returns the directories of its runs, sorted."""
        return [RunDirectory(self.folder / name) for name in sorted(self.names())]

    def names(self) -> Iterator[str]:
        """Yields the folders below it that have a record, as `<variant>/<run>`."""
        for variant in os.scandir(self.folder) if self.folder.is_dir() else ():
            if variant.is_dir():
                for run in os.scandir(variant.path):
                    if os.path.lexists(os.path.join(run.path, RECORD_FILE)):  # noqa: PTH118 (there may be very many)
                        yield f"{variant.name}/{run.name}"

    def run(self, variant: str, seed: int, identity: str) -> RunDirectory:
        """Returns the directory of a run, which need not exist."""
        return RunDirectory(self.folder / variant / f"seed{seed}-{identity}")

    def runs_of(self, variant: str, identity: str) -> list[RunDirectory]:
        """Returns the directories of a variant whose names have this identity, whatever their seeds."""
        return [RunDirectory(path) for path in self.folder.glob(f"{variant}/seed*-{identity}")]

    def files(self, kind: str) -> list[Path]:
        """Returns its timings, plans, looks or knockouts (`TIMING`, `PLAN`, `LOOKS`, `KNOCKOUT`), the newest first."""
        return sorted((self.folder / kind).glob("*.json"), reverse=True)

    def write(self, kind: str, started: str, content: PlainMapping) -> Path:
        """Writes a file of a kind and returns it."""
        path = self.folder / kind / f"{started.replace(':', '').replace('+0000', 'Z')}.json"
        refuse_links(path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            json.dump({"format": FORMAT, **content}, file, indent=1)
            file.write("\n")
        return path


def studies_below(folder: Path) -> list[StudyDirectory]:
    """Returns the studies at or below a folder: those that hold a run."""
    return [StudyDirectory(path) for path in sorted({path.parents[2] for path in folder.rglob(RECORD_FILE)})]


def studies_in(folder: Path) -> list[StudyDirectory]:
    """Returns the folders in a folder, such as `outputs`, which may be studies."""
    return [StudyDirectory(path) for path in sorted(folder.glob("*")) if path.is_dir()]


def read_study_file(path: Path) -> Plain:
    """Returns what `StudyDirectory.write` wrote; ValueError where it is not of this format."""
    try:
        content = read_json(path)
    except FileNotFoundError as error:
        raise ValueError(f"{path.name} is gone") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path.name} is not of format {FORMAT}")
    return content


_T = TypeVar("_T")


def read_study_files(folder: Path, kind: str, read: Callable[[Path], _T], broken: dict[str, str]) -> Iterator[_T]:
    """Yields what is read of a study's files of a kind, the newest first; what cannot be read goes to `broken`."""
    for path in StudyDirectory(folder).files(kind):
        try:
            yield read(path)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            broken[f"{kind}/{path.name}"] = f"cannot be read as a {kind}: {error}"
