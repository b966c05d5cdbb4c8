"""Several data sets in one study: of ablate's own runs, and of an imported table."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablate.__main__ import run_command
from ablate.report.analysis.analyse import Analysis, analyse
from ablate.report.study.collect import collect
from ablate.stats import random_effects

Make = Callable[..., Path]
SETS = {"digits": 0.1, "svhn": 0.09, "mnist": 0.11}
pytestmark = pytest.mark.usefixtures("undrawn")


def claim(name: str, expect: str) -> dict[str, str]:
    return {"id": name, "statement": name, "expect": expect}


def train(
    make_run: Make, *claims: dict[str, str], gains: dict[str, float] = SETS, seeds: int = 4, **study: Any
) -> None:
    generator = np.random.default_rng(0)
    for of, gain in gains.items():
        for variant, more in (("plain", 0.0), ("bn", gain)):
            for seed in range(seeds):
                accuracy = float(0.5 + more + generator.normal(0, 0.005))
                edits = {"bn1": {}} if variant == "bn" else {}
                about = {"name": of, "sha256": of * 8, "images": {"train": 8}}
                record = {"data": about, "overrides": [f"data={of}"]}
                make_run(
                    variant, seed, (accuracy,), edits, data={"name": of}, record=record, train={"epochs": 1},
                    study={"claims": list(claims), **study},
                )  # fmt: skip


def verdicts(analysis: Analysis) -> dict[str, str]:
    return {judged.claim.id: str(judged.verdict) for judged in analysis.judgements}


def test_a_sweep_over_data_sets(make_run: Make, study: Path) -> None:
    train(
        make_run,
        claim("all", "everywhere: bn > plain"),
        claim("mean", "on_average: bn > plain"),
        claim("none", "everywhere: plain > bn"),
        claim("same", "on_average: bn = plain within 0.5"),
    )
    found = analyse(collect(study))
    (each,) = [one for one in found.over_data if one.question.metric == "test_accuracy"]
    assert (each.question.first, each.question.second) == ("bn", "plain") and list(each.answers) == [*sorted(SETS)]
    answers = list(each.answers.values())
    assert all(answer.evidence.pairs == 4 for answer in answers), "within each data set"
    assert len(found.questions["test_accuracy"]) == 3, "no variant is compared with itself on another data set"
    errors = [answer.differences.var(ddof=1) / 4 for answer in answers]
    expected = random_effects([answer.differences.mean() for answer in answers], errors)
    assert each.pooled == expected and each.rank == (1.0, 2.0)
    assert verdicts(found) == {"all": "supported", "mean": "supported", "none": "refuted", "same": "supported"}
    parts = {judged.claim.id: [one.part.text for one in judged.findings] for judged in found.judgements}
    assert parts["all"] == [f"bn > plain on {of}" for of in sorted(SETS)]
    assert parts["mean"] == ["on_average: bn > plain"]
    (of_mean,) = next(judged for judged in found.judgements if judged.claim.id == "mean").findings
    assert of_mean.answer is not None and of_mean.answer.evidence.interval == expected.interval
    assert of_mean.answer.reversed().evidence.mean == -expected.mean


def test_a_mean_is_not_what_holds_everywhere(make_run: Make, study: Path) -> None:
    gains = {"digits": 0.1, "svhn": -0.05, "mnist": 0.12}
    train(make_run, claim("all", "everywhere: bn > plain"), claim("mean", "on_average: bn > plain"), gains=gains)
    found = analyse(collect(study))
    assert verdicts(found) == {"all": "refuted", "mean": "inconclusive"}
    (each,) = [one for one in found.over_data if one.question.metric == "test_accuracy"]
    assert each.pooled.prediction.low < 0 < each.pooled.prediction.high
    assert each.rank == (pytest.approx(4 / 3), pytest.approx(5 / 3))


def test_two_data_sets_decide_nothing_on_average(make_run: Make, study: Path) -> None:
    train(make_run, claim("mean", "on_average: bn > plain"), gains={"digits": 0.1, "svhn": 0.1})
    (judged,) = analyse(collect(study)).judgements
    assert judged.verdict == "inconclusive" and judged.findings[0].missing == "2 data sets decide nothing, it takes 3"


def test_where_there_is_no_mean(make_run: Make, study: Path) -> None:
    claims = claim("mean", "on_average: bn > plain"), claim("all", "everywhere: bn > plain")
    train(make_run, *claims, claim("bare", "bn > plain"), test="anytime")
    found = analyse(collect(study))
    bare = found.judgements.pop()  # type: ignore[attr-defined]
    assert bare.verdict == "untested", "nothing is averaged unless it is said"
    assert bare.findings[0].missing == "bn has runs on 3 data sets: say `everywhere: …` or `on_average: …`"
    assert verdicts(found) == {"mean": "untested", "all": "supported"}
    assert "for one look" in found.judgements[0].findings[0].missing and not found.over_data[0].pooled.number
    assert run_command(["report", str(study)]) == 0
    page = (study / "report" / "report.md").read_text(encoding="utf-8")
    assert "Where there is no mean: seeds were added after results were seen" in page and "untested:" not in page


@pytest.mark.parametrize("seeds", [1, 4])
def test_one_data_set_or_one_seed(seeds: int, make_run: Make, study: Path) -> None:
    gains = SETS if seeds == 1 else {"digits": 0.1}
    train(make_run, claim("mean", "on_average: bn > plain"), gains=gains, seeds=seeds)
    found = analyse(collect(study))
    (judged,) = found.judgements
    why = judged.findings[0].missing
    assert judged.verdict == "untested"
    assert why == "the runs are of one data set, and not several" if seeds > 1 else "two seeds or more" in why
    assert seeds == 1 or not found.over_data


def test_a_variant_without_runs_on_one_of_them(make_run: Make, study: Path) -> None:
    train(make_run, claim("all", "everywhere: bn > plain"))
    for folder in (study / "bn").glob("*"):
        if '"name": "svhn"' in (folder / "run.json").read_text():
            (folder / "run.json").unlink()
    found = analyse(collect(study))
    assert verdicts(found) == {"all": "untested"}
    assert "there are no runs of bn on svhn" in [one.missing for one in found.judgements[0].findings]
    assert math.isnan(found.over_data[0].rank[0]) and len(found.over_data[0].answers) == 2
    assert run_command(["report", str(study)]) == 0


@pytest.mark.parametrize(
    ("expect", "message"),
    [
        ("everywhere: bn > 0.5", "over data sets, two variants are compared"),
        ("everywhere: bm > plain", "there is no variant 'bm'"),
        ("somewhere: bn > plain", "there is no variant 'somewhere: bn'"),
    ],
)
def test_what_a_claim_may_not_say(expect: str, message: str, make_run: Make, study: Path) -> None:
    train(make_run, claim("x", expect), seeds=1)
    with pytest.raises(ValueError, match=message):
        analyse(collect(study))


def test_a_table_of_several_data_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    rows = ["method,dataset,seed,acc"]
    for of, gain in SETS.items():
        for method, more in (("plain", 0.0), ("wide", gain)):
            rows += [f"{method},{of},{seed},{0.5 + more + generator.normal(0, 0.005)}" for seed in range(4)]
    Path("sheet.csv").write_text("\n".join(rows))
    assert run_command(["report", "sheet.csv", "--variant", "method", "--setting", "dataset"]) == 0
    results = json.loads(Path("sheet-report/results.json").read_text(encoding="utf-8"))
    (row,) = results["data_sets"]
    assert (row["first"], row["second"], row["data_sets"], row["data"]) == ("wide", "plain", 3, "digits, mnist, svhn")
    page = Path("sheet-report/report.md").read_text(encoding="utf-8")
    assert "## Over data sets" in page and "1.00 against 2.00" in page and "3 of 3" in page
