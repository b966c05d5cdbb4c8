"""What is printed of runs steers no terminal."""

import ast
import io
import logging
from pathlib import Path

import pytest

from ablate.messages import printable, redact, say
from ablate.runs.progress import ConsoleHandler, FileFormatter

ROOT = Path(__file__).parents[1] / "ablate"
STEERS = ["\x1b[2J", "\x1b]0;title\x07", "\r", "\x08", "\x9b31m", "\u202e", "\ud800", "\x7f"]


@pytest.mark.parametrize("sign", STEERS)
def test_what_a_terminal_obeys_is_printed_as_its_code(sign: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = io.StringIO()
    say(f"a{sign}b", "next", file=file)
    assert sign[0] not in file.getvalue() and "\\" in file.getvalue()
    assert file.getvalue().endswith("b\nnext\n")
    handler = ConsoleHandler()
    handler.emit(logging.LogRecord("x", logging.INFO, "x", 1, "torch %s", (sign,), None))
    said = capsys.readouterr().out
    assert said.startswith("torch ") and sign[0] not in said


@pytest.mark.parametrize("text", ["plain\ttext\n", "× 1.02 – 95 %", "Zürich 卷积 🙂"])
def test_other_text_is_printed_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_nothing_is_printed_in_another_way() -> None:
    for file in ROOT.rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
        names = [call.func.id for call in calls if isinstance(call.func, ast.Name)]
        assert file.name == "messages.py" or "print" not in names, file


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://me:word@host/x", "http://***@host/x"),
        ("at https://token@host:80, and s3://key:secret@bucket/a@b", "at https://***@host:80, and s3://***@bucket/a@b"),
        ("postgresql://me:p@ss@host/db", "postgresql://***@host/db"),
        ("https://host/x?run=3&api_key=abc&x=1", "https://host/x?run=3&api_key=***&x=1"),
        ("https://host/?X-Amz-Signature=ab/c%2F#top", "https://host/?X-Amz-Signature=***#top"),
        ("why? a token=abc is no address's", "why? a token=abc is no address's"),
        ('{"uri": "http://me:word@host"}', '{"uri": "http://***@host"}'),
        ("http://host/me@here", "http://host/me@here"),
        ("me@here: no address", "me@here: no address"),
    ],
)
def test_addresses_lose_their_secrets(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_a_log_holds_nothing_that_steers_a_terminal_and_no_secret() -> None:
    record = logging.LogRecord(
        "n", logging.INFO, "f", 1, "a \x1b[31mb\u202e http://me:word@host/?token=t\tc\nd", (), None
    )
    assert FileFormatter("%(message)s").format(record) == "a \\x1b[31mb\\u202e http://***@host/?token=***\tc\nd"
