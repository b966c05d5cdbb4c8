"""The weights that a model starts from, out of a file, whose code is not run."""

import importlib.util
import pickle
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from torch import nn
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present

from ablate.config.targets import within
from ablate.messages import install_hint, nearest


def load_weights(model: nn.Module, path: str, but: Collection[str]) -> None:
    """Puts the weights of a file into a model; those of the layers in `but` stay as they are.

    Raises:
        ValueError: It holds no weights, or not those of the model; the message has the nearest names and the way out.
    """
    own, given = model.state_dict(), _read(path)
    for name in (name for name in {**own, **given} if not within(name, but)):
        layer = name.rpartition(".")[0]
        anew = f"to draw that layer anew, add '+model.edits.anew={{reinit: {layer}}}'"
        if name not in own:
            raise ValueError(f"model.weights={path}: has {name}, which the model has not; {nearest(name, own)}")
        if name not in given:
            raise ValueError(f"model.weights={path}: has no {name}; {nearest(name, given)}; {anew}")
        if own[name].shape != given[name].shape:
            shapes = f"{tuple(given[name].shape)} there and {tuple(own[name].shape)} in the model"
            raise ValueError(f"model.weights={path}: {name} has the shape {shapes}; {anew}")
    model.load_state_dict({name: value for name, value in given.items() if not within(name, but)}, strict=False)


def _read(path: str) -> dict[str, torch.Tensor]:
    """Returns the weights of a file by name: a state dict, or one within a checkpoint, the average if it has one."""
    if path.endswith(".safetensors"):
        if importlib.util.find_spec("safetensors") is None:
            raise ValueError(f"model.weights={path}: takes safetensors; {install_hint('safetensors')}")
        from safetensors.torch import load

        return load(Path(path).read_bytes())
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f"model.weights={path}: is no file of weights alone; save a model's state_dict()") from error
    if isinstance(state, Mapping):
        parts = [state.get(part) for part in ("average", "model", "state_dict")]
        found = next((part for part in parts if isinstance(part, Mapping) and part.get("n_averaged", 1) > 0), state)
        weights = {str(name): value for name, value in found.items() if name != "n_averaged"}
        consume_prefix_in_state_dict_if_present(weights, "module.")
        if weights and all(isinstance(value, torch.Tensor) for value in weights.values()):
            return weights
    raise ValueError(f"model.weights={path}: holds no weights by name; save a model's state_dict()")
