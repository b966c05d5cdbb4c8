"""The state of a run between two epochs."""

import io
import logging
import pickle
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from ablate.files import Plain, PlainMapping
from ablate.messages import first_line
from ablate.records.epochs import Epoch
from ablate.records.run_directory import RunDirectory
from ablate.training.cohort import Trainee

log = logging.getLogger(__name__)

_DAMAGES = (OSError, EOFError, KeyError, TypeError, ValueError, RuntimeError, pickle.UnpicklingError)


def snapshot(trainee: Trainee) -> Plain:
    """Returns a trainee's state, in memory of its own on the CPU.

    No generator's state is in it: the random streams are addressed by epoch.
    """
    state = {
        "model": trainee.model.state_dict(),
        "optimizer": trainee.optimizer.state_dict(),
        "scheduler": None if trainee.scheduler is None else trainee.scheduler.state_dict(),
    }
    if trainee.average is not None:
        state["average"] = trainee.average.state_dict()
    return _copied(state)  # type: ignore[no-any-return]


def save_checkpoint(state: PlainMapping, directory: RunDirectory, rows: Sequence[Epoch]) -> None:
    """Saves the state after the epochs of these rows, and keeps the state before, in case the new one gets damaged."""
    state = {"rows": list(rows), **state}
    buffer = io.BytesIO()  # torch hides why a write to a file fails
    torch.save(state, buffer)
    directory.write_checkpoint(buffer.getbuffer())


def saved_epochs(directory: RunDirectory) -> frozenset[int]:
    """Returns after which epochs, counted from 1, a whole state is there."""
    saved = set()
    for file in (directory.checkpoint_file, directory.previous_checkpoint_file):
        with suppress(*_DAMAGES):
            saved.add(len(_load(file)["rows"]))
    return frozenset(saved)


def resume(trainee: Trainee, directory: RunDirectory) -> list[Epoch]:
    """Puts the newest whole checkpoint's state into a trainee, and returns the rows of its epochs; none without one."""
    for file in (directory.checkpoint_file, directory.previous_checkpoint_file):
        if not file.is_file():
            continue
        try:
            state = _load(file)
            trainee.model.load_state_dict(state["model"])
            if trainee.average is not None:
                trainee.average.load_state_dict(state["average"])
            rates = [group["lr"] for group in trainee.optimizer.param_groups]
            trainee.optimizer.load_state_dict(state["optimizer"])
            for group, rate in zip(trainee.optimizer.param_groups, rates, strict=True):
                if isinstance(rate, torch.Tensor):  # which stays where it is on the device
                    group["lr"] = rate.fill_(float(group["lr"]))
            if trainee.scheduler is not None:
                trainee.scheduler.load_state_dict(state["scheduler"])
            return list(state["rows"])
        except _DAMAGES as error:
            log.warning("%s is damaged (%s) and is not used", file, first_line(error))
    return []


def _copied(value: Any) -> Any:
    """Returns a copy; of a tensor that is a part of a larger one, torch would save the whole."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _load(file: Path) -> Plain:
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
