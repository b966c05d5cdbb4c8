"""Names near a mistyped one, for error messages."""

import difflib
from collections.abc import Iterable


def nearest(word: str, names: Iterable[str]) -> str:
    """Returns "did you mean …?" for the names closest to `word`, or the choices when none is close.

    Args:
        word: What the user typed.
        names: What would have been right.
    """
    names = list(dict.fromkeys(names))
    close = difflib.get_close_matches(word, names, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(close)}?"
    if len(names) > 30:
        names = [*names[:30], "…"]
    return f"choose from {', '.join(names)}"
