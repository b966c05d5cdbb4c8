"""The examples in the docstrings of what others call: each does what it shows."""

import doctest
import importlib
import shutil
from pathlib import Path

import pytest

RUNS = Path(__file__).parent / "fixtures" / "runs_of_format_1" / "before"
# What each module's examples are of, so that none gets lost.
EXAMPLES = {
    "ablate": ["ablation_tables", "compare", "load_runs", "record", "sweep"],
    "ablate.models.surgery": ["edit_model"],
    "ablate.report": [""],
    "ablate.report.analysis.effects": ["effects", "shares"],
    "ablate.stats.anytime": [
        "anytime", "anytime_equivalence", "confidence_sequence", "e_value", "fewest_to_decide", "half_width",
        "sign_flip_e_value",
    ],
    "ablate.stats.paired": [
        "adjust", "compare", "equivalence_test", "holm", "mean_interval", "paired_differences", "prediction_interval",
        "ratio", "sign_flip_test",
    ],
    "ablate.stats.pairing": ["pairing", "welch", "welch_equivalence"],
    "ablate.stats.evidence": ["weigh", "weigh_unpaired"],
    "ablate.stats.random_effects": ["random_effects"],
    "ablate.stats.planning": ["seeds_needed", "seeds_range", "smallest_difference"],
}  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(RUNS, tmp_path / "outputs" / "demo")  # the study that a reader has after `make demo`
    monkeypatch.chdir(tmp_path)
    found = doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name), name)
    tests = [test for test in found if test.examples]
    assert sorted(test.name.removeprefix(name).lstrip(".") for test in tests) == EXAMPLES[name]
    report: list[str] = []
    for test in tests:
        failed = doctest.DocTestRunner().run(test, out=report.append, clear_globs=False).failed
        assert not failed, "".join(report)


def test_an_example_that_shows_something_else_fails() -> None:
    example = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, None)
    assert doctest.DocTestRunner().run(example, out=lambda _: None).failed == 1
