"""The record of a run, which run.json holds: what training writes and the report reads.

What runs of other tools and tasks of users do not know is None here, and a placeholder in run.json (`"unknown"`, 0,
an empty text), where readers of format 1 expect a value.
"""

import math
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from ablate.files import FOLDER_NAME, Plain, PlainMapping
from ablate.records import forms
from ablate.records.epochs import TIMES, Result
from ablate.records.format_1 import RecordedConfig, with_placeholders
from ablate.records.forms import WRITTEN

RECORD_FILE, FORMAT = "run.json", 1
Config = PlainMapping  # a part of a configuration, as plain data


class Status(StrEnum):
    """How far a run is, or how it ended."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    DIVERGED = "diverged"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A model's size: layers, parameters, those that are trained, and the FLOPs of one image's forward pass."""

    layers: int | None = None
    parameters: int | None = None
    trainable: int | None = None
    flops: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """The model before and after its edits, new layers, exact rewrites, and the SHA-256 of files it was made of."""

    before: Size = Size()
    after: Size
    layers: Mapping[str, str] = field(default_factory=dict, metadata=WRITTEN)
    rewrites: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """The data set: its name, its digest, the number of images in each split, and the mean and deviation by channel."""

    name: str | None
    sha256: str | None
    images: Mapping[str, int]
    normalisation: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """What the runs of a seed share: digests of each layer's initial weights and of the first epoch's order."""

    initial_weights: Mapping[str, str]
    first_epoch_order: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """The code of a run: a digest of the sources by package, and the commit, with a digest of local changes."""

    sources: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None
    dirty: bool | None = None
    changes: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The machine of a run: its host name, system, processor and number of cores."""

    host: str | None = None
    system: str | None = None
    cpu: str | None
    cores: int | None

    def __str__(self) -> str:
        return ", ".join(str(value) for value in (self.host, self.system, self.cpu, self.cores) if value is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What a result came from: code, versions of packages, machine, type and name of the device, and CPU threads."""

    code: Code
    packages: Mapping[str, str]
    machine: Machine
    device: str | None = None
    accelerator: str | None = None
    threads: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run was made under."""

    seeds: tuple[int, ...]  # of its sweep
    settles: bool = False  # whether more are added until claims are settled
    # The identity of the variant that the command would train without sweeping over anything, with which the others are
    # compared where no other is named.
    own_variant: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One start of a run: when it began and ended, in which process, and what else the machine did."""

    started: str | None = None
    host: str | None = None
    pid: int | None = None
    load: float | None = None  # the mean number of processes that ran or waited in the minute before
    other_runs: int | None = None  # of ablate
    ended: str | None = None
    other_runs_at_end: int | None = None
    command: str | None = None  # the identity of the one that made it
    cohort: tuple[str, ...] = ()  # the identities of the runs that it was trained with, its own among them
    epochs: int = 0  # complete before it
    plan: Plan | None = None  # what it was made under, where that is known


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error that ended a run, or after which it was tried again, and the epoch in which it came."""

    type: str | None = None
    message: str = field(default="", metadata=WRITTEN)
    epoch: int | None = None
    traceback: str | None = None


def describe_error(error: BaseException, epoch: int) -> Failure:
    """Returns what a record says of an error that came in an epoch, counted from 1."""
    text = "".join(traceback.format_exception(error))
    return Failure(type=type(error).__name__, message=str(error), epoch=epoch, traceback=text)


class RunFailed(Exception):
    """A run that started and did not end well, or diverged; its record says how, its log where."""

    def __init__(self, message: str, diverged: bool = False) -> None:
        super().__init__(message)
        self.diverged = diverged


def now() -> str:
    """Returns the time as records hold it: ISO 8601, in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The run of another tool that a record was made of: the tool, its name for the run, and when it was read."""

    tool: str
    run: str
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run: its identity, configuration and provenance, and what came of it."""

    status: Status
    id: str  # the hash of all that determines its result
    task: str | None = None  # the function that trained it, if that is a user's own; of imported runs, in words
    imported: Imported | None = None
    study: str  # the study's name
    variant: str  # the model's name
    seed: int
    config: Config  # the whole configuration
    model: ModelFacts
    data: DataFacts | None
    pairing: Pairing | None  # what it shares with the other runs of its seed
    provenance: Provenance
    overrides: tuple[str, ...] = field(default=(), metadata=WRITTEN)  # what was typed to get the configuration
    started: str  # first, in ISO 8601 and UTC
    starts: tuple[Start, ...] = field(default=(), metadata=WRITTEN)
    # With how many runs, itself among them, it was trained in lock-step, in all its epochs or some; None if alone.
    cohort: int | None = None
    trackers: Mapping[str, str | None] = field(default_factory=dict)  # what each calls it
    retries: tuple[Failure, ...] = ()  # errors after which it was tried again
    # Of a complete run: results by metric, seconds by part and `total_seconds`, digests by layer.
    results: Mapping[str, Result] = field(default_factory=dict)
    times: Mapping[str, float] = field(default_factory=dict)
    final_weights: Mapping[str, str] | None = None
    error: Failure | None = None  # what ended a run that is not complete
    ended: str | None = None
    epochs_done: int | None = None  # of a run that stopped before its planned epochs and is complete
    stale: tuple[str, ...] = ()  # what had changed when its command was last repeated, in words

    @property
    def run(self) -> str:
        """What the report calls the run: its variant, seed and identity."""
        return f"{self.variant}/seed{self.seed}-{self.id}"

    @property
    def is_complete(self) -> bool:
        """Whether it has all its epochs and its results."""
        return self.status is Status.COMPLETE

    @property
    def cause(self) -> str:
        """The first line of the error that ended it; empty if none did."""
        return (self.error.message or self.error.type or "").split("\n")[0] if self.error is not None else ""

    @property
    def planned_epochs(self) -> int:
        """The epochs that the run was to have."""
        return int(self.config["train"]["epochs"])

    @property
    def epochs(self) -> int:
        """The epochs of the whole run: those that were planned, or fewer if it stopped early."""
        return self.planned_epochs if self.epochs_done is None else self.epochs_done

    @property
    def precision(self) -> str:
        """The precision that it computes in; in words where that is not known."""
        return str(self.config["hardware"]["precision"])

    @property
    def base(self) -> Config:
        """The base model's `_target_` and arguments."""
        return dict(self.config["model"].get("base") or {})

    @property
    def edits(self) -> Mapping[str, Config]:
        """The model's edits by name."""
        return dict(self.config["model"]["edits"])

    @property
    def study_options(self) -> Config:
        """The study's option, as it was at the run's first start."""
        return dict(self.config["study"])

    @property
    def metrics(self) -> Config:
        """What was declared of metrics, by name: `better`, `unit` and `label`."""
        return dict(self.study_options.get("metrics") or {})

    @property
    def newest_start(self) -> Start:
        """The newest start; an empty one if none is recorded."""
        return self.starts[-1] if self.starts else Start()

    @property
    def plan(self) -> Plan | None:
        """What its first epoch was started under; None if that is not known."""
        return next((start.plan for start in reversed(self.starts) if not start.epochs), None)

    @property
    def changed_company(self) -> bool:
        """Whether it was begun in a cohort and finished alone or in another, where sums are rounded otherwise."""
        companies, until = set(), self.planned_epochs
        for start in reversed(self.starts):
            if start.epochs < until:  # else nothing of what it trained is left
                companies.add(start.cohort)
                until = start.epochs
        return len(companies) > 1

    def value(self, metric: str) -> float:
        """Returns a time, or a metric after the last epoch, of a complete run."""
        return float(self.times[metric] if metric in self.times else self.results[metric].final)

    @classmethod
    def from_json(cls, content: object) -> "RunRecord":
        """Returns the record that run.json holds; ValueError where it is no record of this format."""
        if not isinstance(content, Mapping) or content.get("format") != FORMAT:
            raise ValueError(f"run.json is not a run's record of format {FORMAT}")
        try:
            record = forms.read(cls, with_placeholders(content, take_away=True))
            forms.read(RecordedConfig, record.config, "config")
            _check(record)
        except ValueError as error:
            raise ValueError(f"run.json {error}") from error
        return record

    def to_json(self) -> Plain:
        """Returns what run.json holds, as `json.dump` takes it."""
        return with_placeholders({"format": FORMAT, **forms.plain(self)}, take_away=False)


