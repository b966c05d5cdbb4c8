"""A report's content, whatever it is rendered to."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.figure import Figure


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
    """A table's cell.

    Attributes:
        head: Of its column, which another column may have too.
        text: What it says.
        value: A number to sort by, where it has one.
        mark: A class to mark it with; `best` is bold and `second` underlined in all formats.
        content: What stands in its column; bounds are those of an interval, a sign is ✓ or –.
        notes: Signs that a note below the table explains, such as `*`.
    """

    head: str
    text: str
    value: float | None = None
    mark: str = ""
    content: Literal["number", "words", "bounds", "sign"] = "number"
    notes: str = ""


def text(head: str, shown: str, mark: str = "") -> Cell:
    """Returns a cell of a column of words."""
    return Cell(head, shown, mark=mark, content="words")


def bounds(shown: str, head: str = "95 % interval") -> Cell:
    """Returns a cell of a column of intervals."""
    return Cell(head, shown, content="bounds")


@dataclass(frozen=True)
class Table:
    """A table, by the name of its files; it has a row or more, and each row says what its columns are.

    Attributes:
        name: Of its files.
        caption: What it shows.
        rows: Of cells.
        note: What stands below it.
        parts: The titles of its parts and how many rows each has; empty where it has none.
        label: For LaTeX's references; made of the name if empty.
    """

    name: str
    caption: str
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    parts: Sequence[tuple[str, int]] = ()
    label: str = ""

    @property
    def in_parts(self) -> Iterator[tuple[str, Sequence[Sequence[Cell]]]]:
        """The rows of each part, with its title."""
        start = 0
        for title, number in self.parts or [("", len(self.rows))]:
            yield title, self.rows[start : start + number]
            start += number


@dataclass(frozen=True)
class Picture:
    """A figure, by the name of its files, with a caption, what it shows in words, and the function that draws it."""

    name: str
    caption: str
    alt: str
    draw: Callable[[], Figure]


Block = Text | Bullets | Commands | Table | Picture


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Document:
    """A report."""

    title: str
    lead: Sequence[Block]
    sections: Sequence[Section]

    @property
    def blocks(self) -> Iterator[Block]:
        """All that stands under the headings, in order."""
        return (block for section in self.sections for block in section.blocks)
