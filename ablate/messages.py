"""Names near a mistyped one, for error messages."""

import difflib
from collections.abc import Iterable


def nearest(word: str, names: Iterable[str], most: int = 3) -> str:
    """Returns what to type instead of a mistyped word: "did you mean …?" with near names, and all if they are few.

    Args:
        word: What the user typed.
        names: What would have been right.
        most: How many near names to give.
    """
    names = list(dict.fromkeys(names))
    close = difflib.get_close_matches(word, names, n=most, cutoff=0.6)
    if not close:
        return f"choose from {', '.join(names[:40])}{', …' if len(names) > 40 else ''}"
    others = f" (choose from {', '.join(names)})" if len(close) < len(names) <= 8 else ""
    return f"did you mean {' or '.join(close)}?{others}"
