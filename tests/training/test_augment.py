from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from by_hand import loop, trained
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torchvision.transforms import v2

from ablate.config.identity import run_id
from ablate.config.schema import Config
from ablate.runs.job import Job
from ablate.runs.prepare import assemble, prepare
from ablate.seeding import global_stream
from ablate.sweeps.cohorts import plan
from ablate.training.augment import Augment
from ablate.training.loop import fit

Compose = Callable[..., Config]
V2 = "torchvision.transforms.v2"
IMAGES = torch.randint(0, 256, (6, 8, 8, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
LABELS = torch.arange(6) % 3
ERASING = {"erasing": {"_target_": f"{V2}.RandomErasing", "p": 0.7}}
CUTMIX = {"cutmix": {"_target_": f"{V2}.CutMix"}}


def by_hand(transform: v2.Transform, name: str, seed: int, epoch: int, batch: int) -> tuple[Tensor, Tensor]:
    with global_stream(seed, f"augment/{name}/{batch}", epoch):
        pixels, labels = transform(IMAGES.permute(0, 3, 1, 2) / 255, LABELS)
    return pixels.permute(0, 2, 3, 1) * 255, labels


@pytest.mark.parametrize("batch", range(3))
def test_batches_are_those_that_torchvision_makes(batch: int) -> None:
    for config, transform in ((ERASING, v2.RandomErasing(p=0.7)), (CUTMIX, v2.CutMix(num_classes=3))):
        (name,) = config
        found, expected = Augment(config, 3)(IMAGES, LABELS, 5, 2, batch), by_hand(transform, name, 5, 2, batch)
        assert all(map(torch.equal, found, expected))
    one, other, next_epoch = (Augment(CUTMIX, 3)(IMAGES, LABELS, *at)[0] for at in ((5, 2, 0), (6, 2, 0), (5, 3, 0)))
    assert not torch.equal(one, other) and not torch.equal(one, next_epoch)


def test_a_transform_draws_what_it_drew_without_the_others() -> None:
    draws_and_does_nothing = {"jitter": {"_target_": f"{V2}.ColorJitter", "brightness": [1.0, 1.0]}}
    alone, second = Augment(CUTMIX, 3), Augment({**draws_and_does_nothing, **CUTMIX}, 3)
    for batch in range(3):
        (pixels, labels), (others, shares) = (each(IMAGES, LABELS, 0, 0, batch) for each in (alone, second))
        torch.testing.assert_close(pixels, others)
        assert torch.equal(labels, shares)


def test_a_run_with_mixed_labels_is_trained_as_by_hand(quick: Compose) -> None:
    cfg = quick("data.subset=10", "optimizer=sgd", "augment=[erasing,mixup]")
    transforms = {"erasing": v2.RandomErasing(p=0.5), "mixup": v2.MixUp(alpha=0.2, num_classes=10)}
    right = [0.0, 0.0]

    def change(images: Tensor, labels: Tensor, epoch: int, number: int) -> tuple[Tensor, Tensor]:
        pixels = images.permute(0, 3, 1, 2) / 255
        for name, transform in transforms.items():
            with global_stream(cfg.seed, f"augment/{name}/{number}", epoch):
                pixels, labels = transform(pixels, labels)
        return pixels.permute(0, 2, 3, 1) * 255, labels

    def step(model: nn.Module, optimizer: Optimizer, images: Tensor, shares: Tensor) -> None:
        optimizer.zero_grad()
        scores = model(images)
        loss = -(functional.log_softmax(scores, 1) * shares).sum(1).mean()
        loss.backward()
        optimizer.step()
        right[0] += int((scores.argmax(1) == shares.argmax(1)).sum()) / 200
        right[1] += loss.item() * len(images) / 200

    expected, _ = list(loop(cfg, step, change))[-1]
    model, rows = trained(cfg)
    for one, other in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert sum(row["train_accuracy"] for row in rows) / 2 == pytest.approx(right[0])
    assert sum(row["train_loss"] for row in rows) / 2 == pytest.approx(right[1], rel=1e-5)


def test_seeds_of_a_cohort_have_batches_of_their_own(quick: Compose, tmp_path: Path) -> None:
    cfgs = [quick("data.subset=10", "train.epochs=1", "augment=cutmix", f"seed={seed}") for seed in (0, 1)]
    runs = [prepare(cfg, rewrite=False) for cfg in cfgs]
    (rows,) = fit(assemble(cfgs[0], runs, [0, 1]), range(1), lambda: None)
    for cfg, row in zip(cfgs, rows, strict=True):
        _, (alone,) = trained(cfg)
        assert row["train_loss"] == pytest.approx(alone["train_loss"], rel=1e-4)
        assert row["train_accuracy"] == alone["train_accuracy"]
    jobs = [Job(cfg, tmp_path) for cfg in (*cfgs, quick("data.subset=10", "train.epochs=1", "augment=none"))]
    assert plan(jobs, 8, across_seeds=True) == [jobs[:2], jobs[2:]]


def test_transforms_are_made_in_the_order_that_is_typed(quick: Compose) -> None:
    one, other = quick("augment=[erasing,cutmix]"), quick("augment=[cutmix,erasing]")
    assert (list(one.augment), list(other.augment)) == (["erasing", "cutmix"], ["cutmix", "erasing"])
    assert run_id(one) != run_id(other)
    assert run_id(quick("augment=[erasing,cutmix]", "~augment.cutmix")) == run_id(quick("augment=erasing"))


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["+augment.x=3"], "augment.x=3: must be a mapping with a _target_"),
        ([f"+augment.x={{_target_: {V2}.RandomErasin}}"], "has no RandomErasin; did you mean"),
        ([f"+augment.x={{_target_: {V2}.Resize, size: 9}}"], r"augment.x: gives \(3, 9, 9\)"),
        ([f"+augment.x={{_target_: {V2}.ToPILImage}}"], "augment.x: does not take a batch"),
        ([f"+augment.x={{_target_: {V2}._utils.query_size}}"], "augment.x._target_=.* is allowed here"),
        (["augment=mixup", "loss=margin"], "loss: cannot be computed of the model's scores and the labels"),
    ],
)  # fmt: skip
def test_what_is_no_augmentation_of_batches_is_refused(typed: list[str], message: str, quick: Compose) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(quick(*typed))
