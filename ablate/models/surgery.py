"""Named edits on any `nn.Module`: insert, replace, remove, bypass, freeze or re-initialise layers, or change arguments.

Layers are addressed by the dotted names of `named_modules()`, or by patterns of them, and an edit leaves those names,
and so those of the parameters, as they were:

- An insertion stands in the order of an `nn.Sequential`; elsewhere the new layer becomes a sibling of its anchor and
  runs through a hook on it, each time the anchor runs. Of several at one anchor, the last one made is next to it.
- A replacement takes over the name of the layer it replaces.
- A removal leaves an `nn.Identity` under the old name.

A module with several names, because several places of the model share it, is edited at those that are named: the places
get modules of their own, with the same weights. `freeze` and `reinit` are about weights, and so about all places.
"""

import copy
import inspect
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ablate.config.edits import PLACED, WITH_LAYER, Edit
from ablate.config.targets import instantiate, locate
from ablate.files import PlainMapping
from ablate.messages import nearest
from ablate.models.insertions import Inserted, carry_insertions, insert_beside, insertions

Stream = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True)
class Made:
    """What an edit did at one place."""

    key: str  # the edit's, for messages
    edit: Edit
    path: str  # the name of the layer that it was about
    module: nn.Module  # what stands there since, or the inserted layer


def edit_model(
    model: nn.Module,
    edits: Mapping[str, Edit],
    stream: Stream = lambda _: nullcontext(),
    on_made: Callable[[Made], object] = lambda _: None,
) -> dict[str, nn.Module]:
    """Makes the edits in place, in their order.

    Args:
        model: A module.
        edits: By name; the name of an insertion is that of its layer, beside its anchor. Of an insertion by a pattern,
            the name of the anchor stands after it: `drop_relu1`.
        stream: Makes the stream of a name, such as `drop3`, the source of random numbers.
        on_made: Is told of each place that an edit changes.

    Returns:
        The layers that came in: by the name of the edit, and for patterns by `<edit>/<place>`.

    Raises:
        ValueError: An edit names a layer that is not there, a new name that is taken, or arguments that do not fit; the
            message names its key.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 2), nn.ReLU())
        >>> drop = {"_target_": "torch.nn.Dropout", "p": 0.2}
        >>> edit_model(model, {"drop": Edit(insert="after", at="0", layer=drop)})
        {'drop': Dropout(p=0.2, inplace=False)}
        >>> [name for name, _ in model.named_children()]
        ['0', 'drop', '1']
    """
    layers: dict[str, nn.Module] = {}
    for name, edit in edits.items():
        key = f"model.edits.{name}"
        for paths in _units(model, key, edit):
            place = f"{name}/{paths[0]}" if edit.is_pattern else name
            with stream(place):
                module = _make(model, key, name, edit, paths)
            if edit.kind in WITH_LAYER:
                layers[place] = module
            for path in paths:
                on_made(Made(key, edit, path, module))
    return layers


