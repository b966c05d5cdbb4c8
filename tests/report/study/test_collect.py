import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ablate.report.study.collect import collect, find_studies

Make = Callable[..., Path]


def dropout(p: float) -> dict[str, object]:
    return {"insert": "after", "at": "relu3", "layer": {"_target_": "torch.nn.Dropout2d", "p": p}}


def test_runs_are_read_baseline_first(make_run: Make, study: Path) -> None:
    make_run("bn", 1, edits={"bn1": {}})
    make_run("both", 0, edits={"bn1": {}, "drop3": {}})
    make_run("plain", 1)
    make_run("plain", 0)
    make_run("bn", 0, edits={"bn1": {}})
    found = collect(study)
    assert found.labels == ["plain", "bn", "both"]
    assert found.values("plain", "test_accuracy").to_dict() == {0: 0.6, 1: 0.6}
    assert len(found.epochs) == 5 * 3
    assert found.epochs.query("variant == 'plain' and seed == 1")["test_accuracy"].tolist() == [0.5, 0.7, 0.6]


def test_runs_of_other_hyperparameters_are_other_variants(make_run: Make, study: Path) -> None:
    make_run("plain", 0)
    make_run("plain", 0, optimizer={"lr": 0.01}, record={"overrides": ["model=plain", "optimizer.lr=0.01"]})
    make_run("dropout", 0, edits={"drop3": dropout(0.5)})
    for_p = ["model=dropout", "model.edits.drop3.layer.p=0.3"]
    make_run("dropout", 1, edits={"drop3": dropout(0.3)}, record={"overrides": for_p})
    make_run("bn", 0, edits={"bn1": {}})
    assert collect(study).labels == ["plain", "plain (lr=0.01)", "bn", "dropout", "dropout (p=0.3)"]


def test_what_changes_no_result_makes_no_other_variant(make_run: Make, study: Path) -> None:
    make_run("plain", 0)
    make_run("plain", 1, hardware={"threads": 1}, data={"root": "elsewhere"})
    assert collect(study).labels == ["plain"]


def test_runs_of_other_data_or_precision_are_never_averaged(make_run: Make, study: Path) -> None:
    make_run("plain", 0)
    make_run("plain", 1, hardware={"precision": "bf16"})
    make_run("plain", 2, data={"name": "cifar10"})
    assert len(collect(study).labels) == 3


def test_what_is_not_complete_is_named(make_run: Make, study: Path) -> None:
    make_run("plain", 0)
    make_run("plain", 1, status="running")
    make_run("plain", 2, status="failed", record={"error": {"message": "No space left\nin detail"}})
    found = collect(study)
    assert len(found.records) == 1
    assert [(cell.variant, cell.seed, cell.status, cell.why) for cell in found.unfinished.values()] == [
        ("plain", 1, "running", "running"),
        ("plain", 2, "failed", "failed: No space left"),
    ]


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("run.json", "{", "run.json is not JSON"),
        ("run.json", "[]", "run.json is not a run's record"),
        ("run.json", '{"format": 1, "status": "complete"}', "run.json has no usable id"),
        ("epochs.csv", "", "epochs.csv has 0 of"),
        ("epochs.csv", "epoch,test_accuracy\n1,x\n", "epochs.csv is not a table of numbers"),
        ("epochs.csv", "epoch\n1\n2\n3\n", "epochs.csv has no usable train_loss"),
        (
            "epochs.csv",
            "epoch,train_loss,test_loss,test_accuracy\n" + "1,1,1,nan\n" * 3,
            "epochs.csv has no usable test_accuracy",
        ),
    ],
)
def test_a_broken_run_is_named_and_left_out(
    file: str, content: str, complaint: str, make_run: Make, study: Path
) -> None:
    make_run("plain", 0)
    (make_run("plain", 1) / file).write_text(content)
    found = collect(study)
    assert len(found.records) == 1
    (why,) = found.broken.values()
    assert complaint in why


def test_every_part_of_a_record_that_the_report_needs_is_checked(make_run: Make, study: Path) -> None:
    make_run("plain", 0)
    file = make_run("plain", 1) / "run.json"
    record = json.loads(file.read_text())
    for part in ("variant", "seed", "started", "config", "model", "data", "pairing", "provenance", "results", "times"):
        for content in ({key: value for key, value in record.items() if key != part}, {**record, part: []}):
            file.write_text(json.dumps(content))
            (why,) = collect(study).broken.values()
            assert f"run.json has no usable {part}" in why


def test_a_study_without_a_complete_run_is_refused(make_run: Make, study: Path) -> None:
    make_run("plain", 0, status="failed", record={"error": {"message": "No space left"}})
    with pytest.raises(ValueError, match=r"no run is complete \(plain/.*: failed: No space left\)"):
        collect(study)


def test_studies_are_found_at_and_below_a_folder(make_run: Make, study: Path) -> None:
    make_run("plain", 0)
    assert find_studies(study) == find_studies(study.parent) == [study]
    with pytest.raises(ValueError, match="no such folder"):
        find_studies(study / "nowhere")
    (study / "empty").mkdir()
    with pytest.raises(ValueError, match="there are no runs in it"):
        find_studies(study / "empty")
