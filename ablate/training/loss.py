"""The loss that a run is trained with."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ablate.config.targets import instantiate
from ablate.files import PlainMapping
from ablate.messages import first_line

_DEFAULT = "torch.nn.CrossEntropyLoss"
_OF_LABELS = (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss)
# Of scores and as many targets, which are 1 for the right class and 0 for the others.
_OF_TARGETS = (
    nn.BCEWithLogitsLoss, nn.BCELoss, nn.MultiLabelSoftMarginLoss, nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss,
    nn.KLDivLoss, nn.PoissonNLLLoss,
)  # fmt: skip


class Loss:
    """A loss of torch's between class scores and labels, or one of a user's package, which takes labels."""

    def __init__(self, config: PlainMapping, device: torch.device) -> None:
        """Makes what the configuration names; ValueError says what cannot be one."""
        if config.get("reduction", "mean") != "mean":
            raise ValueError(f"loss.reduction={config['reduction']}: a run's loss is the mean of a batch; leave it out")
        # Weights of classes are tensors.
        given = {name: torch.tensor(value) if isinstance(value, list) else value for name, value in config.items()}
        self._loss = instantiate("loss", {"_target_": _DEFAULT, **given}).to(device)
        self._takes_targets = isinstance(self._loss, _OF_TARGETS)
        if type(self._loss).__module__ == nn.CrossEntropyLoss.__module__ and not (
            self._takes_targets or isinstance(self._loss, _OF_LABELS)
        ):
            known = ", ".join(kind.__name__ for kind in (*_OF_LABELS, *_OF_TARGETS))
            raise ValueError(f"loss._target_={config['_target_']}: is no loss of class scores; torch.nn has {known}")

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """Returns a run's mean loss, shape (1,), from shapes (images, 1, classes) and (images, 1)."""
        scores, labels = output.squeeze(1).float(), target.squeeze(1)
        if self._takes_targets and labels.dim() == 1:
            labels = functional.one_hot(labels, scores.shape[1]).float()
        loss: Tensor = self._loss(scores, labels)
        return loss.view(1)

    def prove(self, scores: Tensor, labels: Tensor) -> None:
        """Refuses a loss that cannot be computed of a model's scores, shape (images, classes)."""
        try:
            self(scores[:, None], labels[:, None])
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise ValueError(
                f"loss: cannot be computed of the model's scores and the labels: {first_line(error)}; take another"
            ) from error


def build_loss(config: PlainMapping, device: torch.device) -> Loss | None:
    """Returns the loss of a configuration; None if it is cross-entropy as it is."""
    given = {name: value for name, value in config.items() if value is not None}
    return Loss(given, device) if given else None


def cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """Returns each run's mean cross-entropy, from shapes (images, runs, classes) and (images, runs).

    Labels may also be shares of the classes, shape (images, runs, classes).
    """
    each = functional.cross_entropy(output.float().flatten(0, 1), target.flatten(0, 1), reduction="none")
    return each.view(target.shape[:2]).mean(0)
