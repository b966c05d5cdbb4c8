"""The record that a callback of Hydra leaves of a job of somebody's own app, beside what the app itself has left."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ablate.files import atomic_write
from ablate.messages import redact
from ablate.records import forms
from ablate.records.record import FORMAT, Config, Failure, Provenance, Status
from ablate.records.run_directory import read_json

JOB_FILE = "ablate.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A job: what was asked for, what it came from, how it ended, and where its metrics are."""

    status: Status
    app: str  # the name that Hydra has for it
    config: Config  # as it was composed, the references in it as they stand
    choices: Mapping[str, str | None] = field(default_factory=dict)  # the option of each group
    overrides: tuple[str, ...] = ()
    provenance: Provenance
    started: str  # in ISO 8601 and UTC
    ended: str | None = None
    returned: Mapping[str, float] = field(default_factory=dict)  # numbers, by name; of a single one, `returned`
    files: tuple[str, ...] = ()  # of metrics, in its folder
    error: Failure | None = None

    def write(self, folder: Path) -> None:
        """Writes it to a job's folder; the passwords of addresses in it are left out."""
        with atomic_write(folder / JOB_FILE) as file:
            file.write(redact(json.dumps({"format": FORMAT, **forms.plain(self)}, indent=1, default=str)) + "\n")


def read_job(folder: Path) -> JobRecord | None:
    """Returns the record of a job, None if there is none; ValueError where it cannot be read."""
    try:
        content = read_json(folder / JOB_FILE)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError(f"is not of format {FORMAT}")
        return forms.read(JobRecord, content)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"{folder / JOB_FILE}: {error}") from error
