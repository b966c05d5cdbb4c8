"""How format 1 of run.json writes a record: placeholders for what is not known, and what is read of a configuration."""

from collections.abc import Mapping
from typing import NotRequired, TypedDict

from ablate.files import Plain, PlainMapping

# What run.json holds where a value is not known, by its dotted key: the first is written, each is read as None.
_IMAGES: dict[str, object] = {"sha256": "", "images": {}}
_PLACEHOLDERS: dict[str, tuple[object, ...]] = {
    **{f"model.{when}.{what}": (0,) for when in ("before", "after") for what in ("parameters", "flops")},
    "data": ({"name": "unknown", **_IMAGES}, {"name": "the task's", **_IMAGES}),
    "data.name": ("unknown", "the task's"),
    "data.sha256": ("",),
    "pairing": ({"initial_weights": {}, "first_epoch_order": ""},),
    "provenance.machine.cpu": ("unknown",),
    "provenance.machine.cores": (0,),
    "provenance.accelerator": ("unknown", "of the task"),
    "provenance.threads": (0,),
}


def with_placeholders(content: PlainMapping, take_away: bool) -> Plain:
    """Returns what run.json holds with placeholders for what is not known, or with None in their place."""
    result = dict(content)
    for key, placeholders in _PLACEHOLDERS.items():
        *above, name = key.split(".")
        part = result
        for each in above:
            if not isinstance(part.get(each), Mapping):
                break
            part[each] = part = dict(part[each])
        else:
            if take_away and part.get(name) in placeholders:
                part[name] = None
            elif not take_away and part.get(name) is None:
                part[name] = placeholders[0]
    return result


class _Edit(TypedDict):
    layer: NotRequired[PlainMapping | None]


class _Model(TypedDict):
    name: str
    edits: Mapping[str, _Edit]
    base: NotRequired[PlainMapping | None]


class _Train(TypedDict):
    epochs: int


class _Hardware(TypedDict):
    precision: str


class RecordedConfig(TypedDict):
    """What is read off a recorded configuration, whatever else is in it."""

    model: _Model
    train: _Train
    hardware: _Hardware
    study: PlainMapping
    data: PlainMapping
    logger: NotRequired[PlainMapping | None]
