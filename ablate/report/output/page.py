"""The report's content: what is said of a study, in which order."""

from collections.abc import Iterator, Mapping

import pandas as pd

from ablate.report.analysis.analyse import Analysis
from ablate.report.output import pictures, words
from ablate.report.output.document import Block, Bullets, Document, Item, Section, Text
from ablate.report.output.sections import runs
from ablate.report.output.sections.ablation import ablation
from ablate.report.output.sections.accuracy import accuracy, confusion, variants
from ablate.report.output.sections.cards import cards, comparison_cards
from ablate.report.output.sections.claims import claims
from ablate.report.output.sections.data_sets import data_sets
from ablate.report.output.sections.differences import differences
from ablate.report.output.sections.effects import effects
from ablate.report.output.sections.knockouts import knockouts
from ablate.report.output.sections.setup import setup
from ablate.report.output.sections.timings import timings
from ablate.stats import ALPHA, Test

_MOST_CARDS = 6
_SHARED = "runs of one seed start from the same weights in the layers they share and see the same batches"
_METHOD = (
    "A difference is the mean over seeds of the differences within pairs, with its 95 % interval, not adjusted: the "
    "t-interval for one look, the confidence sequence for any number of looks.",
    "Times are compared on natural logarithms and shown as ratios, only between runs of the same machine, device, "
    "threads, precision and version of torch. Where `ablate timing` has timed both variants in turns, the "
    "comparison rests on its rounds instead, which are one look.",
    "p is two-sided: of the paired t-test for one look; for any number of looks one over the e-value of the "
    "t-statistic (prior variance 4), on the pairs there are. Without normality it is that of the exact sign-flip test "
    "(a sample of 20,000 sign patterns from 21 pairs on), or one over the sign-flip e-value.",
    "The claims about a metric are one family, and what is explored beside them (comparisons with the baseline, "
    "contributions, classes) another that changes no verdict; each is adjusted by Holm's method. Nothing is adjusted "
    "across metrics.",
    "Verdicts: a claim is supported where the largest p of its parts, adjusted over the claims, is below 0.05 and each "
    "difference is as claimed; refuted where a part is against it with a p below 0.05, adjusted over the parts of all "
    "claims; equal where a difference lies inside its margin, by the same measure; untested where runs are missing, or "
    "gave no value; else inconclusive. Fewer than three pairs decide nothing. Equality is tested by two one-sided "
    "t-tests, or by whether the confidence sequence lies inside the margin.",
    "Seeds still needed are those of the test that decides, at 0.05 divided by the number of claims, over the "
    "standardised differences that an 80 % interval leaves possible.",
    "Effects and shares: one contrast of the combinations a seed, weighed as paired differences are.",
    "A published figure is held against the 95 % prediction interval for one new run.",
)


def build(analysis: Analysis, tables: Mapping[str, pd.DataFrame]) -> Document:
    """Returns the report of a study.

    Args:
        analysis: What was computed.
        tables: Frames by name, of `ablate.report.output.csv_files`.
    """
    definition = analysis.study.definition
    of_effects = Section("Effects", list(effects(analysis)))
    designed = definition.design is not None  # what its variants were made for comes first
    sections = [
        Section("Ablation", [*ablation(analysis), *pictures.learning_curves(analysis)], is_first=True),
        *[of_effects] * designed,
        Section("Claims", list(claims(analysis))),
        Section("Variants", [variants(analysis)]),
        Section("Results", [*accuracy(analysis, tables), *confusion(analysis)]),
        Section("Paired differences", list(differences(analysis))),
        Section("Over data sets", list(data_sets(analysis))),
        *[of_effects] * (not designed),
        Section("Knockouts", list(knockouts(analysis))),
        Section("Time", [*timings(analysis), *runs.times(analysis, tables)]),
        Section("Runs", list(runs.completeness(analysis))),
        Section("What the comparison rests on", list(runs.basis(analysis))),
        Section("Words for the paper", list(setup(analysis))),
        Section("How it was computed", [Bullets([Item(text) for text in (_pairing(analysis), *_METHOD)])]),
    ]
    return Document(
        title=definition.title or definition.name,
        lead=list(_lead(analysis)),
        sections=[section for section in sections if section.blocks],
    )


def _lead(analysis: Analysis) -> Iterator[Block]:
    study = analysis.study
    seeds = sorted(set(map(int, study.runs["seed"])))
    text = (
        f"{words.count(len(study.runs), 'complete run')} of {words.count(len(study.labels), 'variant')}; "
        f"{'seed' if len(seeds) == 1 else 'seeds'} {words.numbers(seeds)}"
    )
    if epochs := sorted(study.lengths()):
        text += f"; {words.numbers(epochs)} {'epoch' if epochs == [1] else 'epochs'} each"
    text += "." if len(epochs) < 2 else ", and each counts after its own last epoch."
    if early := [run for run, record in study.records.items() if record.epochs_done is not None]:
        first = study.records[early[0]]
        text += (
            f" {words.count(len(early), 'run')} stopped before the planned epochs, such as {early[0]} after "
            f"{first.epochs} of {first.planned_epochs}."
        )
    if study.left_out:
        text += f" Left out, and named below: {words.count(study.left_out, 'run')}."
    yield Text(text)
    if analysis.judgements:
        yield Bullets(list(cards(analysis)))
    else:
        main = next(iter(analysis.questions.values()), [])
        answers = [analysis.answers[question] for question in main]
        if 0 < len(main) <= _MOST_CARDS:
            yield Bullets(list(comparison_cards(answers)))
        elif main:
            found = [answer.question.first for answer in answers if answer.p_adjusted < ALPHA]
            yield Text(
                f"Of {len(main)} comparisons with a baseline in {answers[0].metric.label}, {len(found)} "
                f"{'shows' if len(found) == 1 else 'show'} a difference"
                f"{(': ' + words.listed(found)) * (0 < len(found) <= _MOST_CARDS)}. All are under paired "
                "differences."
            )
    often = "any number of looks" if analysis.looks.test is Test.ANYTIME else "one look"
    yield Text(f"Judged for {often}: {analysis.looks.why}.")
    yield from map(Text, analysis.looks.warnings)
    warning = words.too_few_seeds(
        [answer.comparison for answer in analysis.answers.values()], bool(analysis.judgements)
    )
    if len(seeds) == 1:
        warning = "One seed says nothing about the spread between runs: add seeds before concluding."
    if warning:
        yield Text(warning)
    if analysis.touched:
        differing = words.listed(f"{fact} ({words.listed(which)})" for fact, which in analysis.touched.items())
        yield Text(f"Not everything that is compared agrees, but differs in {differing}: see what it rests on.")


def _pairing(analysis: Analysis) -> str:
    """Returns what is recorded of the runs of a seed."""
    known = [record.pairing is not None for record in analysis.study.records.values()]
    if known and all(known):
        return f"Runs are paired by seed: {_SHARED}."
    of_some = f"; of those that ablate trained, {_SHARED}" if any(known) else ""
    return f"Runs are paired by seed; what runs of one seed share is not recorded of all{of_some}."
