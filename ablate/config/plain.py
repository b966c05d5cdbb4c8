"""A configuration as plain data, and back; and the parts of it that a question is about."""

import functools
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

from omegaconf import MISSING

from ablate.config.edits import Edit, read_edits
from ablate.config.keys import INHERITED, Meaning, told
from ablate.config.schema import OPTIONS, AdamConfig, Config, DataConfig, SGDConfig, Target, TrainConfig
from ablate.files import Plain, PlainMapping
from ablate.messages import nearest


def plain(section: Any) -> Plain:
    """Returns a configuration, or a section of one, as plain data: what a record keeps and what Hydra composed."""
    found: Plain = {}
    for item in fields(section):
        value = getattr(section, item.name)
        if item.name == "further":
            found |= value
        elif is_dataclass(value):
            found[item.name] = plain(value)
        elif item.type == dict[str, Edit]:
            found[item.name] = {name: edit.plain() for name, edit in value.items()}
        elif get_origin(item.type) is dict and is_dataclass(get_args(item.type)[1]):
            found[item.name] = {name: plain(each) for name, each in value.items()}
        else:
            found[item.name] = value
    return found


def read_config(raw: PlainMapping) -> Config:
    """Returns the configuration that plain data is, every value checked as far as that needs neither torch nor data."""
    config = _read_section("", Config, raw)
    assert isinstance(config, Config)
    for name in config.allow:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(f"allow={name}: name a Python package or module, such as mypackage")
    optimizer = config.optimizer
    if isinstance(optimizer, AdamConfig) and len(optimizer.betas) != 2:
        raise ValueError(f"optimizer.betas={optimizer.betas}: Adam takes two")
    if isinstance(optimizer, SGDConfig) and optimizer.nesterov and optimizer.momentum == 0:
        raise ValueError("optimizer.nesterov=true needs a momentum: set optimizer.momentum or optimizer.nesterov=false")
    if config.train.swa_from is not None:
        _check_average(config.train)
    return config


def _check_average(train: TrainConfig) -> None:
    assert train.swa_from is not None
    if train.ema_decay is not None:
        raise ValueError("train.swa_from, train.ema_decay: weights have one average; set one of the two")
    if train.swa_from > train.epochs:
        raise ValueError(f"train.swa_from={train.swa_from}: a run has only train.epochs={train.epochs}; start earlier")


def _read_section(key: str, declared: type, raw: object) -> object:
    if not isinstance(raw, Mapping):
        raise ValueError(f"{key}={raw}: must be a mapping of keys to values")
    kind = _option(declared, raw)
    hints, names = get_type_hints(kind), _names(kind)
    prefix = f"{key}." if key else ""
    values: Plain = {}
    further = {str(name): value for name, value in raw.items() if name not in names}
    if issubclass(kind, Target):
        values["further"] = further
    elif unknown := [name for name, value in further.items() if value is not None]:  # unset: of an earlier version
        name = unknown[0]
        raise ValueError(f"{prefix}{name}: there is no such key; {nearest(name, names)}")
    for name, item in names.items():
        is_section = item.default_factory is hints[name]
        value = raw.get(name, {} if is_section else item.default)
        if value == MISSING:
            raise ValueError(f"{prefix}{name} is not set; set it with {prefix}{name}=…")
        if value is not NO_DEFAULT:
            values[name] = read(f"{prefix}{name}", hints[name], value)
            Meaning(**told(item)).check(f"{prefix}{name}", values[name])
    return kind(**values)


def read(key: str, kind: Any, value: Any) -> Any:
    """Returns a value as the type of its key, checked, from plain data."""
    if kind is Any:
        return value
    if kind == dict[str, Edit]:
        return read_edits(value)
    if is_dataclass(kind):
        assert isinstance(kind, type)
        return _read_section(key, kind, value)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return None if value is None else read(key, next(part for part in inner if part is not type(None)), value)
    if origin is list and isinstance(value, list):
        return [read(key, inner[0], item) for item in value]
    if origin is dict and isinstance(value, Mapping):
        return {str(name): read(f"{key}.{name}", inner[1], item) for name, item in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if origin is None and isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", list: "a list"}
    raise ValueError(f"{key}={value}: must be {names.get(origin or kind, 'a mapping of keys to values')}")


def _option(declared: type, raw: PlainMapping) -> type:
    """Returns the class that declares the most of the keys that are given, and of those the smallest."""
    options = [kind for kind in OPTIONS.values() if issubclass(kind, declared)]
    return max([declared, *options], key=lambda kind: (len(_names(kind).keys() & raw.keys()), -len(_names(kind))))


def _names(kind: type) -> Plain:
    return {item.name: item for item in fields(kind) if item.name != "further"}


def loader_arguments(data: DataConfig) -> Plain:
    """Returns the keys of a data option that are its loader's own, not common to all data sets."""
    common = _names(DataConfig)
    own = {key: value for key, value in plain(data).items() if key not in common}
    arguments = own.pop("arguments", {})
    return {**own, **arguments}


@functools.cache
def meanings() -> Mapping[str, Meaning]:
    """Returns what each declared key means, by its dotted name; a section's keys have some of it from the section."""
    first_of_a_name: dict[str, Meaning] = {}
    for name, meaning in _declared("", Config, {}):
        first_of_a_name.setdefault(name, meaning)
    return first_of_a_name


def _declared(prefix: str, kind: type, inherited: Plain) -> Iterator[tuple[str, Meaning]]:
    hints = get_type_hints(kind)
    for name, item in _names(kind).items():
        says = {**inherited, **told(item)}
        yield f"{prefix}{name}", Meaning(**says)
        if is_dataclass(hints[name]):
            passed_on = {what: value for what, value in says.items() if what in INHERITED}
            for option in (hints[name], *(each for each in OPTIONS.values() if issubclass(each, hints[name]))):
                yield from _declared(f"{prefix}{name}.", option, passed_on)


def meaning(key: str) -> Meaning:
    """Returns what a dotted key means: as it is declared, or its section is; a key in neither counts for all."""
    known = meanings()
    while key and key not in known:
        key = key.rpartition(".")[0]
    return known.get(key, Meaning())


def can_alter(part: str) -> bool:
    """Whether a top-level part of a configuration has a key that can alter a result."""
    return any(each.alters for key, each in meanings().items() if key.partition(".")[0] == part)


@functools.cache
def _sections() -> set[str]:
    return {key.rpartition(".")[0] for key in meanings()}


def flatten(node: PlainMapping, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yields the leaves of nested settings by dotted key."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def select(config: PlainMapping, wanted: Callable[[Meaning], bool], prefix: str = "") -> Plain:
    """Returns the part of a plain configuration whose keys have a meaning; sections without such a key stay out."""
    found: Plain = {}
    for name, value in config.items():
        key = f"{prefix}{name}"
        if key in _sections() and isinstance(value, Mapping):
            if inner := select(value, wanted, f"{key}."):
                found[name] = inner
        elif wanted(meaning(key)):
            found[name] = value
    return found
