"""What the names of metrics say, and how values are shown."""

import math

import pytest

from ablate.report.study.metrics import metric


def test_a_name_is_read_once_into_its_parts() -> None:
    accuracy = metric("test_accuracy.maximum")
    assert (accuracy.split, accuracy.quantity, accuracy.statistic) == ("test", "accuracy", "maximum")
    assert accuracy.label == "test accuracy, highest of all epochs" and not accuracy.is_of_test
    of_class = metric("test_accuracy_of_blue_cat")
    assert (of_class.quantity, of_class.of_class, of_class.taken_for) == ("accuracy", "blue_cat", "")
    pair = metric("test_confusion_cat_as_dog")
    assert (pair.quantity, pair.of_class, pair.taken_for, pair.kind) == ("confusion", "cat", "dog", "share")
    assert metric("test_f1").is_of_test and metric("test_f1").kind == "number"
    assert metric("hours").split == ""


@pytest.mark.parametrize(
    ("name", "higher"),
    [
        ("test_accuracy", True), ("validation_top5_accuracy", True), ("test_accuracy_of_cat", True),
        ("test_loss", False), ("train_seconds", False), ("energy", False), ("rmse", False), ("test_f1", True),
        ("test_confusion_cat_as_dog", None), ("hours", None), ("val_acc_best", True), ("eval_error_rate", False),
        ("loss_scale", None), ("accuracy_loss", None), ("F1Score", True), ("validation_calibration_error", False),
    ],
)  # fmt: skip
def test_whether_more_is_better(name: str, higher: bool | None) -> None:
    assert metric(name).higher_is_better is higher


@pytest.mark.parametrize("name", ["test_accuracy", "test_loss", "rmse", "total_seconds", "peak_memory", "energy"])
@pytest.mark.parametrize("value", [-1e-9, -0.0, -0.884, -3.0, 1e-9, 12.0])
def test_one_sign_for_minus_and_none_before_a_zero(name: str, value: float) -> None:
    kind = metric(name)
    for shown in (kind.show(value), kind.show_difference(value), kind.show_interval(value, 0.5)):
        assert "-" not in shown
        for part in shown.split(" "):
            assert not (part.startswith("−") and float(part[1:].replace("−", "-")) == 0), shown


def test_examples() -> None:
    assert metric("test_accuracy").show(-0.884) == "−88.40 %"
    assert metric("test_accuracy").show_difference(-0.00004) == "+0.00 pp"
    assert metric("test_accuracy").show_interval(-0.02, 0.01) == "−2.00 to +1.00 pp"
    assert metric("test_loss").show(math.nan) == "–"


@pytest.mark.parametrize(
    ("name", "said", "label", "shown", "difference", "higher"),
    [
        ("test_miou", {"better": "higher", "unit": "%", "label": "mIoU"}, "mIoU", "61.20 %", "+1.50 pp", True),
        ("err", {"better": "lower", "unit": "mm", "label": ""}, "err", "0.612 mm", "+0.015 mm", False),
        ("test_accuracy.last5", {"better": None, "unit": "", "label": "top 1"}, "top 1, mean of the last 5 epochs",
         "61.20 %", "+1.50 pp", True),
        ("score.best", {"better": "lower", "unit": "", "label": "S"}, "S, at its best epoch", "0.612", "+0.015", False),
    ],
)  # fmt: skip
def test_what_a_study_declares_of_a_metric(
    name: str, said: dict[str, str], label: str, shown: str, difference: str, higher: bool
) -> None:
    kind = metric(name, {name.partition(".")[0]: said})
    assert (kind.label, kind.show(0.612), kind.show_difference(0.015)) == (label, shown, difference)
    assert kind.higher_is_better is higher
    number = difference.partition(" ")[0]
    assert kind.show_interval(-0.015, 0.015) == f"{number.replace('+', '−')} to {difference}"
