"""What was read of a study earlier, against reading all of it."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablate.records.record import Status
from ablate.records.run_directory import RunDirectory
from ablate.report.study import cache
from ablate.report.study.cache import StudyRuns, read_runs
from ablate.report.study.run_record import read_run

Make = Callable[..., Path]


@pytest.fixture
def six(make_run: Make, study: Path) -> Path:
    """A study of six runs."""
    for seed in range(3):
        for variant in ("plain", "dropout"):
            make_run(variant, seed)
    return study


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The runs that are read from their own files, as they are read; every study is worth keeping."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_WORTH_KEEPING", 1)
    names: list[str] = []

    def count(directory: RunDirectory) -> Any:
        names.append(f"{directory.folder.parent.name}/{directory.folder.name}")
        return read_run(directory)

    monkeypatch.setattr(cache, "read_run", count)
    return names


def folders(study: Path) -> list[str]:
    return sorted(f"{path.parents[1].name}/{path.parent.name}" for path in study.glob("*/*/run.json"))


def assert_as_on_disk(found: StudyRuns, study: Path) -> None:
    expected = [read_run(RunDirectory(study / name)) for name in folders(study)]
    assert [record for record, _ in found.complete.values()] == [record for record, _ in expected]
    for (_, epochs), (_, wanted) in zip(found.complete.values(), expected, strict=True):
        assert wanted is not None and epochs.columns == wanted.columns
        np.testing.assert_array_equal(epochs.values, wanted.values)


def test_what_is_kept_is_what_is_there(six: Path, read: list[str]) -> None:
    assert_as_on_disk(read_runs(six), six)
    assert sorted(read) == folders(six)
    read.clear()
    assert_as_on_disk(read_runs(six), six)
    assert not read


@pytest.mark.parametrize(
    ("file", "before", "after"), [("run.json", '"CPU"', '"GPU"'), ("epochs.csv", "100.0", "101.0")]
)
def test_only_what_has_changed_is_read_again(
    six: Path, make_run: Make, read: list[str], file: str, before: str, after: str
) -> None:
    read_runs(six)
    read.clear()
    changed, gone = folders(six)[1], folders(six)[4]
    path = six / changed / file
    path.write_text(path.read_text().replace(before, after))
    shutil.rmtree(six / gone)
    make_run("bn", 0)
    (new,) = (name for name in folders(six) if name.startswith("bn/"))
    assert_as_on_disk(read_runs(six), six)
    assert sorted(read) == sorted([changed, new])


def test_what_is_not_complete_or_broken_is_always_read(six: Path, read: list[str]) -> None:
    unfinished, broken = folders(six)[:2]
    record = RunDirectory(six / unfinished).read_record()
    assert record is not None
    RunDirectory(six / unfinished).write_record(replace(record, status=Status.INTERRUPTED))
    (six / broken / "epochs.csv").write_text("epoch\n")
    for _ in range(2):
        read.clear()
        found = read_runs(six)
        assert len(found.complete) == 4 and [each.status for each in found.others.values()] == [Status.INTERRUPTED]
        assert list(found.broken) == [broken]
    assert sorted(read) == [unfinished, broken]


def test_a_damaged_cache_is_none(six: Path, read: list[str], tmp_path: Path) -> None:
    read_runs(six)
    (file,) = (tmp_path / "cache" / "ablate" / "collected").glob("*.sqlite")
    file.write_bytes(b"not a database" * 100)
    assert_as_on_disk(read_runs(six), six)
    read_runs(six)
    read.clear()
    assert_as_on_disk(read_runs(six), six)
    assert not read


def test_what_runs_have_in_common_is_one_object(six: Path, read: list[str]) -> None:
    records = [record for record, _ in read_runs(six).complete.values()]
    assert len({id(record.config["optimizer"]) for record in records}) == 1
    assert len({id(record.provenance) for record in records}) == 1
    assert len({json.dumps(record.config["optimizer"]) for record in records}) == 1


def test_few_runs_leave_nothing_behind(six: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    read_runs(six)
    assert not (tmp_path / "cache").exists()
