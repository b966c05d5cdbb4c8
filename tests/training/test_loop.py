from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from ablate.data.batches import EvaluationBatches, Normalise, TrainingBatches
from ablate.data.images import ImageData
from ablate.models.lenet import lenet5
from ablate.seeding import global_stream
from ablate.training.cohort import Cohort, Trainee
from ablate.training.loop import Training, evaluate, fit
from ablate.training.optimization import build_optimizer, build_scheduler
from ablate.training.step import Step

CPU = torch.device("cpu")
ADAM = {"_target_": "torch.optim.Adam", "lr": 1e-3, "weight_decay": 5e-3}
SGD = {"_target_": "torch.optim.SGD", "lr": 0.05, "momentum": 0.9, "nesterov": True}
CONSTANT: dict[str, Any] = {"_target_": None}


def lenet() -> nn.Sequential:
    with global_stream(0, "init"):
        return lenet5()


# A large eps: where a gradient is next to nothing, Adam would blow rounding up to a whole step.
@pytest.mark.parametrize("config", [{**ADAM, "eps": 1e-2}, {**ADAM, "eps": 1e-2, "_target_": "torch.optim.AdamW"}, SGD])
def test_epochs_equal_a_plain_loop(config: dict[str, Any], digits_data: ImageData) -> None:
    data = digits_data.subset(20)
    batches = TrainingBatches(data.train, 64, padding=2, flip=True, seed=1, device=CPU)
    normalise = Normalise(data, CPU, channels_last=False)

    ours = lenet()
    trainee = Trainee(ours, {}, build_optimizer(config, ours), None)
    evaluated = {"test": EvaluationBatches(data.test, CPU)}
    step = Step(Cohort([trainee], [1], CPU), normalise, "fp32")
    rows = [row for (row,) in fit(Training(step, [batches], evaluated), range(2), lambda: None)]

    plain = lenet()
    arguments = {name: value for name, value in config.items() if name != "_target_"}
    optimizer = getattr(torch.optim, config["_target_"].rpartition(".")[2])(
        plain.parameters(), **arguments, foreach=False
    )
    for epoch in range(2):
        images, labels = batches.epoch(epoch)
        losses, right = [], 0
        for start in range(0, len(labels), 64):
            x, y = images[start : start + 64], labels[start : start + 64]
            pixels = (x.permute(0, 3, 1, 2).float() / 255 - data.mean[0]) / data.std[0]
            # Without the model's log-softmax: cross-entropy contains one.
            logits = plain[:-1](pixels)
            loss = functional.cross_entropy(logits, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item() * len(y))
            right += int((logits.argmax(1) == y).sum())
        assert rows[epoch]["train_loss"] == pytest.approx(sum(losses) / 200, rel=1e-4)
        assert rows[epoch]["train_accuracy"] == pytest.approx(right / 200, abs=0.011)
    for one, other in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_log_softmax_before_cross_entropy_is_harmless() -> None:
    logits, labels = torch.randn(20, 10), torch.arange(20) % 10
    torch.testing.assert_close(
        functional.cross_entropy(functional.log_softmax(logits, 1), labels), functional.cross_entropy(logits, labels)
    )


def test_evaluation_equals_the_whole_split_at_once(digits_data: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EvaluationBatches, "BATCH_SIZE", 77)  # 360 images: the last batch is smaller
    model = lenet()
    normalise = Normalise(digits_data, CPU, channels_last=True)
    step = Step(Cohort([Trainee(model, {}, build_optimizer(ADAM, model), None)], [0], CPU), normalise, "fp32")
    (values,) = evaluate(Training(step, [], {}), EvaluationBatches(digits_data.test, CPU))
    output = model.eval()(normalise(digits_data.test.images.permute(0, 2, 3, 1)))
    assert values["loss"] == pytest.approx(functional.cross_entropy(output, digits_data.test.labels).item(), rel=1e-5)
    assert values["accuracy"] == (output.argmax(1) == digits_data.test.labels).double().mean().item()


def test_the_model_trains_in_training_and_is_evaluated_in_evaluation_mode(tiny_data: ImageData) -> None:
    seen = []

    class Spy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3 * 8 * 8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append((self.training, torch.is_grad_enabled(), len(x)))
            return self.linear(x.flatten(1))  # type: ignore[no-any-return]

    model = Spy()
    trainee = Trainee(model, {}, build_optimizer(ADAM, model), None)
    batches = TrainingBatches(tiny_data.train, 5, 0, False, 0, CPU)
    steps = []
    step = Step(Cohort([trainee], [0], CPU), Normalise(tiny_data, CPU, True), "fp32")
    training = Training(step, [batches], {"test": EvaluationBatches(tiny_data.test, CPU)})
    ((row,),) = fit(training, [0], lambda: steps.append(1))
    assert seen == [(True, True, 5), (True, True, 5), (True, True, 2), (False, False, 6)]
    assert len(steps) == 3
    assert row["epoch"] == 1
    assert row["lr"] == 1e-3
    assert row["images_per_second"] == pytest.approx(12 / (row["train_seconds"] + row["data_seconds"]))


def test_bf16_computes_in_bfloat16_and_still_learns(digits_data: ImageData) -> None:
    data = digits_data.subset(50)
    dtypes = set()
    model = lenet()
    model.get_submodule("c3").register_forward_hook(lambda module, args, output: dtypes.add(output.dtype))
    trainee = Trainee(model, {}, build_optimizer(ADAM, model), None)
    batches = TrainingBatches(data.train, 50, 0, False, 0, CPU)
    evaluated = {"test": EvaluationBatches(data.test, CPU)}
    step = Step(Cohort([trainee], [0], CPU), Normalise(data, CPU, True), "bf16")
    rows = [row for (row,) in fit(Training(step, [batches], evaluated), range(4), lambda: None)]
    assert dtypes == {torch.bfloat16}
    assert rows[-1]["train_loss"] < 0.8 * rows[0]["train_loss"]
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_schedules_run_over_all_steps() -> None:
    model = nn.Linear(2, 2)

    def rates(config: dict[str, Any], steps: int = 10) -> list[float]:
        optimizer = build_optimizer(ADAM, model)
        scheduler = build_scheduler(config, optimizer, steps)
        found = []
        for _ in range(steps):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
        return found

    assert rates(CONSTANT) == [1e-3] * 10
    cosine = rates({"_target_": "torch.optim.lr_scheduler.CosineAnnealingLR", "eta_min": 0.0})
    expected = [5e-4 * (1 + torch.cos(torch.tensor(step / 10 * torch.pi)).item()) for step in range(10)]
    assert cosine == pytest.approx(expected, rel=1e-4)
    cycle = rates({"_target_": "torch.optim.lr_scheduler.OneCycleLR", "pct_start": 0.3, "div_factor": 25.0})
    assert cycle[0] == pytest.approx(1e-3 / 25)
    assert max(cycle) == pytest.approx(1e-3)
    assert cycle[2] == max(cycle)


def test_the_optimizer_is_fused() -> None:
    for config in (ADAM, SGD):
        assert build_optimizer(config, nn.Linear(2, 2)).defaults["fused"] is True
    with pytest.raises(ValueError, match=r"optimizer.learning_rate: Adam has no such argument"):
        build_optimizer({"_target_": "torch.optim.Adam", "learning_rate": 1}, nn.Linear(2, 2))
