"""The files in which a training leaves its metrics: tables, JSON, TensorBoard's events.

Nothing in them is executed, and no pickle is opened.
"""

import json
import math
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ablate.config.plain import flatten
from ablate.files import Plain, PlainMapping
from ablate.messages import first_line, install_hint
from ablate.sources.csv_table import SUFFIXES, Table
from ablate.sources.logged_run import EPOCHS, EpochsGoBack, LoggedRun, Step, Wanted, by_epoch, epoch_column

_STATE = "trainer_state.json"  # of Hugging Face's Trainer
_CHECKPOINT, _VERSION = re.compile(r"checkpoint-(\d+)"), re.compile(r"version_\d+")
_OF_METRICS = re.compile(r"(?i)(?:^|[\W_])(metrics?|results?|history|logs?|scores?|summary|progress)(?=[\W_\d]|$)")
_KINDS = ("state", "table", "json", "events")  # the first that a run has says most


def in_order(text: str) -> list[tuple[int, str]]:
    """Returns a key by which `2` comes before `10`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text)]


def find(folder: Path, is_other: Callable[[Path], bool] = lambda _: False) -> list[Path]:
    """Returns the files of metrics below a folder, all of one kind; of event files, their folders."""
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for top, folders, names in os.walk(folder):
        here = Path(top)
        own = [name for name in folders if name[0] != "." and name != "wandb" and not name.endswith("-report")]
        of_run = [name for name in own if not is_other(here / name)]
        folders[:] = sorted(of_run, key=in_order)
        found["events"] += [here] * any(name.startswith("events.out.tfevents") for name in names)
        for name in sorted(names, key=in_order):
            found[_kind(here / name)].append(here / name)
    newest: dict[Path, tuple[float, Path]] = {}  # of a training, the state that it ended with, or its last checkpoint's
    for path in found["state"]:
        match = _CHECKPOINT.fullmatch(path.parent.name)
        state = (int(match[1]) if match else math.inf, path)
        run = path.parent.parent if match else path.parent
        newest[run] = max(newest.get(run, state), state)
    found["state"] = [path for _, path in newest.values()]
    return next((found[kind] for kind in _KINDS if found[kind]), [])


def _kind(file: Path) -> str:
    suffix = file.suffix.lower()
    if file.name == _STATE:
        return "state"
    if suffix in (".json", ".jsonl"):
        return "json" if _OF_METRICS.search(file.stem) else ""
    try:
        numbers = Table(file).numbers() if suffix in SUFFIXES else []
    except ValueError:  # a row that was cut off, perhaps, which its run is told of
        return "table" if _OF_METRICS.search(file.stem) else ""
    is_of_metrics = epoch_column(numbers) is not None or _OF_METRICS.search(file.stem) is not None
    return "table" if is_of_metrics and set(map(str.lower, numbers)) - {*EPOCHS} else ""


def read_run(
    path: Path, name: str, fields: PlainMapping, chosen: Sequence[str], wanted: Wanted,
    is_other: Callable[[Path], bool] = lambda _: False,
) -> LoggedRun:  # fmt: skip
    """Returns the run that a file of metrics, or a folder with such, is of; what cannot be read has failed."""
    files = find(path, is_other) if path.is_dir() else [path]
    try:
        history, why = _read(files, wanted.resumed)
    except EpochsGoBack:
        raise
    except ValueError as error:
        history, why = [], str(error)
    why = why or ("" if history else "its folder has no metrics (CSV, JSON, event files)")
    is_known = [file.name for file in files] == [_STATE]
    started = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
    return LoggedRun(name, "failed" if why else "complete" * is_known, started, fields, history, chosen, why)


def _read(paths: Sequence[Path], resumed: bool) -> tuple[list[dict[str, float]], str]:
    """Returns a run's metrics epoch by epoch and, if its files say that, why there are no more."""
    series: defaultdict[str, list[Path]] = defaultdict(list)  # Lightning begins a version where it resumes
    for path in paths:
        series[_VERSION.sub("", str(path if path.is_dir() else path.with_suffix("")))].append(path)
    common = set.intersection(*(set(name.split("/")) for name in series)) if len(series) > 1 else set()
    steps, whys = [], ""
    for name, files in series.items():
        read = [_steps(path) for path in files]
        whys = next((why for _, why in read if why), whys)
        own = "/".join(part for part in name.split("/") if len(series) > 1 and part not in common)
        for step in by_epoch((step for each, _ in read for step in each), resumed):
            values = {f"{own}/{metric}": value for metric, value in step.values.items()} if own else step.values
            steps.append(step._replace(values=values))
    if len(series) > 1:
        if any(step.epoch is None for step in steps):
            names = ", ".join(path.name for path in paths)
            raise ValueError(f"{paths[0].parent}: has several files of metrics, {names}; name one in a template")
        steps = by_epoch(sorted(steps, key=lambda step: step.epoch or 0))
    return [step.values for step in steps], whys


