import hashlib
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from reading_runs import equal, record_of, results_of, weights_of

from ablate.config.schema import Config
from ablate.data.batches import Normalise
from ablate.records.run_directory import RunDirectory, RunFailed
from ablate.runs import recorder
from ablate.runs.job import Job
from ablate.runs.prepare import prepare
from ablate.runs.progress import Progress
from ablate.runs.run import run


def test_a_run_is_recorded(train_one: Callable[..., Path]) -> None:
    folder = train_one("model=bn_dropout", "seed=3", "data.validation=40")
    record, rows = record_of(folder), RunDirectory(folder).read_epochs()
    assert (record["status"], record["variant"], record["seed"], record["study"]) == (
        "complete",
        "bn_dropout",
        3,
        "demo",
    )
    assert [row["epoch"] for row in rows] == [1, 2]
    assert list(rows[0]) == [
        "epoch", "lr", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy",
        "test_loss", "test_accuracy", "train_seconds", "eval_seconds", "data_seconds", "images_per_second",
    ]  # fmt: skip
    assert record["results"]["test_accuracy"]["final"] == rows[-1]["test_accuracy"]
    assert record["times"]["train_seconds"] == pytest.approx(sum(row["train_seconds"] for row in rows))
    assert record["data"]["images"] == {"train": 260, "validation": 40, "test": 300}
    layers = {name.partition(".")[0] for name in record["pairing"]["initial_weights"]}
    assert layers == {"c1", "bn1", "c3", "c5", "f6", "f7"}
    assert record["model"]["after"]["parameters"] == sum(
        tensor.numel() for name, tensor in weights_of(folder).items() if "running" not in name and "num_" not in name
    )
    assert record["config"]["train"].items() >= {"epochs": 2, "batch_size": 64, "max_retries": 0}.items()
    assert record["provenance"]["packages"]["torch"] == torch.__version__.split("+")[0]
    assert record["started"] < record["ended"]


def test_the_metric_is_what_the_study_names(quick: Callable[..., Config], tmp_path: Path) -> None:
    metrics = {}
    for name in ("test_accuracy", "train_loss", "total_seconds"):
        metrics[name] = run(Job(quick(f"study.metric={name}"), tmp_path), Progress())
    record = record_of(tmp_path)
    assert metrics["test_accuracy"] == record["results"]["test_accuracy"]["final"]
    assert metrics["train_loss"] == record["results"]["train_loss"]["final"]
    assert metrics["total_seconds"] == record["times"]["total_seconds"]


def test_variants_of_a_seed_are_paired(train_one: Callable[..., Path]) -> None:
    plain, edited = (record_of(train_one(f"model={name}", folder=name)) for name in ("plain", "bn_dropout"))
    other_seed = record_of(train_one("seed=1", folder="other"))
    shared = plain["pairing"]["initial_weights"]
    assert shared.items() <= edited["pairing"]["initial_weights"].items()
    assert plain["pairing"]["first_epoch_order"] == edited["pairing"]["first_epoch_order"]
    assert plain["data"] == edited["data"] == other_seed["data"]
    assert plain["pairing"]["first_epoch_order"] != other_seed["pairing"]["first_epoch_order"]
    assert not shared.items() & other_seed["pairing"]["initial_weights"].items()


