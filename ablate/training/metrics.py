"""Further metrics of an evaluation, by torchmetrics."""

import copy
import importlib.util
import re
from collections.abc import Sequence

import torch
from torch import Tensor

from ablate.config.targets import instantiate
from ablate.files import Plain, PlainMapping
from ablate.messages import install_hint
from ablate.training.meters import is_meter

_OURS = ("loss", "accuracy")  # which every evaluation has
_MOST_CLASSES = 20  # of which there are columns for all pairs


class Metrics:
    """Metrics of the runs of a cohort, over the images of a split; the `metrics` of a configuration but for its meters.

    Each takes scores, shape (images, classes), and labels, shape (images,), and gives a number, or one for each class.
    """

    def __init__(self, config: PlainMapping, classes: Sequence[str], device: torch.device) -> None:
        config = {name: node for name, node in config.items() if not is_meter(node)}
        if config and importlib.util.find_spec("torchmetrics") is None:
            raise ValueError(f"metrics.{next(iter(config))}: torchmetrics is not installed; {install_hint('metrics')}")
        for name in config:
            if name in _OURS or not str(name).isidentifier():
                raise ValueError(f"metrics.{name}: choose another name, such as top5_accuracy")
        self._device = device
        self._classes = [re.sub(r"\W+", "_", name) for name in classes]
        self._fresh = {
            str(name): instantiate(f"metrics.{name}", node, num_classes=len(classes)).to(device)
            for name, node in config.items()
        }
        self._of_runs: list[Plain] = []

    @property
    def names(self) -> list[str]:
        """What they are called in the records, without the name of the split."""
        count = len(self._classes)
        self.start(1)
        self.update(torch.eye(count, device=self._device)[:, None], torch.arange(count, device=self._device)[:, None])
        return list(self.values()[0])

    def start(self, runs: int) -> None:
        """Forgets what was counted."""
        self._of_runs = [copy.deepcopy(self._fresh) for _ in range(runs)]

    def update(self, output: Tensor, target: Tensor) -> None:
        """Counts a batch: scores, shape (images, runs, classes), and labels, shape (images, runs)."""
        for run, metrics in enumerate(self._of_runs):
            for metric in metrics.values():
                metric.update(output[:, run].float(), target[:, run])

    def values(self) -> list[dict[str, float]]:
        """Returns the metrics of each run.

        One that has a value for each class is `<name>_<class>`, one for each pair `<name>_<class>_as_<class>`, with the
        right class first.
        """
        rows = []
        for metrics in self._of_runs:
            row: dict[str, float] = {}
            for name, metric in metrics.items():
                value = metric.compute()
                for suffix, part in zip(self._suffixes(name, value.shape), value.flatten().tolist(), strict=True):
                    column = f"{name}{suffix}"
                    if column in row:
                        raise ValueError(
                            f"metrics.{name}: two values would be called {column}; give metrics and classes names that "
                            "differ in letters or digits"
                        )
                    row[column] = float(part)
            rows.append(row)
        return rows

    def _suffixes(self, name: str, shape: Sequence[int]) -> list[str]:
        classes, count = self._classes, len(self._classes)
        if not shape:
            return [""]
        if shape == (count,):
            return [f"_{of}" for of in classes]
        if shape == (count, count) and count <= _MOST_CLASSES:
            return [f"_{of}_as_{taken}" for of in classes for taken in classes]
        raise ValueError(
            f"metrics.{name}: gives values of shape {tuple(shape)}; one, one a class, or, of up to {_MOST_CLASSES} "
            "classes, one a pair of classes can be recorded"
        )
