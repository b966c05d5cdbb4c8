from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ablate.report.analysis.comparability import mismatches
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