def _steps(path: Path) -> tuple[list[Step], str]:
    """Returns the steps of a file, or of a folder of event files, and why they are not all, if it says that."""
    if path.is_dir():
        return _events(path), ""
    if path.suffix.lower() in SUFFIXES:
        table = Table(path)
        numbers = table.numbers()
        metrics = [name for name in numbers if name.lower() not in EPOCHS]
        return list(table.steps(table.rows, metrics, epoch_column(numbers))), ""
    try:
        content = _json(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: cannot be read as JSON: {first_line(error)}") from error
    rows = list(_rows(content))
    column = epoch_column(dict.fromkeys(name for row in rows for name in row))
    at, steps = None, []
    for number, row in enumerate(rows, start=1):
        at = row.get(column, at) if column is not None else None
        values = {name: value for name, value in row.items() if name.lower() not in EPOCHS}
        steps.append(Step(at, values, f"{path}, row {number}"))
    return steps, _unfinished(content) if path.name == _STATE and isinstance(content, dict) else ""


def _json(text: str) -> object:
    """Returns what JSON, or JSON lines, hold; a last line that a killed process has cut off is none."""
    try:
        return json.loads(text)
    except ValueError:
        lines = text.splitlines()
        whole = lines if text.endswith("\n") or len(lines) < 2 else lines[:-1]
        return [json.loads(line) for line in whole if line.strip()]


def _rows(content: object) -> Iterator[dict[str, float]]:
    """Yields the numbers in each row that JSON holds: in a list, in lists by metric as Keras's history has, or one."""
    if isinstance(content, dict):
        content = content.get("log_history", content)
    if isinstance(content, dict):
        columns = {name: values for name, values in content.items() if isinstance(values, list)}
        most = range(max(map(len, columns.values()), default=0))
        made = [{name: values[at] for name, values in columns.items() if at < len(values)} for at in most]
        content = made or [content]
    for row in content if isinstance(content, list) else ():
        leaves = flatten(row) if isinstance(row, dict) else ()
        yield {name: float(value) for name, value in leaves if type(value) in (int, float)}  # type: ignore[arg-type]


def _unfinished(state: Plain) -> str:
    """Returns why a training of Hugging Face's Trainer is not complete: its state says when it means to stop."""
    control = (state.get("stateful_callbacks") or {}).get("TrainerControl") or {}
    done, most = state.get("global_step") or 0, state.get("max_steps") or 0
    stopped = (control.get("args") or {}).get("should_training_stop")
    return "" if stopped or done >= most else f"{done} of {most} steps"


def _events(folder: Path) -> list[Step]:
    """Returns the scalars of TensorBoard's event files, as it reads them: without what a restart has made void."""
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        from tensorboard.util.tensor_util import make_ndarray
    except ImportError as error:
        raise ValueError(f"{folder}: its event files need tensorboard; {install_hint('tensorboard')}") from error
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    steps: defaultdict[int, dict[str, float]] = defaultdict(dict)
    for tag in events.Tags()["scalars"]:
        for event in events.Scalars(tag):
            steps[event.step][tag] = event.value
    for tag in events.Tags()["tensors"]:
        if events.SummaryMetadata(tag).plugin_data.plugin_name == "scalars":
            for event in events.Tensors(tag):
                steps[event.step][tag] = float(make_ndarray(event.tensor_proto))
    return [Step(step, values, f"{folder}, step {step}") for step, values in sorted(steps.items())]