def all_names(model: nn.Module) -> dict[nn.Module, list[str]]:
    """Returns all names of each module, of which one that is used in several places has several."""
    names: dict[nn.Module, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        names.setdefault(module, []).append(name)
    return names


def matches(model: nn.Module, key: str, edit: Edit) -> list[str]:
    """Returns all names of the layers that an edit is about, in the model's order; none within another."""
    part = "at" if edit.kind in PLACED else edit.kind
    names = [name for name, _ in model.named_modules(remove_duplicate=False) if name]
    if not edit.is_pattern:
        if edit.where not in names:
            raise ValueError(f"{key}.{part}={edit.where}: the model has no such layer; {nearest(edit.where, names)}")
        return [edit.where]
    pattern = _pattern(edit.where)
    fitting = [name for name in names if pattern.fullmatch(name)]
    if not fitting:
        raise ValueError(f"{key}.{part}={edit.where}: no layer's name fits; {nearest(edit.where, names)}")
    if edit.type is not None:
        kind = locate(f"{key}.type", edit.type)
        if not isinstance(kind, type):
            raise ValueError(f"{key}.type={edit.type}: is not a class")
        there = sorted({type(model.get_submodule(name)).__name__ for name in fitting})
        fitting = [name for name in fitting if isinstance(model.get_submodule(name), kind)]
        if not fitting:
            raise ValueError(f"{key}.type={edit.type}: no layer is one; there are {', '.join(there)}")
    outermost: list[str] = []
    for name in fitting:  # parents come before their children
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


def _attribute(key: str, module: nn.Module, name: str) -> object:
    value: object = getattr(module, name, None)
    if value is None:
        public = [other for other in vars(module) if not other.startswith("_")]
        raise ValueError(f"{key}=@{name}: {type(module).__name__} has no {name}; {nearest(name, public)}")
    return value


def _units(model: nn.Module, key: str, edit: Edit) -> list[list[str]]:
    """Returns the names that an edit changes at once: those of one module, or of one place of a sequence.

    The places come apart from others that they share modules with and that the edit does not name.
    """
    chosen = matches(model, key, edit)
    if edit.kind not in ("freeze", "reinit"):
        for path in chosen:
            _separate(model, key, path, chosen)
    units: dict[object, list[str]] = {}
    for path in chosen:
        sequence = _sequence_of(model, path) if edit.kind == "insert" else None
        unit = model.get_submodule(path) if sequence is None else (sequence, path.rpartition(".")[2])
        units.setdefault(unit, []).append(path)
    return list(units.values())


def _separate(model: nn.Module, key: str, path: str, chosen: Sequence[str]) -> None:
    """Gives the modules above a layer to its place alone, where places that are not chosen share them."""
    names = all_names(model)
    parent, _, leaf = path.rpartition(".")
    if all(f"{name}.{leaf}".lstrip(".") in chosen for name in names[model.get_submodule(parent)]):
        return
    for above in itertools.accumulate(parent.split("."), "{}.{}".format):
        module = model.get_submodule(above)
        if len(names[module]) > 1:
            model.set_submodule(above, _twin(key, above, module, names[module]))


def _own(model: nn.Module, key: str, paths: Sequence[str]) -> nn.Module:
    """Returns the module of some places, made theirs alone where it has others."""
    module = model.get_submodule(paths[0])
    names = all_names(model)[module]
    if set(names) <= set(paths):
        return module
    twin = _twin(key, paths[0], module, names)
    for path in paths:
        model.set_submodule(path, twin)
    return twin


def _twin(key: str, path: str, module: nn.Module, names: Sequence[str]) -> nn.Module:
    """Returns a module with the same weights and children, to stand in another place; buffers cannot be shared so."""
    if any(buffer is not None for buffer in module._buffers.values()):
        others = " and ".join(name for name in names if name != path)
        raise ValueError(
            f"{key}: {path} ({type(module).__name__}) is one module with {others}, and its running statistics are "
            "theirs too; edit all of them with a pattern, or give the model a module for each place"
        )
    twin = module.__new__(type(module))
    attributes = vars(module).items()
    twin.__dict__ = {name: copy.copy(value) if isinstance(value, dict) else value for name, value in attributes}
    for hooks in (twin._forward_pre_hooks, twin._forward_hooks):
        hooks.update({number: copy.copy(hook) for number, hook in hooks.items() if isinstance(hook, Inserted)})
    return twin


def _make(model: nn.Module, key: str, name: str, edit: Edit, paths: Sequence[str]) -> nn.Module:
    """Makes an edit in the places of one module, and returns what stands there since, or the inserted layer."""
    module = model.get_submodule(paths[0])
    match edit.kind:
        case "insert":
            layer = _new_layer(key, edit, module)
            _insert(model, key, name, edit, paths, layer)
            return layer
        case "bypass":
            module = _own(model, key, paths)
            module.forward = _first
            return module
        case "freeze":
            return module.requires_grad_(False)
        case "reinit":
            _draw_anew(key, paths[0], module)
            return module
        case "replace":
            new = _new_layer(key, edit, module)
        case "set":
            new = _rebuilt(f"{key}.set", paths[0], module, edit.set or {})
        case _:  # remove
            new = nn.Identity()
    carry_insertions(module, new)
    for path in paths:
        model.set_submodule(path, new)
    return new


def _first(x: Tensor, *_: object, **__: object) -> Tensor:
    return x


def _sequence_of(model: nn.Module, path: str) -> nn.Sequential | None:
    """Returns the sequence in whose order a layer runs, if it is in one."""
    parent = model.get_submodule(path.rpartition(".")[0])
    runs_in_order = isinstance(parent, nn.Sequential) and type(parent).forward is nn.Sequential.forward
    return parent if runs_in_order else None  # type: ignore[return-value]


def _insert(model: nn.Module, key: str, name: str, edit: Edit, paths: Sequence[str], layer: nn.Module) -> None:
    parent_path, _, leaf = paths[0].rpartition(".")
    if edit.is_pattern:
        name = f"{name}_{leaf}"
    sequence = _sequence_of(model, paths[0])
    parent = model.get_submodule(parent_path)
    while isinstance(parent, nn.ModuleList | nn.ModuleDict):  # what iterates over one would run the new layer too
        parent_path = parent_path.rpartition(".")[0]
        parent = model.get_submodule(parent_path)
    if hasattr(parent, name):
        where = f"{parent_path}.{name}" if parent_path else name
        raise ValueError(f"{key}: the model already has {where}; choose another name for the new layer")
    if sequence is not None:
        children = list(sequence._modules.items())
        place = list(sequence._modules).index(leaf) + (edit.insert == "after")
        children.insert(place, (name, layer))
        sequence._modules.clear()
        sequence._modules.update(children)
        return
    anchor = _own(model, key, paths)
    parent.add_module(name, layer)
    insert_beside(anchor, layer, before=edit.insert == "before")


def _draw_anew(key: str, path: str, module: nn.Module) -> None:
    drawn = False
    for name, part in module.named_modules(prefix=path):
        own = [parameter for parameter in part.parameters(recurse=False) if not is_lazy(parameter)]
        if callable(draw := getattr(part, "reset_parameters", None)):
            with torch.no_grad():
                for parameter in own:
                    parameter.fill_(torch.nan)
            draw()
            if any(bool(parameter.isnan().any()) for parameter in own):
                raise ValueError(
                    f"{key}.reinit: {name} ({type(part).__name__}) computes its weights of others, which its "
                    "reset_parameters() does not draw; use replace instead"
                )
            drawn = True
        elif own:
            raise ValueError(f"{key}.reinit: {name} ({type(part).__name__}) has weights and no reset_parameters()")
    if not drawn:
        raise ValueError(f"{key}.reinit: {path} ({type(module).__name__}) has no weights to draw anew")


def _rebuilt(key: str, path: str, module: nn.Module, changes: PlainMapping) -> nn.Module:
    """Returns a layer made anew with some arguments changed; weights whose shape stays are kept, also frozen.

    What a layer was made with is read from its attributes, which have the arguments' names.
    """
    kind = type(module)
    if nn.utils.parametrize.is_parametrized(module):
        raise ValueError(f"{key}: {path} ({kind.__name__}) computes its weights of others; use replace instead")
    kept: dict[str, object] = {"_target_": f"{kind.__module__}.{kind.__qualname__}"}
    for name, parameter in inspect.signature(kind).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if hasattr(module, name):
            value = getattr(module, name)
            kept[name] = value is not None if name in module._parameters else value  # bias=True, for one
        elif name not in ("device", "dtype", *changes):
            raise ValueError(f"{key}: {path} ({kind.__name__}) does not keep its argument {name}; use replace instead")
    new: nn.Module = instantiate(key, {**kept, **changes})
    with torch.random.fork_rng(devices=[]):
        forgotten = {name: value for name, value in changes.items() if name not in kept}
        same: nn.Module = instantiate(key, {**kept, **forgotten})
    if _form(same, not forgotten) != _form(module, not forgotten):
        raise ValueError(
            f"{key}: {path} ({kind.__name__}) was changed after it was made, or by an edit within it, and would be "
            "made anew without that; use replace instead"
        )
    _keep_weights(module, new)
    if vars(module).get("forward") is _first:
        new.forward = _first
    return new.train(module.training)


def _form(module: nn.Module, in_detail: bool) -> list[object]:
    """Returns what tells whether a layer is as its class makes it; in detail, of the same arguments."""
    return [
        (
            name,
            type(part),
            len(part._forward_hooks) + len(part._forward_pre_hooks) - len(insertions(part)),
            name and "forward" in vars(part),
            in_detail and (part.extra_repr(), part.state_dict().keys()),
        )
        for name, part in module.named_modules(remove_duplicate=False)
    ]


def _keep_weights(old: nn.Module, new: nn.Module) -> None:
    parameters, buffers = dict(old.named_parameters()), dict(old.named_buffers())
    frozen = bool(parameters) and not any(parameter.requires_grad for parameter in parameters.values())
    for name, parameter in list(new.named_parameters()):
        before = parameters.get(name)
        if before is None:
            parameter.requires_grad_(not frozen)
        elif is_lazy(before) or is_lazy(parameter) or before.shape != parameter.shape:
            parameter.requires_grad_(before.requires_grad)
        else:  # itself: other layers may have the same weights
            part, _, leaf = name.rpartition(".")
            setattr(new.get_submodule(part), leaf, before)
    with torch.no_grad():
        for name, values in new.named_buffers():
            kept = buffers.get(name)
            if kept is not None and not is_lazy(kept) and not is_lazy(values) and kept.shape == values.shape:
                values.copy_(kept)
