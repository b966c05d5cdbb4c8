"""Averages of weights, against sums made by hand."""

from collections.abc import Callable

import pytest
import torch
from by_hand import loop, trained
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from ablate.config.schema import Config
from ablate.runs.prepare import assemble, prepare
from ablate.training.loop import Training, fit
from ablate.training.stopwatch import Stopwatch

Compose = Callable[..., Config]
Weights = dict[str, Tensor]


@pytest.fixture
def short(quick: Compose) -> Compose:
    """Composes a run with batch norm of three epochs of two batches."""
    return lambda *typed: quick("model=bn", "data.subset=10", "train.epochs=3", "optimizer=sgd", *typed)


def weights(model: nn.Module) -> Weights:
    return {name: value.clone() for name, value in model.state_dict().items() if value.is_floating_point()}


def loss_of_test(model: nn.Module, state: Weights, training: Training) -> float:
    """The cross-entropy of the test images under other weights than a model's own."""
    own = weights(model)
    model.load_state_dict(state, strict=False)
    model.eval()
    images, labels = zip(*training.evaluated["test"], strict=True)
    with torch.no_grad():
        scores = torch.cat([model(training.step.normalise(part)) for part in images])
    model.load_state_dict(own, strict=False)
    return functional.cross_entropy(scores, torch.cat(labels)).item()


def plain_step(model: nn.Module, optimizer: Optimizer, images: Tensor, labels: Tensor) -> None:
    optimizer.zero_grad()
    functional.cross_entropy(model(images), labels).backward()
    optimizer.step()


def test_a_moving_average_is_what_is_evaluated(short: Compose) -> None:
    cfg = short("train.ema_decay=0.7")
    mean: Weights = {}

    def step(model: nn.Module, optimizer: Optimizer, images: Tensor, labels: Tensor) -> None:
        plain_step(model, optimizer, images, labels)
        for name, value in weights(model).items():
            mean[name] = value if name not in mean else 0.7 * mean[name] + 0.3 * value

    expected = [loss_of_test(model, mean, training) for model, training in loop(cfg, step)]
    model, rows = trained(cfg)
    assert [row["test_loss"] for row in rows] == pytest.approx(expected, rel=1e-5)
    without, plain = trained(short())
    assert all(map(torch.equal, model.state_dict().values(), without.state_dict().values()))
    assert [row["train_loss"] for row in rows] == [row["train_loss"] for row in plain]
    assert [row["test_loss"] for row in rows] != [row["test_loss"] for row in plain]


def test_a_mean_of_epochs_measures_its_batch_norm_anew(short: Compose) -> None:
    cfg = short("train.swa_from=2")
    kept: list[Weights] = []
    expected = []
    for epoch, (model, training) in enumerate(loop(cfg, plain_step)):
        if epoch == 0:
            expected.append(loss_of_test(model, weights(model), training))
            continue
        kept.append(weights(model))
        mean = {name: sum(each[name] for each in kept) / len(kept) for name in kept[0]}
        images = training.batches[0].epoch(epoch)[0].split(cfg.train.batch_size)  # type: ignore[union-attr]
        with torch.no_grad():
            weight, bias = mean["c1.weight"], mean["c1.bias"]
            outputs = [functional.conv2d(training.step.normalise(part), weight, bias) for part in images]
        mean["bn1.running_mean"] = torch.stack([part.mean((0, 2, 3)) for part in outputs]).mean(0)
        mean["bn1.running_var"] = torch.stack([part.var((0, 2, 3)) for part in outputs]).mean(0)
        expected.append(loss_of_test(model, mean, training))
    model, rows = trained(cfg)
    assert [row["test_loss"] for row in rows] == pytest.approx(expected, rel=1e-5)
    without, _ = trained(short())
    assert all(map(torch.equal, model.state_dict().values(), without.state_dict().values()))


def test_the_runs_of_a_cohort_have_averages_of_their_own(short: Compose) -> None:
    cfgs = [short(*typed) for typed in ([], ["train.swa_from=2"], ["train.ema_decay=0.7"], ["train.swa_from=3"])]
    runs = [prepare(cfg, rewrite=False) for cfg in cfgs]
    together = list(fit(assemble(cfgs[0], runs, [0] * len(cfgs)), range(3), lambda: None))
    for number, cfg in enumerate(cfgs):
        _, alone = trained(cfg)
        assert [rows[number]["test_loss"] for rows in together] == pytest.approx(
            [row["test_loss"] for row in alone], rel=1e-4
        )


@pytest.mark.parametrize(("typed", "steps"), [("train.ema_decay=0.7", 1), ("train.swa_from=3", 1)])
def test_settings_are_part_of_what_is_timed(typed: str, steps: int, short: Compose) -> None:
    cfg = short(typed)
    run = prepare(cfg)
    watch = Stopwatch(assemble(cfg, [run], [cfg.seed]))
    assert watch.epoch(0.0)["train_seconds"] > 0
    average = run.trainee.average
    assert (0 if average is None else int(average.n_averaged)) == steps


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["train.ema_decay=1"], "train.ema_decay=1.0: must be above 0 and below 1"),
        (["train.swa_from=4"], "train.swa_from=4: a run has only train.epochs=3; start earlier"),
        (["train.swa_from=2", "train.ema_decay=0.9"], "train.swa_from, train.ema_decay: weights have one average"),
    ],
)
def test_what_is_no_average_is_refused(typed: list[str], message: str, short: Compose) -> None:
    with pytest.raises(ValueError, match=message):
        short(*typed)
