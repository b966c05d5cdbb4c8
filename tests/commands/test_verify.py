"""Runs repeated from their records."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ablate.__main__ import run_command
from ablate.commands.verify import verify
from ablate.records.run_directory import RunDirectory

Train = Callable[..., Path]


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    record = json.loads((folder / "run.json").read_text())
    change(record)
    (folder / "run.json").write_text(json.dumps(record))


@pytest.mark.parametrize("options", [(), ("model=bn_dropout", "scheduler=one_cycle", "data.validation=30",
                                     "augment=erasing", "loss=mse", "train.swa_from=2")])  # fmt: skip
def test_an_honest_run_is_identical(
    options: tuple[str, ...], train_one: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = train_one(*options)
    before = sorted((path.name, path.read_bytes()) for path in folder.iterdir())
    assert run_command(["verify", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder}: 2 epochs and final weights are identical.\n"
    assert run_command(["verify", str(folder), "--epochs", "1"]) == 0  # the schedule is that of the whole run
    assert capsys.readouterr().out == f"{folder}: 1 epochs are identical.\n"
    assert sorted((path.name, path.read_bytes()) for path in folder.iterdir()) == before


def test_the_first_difference_is_named(train_one: Train, capsys: pytest.CaptureFixture[str]) -> None:
    folder = train_one()
    directory = RunDirectory(folder)
    rows = directory.read_epochs()
    rows[1]["test_loss"] += 0.25
    directory.write_epochs(rows)
    assert run_command(["verify", str(folder)]) == 1
    out = capsys.readouterr().out
    assert "The first difference: epoch 2: test_loss is " in out and "a difference of -0.25." in out
    assert "Code, packages, data and hardware are what they were." in out
    assert verify(folder, epochs=1).identical


def test_other_weights_and_conditions_are_named(train_one: Train, capsys: pytest.CaptureFixture[str]) -> None:
    folder = train_one("model=bn_dropout")

    def change(record: dict[str, Any]) -> None:
        record["final_weights"]["bn1"] = "0" * 16
        record["provenance"]["packages"]["torch"] = "1.0"
        record["provenance"]["machine"]["cpu"] = "abacus"
        record["provenance"]["accelerator"] = "fingers"

    edit(folder, change)
    assert run_command(["verify", str(folder)]) == 1
    out = capsys.readouterr().out
    assert "Final weights differ in bn1." in out
    assert "  torch 1.0, now " in out and "  cpu abacus, now " in out and "  accelerator fingers, now cpu" in out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record.update(format=99), "is not a run's record"),
        (lambda record: record.update(config={}), "no usable config.model"),
        (lambda record: record["config"].pop("train"), "no usable config.train"),
        (lambda record: record["config"]["train"].update(epochs="many"), "no usable config.train.epochs"),
        (lambda record: record["config"]["train"].update(epoch=3), "configuration: train.epoch: there is no such key"),
        (lambda record: record["config"]["model"]["base"].update(num_classes="${oc.env:HOME}"), "holds ${…}"),
        (lambda record: record["config"]["model"].update(name="../../x"), "names a folder"),
        (lambda record: record["config"]["model"].update(name="x" * 101), "at most 100"),
        (lambda record: record["config"]["data"].update(path="http://127.0.0.1:1/x.npz"), "names an address"),
        (lambda record: record["config"]["data"].update(root="s3://bucket/x"), "names an address"),
        (lambda record: record["config"]["data"].update(arguments={"a": ["https://x.example"]}), "names an address"),
    ],
)
def test_what_cannot_be_repeated(
    change: Callable[[dict[str, Any]], object], message: str, train_one: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = train_one()
    edit(folder, change)
    assert run_command(["verify", str(folder)]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["verify", str(tmp_path)]) == 2
    assert "there is no run.json; give the folder of a run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda record: record["results"]["test_accuracy"].update(final=0.99), "results.test_accuracy.final 0.99"),
        (lambda record: record["times"].update(total_seconds=0.5), "times.total_seconds 0.5"),
        (lambda record: record.update(variant="better"), "variant better, and its configuration plain"),
        (lambda record: record.update(seed=5), "seed 5, and its configuration 0"),
        (lambda record: record.update(id="00000000"), "id 00000000"),
        (lambda record: record.update(study="other"), "study other"),
    ],
)
def test_what_a_record_says_against_its_own_epochs_is_no_agreement(
    change: Callable[[dict[str, Any]], object], said: str, train_one: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = train_one()
    edit(folder, change)
    assert run_command(["verify", str(folder)]) == 1
    out = capsys.readouterr().out
    assert "2 epochs are not identical." in out
    assert f"The record contradicts itself: run.json says {said}" in out


def test_no_more_epochs_are_read_than_the_record_says(train_one: Train, capsys: pytest.CaptureFixture[str]) -> None:
    folder = train_one()
    with (folder / "epochs.csv").open("a") as file:
        file.write("9,9,9\n" * 100_000)
    assert run_command(["verify", str(folder)]) == 2
    assert "bytes that it can have" in capsys.readouterr().err


def test_what_a_record_sends_to_the_terminal_is_shown(train_one: Train, capsys: pytest.CaptureFixture[str]) -> None:
    folder = train_one()
    edit(folder, lambda record: record["provenance"]["packages"].update(torch="1\x1b[1A\x1b[2Kidentical"))
    run_command(["verify", str(folder)])
    out = capsys.readouterr().out
    assert "\x1b" not in out and "torch 1\\x1b[1A\\x1b[2Kidentical, now" in out
