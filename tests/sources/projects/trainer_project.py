"""Trainings by Hugging Face's Trainer: two variants, two seeds, and one more that is killed after its first epoch."""

from contextlib import suppress

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments


class Net(torch.nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Linear(4, width), torch.nn.ReLU(), torch.nn.Linear(width, 2))

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        scores = self.net(x)
        return {"loss": torch.nn.functional.cross_entropy(scores, labels), "logits": scores}


class Killed(TrainerCallback):
    def on_epoch_begin(self, args, state, control, **given):  # type: ignore[no-untyped-def]
        if state.epoch >= 1:
            raise KeyboardInterrupt


def train(name: str, width: int, seed: int, *callbacks: TrainerCallback) -> None:
    torch.manual_seed(seed)
    inputs = torch.randn(16, 4)
    data = [{"x": x, "labels": y} for x, y in zip(inputs, (inputs[:, 0] > 0).long(), strict=True)]
    arguments = TrainingArguments(
        f"runs/{name}-seed{seed}", num_train_epochs=2, eval_strategy="epoch", logging_strategy="epoch",
        save_strategy="epoch", seed=seed, report_to=[], use_cpu=True, disable_tqdm=True, learning_rate=0.01,
    )  # fmt: skip
    trainer = Trainer(
        Net(width), arguments, train_dataset=data, eval_dataset=data, callbacks=list(callbacks),
        compute_metrics=lambda made: {"accuracy": float((made.predictions.argmax(1) == made.label_ids).mean())},
    )  # fmt: skip
    trainer.train()
    trainer.save_state()
    trainer.save_metrics("eval", trainer.evaluate())


if __name__ == "__main__":
    for seed in (0, 1):
        train("plain", 4, seed)
        train("wide", 16, seed)
    with suppress(KeyboardInterrupt):
        train("wide", 16, 2, Killed())
