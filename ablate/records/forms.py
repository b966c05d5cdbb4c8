"""Dataclasses as JSON and back: read with checks, written without what is not known, described by a JSON schema.

Kinds of fields: texts, numbers, enumerations of texts, mappings by text, tuples of one kind, other dataclasses, any of
these or None, and `Any`. A field whose value is its default is left out, but for those that are marked as `WRITTEN`.
"""

import functools
import types
import typing
from collections.abc import Callable, Hashable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import StrEnum
from typing import Any, TypeVar

_T = TypeVar("_T")
Schema = dict[str, Any]  # a JSON schema, or a part of one
_Field = Field[Any]
_Reader = Callable[[object, str], object]  # of a value, and where it stands, for the message
WRITTEN = {"written": True}  # metadata of a field that is written whatever its value
_TOO_LARGE = 2**63  # for a whole number in a table
_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", types.NoneType: "null"}


def unknown(*placeholders: object) -> dict[str, object]:
    """Returns the metadata of a field that may be None, which JSON holds as a placeholder.

    Args:
        placeholders: What is read as None; the first is what None is written as.
    """
    return {"unknown": placeholders}


def read(kind: type[_T], value: object, where: str = "") -> _T:
    """Returns a dataclass from what JSON holds; keys that it has no field for are ignored.

    Args:
        kind: The dataclass. An object of it in the place of its JSON is taken as it is.
        value: As `json.loads` returns it.
        where: Where the value stands, for the message.

    Raises:
        ValueError: A value is missing or of another kind; the message ends with its dotted key.
    """
    hashable: Hashable = typing.cast(Hashable, kind)
    return typing.cast(_T, _reader(hashable)(value, where))


def plain(value: Any) -> Any:
    """Returns a value, in which there may be dataclasses, as what `json.dump` takes."""
    if is_dataclass(value):
        written = {}
        for field in fields(value):
            item = getattr(value, field.name)
            if item is None and "unknown" in field.metadata:
                written[field.name] = field.metadata["unknown"][0]
            elif field.metadata == WRITTEN or not _is_default(field, item):
                written[field.name] = plain(item)
        return written
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, tuple | list) else value


def schema(kind: type) -> Schema:
    """Returns the JSON schema of a dataclass as `plain` writes it."""
    definitions: Schema = {}
    root = _schema(kind, definitions)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **root, "$defs": definitions}


def _unusable(where: str) -> ValueError:
    return ValueError(f"has no usable {where}")


@functools.cache
def _reader(kind: Hashable) -> _Reader:
    """Returns what reads a kind of value."""
    if is_dataclass(kind):
        return _dataclass_reader(typing.cast(type, kind))
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        (some,) = (_reader(each) for each in inner if each is not types.NoneType)
        return lambda value, where: None if value is None else some(value, where)
    if origin is tuple:
        return _tuple_reader(_reader(inner[0]))
    if origin is Mapping:
        return _mapping_reader(None if inner[1] is Any else _reader(inner[1]))
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        known = {member.value: member for member in kind}
        return _checked(lambda value: isinstance(value, str) and value in known, lambda value: known[str(value)])
    if kind is float:
        return _checked(_is_number)
    if kind is int:
        return _checked(_is_whole)
    assert kind in (str, bool), f"no field is of the kind {kind}"
    return _checked(lambda value: isinstance(value, str if kind is str else bool))


def _checked(check: Callable[[object], bool], take: Callable[[object], object] = lambda value: value) -> _Reader:
    def reader(value: object, where: str) -> object:
        if not check(value):
            raise _unusable(where)
        return take(value)

    return reader


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _TOO_LARGE


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, float) or abs(value) < 2**1023  # a whole number that a float can hold


def _tuple_reader(item: _Reader) -> _Reader:
    def reader(value: object, where: str) -> object:
        if not isinstance(value, list | tuple):
            raise _unusable(where)
        return tuple(item(each, where) for each in value)

    return reader


def _mapping_reader(item: _Reader | None) -> _Reader:
    def reader(value: object, where: str) -> object:
        if not isinstance(value, Mapping):
            raise _unusable(where)
        return value if item is None else {key: item(each, f"{where}.{key}") for key, each in value.items()}

    return reader


def _dataclass_reader(kind: type) -> _Reader:
    hints = typing.get_type_hints(kind)
    readers = [
        (field.name, _is_required(field), field.metadata.get("unknown", ()), _reader(hints[field.name]))
        for field in fields(kind)
    ]

    def reader(value: object, where: str) -> object:
        if isinstance(value, kind):
            return value
        if not isinstance(value, Mapping):
            raise _unusable(where)
        prefix = f"{where}." if where else ""
        found: dict[str, object] = {}
        for name, required, placeholders, item in readers:
            if name not in value:
                if required:
                    raise _unusable(prefix + name)
                continue
            each = value[name]
            found[name] = None if placeholders and each in placeholders else item(each, prefix + name)
        return kind(**found)

    return reader


def _is_required(field: _Field) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _is_default(field: _Field, value: object) -> bool:
    if field.default_factory is not MISSING:
        return bool(value == field.default_factory())
    return field.default is not MISSING and bool(value == field.default)


def _schema(kind: object, definitions: Schema) -> Schema:
    """Returns the schema of a kind of value, and adds those of the dataclasses in it to the definitions."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if is_dataclass(kind):
        return _object(typing.cast(type, kind), definitions)
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_schema(each, definitions) for each in inner]}
    if origin is tuple:
        return {"type": "array", "items": _schema(inner[0], definitions)}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": True if inner[1] is Any else _schema(inner[1], definitions)}
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return {"enum": [member.value for member in kind]}
    return {"type": _NAMES[typing.cast(type, kind)]}


def _object(kind: type, definitions: Schema) -> Schema:
    if kind.__name__ not in definitions:
        definitions[kind.__name__] = {}  # a place in the order of the fields
        hints, properties = typing.get_type_hints(kind), {}
        for field in fields(kind):
            hint = hints[field.name]
            if "unknown" in field.metadata:  # None is written as a placeholder of the same kind
                (hint,) = (each for each in typing.get_args(hint) if each is not types.NoneType)
            properties[field.name] = _schema(hint, definitions)
        definitions[kind.__name__] = {
            "description": (kind.__doc__ or "").partition("\n")[0],
            "type": "object",
            "properties": properties,
            "required": [field.name for field in fields(kind) if _is_required(field)],
            "additionalProperties": False,
        }
    return {"$ref": f"#/$defs/{kind.__name__}"}
