"""Dataclasses as JSON and back: read with checks, written without what is not known, described by a JSON schema."""

import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar

import msgspec

from ablate.files import Plain

_T = TypeVar("_T")
WRITTEN = {"written": True}  # metadata of a field that is written even where it is empty
_WHERE = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?")  # what is wrong, and where, as msgspec says it
_MISSING = re.compile(r"Object missing required field `(.*)`")


def read(kind: type[_T], value: object, where: str = "") -> _T:
    """Returns a dataclass from what JSON holds, keys that it has no field for ignored, and its objects as they are.

    ValueError says where a value is missing or of another kind, by its dotted key below `where`.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        found = _WHERE.fullmatch(str(error))
        assert found is not None
        path = _with_key(kind, value, found["path"] or "", str(error))
        missing = _MISSING.fullmatch(found["what"])
        raise ValueError(f"has no usable {'.'.join(filter(None, (where, path, missing and missing[1])))}") from error


def _with_key(kind: type, value: object, path: str, message: str) -> str:
    """Returns the path of a value that is refused with the key of the mapping that it is in: msgspec leaves it out."""
    above, mark, below = path.partition("[...]")
    if mark:
        whole = deepcopy(value)
        mapping: Any = whole
        for key in above.split("."):
            mapping = mapping[key]
        for key, item in list(mapping.items()):
            mapping.clear()
            mapping[key] = item
            try:
                msgspec.convert(whole, kind)
            except msgspec.ValidationError as error:
                if str(error) == message:
                    return f"{above}.{key}{below}"
    return path


def plain(value: object) -> Any:
    """Returns a value, in which there may be dataclasses, as what `json.dump` takes.

    A field whose value is its default is left out, but for those that are marked as `WRITTEN`.
    """
    if is_dataclass(value):
        written = {}
        for item in fields(value):
            given = getattr(value, item.name)
            default = item.default if item.default_factory is MISSING else item.default_factory()
            if item.metadata == WRITTEN or given != default:
                written[item.name] = plain(given)
        return written
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, tuple | list) else value


def schema(kind: type) -> Plain:
    """Returns the JSON schema of a dataclass as `plain` writes it."""
    made = msgspec.json.schema(kind, schema_hook=lambda _: {"description": "any value"})
    for definition in made["$defs"].values():
        definition["description"] = definition.get("description", "").partition("\n")[0]
        if "properties" in definition:
            definition["additionalProperties"] = False
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}
