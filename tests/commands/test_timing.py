"""`ablate timing`, and the report that prefers it."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ablate.records.study_directory import StudyDirectory, read_study_file
from ablate.sweeps.jobs import variants_of

Run = Callable[..., "subprocess.CompletedProcess[str]"]
QUICK = ("study=demo", "data.subset=30", "hardware=cpu", "hardware.threads=1")


def test_the_variants_are_the_studys_own_or_those_that_are_typed() -> None:
    variants, folder = variants_of(["study=demo"])
    assert list(variants) == ["plain", "dropout", "bn_dropout"]
    assert folder == Path("outputs/demo")
    assert {cfg.seed for cfg in variants.values()} == {0}
    typed, _ = variants_of(["study=demo", "model=dropout", "model.edits.drop3.layer.p=0.1,0.3", "optimizer.lr=1e-4"])
    assert list(typed) == ["dropout model.edits.drop3.layer.p=0.1", "dropout model.edits.drop3.layer.p=0.3"]
    assert [(cfg.model.edits["drop3"].layer or {})["p"] for cfg in typed.values()] == [0.1, 0.3]
    assert {cfg.optimizer.lr for cfg in typed.values()} == {1e-4}


def test_a_design_has_the_components_that_are_named() -> None:
    variants, _ = variants_of(["model=bn_dropout", "study.design=leave_one_out", "study.components=[bn1]"])
    assert {name: list(cfg.model.edits) for name, cfg in variants.items()} == {
        "bn_dropout": ["drop3", "bn1"],
        "bn_dropout-bn1": ["drop3"],
    }


def test_a_timing_is_written_and_preferred_by_the_report(ablate: Run, tmp_path: Path) -> None:
    study = tmp_path / "outputs" / "demo"
    sweep = ablate("-m", *QUICK, "model=plain,dropout", "seed=0,1", "train.epochs=1", "train.batch_size=64")
    assert sweep.returncode == 0, sweep.stderr
    timed = ablate(
        "timing",
        *QUICK,
        "model=plain,dropout",
        "train.batch_size=64",
        "--rounds=18",
        "--precision=1e-9",
    )
    assert timed.returncode == 1  # not as precise as asked, which is said, and written all the same
    assert "wider than the 0.00% asked for; more --rounds" in timed.stderr
    assert re.search(r"^\| dropout \| [\d.]+ \| [\d.]+ \| [\d.]+ \| [\d.]+ \| [\d.]+ to [\d.]+ \|", timed.stdout, re.M)
    assert re.search(r"^\| drop3 \|  \| [\d.]+ \+ [\d.]+ \|$", timed.stdout, re.M)
    (file,) = StudyDirectory(study).files("timing")
    timing = read_study_file(file)
    assert timing["rounds"] + timing["disturbed"] == 18
    assert [variant["name"] for variant in timing["variants"]] == ["plain", "dropout"]
    assert timing["provenance"]["threads"] == 1

    made = ablate("report", "outputs/demo")
    assert made.returncode == 0, made.stderr
    results = json.loads((study / "report" / "results.json").read_text())
    comparison = next(row for row in results["comparisons"] if row["metric"] == "train_seconds")
    assert (comparison["pairs_are"], comparison["timing"], comparison["seeds"]) == ("rounds", file.name, "")
    assert comparison["pairs"] == timing["rounds"]
    page = (study / "report" / "report.md").read_text()
    assert f"{timing['rounds']} rounds" in page
    assert re.search(r"\| drop3 +\| +– \| +[\d.]+ ms \|", page)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model=plain"], "there is one variant, and nothing to compare; name several: model=plain,dropout"),
        (
            ["model=plain,dropuot"],
            "model=dropuot: there is no such option; did you mean dropout or bn_dropout or dropout_p70?",
        ),
        (["--rounds=1"], "--rounds must be 2 or more"),
        (["model=plain,dropout", "hardware.threads=0"], "hardware.threads=0"),
        (["model=plain,dropout", "hardware.threads=1,2"], "the variants differ in hardware"),
    ],
)
def test_what_cannot_be_timed_is_said_before_anything_starts(ablate: Run, arguments: list[str], message: str) -> None:
    answer = ablate("timing", "study=demo", *arguments)
    assert answer.returncode == 2
    assert message in answer.stderr
    assert "Traceback" not in answer.stderr


def test_timings_are_kept_and_the_newest_comes_first(tmp_path: Path) -> None:
    one = StudyDirectory(tmp_path).write("timing", "2026-01-01T00:00:00+00:00", {})
    other = StudyDirectory(tmp_path).write("timing", "2026-01-02T00:00:00+00:00", {})
    assert StudyDirectory(tmp_path).files("timing") == [other, one]
    other.write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        read_study_file(other)
    other.write_text('{"format": 99}')
    with pytest.raises(ValueError, match="is not of format 1"):
        read_study_file(other)
