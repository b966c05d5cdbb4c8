"""Objects named in the configuration by `_target_`, with their arguments beside it."""

import importlib
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from ablate.files import Plain, PlainMapping
from ablate.messages import nearest

# What a node of the configuration may name, by the first part of its key: of each package the classes of a base. What
# others send is read as a configuration too, so naming any callable there is would be running any code.
_ALLOWED: Mapping[str, Mapping[str, str]] = {
    "model": dict.fromkeys(("torch.nn", "torchvision.models", "torchvision.ops", "ablate.models"), "torch.nn.Module"),
    "optimizer": {"torch.optim": "torch.optim.Optimizer"},
    "scheduler": {"torch.optim.lr_scheduler": "torch.optim.lr_scheduler.LRScheduler"},
    "loss": {"torch.nn": "torch.nn.modules.loss._Loss"},
    "augment": {"torchvision.transforms.v2": "torchvision.transforms.v2.Transform"},
    "data": {"ablate.data": "ablate.data.images.ImageData"},
    "metrics": {"torchmetrics": "torchmetrics.Metric", "ablate.training.meters": "ablate.training.meters.Meter"},
    "logger": {"ablate.trackers": "ablate.trackers.base.Tracker"},
}

_PRIVATE_BY_DESIGN = ("torchvision.transforms.v2",)  # its classes say that they are of modules with private names

_EDIT = re.compile(r"model\.edits\.[^.]+")  # beside `_target_`, the `type` of an edit names a class


def check_targets(config: PlainMapping, allow: Sequence[str] = ()) -> None:
    """Refuses plain data that names code which it may not run; calls nothing, and imports only what it may run.

    Of the packages in `_ALLOWED` these are the classes of the base beside them, torchvision's registered builders, and
    our own functions that return what the base is of; of a package that the user trusts, all that is defined in it.
    """
    for group, packages in _ALLOWED.items():
        for key, name in _targets(group, config.get(group)):
            if not within(name, (*packages, *allow)) or not _may_run(locate(key, name), packages, allow):
                package = name.partition(".")[0]
                raise ValueError(
                    f"{key}={name}: code of {', '.join(packages)} is allowed here, if it makes a "
                    f"{' or a '.join(dict.fromkeys(packages.values()))}; "
                    f"if you trust that of {package}, add 'allow=[{package}]'"
                )


def _may_run(target: object, packages: Mapping[str, str], allow: Sequence[str]) -> bool:
    # What stands at an allowed name may come from elsewhere: a module imports others.
    module = str(getattr(target, "__module__", ""))
    if within(module, allow):
        return True
    bases = [base for package, base in packages.items() if within(module, [package])]
    private = any(part.startswith("_") for part in module.split("."))
    if not bases or (private and not within(module, _PRIVATE_BY_DESIGN)):
        return False
    base = locate("", bases[0])
    if inspect.isclass(target):
        return issubclass(target, base)
    if not inspect.isfunction(target) or target.__name__.startswith("_"):
        return False
    if module.startswith("torchvision."):
        models = importlib.import_module("torchvision.models")
        return target in map(models.get_model_builder, models.list_models())
    made = inspect.get_annotations(target).get("return")
    return module.startswith("ablate.") and inspect.isclass(made) and issubclass(made, base)


def _targets(key: str, node: object) -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping):
        for name, value in node.items():
            if value is not None and (name == "_target_" or (name == "type" and _EDIT.fullmatch(key))):
                yield f"{key}.{name}", str(value)
            else:
                yield from _targets(f"{key}.{name}", value)
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for value in node:
            yield from _targets(key, value)


def within(name: object, packages: Iterable[str]) -> bool:
    """Whether a dotted name is that of one of the packages, or of something in it."""
    return isinstance(name, str) and any(name == package or name.startswith(f"{package}.") for package in packages)


def instantiate(key: str, node: PlainMapping, /, *args: Any, **kwargs: Any) -> Any:
    """Calls the target that a configuration node names, with further arguments; errors name the node's key."""
    call = resolve(key, node, *args, **kwargs)
    try:
        return call()
    except (TypeError, ValueError) as error:
        shown = ", ".join(f"{name}={value}" for name, value in node.items() if name != "_target_")
        raise ValueError(f"{key}: {call.func.__name__}({shown}): {error}") from error


def resolve(key: str, node: PlainMapping, /, *args: Any, **kwargs: Any) -> "partial[Any]":
    """Returns the call that `instantiate` makes, its target found and its arguments' names checked."""
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise ValueError(f"{key}={node}: must be a mapping with a _target_ and its arguments")
    target = locate(f"{key}._target_", node["_target_"])
    arguments = {str(name): value for name, value in node.items() if name != "_target_"}
    _check_arguments(key, target, args, arguments, kwargs)
    return partial(target, *args, **arguments, **kwargs)


def locate(key: str, name: str) -> Any:
    """Returns what a dotted name stands for."""
    parts = name.split(".")
    module: Any = None
    for depth in range(1, len(parts)):
        path = ".".join(parts[:depth])
        try:
            module = importlib.import_module(path)
        except ModuleNotFoundError as error:
            if error.name != path:
                raise
            break
    if module is None:
        raise ValueError(
            f"{key}={name}: there is no module {parts[0]}; name a class as module.Class, such as torch.nn.Dropout"
        )
    found = module
    for part in parts[len(module.__name__.split(".")) :]:
        if not hasattr(found, part):
            where = getattr(found, "__name__", name)
            public = [known for known in dir(found) if not known.startswith("_")]
            raise ValueError(f"{key}={name}: {where} has no {part}; {nearest(part, public)}")
        found = getattr(found, part)
    if not callable(found):
        raise ValueError(f"{key}={name}: cannot be called; name a class or a function")
    return found


def _check_arguments(key: str, target: Any, args: tuple[Any, ...], arguments: Plain, kwargs: Plain) -> None:
    try:
        signature = inspect.signature(target)
    except ValueError:  # some built-ins have none to inspect
        return
    parameters = signature.parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        for name in arguments:
            if name not in parameters:
                takes = [known for known in list(parameters)[len(args) :] if known not in kwargs]
                hint = nearest(name, takes) if takes else "it takes none"
                raise ValueError(f"{key}.{name}: {target.__name__} has no such argument; {hint}")
    try:
        signature.bind(*args, **arguments, **kwargs)
    except TypeError as error:
        raise ValueError(f"{key}: {target.__name__}: {error}") from error
