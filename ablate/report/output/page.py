"""The report's content: what is said of a study, in which order."""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from ablate.report.analysis.analyse import Analysis
from ablate.report.output import words
from ablate.report.output.document import Block, Bullets, Document, Item, Picture, Section, Text
from ablate.report.output.sections import runs
from ablate.report.output.sections.accuracy import accuracy, variants
from ablate.report.output.sections.claims import MARKS, claims
from ablate.report.output.sections.confusion import confusion
from ablate.report.output.sections.differences import differences
from ablate.report.output.sections.effects import effects
from ablate.report.output.sections.timings import timings

_MOST_SENTENCES = 12
_SHARED = "runs of one seed start from the same weights in the layers they share and see the same batches"
_METHOD = (
    "A difference is the mean over seeds of the differences within pairs, with its 95 % t-interval, not adjusted.",
    "Times are compared on natural logarithms and shown as ratios, only between runs of the same machine, device, "
    "threads, precision and version of torch. Where `ablate timing` has timed both variants in turns, the "
    "comparison rests on its rounds instead.",
    "p is of the paired t-test, two-sided; the adjusted p is Holm's over all comparisons of its metric here. "
    "The exact p is of the sign-flip test over all 2ⁿ sign patterns of n pairs (a sample of 20,000 from n = 21 on), "
    "not adjusted; the smallest that n pairs can give is 2/2ⁿ.",
    "Verdicts: a claim is supported where each of its parts has an adjusted p below 0.05 and a difference as claimed; "
    "refuted where one has an adjusted p below 0.05 against the claim; untested where a variant has no runs or the two "
    "have fewer than two comparable seeds in common; otherwise inconclusive. Equality within a margin is tested by two "
    "one-sided t-tests. The seeds that would settle an inconclusive part are those of a t-test with 80 % power, should "
    "differences go on as they are, at 0.05 divided by the number of comparisons of the metric.",
    "Effects: a cell mean for each combination and a deviation for each seed (the seed is a block), the error pooled "
    "over all cells.",
    "A published figure is held against the 95 % prediction interval for one new run.",
)


def build(analysis: Analysis, tables: Mapping[str, pd.DataFrame], pictures: Sequence[Picture]) -> Document:
    """Returns the report of a study.

    Args:
        analysis: What was computed.
        tables: Frames by name, of `ablate.report.output.csv_files`.
        pictures: The figures that were drawn.
    """
    definition = analysis.study.definition
    drawn = {picture.name: picture for picture in pictures}
    of_effects = Section("Effects", list(effects(analysis, drawn)))
    designed = definition.design is not None  # what its variants were made for comes first
    sections = [
        *[of_effects] * designed,
        Section("Claims", list(claims(analysis, drawn))),
        Section("Variants", [variants(analysis)]),
        Section("Results", [*accuracy(analysis, tables, drawn), *confusion(analysis)]),
        Section("Paired differences", list(differences(analysis, drawn))),
        *[of_effects] * (not designed),
        Section("Time", [*timings(analysis), *runs.times(analysis, tables, drawn)]),
        Section("Runs", list(runs.completeness(analysis))),
        Section("What the comparison rests on", list(runs.basis(analysis))),
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
        yield Bullets(
            [
                Item(words.judgement(judged), judged.verdict.capitalize(), MARKS.get(judged.verdict, "open"))
                for judged in analysis.judgements
            ]
        )
    else:
        main = next(iter(analysis.questions.values()), [])
        sentences = [words.comparison_sentence(analysis.answers[question]) for question in main[:_MOST_SENTENCES]]
        if len(main) > _MOST_SENTENCES:
            sentences.append(f"And {len(main) - _MOST_SENTENCES} more, under paired differences.")
        if sentences:
            yield Bullets([Item(text) for text in sentences])
    warning = words.too_few_seeds([answer.comparison for answer in analysis.answers.values()])
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
