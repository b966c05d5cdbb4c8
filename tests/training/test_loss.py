from collections.abc import Callable

import pytest
import torch
from by_hand import loop, trained
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from ablate.config.identity import run_id
from ablate.config.schema import Config
from ablate.models import lenet
from ablate.runs.prepare import assemble, prepare
from ablate.seeding import CPU
from ablate.training.loop import fit
from ablate.training.loss import build_loss

Compose = Callable[..., Config]
SCORES = torch.tensor([[2.0, -1.0, 0.5], [0.0, 1.0, 3.0]])
LABELS = torch.tensor([0, 1])


def targets(scores: Tensor, labels: Tensor) -> Tensor:
    return functional.one_hot(labels, scores.shape[1]).float()


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["loss.label_smoothing=0.1"], lambda s, y: functional.cross_entropy(s, y, label_smoothing=0.1)),
        (["loss=margin"], functional.multi_margin_loss),
        (["loss=mse"], lambda s, y: functional.mse_loss(s, targets(s, y))),
        (["loss=bce"], lambda s, y: functional.binary_cross_entropy_with_logits(s, targets(s, y))),
        (["loss._target_=torch.nn.HuberLoss", "+loss.delta=0.5"],
         lambda s, y: functional.huber_loss(s, targets(s, y), delta=0.5)),
    ],
)  # fmt: skip
def test_a_run_is_trained_with_torchs_loss(
    typed: list[str], expected: Callable[[Tensor, Tensor], Tensor], quick: Compose
) -> None:
    cfg = quick("train.epochs=1", *typed)

    def step(model: nn.Module, optimizer: Optimizer, images: Tensor, labels: Tensor) -> None:
        optimizer.zero_grad()
        expected(model(images), labels).backward()
        optimizer.step()

    ((by_hand, _),) = loop(cfg, step)
    model, (row,) = trained(cfg)
    for one, other in zip(model.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    plain, (before,) = trained(quick("train.epochs=1"))
    assert row["train_loss"] != before["train_loss"]
    assert not all(map(torch.equal, model.parameters(), plain.parameters()))


def test_losses_by_hand() -> None:
    def loss(**config: object) -> float:
        made = build_loss(config, CPU)
        assert made is not None
        return made(SCORES[:, None], LABELS[:, None]).item()

    each = [-functional.log_softmax(scores, 0)[label].item() for scores, label in zip(SCORES, LABELS, strict=True)]
    assert loss(_target_="torch.nn.CrossEntropyLoss") == pytest.approx(sum(each) / 2)
    # The mean that is weighted by the weights of the images' classes.
    assert loss(weight=[3.0, 1.0, 1.0]) == pytest.approx((3 * each[0] + each[1]) / 4)
    squares = [(2 - 1) ** 2, 1, 0.25, 0, (1 - 1) ** 2, 9]
    assert loss(_target_="torch.nn.MSELoss") == pytest.approx(sum(squares) / 6)
    assert build_loss({"_target_": None, "label_smoothing": None}, CPU) is None


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("loss.label_smoothing=2", "loss: cannot be computed .*label_smoothing"),
        ("+loss.smoothing=0.1", "loss.smoothing: CrossEntropyLoss has no such argument; did you mean"),
        ("loss._target_=torch.nn.CTCLoss", "loss._target_=torch.nn.CTCLoss: is no loss of class scores; torch.nn has"),
        ("loss._target_=torch.nn.BCELoss", "loss: cannot be computed of the model's scores and the labels: .*0 and 1"),
        ("loss._target_=torch.nn.ReLU", "loss._target_=torch.nn.ReLU: code of torch.nn is allowed here, if it makes a"),
        ("+loss.reduction=sum", "loss.reduction=sum: a run's loss is the mean of a batch"),
        ("+loss.weight=[1,2]", "loss: cannot be computed .*weight"),
    ],
)
def test_what_is_no_loss_of_a_run_is_refused(typed: str, message: str, quick: Compose) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(quick(typed))


def test_gradients_are_clipped_as_torch_clips_them(quick: Compose) -> None:
    cfg = quick("optimizer=sgd", "train.clip_norm=0.25")
    norms: list[float] = []

    def step(model: nn.Module, optimizer: Optimizer, images: Tensor, labels: Tensor) -> None:
        optimizer.zero_grad()
        functional.cross_entropy(model(images), labels).backward()
        norm = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).norm()
        norms.append(norm.item())
        if norm > 0.25:
            for parameter in model.parameters():
                assert parameter.grad is not None
                parameter.grad.mul_(0.25 / norm)
        optimizer.step()

    by_hand, _ = list(loop(cfg, step))[-1]
    assert min(norms) < 0.25 < max(norms)
    model, _ = trained(cfg)
    for one, other in zip(model.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_the_runs_of_a_cohort_have_losses_and_norms_of_their_own(quick: Compose) -> None:
    settings: list[list[str]] = [[], ["loss=label_smoothing"], ["loss=mse"], ["train.clip_norm=0.01"]]
    cfgs = [quick("train.epochs=1", "optimizer=sgd", *typed) for typed in settings]
    runs = [prepare(cfg, rewrite=False) for cfg in cfgs]
    ((*rows,),) = fit(assemble(cfgs[0], runs, [0] * len(cfgs)), range(1), lambda: None)
    for cfg, run, row in zip(cfgs, runs, rows, strict=True):
        model, (alone,) = trained(cfg)
        assert row["train_loss"] == pytest.approx(alone["train_loss"], rel=1e-4)
        for one, other in zip(run.trainee.model.parameters(), model.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)
    assert len({row["train_loss"] for row in rows}) == len({run_id(cfg) for cfg in cfgs}) == 4


def test_a_loss_of_ones_own_package_takes_labels() -> None:
    config = {"_target_": f"{__name__}.Right", "scale": 2.0}
    loss = build_loss(config, CPU)
    assert loss is not None
    assert loss(SCORES[:, None], LABELS[:, None]).item() == -2 * (2.0 + 1.0)


class Right(nn.Module):
    """Minus the sum of the right classes' scores."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        return -self.scale * scores.gather(1, labels[:, None]).sum()


def test_lenets_scores_may_lose_their_softmax(quick: Compose) -> None:
    """Whoever trains with another loss than cross-entropy takes it away by an edit."""
    assert isinstance(lenet.lenet5()[-1], nn.LogSoftmax)
    prepare(quick("loss=mse", "+model.edits.scores={remove: sig7}"))
