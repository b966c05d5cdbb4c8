"""A Hugging Face Trainer as a task: a small BERT says whether a sentence of tokens has the first one twice.

python train.py -m
ablate report outputs/trainer
"""

from typing import Any

import hydra
import numpy as np
import torch
from omegaconf import DictConfig
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    EvalPrediction,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

import ablate


class Epochs(TrainerCallback):
    """Tells a run of each epoch, at whose end the Trainer evaluates."""

    def __init__(self, run: ablate.Run) -> None:
        self.run = run

    def on_evaluate(self, *_: Any, metrics: dict[str, float], **__: Any) -> None:
        self.run.log({name: metrics[name] for name in ("eval_loss", "eval_accuracy")})


def sentences(number: int, seed: int) -> list[dict[str, Any]]:
    """Returns sentences of eight tokens, half of them with the first one twice."""
    draw = np.random.default_rng(seed)
    tokens = draw.integers(0, 30, (number, 8))
    return [{"input_ids": row, "labels": int(row[0] in row[1:])} for row in tokens]


def accuracy(found: EvalPrediction) -> dict[str, float]:
    """Returns the share of sentences that are told right."""
    return {"accuracy": float((found.predictions.argmax(1) == found.label_ids).mean())}


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
@ablate.task(metrics={"eval_accuracy": {"unit": "%"}, "eval_loss": {"better": "lower"}})
def train(cfg: DictConfig, run: ablate.Run) -> None:
    """Trains; the model's weights and the order of the sentences are of streams that variants of a seed share."""
    torch.manual_seed(run.stream("init"))
    model = BertForSequenceClassification(BertConfig(vocab_size=30, max_position_embeddings=8, **cfg.model))
    arguments = TrainingArguments(
        str(run.folder / "trainer"),
        num_train_epochs=cfg.epochs,
        learning_rate=cfg.lr,
        lr_scheduler_type=cfg.get("scheduler", "linear"),
        per_device_train_batch_size=16,
        eval_strategy="epoch",
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        seed=run.stream("order") % 2**32,
    )
    trained, tested = sentences(128, run.stream("data")), sentences(64, 0)
    Trainer(
        model, arguments, train_dataset=trained, eval_dataset=tested, compute_metrics=accuracy, callbacks=[Epochs(run)]
    ).train()


if __name__ == "__main__":
    train()
