import pytest

from ablate.messages import redact


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://me:word@host/x", "http://***@host/x"),
        ("at https://token@host:80, and s3://key:secret@bucket/a@b", "at https://***@host:80, and s3://***@bucket/a@b"),
        ("postgresql://me:p@ss@host/db", "postgresql://***@host/db"),
        ('{"uri": "http://me:word@host"}', '{"uri": "http://***@host"}'),
        ("http://host/me@here", "http://host/me@here"),
        ("me@here: no address", "me@here: no address"),
    ],
)
def test_addresses_lose_their_secrets(text: str, expected: str) -> None:
    assert redact(text) == expected
