"""A study's folder: its runs, its timings and its plans."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ablate.files import atomic_write, refuse_links
from ablate.records.run_directory import FORMAT, read_text


def study_files(study: Path, kind: str) -> list[Path]:
    """Returns the files of a kind (`timing`, `plan`) in a study's folder, the newest first."""
    return sorted((study / kind).glob("*.json"), reverse=True)


def write_study_file(study: Path, kind: str, started: str, content: Mapping[str, Any]) -> Path:
    """Writes a timing of variants, or the plan of a sweep, into a study's folder, and returns its file.

    Args:
        study: The folder.
        kind: `timing` or `plan`.
        started: When, in ISO 8601 and UTC: it is the file's name.
        content: What JSON can hold.
    """
    folder = study / kind
    refuse_links(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{started.replace(':', '').replace('+0000', 'Z')}.json"
    with atomic_write(path) as file:
        json.dump({"format": FORMAT, **content}, file, indent=1)
        file.write("\n")
    return path


def read_study_file(path: Path) -> dict[str, Any]:
    """Returns what `write_study_file` wrote.

    Raises:
        ValueError: It is nothing of this format.
    """
    try:
        content = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path.name} is not of format {FORMAT}")
    return content
