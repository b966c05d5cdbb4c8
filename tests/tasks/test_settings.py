"""What of a task's configuration makes a run."""

import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from ablate.tasks.settings import identity, settings, study

RECORDS = sorted((Path(__file__).parents[1] / "fixtures" / "runs_of_format_1" / "forest").glob("*/*/run.json"))


@pytest.mark.parametrize("file", RECORDS, ids=lambda file: "/".join(file.parts[-3:-1]))
def test_identities_are_those_of_earlier_versions(file: Path) -> None:
    record = json.loads(file.read_text(encoding="utf-8"))
    known = {key: record[key] for key in ("variant", "seed")}
    cfg = OmegaConf.create({**known, "study": record["config"]["study"], **record["config"]["settings"]})
    assert identity(cfg) == record["id"]


@pytest.mark.parametrize(
    ("unset", "found"),
    [
        ({"path": "???"}, {"path": "???"}),
        ({"a": {"b": "???", "c": 1}}, {"a": {"b": "???", "c": 1}}),
        ({"path": "${data}", "data": "???"}, {"path": "${data}", "data": "???"}),
        ({"items": ["???", 2]}, {"items": ["???", 2]}),
    ],
)
def test_what_is_not_set_is_no_part_of_the_identity_and_is_recorded(unset: Any, found: Any) -> None:
    given = {"variant": "a", "seed": 0, "study": {"name": "s"}}
    cfg = OmegaConf.create({**given, **unset})
    assert settings(cfg) == found
    without = json.loads(json.dumps(unset).replace('"b": "???", ', "").replace('"???", ', ""))
    without = {key: value for key, value in without.items() if value not in ("???", "${data}")}
    assert identity(cfg) == identity(OmegaConf.create({**given, **without}))


def test_a_studys_metrics_are_called_as_in_tables() -> None:
    claims = [{"metric": "val/acc.maximum", "expect": "a > b"}, {"design": "x"}]
    cfg = OmegaConf.create({"study": {"name": "s", "metric": "val/acc", "claims": claims}})
    named = study(cfg)
    assert named["metric"] == "val_acc" and [claim.get("metric") for claim in named["claims"]] == [
        "val_acc.maximum", None
    ]  # fmt: skip
    assert study(OmegaConf.create({"study": {"name": "s"}}))["metric"] == "test_accuracy"
