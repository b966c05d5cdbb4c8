"""An app of Hydra alone, whose jobs each leave a table of epochs."""

from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> float:
    epochs = cfg.trainer.max_epochs if cfg.seed != 13 else 1
    rows = [f"{epoch},{cfg.model.width / 100 + epoch / 10}" for epoch in range(epochs)]
    folder = Path(HydraConfig.get().runtime.output_dir)
    (folder / "metrics.csv").write_text("\n".join(["epoch,val/acc", *rows, ""]), encoding="utf-8")
    (folder / "predictions.csv").write_text("id,guess\n1,0\n", encoding="utf-8")
    return float(cfg.model.width)


if __name__ == "__main__":
    main()
