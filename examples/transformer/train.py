"""Which parts of a small transformer matter for predicting the next character of English text.

python train.py -m
ablate report outputs/transformer
"""

from collections.abc import Iterator
from pydoc_data.topics import topics
from typing import Any

import hydra
import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.nn import functional

import ablate


class Transformer(nn.Module):
    """Predicts each next character from those before it."""

    def __init__(self, characters: int, context: int, width: int, heads: int, layers: int, **parts: bool) -> None:
        super().__init__()
        self.parts = parts
        self.characters = nn.Embedding(characters, width)
        self.places = nn.Parameter(torch.randn(context, width) * 0.02)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, batch_first=True) for _ in range(layers)
        )
        self.head = nn.Linear(width, characters)
        self.register_buffer("later", torch.ones(context, context).triu(1).bool())

    def forward(self, text: Tensor) -> Tensor:
        x = self.characters(text)
        if self.parts["position"]:
            x = x + self.places
        later = self.later if self.parts["attention"] else ~torch.eye(len(self.later)).bool()  # or only itself
        for block in self.blocks:
            x = block(x, src_mask=later)
        return self.head(x)


def windows(text: Tensor, context: int, starts: Tensor) -> tuple[Tensor, Tensor]:
    """Returns pieces of the text and, for each character of them, the next."""
    index = starts[:, None] + torch.arange(context)
    return text[index], text[index + 1]


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
@ablate.task
def train(cfg: DictConfig, run: ablate.Run) -> Iterator[dict[str, float]]:
    """Trains on Python's own help texts, and yields the accuracy of the next character."""
    letters = "".join(topics[name] for name in sorted(topics))[: cfg.data.characters]
    known = sorted(set(letters))
    text = torch.tensor([known.index(letter) for letter in letters])
    border = int(0.9 * len(text))
    torch.manual_seed(run.stream("init"))
    model = Transformer(len(known), **cfg.model)
    run.describe(data="Python's help topics", parameters=sum(p.numel() for p in model.parameters()))
    optimizer = torch.optim.AdamW(model.parameters(), lr=cfg.lr)
    if run.state is not None:
        model.load_state_dict(run.state["model"])
        optimizer.load_state_dict(run.state["optimizer"])
    context = cfg.model.context
    tests = windows(text[border:], context, torch.arange(0, len(text) - border - context - 1, context))
    for epoch in run.epochs(cfg.epochs):
        order = torch.Generator().manual_seed(run.stream("order", epoch))
        losses = []
        for _ in range(cfg.steps):
            starts = torch.randint(border - context - 1, (cfg.batch_size,), generator=order)
            given, following = windows(text, context, starts)
            loss = functional.cross_entropy(model(given).flatten(0, 1), following.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        with torch.no_grad():
            right = model(tests[0]).argmax(2) == tests[1]
        state: dict[str, Any] = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        run.keep(state)
        yield {"train_loss": sum(losses) / len(losses), "test_accuracy": right.float().mean().item()}


if __name__ == "__main__":
    train()