def schema() -> Plain:
    """Returns the JSON schema of run.json."""
    made = forms.schema(RunRecord)
    record = made["$defs"]["RunRecord"]
    record["properties"] = {"format": {"const": FORMAT}, **record["properties"]}
    record["required"] = ["format", *record["required"]]
    return {"title": "run.json", **made}


def _check(record: RunRecord) -> None:
    """Raises ValueError where the values of a record, each of the right kind, do not go together."""
    if not FOLDER_NAME.fullmatch(record.variant):
        raise ValueError(f"has no usable variant: {record.variant!r} is not a name")
    if record.epochs_done is not None and (
        record.task is None or not record.is_complete or not 0 < record.epochs_done < record.planned_epochs
    ):
        raise ValueError("has no usable epochs_done: only a complete run of a task stops before its planned epochs")
    if not record.is_complete:
        return
    needed: dict[str, float] = {f"times.{name}": record.times.get(name, math.nan) for name in (*TIMES, "total_seconds")}
    if record.task is None:  # of a task, the metrics are its own
        for metric, statistics in {"test_accuracy": ("final", "maximum", "minimum"), "test_loss": ("final",)}.items():
            result = record.results.get(metric)
            needed |= {f"results.{metric}.{name}": getattr(result, name, math.nan) for name in statistics}
    for path, value in needed.items():
        if not math.isfinite(value):
            raise ValueError(f"has no usable {path}")
