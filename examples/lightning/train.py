"""A Lightning module as a task: its trainer's own loop, whose epochs a callback tells.

python train.py -m
ablate report outputs/lightning
"""

import hydra
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from omegaconf import DictConfig
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset, random_split

import ablate


class Net(LightningModule):
    """Classifies images of 8 × 8 pixels."""

    def __init__(self, width: int, dropout: float, lr: float) -> None:
        super().__init__()
        self.lr = lr
        self.layers = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 10))

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        loss = functional.cross_entropy(self.layers(batch[0]), batch[1])
        self.log("train/loss", loss, on_epoch=True, on_step=False)
        return loss

    def validation_step(self, batch: list[Tensor], _: int) -> None:
        right = self.layers(batch[0]).argmax(1) == batch[1]
        self.log("val/acc", right.float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), self.lr)


class Epochs(Callback):
    """Tells a run of each epoch."""

    def __init__(self, run: ablate.Run) -> None:
        self.run = run

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.run.log(trainer.callback_metrics)


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
@ablate.task(metrics={"val/acc": {"better": "higher", "unit": "%", "label": "validation accuracy"}})
def train(cfg: DictConfig, run: ablate.Run) -> None:
    """Trains, from the same weights and on the same batches for all variants of a seed as far as they can be."""
    images, labels = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(images, dtype=torch.float32) / 16, torch.tensor(labels))
    split = torch.Generator().manual_seed(run.stream("split"))
    trained, held_out = random_split(data, [0.8, 0.2], generator=split)
    torch.manual_seed(run.stream("init"))
    model = Net(cfg.width, cfg.dropout, cfg.lr)
    run.describe(data="scikit-learn's digits", parameters=sum(p.numel() for p in model.parameters()))
    trainer = Trainer(
        max_epochs=cfg.epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[Epochs(run)],
    )
    trainer.fit(model, DataLoader(trained, 64, **run.loading(trained)), DataLoader(held_out, 360))


if __name__ == "__main__":
    train()
