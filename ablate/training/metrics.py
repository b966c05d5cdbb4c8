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
    """Metrics of the runs of a cohort, over the images of a split.

    Args:
        config: The `metrics` part of a configuration: `_target_` and arguments by name; each takes scores, shape
            (images, classes), and labels, shape (images,), and gives a number, or one for each class.
        classes: The classes' names.
        device: Of the scores.

    Raises:
        ValueError: torchmetrics is not installed, or a metric refuses its arguments.
    """

    def __init__(self, config: PlainMapping, classes: Sequence[str], device: torch.device) -> None:
        config = {name: node for name, node in config.items() if not is_meter(node)}
        if config and importlib.util.find_spec("torchmetrics") is None:
            raise ValueError(f"metrics.{next(iter(config))}: torchmetrics is not installed; {install_hint('metrics')}")
        for name in config:
            if name in _OURS or not str(name).isidentifier():
                raise ValueError(f"metrics.{name}: choose another name, such as top5_accuracy")
        self._classes = [re.sub(r"\W+", "_", name) for name in classes]
        self._fresh = {
            str(name): instantiate(f"metrics.{name}", node, num_classes=len(classes)).to(device)
            for name, node in config.items()
        }
        self._of_runs: list[Plain] = []

    @property
    def names(self) -> list[str]:
        """What they are called in the records, without the name of the split."""
        sample = torch.eye(len(self._classes)), torch.arange(len(self._classes))
        self.start(1)
        self.update(sample[0].unsqueeze(1).to(self._device), sample[1].unsqueeze(1).to(self._device))
        return list(self.values()[0])

    @property
    def _device(self) -> torch.device:
        return next((torch.device(metric.device) for metric in self._fresh.values()), torch.device("cpu"))

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
        found = []
        for metrics in self._of_runs:
            row: dict[str, float] = {}
            for name, metric in metrics.items():
                value = metric.compute()
                if value.ndim == 0:
                    columns = [(name, value)]
                elif value.shape == (len(self._classes),):
                    columns = [(f"{name}_{of}", part) for of, part in zip(self._classes, value, strict=True)]
                elif value.shape == (len(self._classes),) * 2 and len(self._classes) <= _MOST_CLASSES:
                    columns = [
                        (f"{name}_{of}_as_{taken}", part)
                        for of, parts in zip(self._classes, value, strict=True)
                        for taken, part in zip(self._classes, parts, strict=True)
                    ]
                else:
                    raise ValueError(
                        f"metrics.{name}: gives values of shape {tuple(value.shape)}; one, one a class, or, of up to "
                        f"{_MOST_CLASSES} classes, one a pair of classes can be recorded"
                    )
                for column, part in columns:
                    if column in row:
                        raise ValueError(
                            f"metrics.{name}: two values would be called {column}; give metrics and classes names that "
                            "differ in letters or digits"
                        )
                    row[column] = float(part)
            found.append(row)
        return found
