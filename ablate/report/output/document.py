"""A report's content, whatever it is rendered to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    words: str


@dataclass(frozen=True)
class Item:
    """A point of a list, with a word before it and a class to mark that with."""

    text: str
    word: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Bullets:
    """A list."""

    items: Sequence[Item]


@dataclass(frozen=True)
class Commands:
    """What to type."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Cell:
    """A table's cell: its text, a number to sort by where it has one, and a class to mark it with."""

    text: str
    value: float | None = None
    mark: str = ""


class Content(StrEnum):
    """What stands in the cells of a column."""

    NUMBER = "number"
    WORDS = "words"
    BOUNDS = "bounds"  # of an interval


@dataclass(frozen=True)
class Column:
    """A table's column: its head, which another column may have too, and what stands below it."""

    head: str
    content: Content = Content.NUMBER

    @property
    def is_number(self) -> bool:
        """Whether it is set right."""
        return self.content is Content.NUMBER


def number(head: str) -> Column:
    """Returns a column of numbers."""
    return Column(head)


def text(head: str) -> Column:
    """Returns a column of words."""
    return Column(head, Content.WORDS)


def bounds(head: str = "95 % interval") -> Column:
    """Returns a column of intervals."""
    return Column(head, Content.BOUNDS)


@dataclass(frozen=True)
class Table:
    """A table, by the name of its files."""

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Picture:
    """A figure, by the name of its files, with a caption and what it shows in words."""

    name: str
    caption: str
    alt: str


Block = Text | Bullets | Commands | Table | Picture


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)


@dataclass(frozen=True)
class Document:
    """A report."""

    title: str
    lead: Sequence[Block]
    sections: Sequence[Section]

    @property
    def tables(self) -> list[Table]:
        """All tables, in order."""
        blocks = [*self.lead, *(block for section in self.sections for block in section.blocks)]
        return [block for block in blocks if isinstance(block, Table)]
