"""What is refused before work starts, and what makes a run stale."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from reading_runs import record_of

from ablate.config.identity import run_id
from ablate.config.schema import RERUN, Config
from ablate.models import variant as variant_module
from ablate.models.variant import weight_digests
from ablate.models.weight_files import files_read
from ablate.records import provenance
from ablate.records.run_directory import RunDirectory
from ablate.runs import prepare as prepare_module
from ablate.runs.job import Job
from ablate.runs.prepare import load_data, prepare
from ablate.sweeps.cohorts import plan

Compose = Callable[..., Config]
CLASSES = "model.base.num_classes=4"


def npz(folder: Path, images: int) -> str:
    rng = np.random.default_rng(0)
    labels = np.arange(images) % 4  # of four classes
    arrays = {f"{part}_images": rng.integers(0, 256, (images, 32, 32, 3), dtype=np.uint8) for part in ("train", "test")}
    path = folder / "data.npz"
    np.savez(path, **arrays, train_labels=labels, test_labels=labels)
    return f"data.path={path}"


@pytest.mark.parametrize(("images", "size"), [(100, 11), (21, 20), (9, 8), (5, 1)])
def test_a_last_batch_of_one_is_refused_under_batch_normalisation(
    images: int, size: int, compose: Compose, tmp_path: Path
) -> None:
    overrides = ("study=demo", "data=npz", npz(tmp_path, images), f"train.batch_size={size}", "hardware=cpu", CLASSES)
    message = "Expected more than 1 value per channel"
    if size > 1:
        message = rf"train.batch_size={size}: the last batch of {images} training images has 1; .*{message}"
    with pytest.raises(ValueError, match=message):
        prepare(compose(*overrides, "model=bn_c5"))
    prepare(compose(*overrides, "model=plain"))  # which normalises nothing


def test_a_size_that_is_proposed_is_one_that_works(compose: Compose, tmp_path: Path) -> None:
    data = npz(tmp_path, 100)
    with pytest.raises(ValueError, match="such as 10:"):
        prepare(compose("study=demo", "data=npz", data, "train.batch_size=11", "model=bn_c5", "hardware=cpu", CLASSES))
    prepare(compose("study=demo", "data=npz", data, "train.batch_size=10", "model=bn_c5", "hardware=cpu", CLASSES))


def pretrained(path: str, num_classes: int = 10) -> torch.nn.Module:
    """A base that takes its weights from a file."""
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, num_classes))
    model[1].load_state_dict(torch.load(path, weights_only=True))
    return model


def test_a_run_is_stale_when_the_file_of_its_weights_has_another_content(
    train_one: Callable[..., Path], quick: Compose, tmp_path: Path
) -> None:
    weights = tmp_path / "base.pt"
    torch.manual_seed(0)
    torch.save(torch.nn.Linear(3072, 10).state_dict(), weights)
    base = (
        f"model.base._target_={__name__}.pretrained", f"+model.base.path={weights}", f"allow=[{__name__}]",
        "train.epochs=1",
    )  # fmt: skip
    folder = train_one(*base)
    record = RunDirectory(folder).read_record()
    assert record is not None and list(record.model.files) == [str(weights)]
    data = load_data(quick(*base).data, 0)
    assert provenance.stale(record, data.digest, [__name__], data.normalisation) == []
    before = weights.stat()
    torch.save(torch.nn.Linear(3072, 10).state_dict(), weights)
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert weights.stat().st_size == before.st_size
    assert provenance.stale(record, data.digest, [__name__], data.normalisation) == [f"other content of {weights}"]
    first = record_of(folder)["started"]
    train_one(*base, f"rerun={RERUN[2]}")
    assert record_of(folder)["started"] > first
    weights.unlink()
    assert provenance.stale(record, data.digest, [__name__], data.normalisation) == [f"other content of {weights}"]


def test_other_means_of_the_data_make_a_run_stale(train_one: Callable[..., Path], quick: Compose) -> None:
    record = RunDirectory(train_one("train.epochs=1")).read_record()
    assert record is not None
    data = load_data(quick().data, 0)
    others = tuple(value + 0.01 for value in data.normalisation)
    assert provenance.stale(record, data.digest, (), data.normalisation) == []
    assert provenance.stale(record, data.digest, (), others) == ["other means and deviations of the data"]


def test_data_that_change_between_two_runs_of_a_process_are_read_again(compose: Compose, tmp_path: Path) -> None:
    cfg = compose("study=demo", "data=npz", npz(tmp_path, 20), "hardware=cpu").data
    before = load_data(cfg, 0)
    assert load_data(cfg, 0) is before
    npz(tmp_path, 24)
    assert len(load_data(cfg, 0).train) == 24


def test_what_is_read_is_noted_and_code_is_not(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"abc")
    with files_read() as files:
        (tmp_path / "weights.bin").read_bytes()
        (tmp_path / "log.txt").write_text("written, not read")
        Path(__file__).read_text()
    assert files == {str(tmp_path / "weights.bin"): "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}
    (tmp_path / "weights.bin").read_bytes()
    assert len(files) == 1  # nothing is noted after


@pytest.mark.parametrize(
    "setting",
    ["+train.label_smoothing=0.1", "+hardware.fast=true", "+study.published.other=1", "+model.head=2", "+lr=0.1"],
)
def test_a_setting_that_nothing_reads_is_refused(setting: str, quick: Compose) -> None:
    with pytest.raises(ValueError, match=setting.lstrip("+").partition("=")[0]):
        prepare(quick(setting))


def test_runs_of_several_seeds_may_hold_out_images_of_their_own(quick: Compose) -> None:
    fixed, own = quick("data.validation=50"), quick("data.validation=50", "data.split=seed")
    assert load_data(fixed.data, 1).digest == load_data(fixed.data, 2).digest == load_data(own.data, 0).digest
    digests = {load_data(own.data, seed).digest for seed in (0, 1, 2)}
    assert len(digests) == 3
    assert run_id(fixed) != run_id(own)
    cohorts = plan([Job(replace(own, seed=seed), None) for seed in (0, 1, 1)], 8, across_seeds=True)
    assert [[job.cfg.seed for job in cohort] for cohort in cohorts] == [[0], [1, 1]]
    assert len(plan([Job(replace(fixed, seed=seed), None) for seed in (0, 1, 1)], 8, across_seeds=True)) == 1
    with pytest.raises(ValueError, match=r"data.split=seed: no images are held out"):
        prepare(quick("data.split=seed"))


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["study.metric=test_accuracy.last9"], "a run has only train.epochs=2; take fewer"),
        (["study.metric=test_accuracy.at_best_validation"], "there are no validation images"),
        (["study.metric=test_accuracy.lats5"], "no such metric"),
        (["study.metric=train_seconds.last5"], "no such metric"),
    ],
)
def test_a_statistic_that_a_run_will_not_have_is_refused(quick: Compose, typed: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(quick("train.epochs=2", *typed))
    prepare(quick("train.epochs=5", "study.metric=test_accuracy.last5"))


@pytest.mark.parametrize("option", ["plain", "bn_dropout"])
def test_a_variant_that_was_proved_with_another_seed_is_the_one_that_would_be_proved(
    option: str, quick: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare_module, "_proved", {})
    proved = prepare(quick(f"model={option}", "seed=4"))
    monkeypatch.setattr(prepare_module, "_proved", {})
    prepare(quick(f"model={option}", "seed=3"))
    monkeypatch.setattr(variant_module, "run_both", None)  # by which variants are proved
    again = prepare(quick(f"model={option}", "seed=4"))
    assert again.variant.record == proved.variant.record and proved.variant.record.rewrites
    assert weight_digests(again.variant.model) == weight_digests(proved.variant.model)
    assert str(again.variant.model) == str(proved.variant.model)
    with pytest.raises(TypeError):
        prepare(quick(f"model={option}", "seed=4", "train.batch_size=16"))
