"""Writing stays in its folder, whatever somebody else has put there."""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from reading_runs import example_record

from ablate import files
from ablate.__main__ import run_command
from ablate.files import atomic_write, keep_copy, refuse_links
from ablate.records.run_directory import RunDirectory
from ablate.records.study_directory import StudyDirectory
from ablate.runs.other_runs import counting_other_runs


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder of the user's, with files that must stay as they are."""
    folder = tmp_path / "victim"
    folder.mkdir()
    for name in ("mine.txt", "mine.lock", ".mine.part"):
        (folder / name).write_text("mine")
    return folder


def untouched(folder: Path) -> bool:
    return {path.name: path.read_text() for path in folder.iterdir()} == dict.fromkeys(
        ("mine.txt", "mine.lock", ".mine.part"), "mine"
    )


@pytest.mark.parametrize("mode", ["w", "wb"])
def test_a_guessed_name_is_not_written_through(
    mode: str, victim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.secrets, "token_hex", lambda size: "guessed")
    for write in (
        lambda: atomic_write(tmp_path / "x", mode).__enter__(),
        lambda: keep_copy(victim / "mine.txt", tmp_path / "x"),
    ):
        (tmp_path / ".x.guessed.part").symlink_to(victim / "mine.txt")
        with pytest.raises(FileExistsError):
            write()
        assert untouched(victim)


def test_names_in_use_while_writing_are_not_told_before(tmp_path: Path) -> None:
    names = set()
    for _ in range(3):
        with atomic_write(tmp_path / "report.md") as file:
            file.write("x")
            (part,) = (path.name for path in tmp_path.iterdir() if path.name != "report.md")
            names.add(part)
    assert len(names) == 3 and not any(str(os.getpid()) in name for name in names)
    assert [path.name for path in tmp_path.iterdir()] == ["report.md"]


def test_a_link_in_a_files_place_is_replaced(victim: Path, tmp_path: Path) -> None:
    (tmp_path / "x").symlink_to(victim / "mine.txt")
    with atomic_write(tmp_path / "x") as file:
        file.write("new")
    assert not (tmp_path / "x").is_symlink() and (tmp_path / "x").read_text() == "new" and untouched(victim)


def test_a_copy_is_made_where_there_are_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError

    (tmp_path / "x").write_text("content")
    monkeypatch.setattr(files.os, "link", no_links)
    keep_copy(tmp_path / "x", tmp_path / "y")
    assert (tmp_path / "y").read_text() == "content"


def test_a_run_directory_or_a_studys_folder_that_is_a_link_is_refused(victim: Path, tmp_path: Path) -> None:
    for name in ("run", "plan", "timing"):
        (tmp_path / name).symlink_to(victim)
    with (
        pytest.raises(ValueError, match=f"run: is a link to {victim}, and would be written to"),
        RunDirectory(tmp_path / "run").lock(),
    ):
        pass
    for kind in ("plan", "timing"):
        with pytest.raises(ValueError, match=f"{kind}: is a link to {victim}"):
            StudyDirectory(tmp_path).write(kind, "2026-01-01", {})
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(ValueError, match="dangling: is a link to nowhere"):
        refuse_links(tmp_path / "dangling")
    assert untouched(victim)


def test_a_report_folder_that_is_a_link_is_refused(
    train_one: Callable[..., Path], victim: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_one(folder="study/plain/seed0")
    (tmp_path / "study" / "report").symlink_to(victim)
    assert run_command(["report", str(tmp_path / "study")]) == 2
    assert f"report: is a link to {victim}" in capsys.readouterr().err
    assert untouched(victim)


@pytest.mark.parametrize("name", [".", ".hydra", ".hydra/config.yaml", "train.log", "run.json", "run.lock"])
def test_a_command_does_not_write_through_a_link(
    name: str, victim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(victim if name in (".", ".hydra") else victim / "mine.txt")
    command = ["study=demo", "data.subset=30", "train.epochs=1", "train.batch_size=64", "hydra.run.dir=out"]
    assert run_command(command) == 2
    assert "is a link to" in capsys.readouterr().err
    assert untouched(victim)


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this process looks for the runs of others."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with counting_other_runs() as count:
        assert count() == 0
    (folder,) = tmp_path.glob("ablate-*")
    assert not [*folder.iterdir()]
    return folder


def test_leftovers_of_other_runs_are_removed_from_ones_own_folder(shared: Path) -> None:
    (shared / "1-leftover.lock").touch()
    with counting_other_runs() as one, counting_other_runs() as two:
        assert (one(), two()) == (1, 1)
    assert not [*shared.iterdir()]


@pytest.mark.parametrize("kind", ["link", "others", "writable", "file"])
def test_a_folder_for_locks_that_is_not_ones_own_is_not_used(
    kind: str, shared: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "link":
        shared.rmdir()
        shared.symlink_to(victim)
    elif kind == "others":
        uid = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    elif kind == "writable":
        shared.chmod(0o777)
    else:
        shared.rmdir()
        shared.write_text("x")
    with counting_other_runs() as count:
        assert count() is None
    assert untouched(victim)
    assert kind in ("link", "file") or not [*shared.iterdir()]


def test_a_record_may_be_read_by_whom_it_might_before(tmp_path: Path) -> None:
    record = example_record()
    with RunDirectory(tmp_path).lock():
        RunDirectory(tmp_path).write_record(record)
    assert json.loads((tmp_path / "run.json").read_text()) == record.to_json()
    assert (tmp_path / "run.json").stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
