import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from reading_runs import record_of
from sklearn.metrics import confusion_matrix, f1_score, recall_score

from ablate.__main__ import run_command
from ablate.records.epochs import summarise
from ablate.records.run_directory import RunDirectory
from ablate.training.metrics import Metrics

CPU = torch.device("cpu")
NAMES = "torchmetrics.classification.Multiclass"
F1 = {"_target_": f"{NAMES}F1Score", "average": None}
ALL = "metrics=[top5,f1,calibration,per_class]"


@pytest.fixture
def scores() -> tuple[torch.Tensor, torch.Tensor]:
    """Of two runs on 60 images of 7 classes."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(60, 2, 7, generator=generator), torch.randint(0, 7, (60, 2), generator=generator)


def test_metrics_are_those_of_scikit_learn(scores: tuple[torch.Tensor, torch.Tensor]) -> None:
    config = {
        "top5_accuracy": {"_target_": f"{NAMES}Accuracy", "top_k": 5, "average": "micro"},
        "f1": {"_target_": f"{NAMES}F1Score", "average": "macro"},
        "accuracy_of": {"_target_": f"{NAMES}Accuracy", "average": None},
        "calibration_error": {"_target_": f"{NAMES}CalibrationError", "n_bins": 15},
        "confusion": {"_target_": f"{NAMES}ConfusionMatrix", "normalize": "true"},
    }
    output, target = scores
    metrics = Metrics(config, ["a b", *"cdefgh"], CPU)
    for _ in range(2):  # what was counted before is forgotten
        metrics.start(2)
        for part in (slice(0, 25), slice(25, 60)):
            metrics.update(output[part], target[part])
        found = metrics.values()
    assert metrics.names == list(found[0])
    for run, row in enumerate(found):
        right, best = target[:, run].numpy(), output[:, run].argmax(1).numpy()
        top = output[:, run].topk(5).indices == target[:, run, None]
        assert row["top5_accuracy"] == pytest.approx(top.any(1).float().mean().item())
        assert row["f1"] == pytest.approx(f1_score(right, best, average="macro", zero_division=0))
        by_class = [row[f"accuracy_of_{name}"] for name in ("a_b", *"cdefgh")]
        assert by_class == pytest.approx(recall_score(right, best, average=None, zero_division=0))
        names = ("a_b", *"cdefgh")
        pairs = [[row[f"confusion_{first}_as_{second}"] for second in names] for first in names]
        assert np.array(pairs) == pytest.approx(confusion_matrix(right, best, normalize="true"))
        sure = output[:, run].softmax(1).max(1).values.numpy()
        bins = np.minimum((sure * 15).astype(int), 14)
        gaps = [abs((best == right)[bins == b].mean() - sure[bins == b].mean()) * (bins == b).mean() for b in set(bins)]
        assert row["calibration_error"] == pytest.approx(sum(gaps), abs=1e-6)


def records(folder: Path) -> list[dict[str, Any]]:
    return [record_of(path.parent) for path in sorted(folder.glob("*/run.json"))]


@pytest.mark.usefixtures("undrawn")
def test_they_are_recorded_each_epoch_and_reported(train_one: Callable[..., Path], tmp_path: Path) -> None:
    for name in ("plain", "dropout"):
        for seed in (0, 1):
            train_one(f"model={name}", f"seed={seed}", ALL, folder=f"outputs/demo/{name}/seed{seed}-0")
    folder = tmp_path / "outputs" / "demo" / "plain" / "seed0-0"
    rows = RunDirectory(folder).read_epochs()
    for row in rows:
        by_class = [row[f"test_accuracy_of_{digit}"] for digit in range(10)]
        assert np.mean(by_class) == pytest.approx(row["test_accuracy"], abs=1e-6)  # of as many images each
        assert row["test_top5_accuracy"] >= row["test_accuracy"]
    run_command(["report", str(tmp_path / "outputs" / "demo")])
    page = (tmp_path / "outputs" / "demo" / "report" / "report.md").read_text(encoding="utf-8")
    assert "Difference to the baseline on the test images of each class" in page
    assert "Difference to the baseline in test f1" in page.replace("test F1", "test f1")
    assert "dropout − plain" in page


def test_pairs_of_many_classes_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"metrics.confusion: gives values of shape \(21, 21\); one, one a class, or, of"
    ):
        print(Metrics({"confusion": {"_target_": f"{NAMES}ConfusionMatrix"}}, list(map(str, range(21))), CPU).names)


@pytest.mark.usefixtures("undrawn")
def test_confusions_are_shown_and_can_be_claimed(train_one: Callable[..., Path], tmp_path: Path) -> None:
    study = tmp_path / "outputs" / "demo"
    for seed in (0, 1):
        train_one("metrics=confusion", f"seed={seed}", folder=f"outputs/demo/plain/seed{seed}-0")
        train_one("metrics=confusion", f"seed={seed}", "model=dropout", folder=f"outputs/demo/dropout/seed{seed}-0")
    (tmp_path / "claims.yaml").write_text("""
