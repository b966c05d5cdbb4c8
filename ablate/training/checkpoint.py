"""The state of a run between two epochs."""

import io
import logging
import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ablate.atomic import atomic_write, keep_copy
from ablate.records import Epoch, RunDirectory
from ablate.training.loop import Trainee

log = logging.getLogger(__name__)


def save_checkpoint(trainee: Trainee, directory: RunDirectory, rows: Sequence[Epoch]) -> None:
    """Saves the state after the epochs of these rows, and keeps the state before, in case the new one gets damaged.

    No generator's state is in it: the random streams are addressed by epoch.
    """
    state = {
        "rows": list(rows),
        "model": {name: _own(tensor) for name, tensor in trainee.model.state_dict().items()},
        "optimizer": trainee.optimizer.state_dict(),
        "scheduler": None if trainee.scheduler is None else trainee.scheduler.state_dict(),
    }
    buffer = io.BytesIO()  # torch hides why a write to a file fails
    torch.save(state, buffer)
    if directory.checkpoint_file.is_file():
        keep_copy(directory.checkpoint_file, directory.previous_checkpoint_file)
    with atomic_write(directory.checkpoint_file, "wb") as file:
        file.write(buffer.getbuffer())


def resume(trainee: Trainee, directory: RunDirectory) -> list[Epoch]:
    """Puts the newest whole checkpoint's state into a trainee, if there is one.

    Returns:
        The rows of the epochs that the state has behind it; none without a checkpoint.
    """
    for file in (directory.checkpoint_file, directory.previous_checkpoint_file):
        if not file.is_file():
            continue
        try:
            state = _load(file)
            trainee.model.load_state_dict(state["model"])
            trainee.optimizer.load_state_dict(state["optimizer"])
            if trainee.scheduler is not None:
                trainee.scheduler.load_state_dict(state["scheduler"])
            return list(state["rows"])
        except (OSError, EOFError, KeyError, TypeError, ValueError, RuntimeError, pickle.UnpicklingError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            log.warning("%s is damaged (%s) and is not used", file, reason)
    return []


def _own(tensor: torch.Tensor) -> torch.Tensor:
    """Returns a tensor with memory of its own: of a part of a larger one, torch would save the whole."""
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()


def _load(file: Path) -> dict[str, Any]:
    """Loads a checkpoint, without running what may be in it, after checking its sums: torch itself does not."""
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise ValueError(str(error)) from error
    if damaged is not None:
        raise ValueError(f"the checksum of {damaged} does not match")
    state = torch.load(file, weights_only=True, map_location="cpu")
    if not isinstance(state, dict):
        raise TypeError("it holds no state")
    return state
