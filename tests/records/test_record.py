"""The record of a run: what is read, what is refused, what is written, and the published schema."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading_runs import FORMAT_1, SCHEMA, example_json, example_record

from ablate.records.epochs import summarise, total_times
from ablate.records.forms import plain
from ablate.records.record import DataFacts, RunRecord, Size, Status, schema

ROOT = Path(__file__).parents[2]
OLD = sorted(FORMAT_1.glob("*/*/*/run.json"))
ROW = {"epoch": 1, "test_loss": 2.0, "test_accuracy": 0.5, "train_seconds": 3.0, "eval_seconds": 1.0, "data_seconds": 0}

# What the reports of the version that made the format read from the record of a complete run, and of which type.
OLD_READER: Mapping[str, type | tuple[type, ...]] = {
    "id": str,
    "started": str,
    "variant": str,
    "seed": int,
    "config.study": Mapping,
    "config.model.name": str,
    "config.model.edits": Mapping,
    "config.train.epochs": int,
    "config.data": Mapping,
    "config.hardware.precision": str,
    "model.after.parameters": int,
    "model.after.flops": int,
    "data.name": str,
    "data.sha256": str,
    "data.images": Mapping,
    "pairing.initial_weights": Mapping,
    "pairing.first_epoch_order": str,
    "provenance.code": Mapping,
    "provenance.packages": Mapping,
    "provenance.machine.cpu": str,
    "provenance.machine.cores": int,
    "provenance.accelerator": str,
    "provenance.threads": int,
    "results": Mapping,
    "times.total_seconds": (int, float),
}


def complete(**values: Any) -> dict[str, Any]:
    return example_json(
        status="complete", results=plain(summarise([ROW])), times=total_times([ROW]), **values
    )  # fmt: skip


def at(content: Any, path: str) -> Any:
    for key in path.split("."):
        content = content[key]
    return content


def changed(content: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with another value in a place, or without the place for `...`."""
    content = copy.deepcopy(content)
    above, _, key = path.rpartition(".")
    node = at(content, above) if above else content
    if value is ...:
        del node[key]
    else:
        node[key] = value
    return content


@pytest.mark.parametrize("file", OLD, ids=lambda file: "/".join(file.parts[-4:-2]))
def test_records_of_format_1_are_read_and_written_as_they_were(file: Path) -> None:
    before = json.loads(file.read_text(encoding="utf-8"))
    record = RunRecord.from_json(before)
    after = json.loads(json.dumps(record.to_json()))
    assert RunRecord.from_json(after) == record
    SCHEMA.validate(before)
    SCHEMA.validate(after)
    assert set(after) == set(before)
    before["model"].pop("before"), after["model"].pop("before", None)  # which imports leave empty
    before["provenance"].get("code", {}).pop("changes", None)  # null where there are none
    if record.task is not None:  # the placeholders of tasks and imports become one
        before["provenance"]["accelerator"] = "unknown"
    assert after == before
    for path, kind in OLD_READER.items():
        if record.is_complete or not path.startswith(("results", "times")):
            assert isinstance(at(after, path), kind), path


def test_what_is_not_known_of_a_run_is_none() -> None:
    imported, task, own = (
        RunRecord.from_json(json.loads(next((FORMAT_1 / study).glob("*/*/run.json")).read_text(encoding="utf-8")))
        for study in ("imported", "forest", "before")
    )
    assert imported.imported is not None and imported.imported.tool == "csv"
    for record in (imported, task):
        assert record.pairing is None
        assert record.model.after == Size(parameters=None, flops=None)
        assert record.provenance.accelerator is None and record.provenance.threads is None
    assert imported.data is None and task.data is not None and task.data.sha256 is None
    assert imported.provenance.machine.cpu is None and imported.provenance.machine.cores is None
    assert task.task == "train.train" and task.provenance.machine.cores == 2
    assert own.task is None and own.data is not None and own.data.name == "digits"
    assert own.provenance.threads == 1 and own.model.after.parameters


def test_none_is_written_as_what_readers_of_the_format_expect() -> None:
    content = example_json(
        data={"name": "the task's", "sha256": "d", "images": {}},
        pairing={"initial_weights": {}, "first_epoch_order": ""},
    )
    record = RunRecord.from_json(content)
    assert record.data == DataFacts(name=None, sha256="d", images={}) and record.pairing is None
    written = record.to_json()
    assert written["data"] == {"name": "unknown", "sha256": "d", "images": {}}
    assert written["pairing"] == content["pairing"]


