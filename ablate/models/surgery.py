"""Named edits on any `nn.Module`: insert, replace, remove, bypass, freeze or re-initialise layers, or change arguments.

Layers are addressed by the dotted names of `named_modules()`, or by patterns of them, and an edit leaves those names,
and so those of the parameters, as they were:

- An insertion stands in the order of an `nn.Sequential`; elsewhere the new layer becomes a sibling of its anchor and
  runs through a hook on it, each time the anchor runs.
- A replacement takes over the name of the layer it replaces.
- A removal leaves an `nn.Identity` under the old name.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ablate.config.edits import Edit
from ablate.config.targets import instantiate, locate
from ablate.messages import nearest

Stream = Callable[[str], AbstractContextManager[None]]


def edit_model(
    model: nn.Module, edits: Mapping[str, Edit], stream: Stream = lambda _: nullcontext()
) -> dict[str, nn.Module]:
    """Makes the edits in place, in their order.

    Args:
        model: Any module.
        edits: By name; the name of an insertion is that of its layer, beside its anchor. Of an insertion by a pattern,
            the name of the anchor stands after it: `drop_relu1`.
        stream: Makes the stream of a name, such as `drop3`, the source of random numbers.

    Returns:
        The layers that came in: by the name of the edit, and for patterns by `<edit>/<place>`.

    Raises:
        ValueError: An edit names a layer that is not there, a new name that is taken, or arguments that do not fit; the
            message names its key.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> drop = Edit(insert="after", at="1", layer={"_target_": "torch.nn.Dropout", "p": 0.2})
        >>> edit_model(model, {"drop": drop, "gelu": Edit(replace="1", layer={"_target_": "torch.nn.GELU"})})
        {'drop': Dropout(p=0.2, inplace=False), 'gelu': GELU(approximate='none')}
        >>> [name for name, _ in model.named_children()]
        ['0', '1', 'drop', '2']
    """
    layers: dict[str, nn.Module] = {}
    for name, edit in edits.items():
        key = f"model.edits.{name}"
        for path in matches(model, key, edit):
            place = f"{name}/{path}" if edit.is_pattern else name
            with stream(place):
                if edit.kind in ("insert", "replace"):
                    layers[place] = _new_layer(key, edit, model.get_submodule(path))
                _make(model, key, name, edit, path, layers.get(place))
    return layers


def matches(model: nn.Module, key: str, edit: Edit) -> list[str]:
    """Returns the names of the layers that an edit is about, in the model's order; none within another.

    Args:
        model: Any module.
        key: Of the edit, for messages.
        edit: What to do.

    Raises:
        ValueError: There is none.
    """
    part = "at" if edit.kind in ("insert", "set") else edit.kind
    names = [name for name, _ in model.named_modules() if name]
    if not edit.is_pattern:
        if edit.where not in names:
            raise ValueError(f"{key}.{part}={edit.where}: the model has no such layer; {nearest(edit.where, names)}")
        return [edit.where]
    pattern = _pattern(edit.where)
    found = [name for name in names if pattern.fullmatch(name)]
    if not found:
        raise ValueError(f"{key}.{part}={edit.where}: no layer's name fits; {nearest(edit.where, names)}")
    if edit.type is not None:
        kind = locate(f"{key}.type", edit.type)
        if not isinstance(kind, type):
            raise ValueError(f"{key}.type={edit.type}: is not a class")
        there = sorted({type(model.get_submodule(name)).__name__ for name in found})
        found = [name for name in found if isinstance(model.get_submodule(name), kind)]
        if not found:
            raise ValueError(f"{key}.type={edit.type}: no layer is one; there are {', '.join(there)}")
    outermost: list[str] = []
    for name in found:  # parents come before their children
        if not any(name.startswith(f"{above}.") for above in outermost):
            outermost.append(name)
    return outermost


def _pattern(text: str) -> re.Pattern[str]:
    """Returns the regular expression of a pattern of dotted names."""
    signs = {"**.": r"(?:.*\.)?", "**": ".*", "*": r"[^.]*", "?": "[^.]"}
    parts = re.split(r"(\*\*\.|\*\*|\*|\?|\[[^\]]+\])", text)
    return re.compile(
        "".join(signs.get(part, part if part.startswith("[") else re.escape(part)) for part in parts if part)
    )


def _new_layer(key: str, edit: Edit, anchor: nn.Module) -> nn.Module:
    assert edit.layer is not None
    arguments = {
        name: _attribute(f"{key}.layer.{name}", anchor, value[1:])
        if isinstance(value, str) and value.startswith("@")
        else value
        for name, value in edit.layer.items()
    }
    layer = instantiate(f"{key}.layer", arguments)
    if not isinstance(layer, nn.Module):
        raise ValueError(f"{key}.layer._target_={edit.layer['_target_']}: is not a torch.nn.Module")
    return layer


def _attribute(key: str, module: nn.Module, name: str) -> Any:
    value = getattr(module, name, None)
    if value is None:
        public = [other for other in vars(module) if not other.startswith("_")]
        raise ValueError(f"{key}=@{name}: {type(module).__name__} has no {name}; {nearest(name, public)}")
    return value


def _make(model: nn.Module, key: str, name: str, edit: Edit, path: str, new: nn.Module | None) -> None:
    module = model.get_submodule(path)
    match edit.kind:
        case "insert":
            assert new is not None
            _insert(model, key, f"{name}_{path.rpartition('.')[2]}" if edit.is_pattern else name, edit, path, new)
        case "replace":
            assert new is not None
            model.set_submodule(path, new)
        case "remove":
            model.set_submodule(path, nn.Identity())
        case "bypass":
            module.forward = _first
        case "freeze":
            module.requires_grad_(False)
        case "reinit":
            _draw_anew(key, path, module)
        case "set":
            assert edit.set is not None
            model.set_submodule(path, _rebuilt(f"{key}.set", path, module, edit.set))


def _first(x: Tensor, *_: Any, **__: Any) -> Tensor:
    return x


def _insert(model: nn.Module, key: str, name: str, edit: Edit, path: str, layer: nn.Module) -> None:
    anchor = model.get_submodule(path)
    parent_path, _, leaf = path.rpartition(".")
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


def _draw_anew(key: str, path: str, module: nn.Module) -> None:
    drawn = False
    for name, part in module.named_modules(prefix=path):
        if callable(draw := getattr(part, "reset_parameters", None)):
            draw()
            drawn = True
        elif any(True for _ in part.parameters(recurse=False)):
            raise ValueError(f"{key}.reinit: {name} ({type(part).__name__}) has weights and no reset_parameters()")
    if not drawn:
        raise ValueError(f"{key}.reinit: {path} ({type(module).__name__}) has no weights to draw anew")


def _rebuilt(key: str, path: str, module: nn.Module, changes: Mapping[str, Any]) -> nn.Module:
    """Returns a layer made anew with some arguments changed; weights whose shape stays are kept.

    What a layer was made with is read from its attributes, which have the arguments' names.
    """
    kind = type(module)
    arguments: dict[str, Any] = {"_target_": f"{kind.__module__}.{kind.__qualname__}"}
    for name, parameter in inspect.signature(kind).parameters.items():
        if name in changes or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if hasattr(module, name):
            value = getattr(module, name)
            arguments[name] = value is not None if name in module._parameters else value  # bias=True, for one
        elif name not in ("device", "dtype"):
            raise ValueError(f"{key}: {path} ({kind.__name__}) does not keep its argument {name}; use replace instead")
    new: nn.Module = instantiate(key, {**arguments, **changes})
    old = module.state_dict()
    with torch.no_grad():
        for name, values in new.state_dict().items():
            if name in old and old[name].shape == values.shape:
                values.copy_(old[name])
    return new


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
