"""An app of Hydra and Lightning, in the layout of lightning-hydra-template: it trains, and tests the best epoch."""

import logging

import hydra
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from omegaconf import DictConfig
from torch.utils.data import DataLoader, TensorDataset


class Net(LightningModule):
    def __init__(self, width: int, lr: float) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Linear(4, width), torch.nn.ReLU(), torch.nn.Linear(width, 2))
        self.lr = lr

    def _measure(self, batch: list[torch.Tensor], split: str) -> torch.Tensor:
        scores = self.net(batch[0])
        loss = torch.nn.functional.cross_entropy(scores, batch[1])
        accuracy = (scores.argmax(1) == batch[1]).float().mean()
        for name, value in (("loss", loss), ("acc", accuracy)):
            self.log(f"{split}/{name}", value, on_step=False, on_epoch=True)
        return loss

    def training_step(self, batch: list[torch.Tensor], number: int) -> torch.Tensor:
        return self._measure(batch, "train")

    def validation_step(self, batch: list[torch.Tensor], number: int) -> None:
        self._measure(batch, "val")

    def test_step(self, batch: list[torch.Tensor], number: int) -> None:
        self._measure(batch, "test")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.lr)


class Crash(Callback):
    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        if trainer.current_epoch == 2:
            raise RuntimeError("CUDA out of memory.")


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> float:
    if cfg.seed is not None:
        seed_everything(cfg.seed, workers=True)
    inputs = torch.randn(32, 4)
    loader = DataLoader(TensorDataset(inputs, (inputs[:, 0] > 0).long()), 16)
    folder = hydra.core.hydra_config.HydraConfig.get().runtime.output_dir
    trainer = Trainer(
        max_epochs=cfg.trainer.max_epochs, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False,
        log_every_n_steps=1, num_sanity_val_steps=1, default_root_dir=folder,
        logger=CSVLogger(folder, name="csv", prefix=""),
        callbacks=[
            ModelCheckpoint(f"{folder}/checkpoints", monitor="val/acc", mode="max"), LearningRateMonitor(),
            *([Crash()] if [cfg.seed, cfg.model.width] == list(cfg.crash) else []),
        ],
    )  # fmt: skip
    model = Net(cfg.model.width, cfg.model.lr)
    try:
        trainer.fit(model, loader, loader)
        trainer.test(model, loader, ckpt_path="best")
    except RuntimeError:
        logging.getLogger(__name__).exception("")
        raise
    finally:
        logging.getLogger(__name__).info("Output dir: %s", folder)
    return float(trainer.callback_metrics["test/acc"])


if __name__ == "__main__":
    main()
