"""Which runs a study should have, and the commands for the others."""

import shlex
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from ablate.report.analysis.completeness import (
    command_of_edits,
    commands,
    completeness,
    default_command,
    timing_command,
)
from ablate.report.study.collect import collect
from ablate.report.study.overrides import choices, split
from ablate.report.study.study import Study

Make = Callable[..., Path]
DROPOUT = {"insert": "after", "at": "relu3", "layer": {"_target_": "torch.nn.Dropout2d", "p": 0.5}}
BN = {"insert": "after", "at": "c1", "layer": {"_target_": "torch.nn.LazyBatchNorm2d"}}


def cells(study: Path) -> dict[tuple[str, int], str]:
    return {(cell.variant, cell.seed): cell.status for cell in completeness(collect(study))}


def typed(study: Study, variants: Iterable[str], seeds: Iterable[int]) -> list[str]:
    return list(map(str, commands(study, variants, seeds)))


def test_the_cells_of_a_study_without_a_sweep_of_its_own(make_run: Make, study: Path) -> None:
    make_run("plain", 0)
    make_run("plain", 1)
    make_run("bn", 0, edits={"bn1": BN}, status="failed")
    make_run("bn", 2, edits={"bn1": BN}, status="diverged")
    assert cells(study) == {
        ("plain", 0): "complete",
        ("plain", 1): "complete",
        ("plain", 2): "missing",
        ("bn", 0): "failed",
        ("bn", 1): "missing",
        ("bn", 2): "diverged",
    }


def test_the_cells_of_a_studys_own_sweep(make_run: Make, study: Path) -> None:
    make_run("plain", 0, study={"name": "demo"})
    make_run("plain", 7, study={"name": "demo"})
    found = cells(study)
    assert len(found) == 10
    assert found["plain", 0] == found["plain", 7] == "complete"
    assert found["bn_dropout", 2] == "missing"
    assert ("dropout", 7) not in found


def test_a_sweep_over_a_setting(make_run: Make, study: Path, tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(
        "study: {baseline: dropout}\n"
        "hydra: {sweeper: {params: {model: dropout, model.edits.drop3.layer.p: '0.5,0.3', seed: 'range(0, 2)'}}}\n"
    )
    make_run("dropout", 0, edits={"drop3": DROPOUT})
    found = completeness(collect(study, file=file))
    assert {(cell.variant, cell.seed, cell.status) for cell in found} == {
        ("dropout", 0, "complete"),
        ("dropout", 1, "missing"),
        ("dropout (p=0.3)", 0, "missing"),
        ("dropout (p=0.3)", 1, "missing"),
    }


def test_commands_repeat_what_all_runs_were_given(make_run: Make, study: Path) -> None:
    for seed in (0, 1):
        given = ["study=demo", "model=plain", f"seed={seed}", "train.epochs=3", f"data.subset={seed + 1}"]
        make_run("plain", seed, record={"overrides": given}, study={"name": "demo"})
    found = collect(study)
    start = "python -m ablate -m study=demo train.epochs=3"
    assert typed(found, ["bn", "dropout"], [2, 0]) == [f"{start} model=bn,dropout seed=0,2"]
    assert typed(found, ["dropout (p=0.3)"], ()) == [f"{start} model=dropout model.edits.drop3.layer.p=0.3 seed=0,1"]
    assert typed(found, ["plain (lr=0.01)"], range(5)) == [f"{start} model=plain optimizer.lr=0.01 'seed=range(0,5)'"]
    assert typed(found, ["plain (optimizer=sgd)"], [0]) == [f"{start} model=plain optimizer=sgd seed=0"]
    assert typed(found, ["nobody"], [0]) == []
    assert str(default_command(found)) == "python -m ablate -m study=demo"


def test_the_default_study_need_not_be_named(make_run: Make, study: Path) -> None:
    make_run("plain", 0, study={"name": "lenet_cifar10"})
    assert str(default_command(collect(study))) == "python -m ablate -m"


def test_the_command_of_a_missing_combination(make_run: Make, study: Path) -> None:
    own = {"insert": "after", "at": "c3", "layer": {"_target_": "torch.nn.LazyBatchNorm2d"}}
    make_run("bn_dropout", 0, edits={"drop3": DROPOUT, "bn1": BN})
    make_run("mine", 0, edits={"drop3": DROPOUT, "own": own})
    found = collect(study)
    assert str(command_of_edits(found, "bn_dropout", ["bn1"])).endswith(" model=bn seed=0")
    assert str(command_of_edits(found, "bn_dropout", [])).endswith(" model=plain seed=0")
    assert str(command_of_edits(found, "mine", ["own"])).endswith(" model=mine '~model.edits.drop3' seed=0")


def test_a_stale_run_is_shown_and_counts(make_run: Make, study: Path) -> None:
    make_run("plain", 0, record={"stale": ["torch 1, now 2"]})
    make_run("plain", 1)
    assert cells(study) == {("plain", 0): "stale", ("plain", 1): "complete"}
    assert len(collect(study).runs) == 2


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a,b", ["a", "b"]),
        ("[0.9,0.99],[0.5,0.9]", ["[0.9,0.99]", "[0.5,0.9]"]),
        ("{a: 1, b: [1, 2]}, x", ["{a: 1, b: [1, 2]}", "x"]),
        ("'one, two', \"a,b\"", ["'one, two'", '"a,b"']),
        ("range(1, 4)", ["1", "2", "3"]),
        ("range(3)", ["0", "1", "2"]),
        ("choice(a, [b,c])", ["a", "[b,c]"]),
        ("-1", ["-1"]),
    ],
)
def test_the_values_of_a_sweep(text: str, values: list[str]) -> None:
    assert list(choices(text)) == values


