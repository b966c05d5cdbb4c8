"""Runs that an earlier version of ablate has written: resumed, reported and verified."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from reading_runs import FORMAT_1, record_of, results_of

from ablate.__main__ import run_command
from ablate.commands.verify import verify
from ablate.data.digits import load
from ablate.records import provenance
from ablate.records.record import Code
from ablate.records.run_directory import RunDirectory

COMMAND = (
    "study=demo", "data.subset=20", "train.epochs=4", "train.batch_size=64", "hardware=cpu", "hardware.threads=1",
    "study.name=before", "+model.edits.c5n={set:{out_channels:8},at:c5}",
    "+model.edits.f6n={set:{in_features:8,out_features:16},at:f6}", "+model.edits.f7n={set:{in_features:16},at:f7}",
    "model=bn_dropout", "seed=0",
)  # fmt: skip
INTERRUPTED = "bn_dropout/seed0-67d4fabe"
Ablate = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """The folder of a study of six runs, one of them interrupted after some of its four epochs."""
    return Path(shutil.copytree(FORMAT_1 / "before", tmp_path / "outputs" / "before"))


def test_an_interrupted_run_of_other_code_starts_anew_and_says_why(before: Path, ablate: Ablate) -> None:
    files = {file: file.read_bytes() for file in before.glob("*/*/run.json") if INTERRUPTED not in str(file)}
    done = ablate(*COMMAND)
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert "was interrupted under other conditions (other code of ablate" in said and ", and is restarted" in said
    record = record_of(before / INTERRUPTED)
    assert record["status"] == "complete" and record["id"] == "67d4fabe" and len(record["starts"]) == 1
    assert len(results_of(before / INTERRUPTED)) == 4
    assert all(file.read_bytes() == content for file, content in files.items())


def test_an_interrupted_run_of_the_same_code_is_resumed(before: Path, ablate: Ablate) -> None:
    directory = RunDirectory(before / INTERRUPTED)
    record, rows = directory.read_record(), directory.read_epochs()
    assert record is not None and 0 < len(rows) < 4
    now = provenance.collect()  # as if today's code had written it
    came_from = replace(record.provenance, packages=now.packages, code=Code(sources=now.code.sources))
    assert record.data is not None
    data = replace(record.data, sha256=load().subset(20).digest)
    directory.write_record(replace(record, provenance=came_from, data=data))
    done = ablate(*COMMAND)
    assert done.returncode == 0, done.stderr
    assert f"resumes after epoch {len(rows)}" in done.stdout + done.stderr
    after = record_of(directory.folder)
    assert after["status"] == "complete" and len(after["starts"]) == 2 and after["started"] == record.started
    assert after["starts"][0] == json.loads((FORMAT_1 / "before" / INTERRUPTED / "run.json").read_text())["starts"][0]
    resumed = directory.read_epochs()
    assert resumed[: len(rows)] == rows and len(resumed) == 4


def test_complete_runs_are_kept_and_marked_as_stale(before: Path, ablate: Ablate) -> None:
    done = ablate(*(text for text in COMMAND if "=" in text and not text.startswith("model=")), "model=plain")
    assert done.returncode == 0, done.stderr
    assert "plain seed 0 is complete already" in done.stdout + done.stderr
    folder = before / "plain" / "seed0-a2c9aeb1"
    record = record_of(folder)
    assert record.pop("stale")[0] == "other code of ablate"
    old = record_of(FORMAT_1 / "before" / "plain" / "seed0-a2c9aeb1")
    assert {**record, "model": {**record["model"], "layers": {}}, "provenance": old["provenance"]} == old


@pytest.mark.parametrize(
    ("study", "counted"),
    [("before", "5 complete runs of 3 variants"), ("imported", "4 complete runs of 2 variants"),
     ("forest", "8 complete runs of 4 variants")],
)  # fmt: skip
def test_a_study_is_reported(study: str, counted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = shutil.copytree(FORMAT_1 / study, tmp_path / "outputs" / study)
    assert run_command(["report", str(folder)]) == 0
    page = (folder / "report" / "report.md").read_text(encoding="utf-8")
    assert counted in page
    results = json.loads((folder / "report" / "results.json").read_text(encoding="utf-8"))
    assert not results["broken"]
    if study == "before":
        assert f"{INTERRUPTED}: interrupted" in page
        assert re.search(r"\|\s*6,394\s*\|", page) and "All runs agree in data, code, packages, machine" in page
    if study == "imported":
        assert "4 runs imported from csv: of what data, code and machine is not recorded" in page
    if study == "forest":
        assert "What the runs of a seed share is not recorded" in page


def test_a_run_is_verified(before: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = before / "plain" / "seed0-a2c9aeb1"
    verification = verify(folder)
    assert verification.epochs == 4 and "other code of ablate" in verification.conditions
    code = run_command(["verify", str(folder)])
    said = capsys.readouterr().out
    assert "Not as it was then:\n  other code of ablate" in said
    then = record_of(folder)["provenance"]
    here = provenance.collect()
    if then["machine"]["cpu"] == here.machine.cpu and then["packages"]["torch"] == here.packages["torch"]:
        assert verification.identical and code == 0 and "4 epochs and final weights are identical." in said
    else:
        assert code == (0 if verification.identical else 1)
        assert any(text.startswith(("cpu ", "torch ")) for text in verification.conditions)
