"""Which test a study takes: how often its runs could be looked at before the last of them were asked for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ablate.records.record import RunRecord
from ablate.report.study.definition import JUDGED_BY, Definition
from ablate.stats import Test


@dataclass(frozen=True)
class Looks:
    """Which test decides in a study, and why.

    Attributes:
        test: For one look, or for any number of looks.
        why: In words.
        warnings: Where the report judges by something else than its runs have declared.
    """

    test: Test
    why: str
    warnings: tuple[str, ...] = ()


def looks(definition: Definition, records: Iterable[RunRecord]) -> Looks:
    """Returns the test for a study's runs.

    Runs of one plan, which is the seeds of a sweep, are one look, whether they were resumed or not. Of several plans,
    of which a later one began when an earlier one had results, they are several: somebody may have looked.

    Args:
        definition: The study's, with its choice of a test.
        records: Of the runs that count.
    """
    found = _looks(definition, list(records))
    warnings = list(_warnings(definition))
    if definition.pairing == "unpaired" and found.test is Test.ANYTIME:
        warnings.append(
            "study.pairing=unpaired is for one look: the test for any number of looks takes pairs of a seed."
        )
    return replace(found, warnings=tuple(warnings))


def _looks(definition: Definition, records: Sequence[RunRecord]) -> Looks:
    if definition.test != "auto":
        return Looks(Test(definition.test), f"study.test={definition.test} says so")
    plans = [record.plan for record in records if record.plan is not None]
    if not plans:
        why = "nothing is recorded of how often they were looked at, so this rests on the word of whoever made them"
        return Looks(Test.FIXED, why)
    if any(plan.settles for plan in plans):
        return Looks(Test.ANYTIME, "seeds were added until the claims were settled")
    all_seeds = sorted({plan.seeds for plan in plans})
    times = [_begin_and_first_result(records, seeds) for seeds in all_seeds]
    first_result = min((result for _, result in times if result), default="")
    if len(all_seeds) > 1 and any(begin > first_result for begin, _ in times):
        return Looks(Test.ANYTIME, f"the seeds came in {len(all_seeds)} sweeps, one after another")
    return Looks(Test.FIXED, "all seeds came in one sweep, as planned")


def _begin_and_first_result(records: Iterable[RunRecord], seeds: tuple[int, ...]) -> tuple[str, str]:
    """Returns when the first run of a plan was started, and when the first of them ended."""
    of_plan = [record for record in records if record.plan is not None and record.plan.seeds == seeds]
    return min(record.started for record in of_plan), min((record.ended or "" for record in of_plan), default="")


def _warnings(definition: Definition) -> Iterable[str]:
    for key in JUDGED_BY:
        declared, now = definition.declared.get(key), getattr(definition, key)
        if key in definition.declared and declared != now:
            made = f"without study.{key}" if declared is None else f"with study.{key}={declared}"
            judges = "without" if now is None else f"with {now}"
            yield (
                f"The runs were made {made}, and this report judges {judges}: what is chosen after the results are "
                "known can be chosen to suit them."
            )
