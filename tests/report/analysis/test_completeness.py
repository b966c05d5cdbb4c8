"""Which runs a study should have, and the commands for the others."""

from collections.abc import Callable
from pathlib import Path

from ablate.report.analysis.completeness import command_of_edits, commands, completeness, default_command
from ablate.report.study.collect import collect

Make = Callable[..., Path]
DROPOUT = {"insert": "after", "at": "relu3", "layer": {"_target_": "torch.nn.Dropout2d", "p": 0.5}}
BN = {"insert": "after", "at": "c1", "layer": {"_target_": "torch.nn.LazyBatchNorm2d"}}


def cells(study: Path) -> dict[tuple[str, int], str]:
    return {(cell.variant, cell.seed): cell.status for cell in completeness(collect(study))}


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
    assert commands(found, ["bn", "dropout"], [2, 0]) == [f"{start} model=bn,dropout seed=0,2"]
    assert commands(found, ["dropout (p=0.3)"], ()) == [f"{start} model=dropout model.edits.drop3.layer.p=0.3 seed=0,1"]
    assert commands(found, ["plain (lr=0.01)"], range(5)) == [
        f"{start} model=plain optimizer.lr=0.01 'seed=range(0,5)'"
    ]
    assert commands(found, ["plain (optimizer=sgd)"], [0]) == [f"{start} model=plain optimizer=sgd seed=0"]
    assert commands(found, ["nobody"], [0]) == []
    assert default_command(found) == "python -m ablate -m study=demo"


def test_the_default_study_need_not_be_named(make_run: Make, study: Path) -> None:
    make_run("plain", 0, study={"name": "lenet_cifar10"})
    assert default_command(collect(study)) == "python -m ablate -m"


def test_the_command_of_a_missing_combination(make_run: Make, study: Path) -> None:
    own = {"insert": "after", "at": "c3", "layer": {"_target_": "torch.nn.LazyBatchNorm2d"}}
    make_run("bn_dropout", 0, edits={"drop3": DROPOUT, "bn1": BN})
    make_run("mine", 0, edits={"drop3": DROPOUT, "own": own})
    found = collect(study)
    assert command_of_edits(found, "bn_dropout", ["bn1"]).endswith(" model=bn seed=0")
    assert command_of_edits(found, "bn_dropout", []).endswith(" model=plain seed=0")
    assert command_of_edits(found, "mine", ["own"]).endswith(" model=mine '~model.edits.drop3' seed=0")


def test_a_stale_run_is_shown_and_counts(make_run: Make, study: Path) -> None:
    make_run("plain", 0, record={"stale": ["torch 1, now 2"]})
    make_run("plain", 1)
    assert cells(study) == {("plain", 0): "stale", ("plain", 1): "complete"}
    assert len(collect(study).runs) == 2
