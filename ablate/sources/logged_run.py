"""A run as another tool logged it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ablate.files import PlainMapping


@dataclass(frozen=True)
class LoggedRun:
    """A run of another tool.

    Attributes:
        name: What the tool calls it; no other run of the tool is called so.
        status: As in run.json: complete, running, failed or interrupted.
        started: When, in ISO 8601.
        fields: What is known of it beside its metrics, by name: settings, tags, columns.
        history: What was logged at each step, by metric, in the order of the steps.
    """

    name: str
    status: str
    started: str
    fields: PlainMapping
    history: Sequence[Mapping[str, float]]


def flatten(node: PlainMapping, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yields the leaves of nested settings by dotted name."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def tag_fields(tags: Sequence[str]) -> dict[str, str]:
    """Returns tags of the form `name:value` as fields."""
    return {name: value for name, colon, value in (tag.partition(":") for tag in tags) if colon}