def test_every_batch_of_a_variant_is_that_of_the_others(
    quick: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    normalise = Normalise

    class Spy(normalise):  # type: ignore[misc, valid-type]
        def __call__(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(hashlib.sha256(images.numpy().tobytes()).hexdigest())
            return super().__call__(images)  # type: ignore[no-any-return]

    monkeypatch.setattr("ablate.runs.prepare.Normalise", Spy)
    batches = {}
    for model in ("plain", "dropout", "bn_dropout"):
        seen.clear()
        (tmp_path / model).mkdir()
        run(Job(quick(f"model={model}"), tmp_path / model), Progress())
        batches[model] = seen[:]
    assert len(set(batches["plain"])) > 8
    assert batches["plain"] == batches["dropout"] == batches["bn_dropout"]


def test_a_run_repeats_bit_for_bit(train_one: Callable[..., Path]) -> None:
    one = train_one("model=dropout", folder="one")
    torch.rand(13)
    train_one("model=plain", folder="between")
    other = train_one("model=dropout", folder="other")
    assert results_of(one) == results_of(other)
    assert equal(weights_of(one), weights_of(other))


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("model=bn_dropout", "scheduler=one_cycle"),
        ("optimizer=sgd", "scheduler=cosine", "augment=[jitter,mixup]", "train.ema_decay=0.9"),
        ("model=bn_dropout", "augment=erasing", "loss=label_smoothing", "train.clip_norm=1", "train.swa_from=2"),
    ],
)
def test_a_resumed_run_equals_an_uninterrupted_one(
    options: tuple[str, ...], train_one: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("train.epochs=4", *options)
    whole = train_one(*options, folder="whole")
    save = recorder.save_checkpoint

    def save_twice(state: Any, directory: RunDirectory, rows: Any) -> None:
        if len(rows) == 3:
            raise KeyboardInterrupt
        save(state, directory, rows)

    with monkeypatch.context() as patch:
        patch.setattr(recorder, "save_checkpoint", save_twice)
        with pytest.raises(KeyboardInterrupt):
            train_one(*options, folder="resumed")
    resumed = whole.with_name("resumed")
    assert record_of(resumed)["status"] == "interrupted"
    first_epoch = RunDirectory(resumed).read_epochs()[0]
    train_one(*options, folder="resumed")
    assert record_of(resumed)["status"] == "complete"
    assert RunDirectory(resumed).read_epochs()[0] == first_epoch  # its times too: it was not trained again
    assert results_of(resumed) == results_of(whole)
    assert equal(weights_of(resumed), weights_of(whole))
    assert record_of(resumed)["final_weights"] == record_of(whole)["final_weights"]


def test_a_complete_run_is_left_alone(train_one: Callable[..., Path], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    folder = train_one()
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    train_one()
    assert before == {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert "is complete already" in caplog.text


def test_a_torn_record_is_written_anew(train_one: Callable[..., Path], caplog: pytest.LogCaptureFixture) -> None:
    folder = train_one()
    RunDirectory(folder).record_file.write_text('{"format": 1, "sta')
    train_one()
    assert record_of(folder)["status"] == "complete"
    assert "run.json is not JSON" in caplog.text and "the run is restarted" in caplog.text


def test_a_run_that_raises_is_recorded_with_its_traceback(
    train_one: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: object) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(recorder, "save_checkpoint", fail)
        with pytest.raises(RunFailed, match=r"plain seed 0 failed: No space left on device\nIts log is .*train\.log"):
            train_one()
    record = record_of(tmp_path / "run")
    assert record["status"] == "failed"
    assert (record["error"]["type"], record["error"]["message"]) == ("OSError", "No space left on device")
    assert "in fail" in record["error"]["traceback"]
    assert "in fail" in caplog.text
    train_one()
    assert record_of(tmp_path / "run")["status"] == "complete"


def test_a_loss_that_is_not_finite_is_a_divergence(train_one: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"the loss is not finite after epoch 1; a smaller optimizer.lr may help"):
        train_one("optimizer=sgd", "optimizer.lr=1e30")
    assert record_of(tmp_path / "run")["status"] == "diverged"
    assert not math.isfinite(RunDirectory(tmp_path / "run").read_epochs()[0]["train_loss"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.batch_size=301"], "train.batch_size=301: there are only 300 training images"),
        (["data.subset=1000"], "data.subset=1000: digits has only 141"),
        (["data.validation=300"], "data.validation=300: digits has 300 training images"),
        (["study.metric=test_acuracy"], "did you mean test_accuracy"),
        (["study.metric=validation_loss"], "no such metric"),
        (["optimizer.betas=[0.9]"], "optimizer.betas"),
        (["data._target_=ablate.data.digts.load"], "ablate.data has no digts; did you mean digits"),
    ],
)
def test_what_does_not_fit_the_data_is_refused(
    overrides: list[str], message: str, quick: Callable[..., Config]
) -> None:
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        prepare(quick(*overrides))


@pytest.mark.cifar10
def test_an_epoch_on_real_cifar10(compose: Callable[..., Config], tmp_path: Path, real_cifar10: object) -> None:
    """The bounds hold the 0.416 of an independent script with room for other seeds of its shuffle."""
    accuracy = run(Job(compose("train.epochs=1", "hardware=cpu"), tmp_path), Progress())
    assert 0.39 <= accuracy <= 0.46
    record = record_of(tmp_path)
    assert record["data"]["images"] == {"train": 50000, "test": 10000}