def test_commas_split() -> None:
    assert split("p=0.3, betas=[0.9, 0.99], at='a, b'") == ["p=0.3", "betas=[0.9, 0.99]", "at='a, b'"]


@pytest.mark.parametrize(
    ("override", "values"),
    [
        ("optimizer.betas=[0.9,0.99]", {"optimizer": {"betas": [0.9, 0.99]}}),
        ("train.note='a, b'", {"train": {"note": "a, b"}}),
        ("+train.places={x: 1, y: [2, 3]}", {"train": {"places": {"x": 1, "y": [2, 3]}}}),
    ],
)
def test_the_command_of_a_missing_run_is_what_made_the_others(
    override: str, values: dict[str, dict[str, object]], make_run: Make, study: Path
) -> None:
    for seed in range(2):
        make_run("plain", seed, record={"overrides": ["study=demo", "model=plain", f"seed={seed}"]})
    make_run("plain", 0, record={"overrides": ["study=demo", "model=plain", override, "seed=0"]}, **values)
    found = collect(study)
    (missing,) = [cell for cell in completeness(found) if cell.status == "missing"]
    (command,) = typed(found, [missing.variant], [missing.seed])
    assert shlex.split(command) == ["python", "-m", "ablate", "-m", "study=trial", "model=plain", override, "seed=1"]
    timing = timing_command(found, [missing.variant])
    assert shlex.split(str(timing)) == ["ablate", "timing", "study=trial", "model=plain", override]


def test_a_sweep_over_lists(make_run: Make, study: Path, tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(
        "study: {baseline: plain}\n"
        "hydra: {sweeper: {params: {model: plain, optimizer.betas: '[0.9,0.99],[0.5,0.9]', seed: '0'}}}\n"
    )
    make_run("plain", 0, optimizer={"betas": [0.9, 0.99]})
    found = collect(study, file=file)
    assert [(cell.variant, cell.status) for cell in completeness(found)] == [
        ("plain", "complete"), ("plain (betas=[0.5,0.9])", "missing")
    ]  # fmt: skip
    (command,) = typed(found, ["plain (betas=[0.5,0.9])"], [0])
    assert "optimizer.betas=[0.5,0.9]" in shlex.split(command)


def test_there_is_no_command_for_what_another_program_runs(make_run: Make, study: Path) -> None:
    make_run("plain", 0, record={"task": "imported from csv"})
    found = collect(study)
    assert commands(found, ["plain"], [1]) == [] and default_command(found) is None
    assert timing_command(found, ["plain"]) is None and command_of_edits(found, "plain", []) is None
