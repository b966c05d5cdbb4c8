"""Named edits on any `nn.Module`: insert a layer, replace one, remove one.

Layers are addressed by the dotted names of `named_modules()`, and an edit leaves those names, and so those of the
parameters, as they were:

- An insertion stands in the order of an `nn.Sequential`; elsewhere the new layer becomes a sibling of its anchor and
  runs through a hook on it, each time the anchor runs.
- A replacement takes over the name of the layer it replaces.
- A removal leaves an `nn.Identity` under the old name.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ablate.config import Edit
from ablate.suggest import nearest


def edit_model(model: nn.Module, edits: Mapping[str, Edit], layers: Mapping[str, nn.Module]) -> None:
    """Makes the edits in place, in their order.

    Args:
        model: Any module.
        edits: By name; the name of an insertion is that of its layer, beside its anchor.
        layers: The new layer of each edit that brings one, by the edit's name.

    Raises:
        ValueError: An edit names a layer that is not there, or a new name that is taken; the message names its key.
    """
    for name, edit in edits.items():
        key = f"model.edits.{name}"
        if edit.insert is not None:
            assert edit.at is not None
            _require(model, f"{key}.at", edit.at)
            _insert(model, key, name, edit, layers[name])
        elif edit.replace is not None:
            _require(model, f"{key}.replace", edit.replace)
            model.set_submodule(edit.replace, layers[name])
        else:
            assert edit.remove is not None
            _require(model, f"{key}.remove", edit.remove)
            model.set_submodule(edit.remove, nn.Identity())


def _require(model: nn.Module, key: str, path: str) -> None:
    names = [name for name, _ in model.named_modules() if name]
    if path not in names:
        raise ValueError(f"{key}={path}: the model has no such layer; {nearest(path, names)}")


def _insert(model: nn.Module, key: str, name: str, edit: Edit, layer: nn.Module) -> None:
    assert edit.at is not None
    anchor = model.get_submodule(edit.at)
    parent_path, _, leaf = edit.at.rpartition(".")
    parent = model.get_submodule(parent_path)
    in_sequence = isinstance(parent, nn.Sequential) and type(parent).forward is nn.Sequential.forward
    while isinstance(parent, nn.ModuleList | nn.ModuleDict):  # what iterates over one would run the new layer too
        parent_path = parent_path.rpartition(".")[0]
        parent = model.get_submodule(parent_path)
    if hasattr(parent, name):
        where = f"{parent_path}.{name}" if parent_path else name
        raise ValueError(f"{key}: the model already has {where}; choose another name for the new layer")
    if in_sequence:
        children = list(parent.named_children())
        place = [child for child, _ in children].index(leaf) + (edit.insert == "after")
        children.insert(place, (name, layer))
        for child, _ in list(parent.named_children()):
            delattr(parent, child)
        for child, module in children:
            parent.add_module(child, module)
    else:
        parent.add_module(name, layer)
        if edit.insert == "after":
            anchor.register_forward_hook(_After(layer))
        else:
            anchor.register_forward_pre_hook(_Before(layer))


# Classes, not closures: a copy of the model then calls its own copy of the layer.
class _After:
    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer

    def __call__(self, module: nn.Module, args: Any, output: Tensor) -> Tensor:
        result: Tensor = self.layer(output)
        return result


class _Before:
    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer

    def __call__(self, module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (self.layer(args[0]), *args[1:])
