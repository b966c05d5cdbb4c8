"""The state of a run between two epochs."""

import torch

from ablate.atomic import atomic_write
from ablate.records import RunDirectory
from ablate.training.loop import Trainee


def save_checkpoint(trainee: Trainee, directory: RunDirectory, epochs: int) -> None:
    """Saves the state after so many epochs. No generator's: the streams are addressed by epoch."""
    state = {
        "epochs": epochs,
        "model": trainee.model.state_dict(),
        "optimizer": trainee.optimizer.state_dict(),
        "scheduler": None if trainee.scheduler is None else trainee.scheduler.state_dict(),
    }
    with atomic_write(directory.checkpoint_file, "wb") as file:
        torch.save(state, file)


def resume(trainee: Trainee, directory: RunDirectory) -> list[dict[str, float]]:
    """Puts the newest checkpoint's state into a trainee, if there is one.

    Returns:
        The rows of the epochs that the state has behind it; none without a checkpoint.
    """
    if not directory.checkpoint_file.exists():
        return []
    state = torch.load(directory.checkpoint_file, weights_only=True, map_location="cpu")
    rows = directory.read_epochs()[: state["epochs"]]
    if len(rows) < state["epochs"]:
        return []
    trainee.model.load_state_dict(state["model"])
    trainee.optimizer.load_state_dict(state["optimizer"])
    if trainee.scheduler is not None:
        trainee.scheduler.load_state_dict(state["scheduler"])
    return rows
