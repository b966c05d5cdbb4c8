"""Steps that are started again as a whole, against steps made one by one."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from ablate.config.schema import Config
from ablate.records.run_directory import RunDirectory
from ablate.runs.prepare import Prepared, prepare
from ablate.training.checkpoint import resume, save_checkpoint, snapshot
from ablate.training.cohort import Cohort, Trainee
from ablate.training.cuda_graph import GraphedStep
from ablate.training.loop import Training, fit
from ablate.training.optimization import build_optimizer, build_scheduler
from ablate.training.step import Step

Compose = Callable[..., Config]
CPU = torch.device("cpu")


class Capture:
    """Stands in for a CUDA graph: it runs the call anew, on the memory that the call was recorded with."""

    def __init__(self) -> None:
        self.replays = 0

    def __call__(self, call: Callable[[], None], cohort: Cohort) -> Callable[[], None]:
        def replay() -> None:
            self.replays += 1
            call()

        return replay


def assembled(cfgs: list[Config]) -> tuple[list[Prepared], Training]:
    from ablate.runs.prepare import assemble

    runs = [prepare(cfg, rewrite=False) for cfg in cfgs]
    return runs, assemble(cfgs[0], runs, [cfg.seed for cfg in cfgs])


@pytest.mark.parametrize("models", [["dropout"], ["plain", "dropout", "bn_dropout"]])
def test_a_graphed_step_trains_like_steps_made_one_by_one(quick: Compose, models: list[str]) -> None:
    settings = ["augment=cutmix", "loss.label_smoothing=0.1", "train.clip_norm=1", "train.ema_decay=0.9"]
    typed = ["scheduler=cosine", *(settings if len(models) == 1 else [])]
    cfgs = [quick(f"model={model}", *typed, f"seed={seed}") for model in models for seed in (0, 1)]
    cfgs = cfgs if len(models) > 1 else cfgs[:1]
    runs, training = assembled(cfgs)
    expected = list(fit(training, range(2), lambda: None))
    others, other = assembled(cfgs)
    capture = Capture()
    graphed = GraphedStep(other.step.cohort, other.step.normalise, "fp32", capture)
    rows = list(fit(replace(other, step=graphed), range(2), lambda: None))
    # Of an epoch of 300 images 4 batches are whole, and the last has a size of its own.
    assert capture.replays == 2 * 4 - GraphedStep.WARM_UP
    assert [[row["train_loss"] for row in epoch] for epoch in rows] == [
        [row["train_loss"] for row in epoch] for epoch in expected
    ]
    for one, two in zip(runs, others, strict=True):
        for name, value in one.trainee.result.state_dict().items():
            assert torch.equal(value, two.trainee.result.state_dict()[name]), name


def test_a_step_that_cannot_be_captured_is_made_as_it_is(quick: Compose, caplog: pytest.LogCaptureFixture) -> None:
    def refuse(call: Callable[[], None], cohort: Cohort) -> Callable[[], None]:
        raise RuntimeError("operation not permitted when stream is capturing")

    cfgs = [quick("model=dropout")]
    _, training = assembled(cfgs)
    expected = [row["train_loss"] for (row,) in fit(training, range(2), lambda: None)]
    _, other = assembled(cfgs)
    graphed = GraphedStep(other.step.cohort, other.step.normalise, "fp32", refuse)
    rows = list(fit(Training(graphed, other.batches, other.evaluated), range(2), lambda: None))
    assert [row["train_loss"] for (row,) in rows] == expected
    assert caplog.text.count("cannot be a CUDA graph and runs without one: operation not permitted") == 1


def test_what_a_graph_reads_stays_where_it_is(tmp_path: "object", quick: Compose) -> None:
    """The learning rate of a graphed step is a tensor: schedules and resuming change its value in place."""
    adam = {"_target_": "torch.optim.Adam", "lr": 1e-3}
    cosine = {"_target_": "torch.optim.lr_scheduler.CosineAnnealingLR", "eta_min": 0.0}

    def trainee(graphed: bool) -> Trainee:
        torch.manual_seed(0)
        model = nn.Linear(2, 2)
        optimizer = build_optimizer(adam, model)  # on the CPU Adam has no capturable form
        if graphed:
            optimizer.param_groups[0]["lr"] = torch.tensor(1e-3)
        return Trainee(model, {}, optimizer, build_scheduler(cosine, optimizer, 10))

    def train(one: Trainee, steps: int) -> None:
        for _ in range(steps):
            one.model(torch.ones(3, 2)).square().sum().backward()
            one.optimizer.step()
            assert one.scheduler is not None
            one.scheduler.step()

    directory = RunDirectory(tmp_path)  # type: ignore[arg-type]
    plain, graphed, again = trainee(False), trainee(True), trainee(True)
    train(plain, 6)
    rate = graphed.optimizer.param_groups[0]["lr"]
    train(graphed, 3)
    assert graphed.optimizer.param_groups[0]["lr"] is rate
    save_checkpoint(snapshot(graphed), directory, [{"epoch": 1}])
    rate = again.optimizer.param_groups[0]["lr"]
    assert resume(again, directory) == [{"epoch": 1}]
    assert again.optimizer.param_groups[0]["lr"] is rate
    again.model.zero_grad()
    again.model.load_state_dict(graphed.model.state_dict())
    for one, two in zip(again.model.parameters(), graphed.model.parameters(), strict=True):
        one.grad = None if two.grad is None else two.grad.clone()
    train(again, 3)
    assert float(rate) == pytest.approx(plain.optimizer.param_groups[0]["lr"], rel=1e-6)
    torch.testing.assert_close(list(again.model.parameters()), list(plain.model.parameters()))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU on this machine")
@pytest.mark.parametrize("models", [["dropout"], ["plain", "dropout", "bn_dropout"]])
def test_a_cuda_graph_trains_like_steps_made_one_by_one(quick: Compose, models: list[str]) -> None:
    def losses(graph: bool) -> list[float]:
        cfgs = [
            quick(f"model={model}", "hardware=cuda", f"hardware.graph={graph}", f"seed={seed}")
            for model in models
            for seed in (0, 1)
        ]
        _, training = assembled(cfgs if len(models) > 1 else cfgs[:1])
        assert type(training.step) is (GraphedStep if graph else Step)
        return [row["train_loss"] for rows in fit(training, range(3), lambda: None) for row in rows]

    assert losses(True) == pytest.approx(losses(False), rel=1e-4)