def test_what_is_read_off_a_record() -> None:
    record = RunRecord.from_json(complete())
    assert (record.run, record.planned_epochs, record.precision) == ("plain/seed0-0123abcd", 3, "fp32")
    assert record.value("test_accuracy") == 0.5 and record.value("total_seconds") == 4.0
    assert record.is_complete and record.base == {} and record.cause == ""
    failed = example_record(status="failed", error={"type": "OSError", "message": "no space\nleft"})
    assert failed.status is Status.FAILED and failed.cause == "no space"
    assert not failed.is_complete and failed.newest_start.host is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("status", "done"),
        ("status", ...),
        ("variant", 1),
        ("variant", "../plain"),
        ("seed", "0"),
        ("seed", True),
        ("seed", 0.5),
        ("id", None),
        ("started", ...),
        ("config.model.edits", []),
        ("config.model.edits", {"bn": {"layer": "BatchNorm2d"}}),
        ("config.train.epochs", "3"),
        ("config.hardware.precision", ...),
        ("model.after", ...),
        ("data.images", {"train": "8"}),
        ("pairing.initial_weights", {"c1": 1}),
        ("provenance.machine.cores", "2"),
        ("provenance.code", "main"),
        ("overrides", "model=plain"),
        ("starts", [1]),
        ("stale", [None]),
        ("times.train_seconds", float("nan")),
        ("times.total_seconds", ...),
        ("results.test_loss", ...),
        ("results.test_accuracy.maximum", float("inf")),
        ("results.test_accuracy.final", "0.5"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(path: str, value: Any) -> None:
    good = complete(overrides=[], starts=[], stale=[])
    RunRecord.from_json(good)
    with pytest.raises(ValueError, match=r"run\.json has no usable ") as caught:
        RunRecord.from_json(changed(good, path, value))
    named = str(caught.value).removeprefix("run.json has no usable ").partition(":")[0]
    assert named.startswith(path) or (value is ... and path.startswith(named))


def test_a_tasks_metrics_are_its_own() -> None:
    content = changed(complete(task="train.train"), "results", plain(summarise([{"epoch": 1, "f1": 0.5}])))
    assert RunRecord.from_json(content).value("f1") == 0.5
    with pytest.raises(ValueError, match=r"no usable results\.test_accuracy\.final"):
        RunRecord.from_json(changed(content, "task", ...))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda values: st.lists(values, max_size=2) | st.dictionaries(st.text(max_size=5), values, max_size=2),
    max_leaves=4,
)
PLACES = (
    "seed",
    "config.model",
    "config.train.epochs",
    "model.after",
    "data",
    "provenance.machine",
    "times",
    "results",
)


@given(path=st.sampled_from(PLACES), value=json_values)
@settings(max_examples=200, deadline=None)
def test_any_value_is_read_or_refused(path: str, value: Any) -> None:
    try:
        record = RunRecord.from_json(changed(complete(), path, value))
    except ValueError:
        return
    assert record.is_complete and record.planned_epochs is not None
    SCHEMA.validate(json.loads(json.dumps(record.to_json())))


@pytest.mark.parametrize("content", [None, [], 1, "x", {}, {"format": 2}])
def test_what_is_no_record_is_refused(content: Any) -> None:
    with pytest.raises(ValueError, match=r"run\.json is not a run's record of format 1"):
        RunRecord.from_json(content)


def test_the_published_schema_is_that_of_the_classes() -> None:
    """`python -c 'import json; from ablate.records.record import schema; print(json.dumps(schema(), indent=1))'`."""
    published = (ROOT / "docs" / "run.schema.json").read_text(encoding="utf-8")
    assert published == json.dumps(schema(), indent=1) + "\n"
    SCHEMA.check_schema(schema())


@pytest.mark.parametrize("path", ["seed", "model.after.flops", "provenance.threads", "unheard_of"])
def test_the_schema_refuses(path: str) -> None:
    SCHEMA.validate(complete())
    assert not SCHEMA.is_valid(changed(complete(), path, "x"))
