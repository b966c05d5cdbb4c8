"""A report's content, whatever it is rendered to."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.figure import Figure

from ablate.files import Plain


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    words: str


@dataclass(frozen=True)
class Item:
    """A point of a list."""

    text: str
    word: str = ""  # before it
    mark: str = ""  # a class to mark that with


@dataclass(frozen=True)
class Drawn:
    """A difference and its interval, as they are drawn on a line from 0 to 100."""

    name: str
    shown: str
    bounds: str
    at: float
    low: float
    high: float
    zero: float  # no difference
    runs: Sequence[str] = ()


@dataclass(frozen=True)
class Card(Item):
    """A point that the page shows as a card."""

    statement: str = ""
    drawn: Sequence[Drawn] = ()
    note: str = ""
    target: str = ""  # what on the page it leads to


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
    """A table's cell."""

    head: str  # of its column, which another column may have too
    text: str
    value: float | None = None  # to sort by, where it has one
    mark: str = ""  # a class to mark it with; `best` is bold and `second` underlined in all formats
    content: Literal["number", "words", "bounds", "sign"] = "number"  # of its column: bounds of an interval, ✓ or –
    notes: str = ""  # signs that a note below the table explains, such as `*`
    runs: Sequence[str] = ()  # that it rests on


def text(head: str, shown: str, mark: str = "") -> Cell:
    """Returns a cell of a column of words."""
    return Cell(head, shown, mark=mark, content="words")


def bounds(shown: str, head: str = "95 % interval") -> Cell:
    """Returns a cell of a column of intervals."""
    return Cell(head, shown, content="bounds")


@dataclass(frozen=True)
class Table:
    """A table, by the name of its files; it has a row or more, and each row says what its columns are."""

    name: str
    caption: str
    rows: Sequence[Sequence[Cell]]
    note: str = ""  # below it
    parts: Sequence[tuple[str, int]] = ()  # the titles of its parts, and how many rows each has
    label: str = ""  # of a table for a paper, for LaTeX's references
    runs: Sequence[str] = ()  # the run that each row is about, to which numbers lead

    @property
    def in_parts(self) -> Iterator[tuple[str, Sequence[Sequence[Cell]]]]:
        """The rows of each part, with its title."""
        start = 0
        for title, number in self.parts or [("", len(self.rows))]:
            yield title, self.rows[start : start + number]
            start += number


@dataclass(frozen=True)
class Picture:
    """A figure, by the name of its files."""

    name: str
    caption: str
    alt: str  # what it shows, in words
    draw: Callable[[], Figure]
    curves: Mapping[str, Plain] | None = None  # what the page draws in its place, for a reader to ask for values


Block = Text | Bullets | Commands | Table | Picture


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: Sequence[Block]
    is_first: bool = False  # whether it is read before all else, and not folded

    @property
    def anchor(self) -> str:
        """What links to it name."""
        return "section-" + self.title.lower().replace(" ", "-")


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
