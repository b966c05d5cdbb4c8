from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ablate.report.analysis.analyse import analyse
from ablate.report.analysis.comparability import mismatches
from ablate.report.output.csv_files import frames
from ablate.report.output.page import build
from ablate.report.study.collect import collect

Make = Callable[..., Path]


def test_runs_that_agree(make_run: Make, study: Path) -> None:
    for seed in (0, 1):
        make_run("plain", seed)
        make_run("bn", seed, edits={"bn1": {}})
    assert mismatches(collect(study).records) == []


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (
            {"data": {"name": "digits", "sha256": "e" * 64, "images": {}}},
            "The runs differ in data: digits dddddddddddd (1 run); digits eeeeeeeeeeee (1 run).",
        ),
        (
            {"pairing": {"initial_weights": {"c1": "w0"}, "first_epoch_order": "x"}},
            "different orders: they are not pair",
        ),
        (
            {"starts": [{"other_runs": 0, "other_runs_at_end": 2}]},
            "The runs differ in other runs on the machine at the same time: none (1 run); some (1 run).",
        ),
        ({"pairing": {"initial_weights": {"c1": "x"}, "first_epoch_order": "o0"}}, "different weights in c1"),
        ({"pairing": {"initial_weights": {"c1": "w0", "new": "x"}, "first_epoch_order": "o0"}}, None),
    ],
)
def test_runs_that_do_not(record: dict[str, Any], expected: str | None, make_run: Make, study: Path) -> None:
    make_run("plain", 0)
    make_run("bn", 0, edits={"bn1": {}}, record=record)
    found = mismatches(collect(study).records)
    assert (expected is None and not found) or (len(found) == 1 and expected is not None and expected in found[0])


def test_code_is_compared_by_its_sources(make_run: Make, study: Path) -> None:
    for seed, digest in enumerate(("a", "a", "b")):
        provenance = {
            "code": {"sources": {"ablate": digest}, "commit": str(seed) * 40},
            "packages": {"torch": "2"},
            "machine": {"cpu": "CPU", "cores": 2},
            "accelerator": "cpu",
            "threads": 2,
        }
        make_run("plain", seed, record={"provenance": provenance})
    assert mismatches(collect(study).records) == [
        "The runs differ in code: ablate sources a (2 runs); ablate sources b (1 run)."
    ]


PROVENANCE = {
    "code": {"sources": {"ablate": "a"}},
    "packages": {"torch": "2", "hydra-core": "1"},
    "machine": {"cpu": "CPU", "cores": 2},
    "accelerator": "cpu",
    "threads": 2,
}


@pytest.mark.parametrize(
    ("record", "fact"),
    [
        ({"data": {"name": "digits", "sha256": "e" * 64, "images": {}}}, "data"),
        ({"provenance": {**PROVENANCE, "code": {"sources": {"ablate": "b"}}}}, "code"),
        ({"provenance": {**PROVENANCE, "packages": {"torch": "3"}}}, "packages"),
        ({"pairing": {"initial_weights": {"c1": "w1"}, "first_epoch_order": "x"}}, "different orders"),
        ({"pairing": {"initial_weights": {"c1": "x"}, "first_epoch_order": "o1"}}, "different weights"),
        ({"starts": [{"other_runs": 2}]}, "other runs"),
        # what no number that is shown rests on
        ({"provenance": {**PROVENANCE, "packages": {"torch": "2", "hydra-core": "3"}}}, None),
        ({"provenance": {**PROVENANCE, "machine": {"cpu": "another", "cores": 2}}}, None),
        ({"provenance": {**PROVENANCE, "threads": 7}}, None),
        ({"data": {"name": "unknown", "sha256": "", "images": {}}}, None),
        ({"pairing": {"initial_weights": {}, "first_epoch_order": ""}}, None),
    ],
)
def test_only_what_touches_a_comparison_warns_on_top(
    record: dict[str, Any], fact: str | None, make_run: Make, study: Path
) -> None:
    for seed in (0, 1):
        common: dict[str, Any] = {"provenance": PROVENANCE, "starts": [{"other_runs": 0}]}
        make_run("plain", seed, record=common)
        make_run("bn", seed, edits={"bn1": {}}, record={**common, **(record if seed else {})})
    analysis = analyse(collect(study))
    lead = " ".join(str(block) for block in build(analysis, frames(analysis)).lead)
    assert (f"{fact}" in lead) if fact else ("Not everything" not in lead)
    assert ("bn against plain" in lead) == (fact is not None)
    if fact is not None:
        assert fact in analysis.mismatches[0]


def test_what_differs_between_pairs_and_not_within_one_is_named_below(make_run: Make, study: Path) -> None:
    for seed in (0, 1):
        of_seed = {"provenance": {**PROVENANCE, "code": {"sources": {"ablate": str(seed)}}}}
        make_run("plain", seed, record=of_seed)
        make_run("bn", seed, edits={"bn1": {}}, record=of_seed)
    analysis = analyse(collect(study))
    assert not analysis.touched and len(analysis.mismatches) == 1


@pytest.mark.parametrize("task", [None, "train.train"])
def test_of_what_runs_share_only_that_is_said_which_their_records_know(
    task: str | None, make_run: Make, study: Path
) -> None:
    nothing = {"task": task, "data": {"name": "unknown", "sha256": "", "images": {}}}
    record = {} if task is None else {**nothing, "pairing": {"initial_weights": {}, "first_epoch_order": ""}}
    for seed in (0, 1):
        make_run("plain", seed, record=record)
        make_run("bn", seed, (0.5, 0.6, 0.7), edits={"bn1": {}}, record=record)
    analysis = analyse(collect(study))
    page = str(build(analysis, frames(analysis)))
    assert ("see the same batches" in page) == (task is None)
    assert ("the same weights" in page.replace("\n", " ")) == (task is None)
    assert ("All runs agree in data" in page) == (task is None)
    assert "is not recorded" in page or task is None
    assert "cross-entropy" not in page