study:
  claims:
    - {id: mixed_up, statement: It mixes up., expect: dropout > plain, metric: test_confusion_1_as_8}
""")
    run_command(["report", str(study), "--study", str(tmp_path / "claims.yaml")])
    page = (study / "report" / "report.md").read_text(encoding="utf-8").replace("\\", "")
    values = [record["results"]["test_confusion_1_as_8"]["final"] for record in records(study / "plain")]
    _, _, table = page.partition("Confusion of plain: ")
    cells = [cell.strip() for cell in table.splitlines()[5].split("|")]
    assert cells[1] == "1" and cells[10] == f"{100 * np.mean(values):.2f} %"
    assert "mixed_up" in page and "test confusion 1 as 8, after the last epoch" in page
    assert page.count("Difference to the baseline in test confusion") == 0


def test_a_metric_can_be_the_studys(train_one: Callable[..., Path]) -> None:
    train_one("metrics=f1", "study.metric=test_f1")
    with pytest.raises(ValueError, match=r"study.metric=test_f1: no such metric"):
        train_one("study.metric=test_f1", folder="other")


def test_metrics_change_neither_a_run_nor_its_identity(train_one: Callable[..., Path]) -> None:
    plain, more = (
        RunDirectory(train_one("model=dropout", *overrides, folder=str(number)))
        for number, overrides in enumerate([(), (ALL,)])
    )
    records = [record_of(directory.folder) for directory in (plain, more)]
    assert records[0]["id"] == records[1]["id"]
    assert records[0]["final_weights"] == records[1]["final_weights"]


def test_rows_of_other_metrics_go_into_one_table(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    rows = [{"epoch": 1.0, "test_accuracy": 0.5}, {"epoch": 2.0, "test_accuracy": 0.4, "test_f1": 0.3}]
    directory.write_epochs(rows)
    first, second = directory.read_epochs()
    assert math.isnan(first["test_f1"]) and second == rows[1]
    assert summarise([first, second])["test_f1"].minimum == 0.3
    assert summarise([first, second])["test_accuracy"].maximum_epoch == 1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+metrics.accuracy={_target_: torchmetrics.classification.MulticlassAccuracy}", "accuracy: choose another"),
        ("+metrics.x={_target_: os.system}", "metrics.x._target_=os.system: code of torchmetrics, ablate"),
        ("+metrics.x={_target_: torchmetrics.Nothing}", "torchmetrics has no Nothing"),
    ],
)  # fmt: skip
def test_what_is_no_metric_is_refused(override: str, message: str, train_one: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match=message):
        train_one(override)


@pytest.mark.parametrize(
    ("config", "classes", "column"),
    [
        ({"f1": F1}, ("a b", "a_b", "c"), "f1_a_b"),
        ({"f1": F1}, ("T-shirt/top", "T-shirt top", "c"), "f1_T_shirt_top"),
        ({"f1": F1, "f1_c": {**F1, "average": "macro"}}, ("a", "b", "c"), "f1_c"),
        ({"f1_c": {**F1, "average": "macro"}, "f1": F1}, ("a", "b", "c"), "f1_c"),
    ],
)
def test_two_values_of_one_name_are_refused(config: Any, classes: tuple[str, ...], column: str) -> None:
    with pytest.raises(ValueError, match=rf"two values would be called {column}; give metrics and classes names"):
        _ = Metrics(config, classes, CPU).names
