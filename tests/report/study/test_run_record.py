"""A run that says a thing twice: both must agree, or it is named and left out."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ablate.config.identity import run_id
from ablate.records.run_directory import MOST_BYTES, RunDirectory
from ablate.report.study.collect import collect
from ablate.report.study.run_record import read_run

Make = Callable[..., Path]


def change(folder: Path, *keys: str, value: Any) -> None:
    file = folder / "run.json"
    record = json.loads(file.read_text())
    node = record
    for key in keys[:-1]:
        node = node[key]
    node[keys[-1]] = value
    file.write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("keys", "value", "named"),
    [
        (("results", "test_accuracy", "final"), 0.99, "results.test_accuracy.final"),
        (("results", "test_accuracy", "maximum_epoch"), 1, "results.test_accuracy.maximum_epoch"),
        (("results", "train_loss", "minimum"), 0.1, "results.train_loss.minimum"),
        (("times", "total_seconds"), 1.0, "times.total_seconds"),
        (("variant",), "bn", "variant"),
        (("seed",), 7, "seed"),
        (("study",), "other", "study"),
        (("id",), "00000000", "id"),
        (("config", "model", "name"), "bn", "variant"),
        (("config", "seed"), 3, "seed"),
        (("config", "optimizer", "lr"), 0.5, "id"),
    ],
)
def test_what_disagrees_is_named_and_left_out(
    keys: tuple[str, ...], value: Any, named: str, make_run: Make, study: Path
) -> None:
    make_run("plain", 0)
    folder = make_run("plain", 1)
    change(folder, *keys, value=value)
    found = collect(study)
    assert list(found.runs["seed"]) == [0]
    (why,) = found.broken.values()
    assert f"run.json says {named}" in why


def test_runs_of_other_programs_have_identities_of_their_own(make_run: Make, study: Path) -> None:
    config = {
        "seed": 0,
        "study": {"name": "trial", "baseline": "plain"},
        "model": {"name": "plain", "base": {}, "edits": {}},
        "hardware": {"precision": "unknown"},
        "data": {},
        "train": {"epochs": 3},
        "settings": {},
    }
    make_run("plain", 0, record={"task": "train.train", "id": "12345678", "config": config})
    assert run_id(config) != "12345678"
    assert len(collect(study).records) == 1


@pytest.mark.parametrize("rows", [10, 300_000])
def test_more_epochs_than_the_record_says_are_not_read(
    rows: int, make_run: Make, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run("plain", 0)
    folder = make_run("plain", 1)
    lines = (folder / "epochs.csv").read_text().splitlines(keepends=True)
    (folder / "epochs.csv").write_text("".join([*lines, *[lines[-1]] * rows]))
    (why,) = collect(study).broken.values()
    assert "bytes that it can have" in why if rows > 10 else "13 of the run's 3" in why or "bytes" in why


def test_the_longest_numbers_are_read(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.write_epochs([{"a": -2.2250738585072014e-308, "b": -1.7976931348623157e308}] * 50)
    assert len(directory.read_epochs(50)) == 50


def test_a_huge_record_is_not_read(make_run: Make, study: Path) -> None:
    make_run("plain", 0)
    file = make_run("plain", 1) / "run.json"
    with file.open("ab") as opened:
        opened.truncate(MOST_BYTES)  # a file with a hole, larger than any record
    (why,) = collect(study).broken.values()
    assert "bytes that it can have" in why


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("starts",), [{"other_runs": [1]}]),
        (("seed",), 10**30),
        (("config", "train", "epochs"), 10**30),
        (("started",), "\ud800"),
        (("overrides",), ["a=\udfff"]),
        (("config", "optimizer", "note"), json.loads("[" * 500 + "]" * 500)),
        (("config", "data", "name"), json.loads('{"a":' * 300 + "1" + "}" * 300)),
    ],
)
def test_a_value_that_cannot_be_used_is_named_and_left_out(
    keys: tuple[str, ...], value: Any, make_run: Make, study: Path
) -> None:
    make_run("plain", 0)
    change(make_run("plain", 1), *keys, value=value)
    found = collect(study)
    assert list(found.runs["seed"]) == [0]
    assert len(found.broken) == 1
    str(found.broken).encode()


@pytest.mark.parametrize("name", [b"seed1-\xff", b"\xe9\x80", b"x\xed\xa0\x80"])
def test_a_folder_whose_name_is_not_utf_8(name: bytes, make_run: Make, study: Path) -> None:
    make_run("plain", 0)
    folder = make_run("plain", 1)
    folder.rename(os.fsdecode(os.fsencode(folder.parent) + b"/" + name))
    found = collect(study)
    assert len(found.records) == 1
    ((named, why),) = found.broken.items()
    named.encode()
    assert "not UTF-8" in why


def test_epochs_count_from_1(make_run: Make) -> None:
    folder = make_run("plain", 0)
    file = folder / "epochs.csv"
    file.write_text(file.read_text().replace("\n3,", "\n1e30,"))
    with pytest.raises(ValueError, match="no usable epoch"):
        read_run(RunDirectory(folder))
