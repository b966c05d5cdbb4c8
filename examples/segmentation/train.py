"""Which parts of a small U-Net matter for finding discs in noise: all combinations of two flags and an augmentation.

python train.py -m
ablate report outputs/segmentation
"""

from collections.abc import Iterator

import hydra
import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.nn import functional

import ablate

SIZE = 32  # height and width of an image


class UNet(nn.Module):
    """Says of each pixel whether it is inside a disc; a coarse path and, past it, a fine one."""

    def __init__(self, skip: bool, norm: bool, width: int = 8) -> None:
        super().__init__()
        self.skip = skip
        self.fine, self.coarse = (
            nn.Sequential(
                nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width) if norm else nn.Identity(), nn.ReLU()
            )
            for channels in (1, width)
        )
        self.head = nn.Conv2d(width, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        fine = self.fine(images)
        coarse = functional.interpolate(self.coarse(functional.max_pool2d(fine, 4)), scale_factor=4)
        return self.head(coarse + fine if self.skip else coarse)


def discs(number: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Returns noisy images of one disc each, and masks, both of shape (number, 1, SIZE, SIZE)."""
    centres = torch.rand(number, 2, 1, 1, generator=generator) * SIZE
    radii = 4 + 6 * torch.rand(number, 1, 1, generator=generator)
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    masks = ((x - centres[:, 0]) ** 2 + (y - centres[:, 1]) ** 2 < radii**2).float()[:, None]
    return masks + torch.randn(masks.shape, generator=generator), masks


def miou(scores: Tensor, masks: Tensor) -> float:
    """Returns the mean over disc and background of intersection over union."""
    found, true = scores > 0, masks > 0
    pairs = ((found, true), (~found, ~true))
    return sum(float((one & other).sum() / (one | other).sum()) for one, other in pairs) / 2


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
@ablate.task(
    metrics={
        "test_miou": {"better": "higher", "unit": "%", "label": "mIoU"},
        "train_dice": {"better": "lower", "label": "Dice loss"},
    }
)
def train(cfg: DictConfig, run: ablate.Run) -> Iterator[dict[str, float]]:
    """Trains on new discs in each step, and yields what the network makes of fixed ones."""
    torch.manual_seed(run.stream("init"))
    model = UNet(cfg.skip, cfg.norm)
    optimizer = torch.optim.Adam(model.parameters(), lr=cfg.lr)
    images, masks = discs(64, torch.Generator().manual_seed(0))
    run.describe(data="discs", parameters=sum(p.numel() for p in model.parameters()))
    for epoch in run.epochs(cfg.epochs):
        order = torch.Generator().manual_seed(run.stream("order", epoch))
        losses = []
        for _ in range(cfg.steps):
            given, wanted = discs(cfg.batch_size, order)
            if cfg.flip:
                given, wanted = given.flip(3), wanted.flip(3)
            found = model.train()(given).sigmoid()
            loss = 1 - 2 * (found * wanted).sum() / (found + wanted).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        with torch.no_grad():
            scores = model.eval()(images)
        yield {"train_dice": sum(losses) / len(losses), "test_miou": miou(scores, masks)}


if __name__ == "__main__":
    train()
