"""Overrides as people type them: commas that separate values, and those within a value."""

import re
from collections.abc import Iterator, Sequence

_OPENING, _CLOSING, _QUOTES = "([{", ")]}", "\"'"
_RANGE = re.compile(r"range\(([-\d,\s]+)\)")
_CHOICE = re.compile(r"choice\((.*)\)")


def key_and_value(override: str) -> tuple[str, str]:
    """Returns the key that an override sets, adds or deletes, and its value."""
    key, _, value = override.lstrip("+~").partition("=")
    return key, value


def split(text: str) -> list[str]:
    """Returns the parts of a text between its commas, but for those in brackets and quotes, without space around."""
    parts, depth, quote = [""], 0, ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in _QUOTES:
            quote = sign
        depth += 0 if quote else (sign in _OPENING) - (sign in _CLOSING)
        if sign == "," and not quote and depth <= 0:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts]


def choices(text: str) -> Iterator[str]:
    """Yields the values that a sweep gives a key: those of `a,b`, `choice(a,b)` or `range(…)`, or the only one."""
    text = text.strip()
    if match := _RANGE.fullmatch(text):
        yield from map(str, range(*(int(part) for part in match[1].split(","))))
    else:
        match = _CHOICE.fullmatch(text)
        yield from split(match[1] if match else text)


def seeds(numbers: Sequence[int]) -> str:
    """Returns the override that sweeps over seeds, which are in order."""
    consecutive = len(numbers) > 3 and list(numbers) == list(range(numbers[0], numbers[-1] + 1))
    return f"seed=range({numbers[0]},{numbers[-1] + 1})" if consecutive else f"seed={','.join(map(str, numbers))}"
