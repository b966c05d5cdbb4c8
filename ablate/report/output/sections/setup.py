"""Words for the paper: how the runs were made and weighed, and what a checklist of reproducibility asks for.

All that they say is of the records; what these do not hold is not said.
"""

import re
from collections.abc import Iterator
from importlib.resources import files

from ablate.report.analysis.analyse import Analysis
from ablate.report.output import words
from ablate.report.output.document import Block, Table, Text, text
from ablate.report.output.latex import escape
from ablate.stats import Test

_CITED = re.compile(r" \[@(\w+)\]")


def setup(analysis: Analysis) -> Iterator[Block]:
    """Yields the paragraph for the paper, and the answers to a checklist."""
    yield Text(_CITED.sub("", " ".join(sentences(analysis))))
    yield Text("setup.tex and setup.md have this with its citations, which are in references.bib.")
    rows = [[text("asked", asked), text("what the records hold", said)] for asked, said in _checklist(analysis)]
    yield Table("checklist", "What a checklist of reproducibility asks for.", rows)


def setup_files(analysis: Analysis) -> dict[str, str]:
    """Returns the paragraph as LaTeX and Markdown (citations as Pandoc reads them), and the BibTeX of what it cites."""
    said = " ".join(sentences(analysis))
    bib = files("ablate.report.output").joinpath("references.bib").read_text(encoding="utf-8")
    cited = [entry for entry in bib.split("\n\n") if any(f"{{{key}," in entry for key in _CITED.findall(said))]
    parts = _CITED.split(said)  # text, key, text, …
    latex = "".join(rf"~\cite{{{part}}}" if number % 2 else _spaced(part) for number, part in enumerate(parts))
    return {
        "setup.md": f"# Experimental setup and statistical analysis\n\n{said}\n",
        "setup.tex": "\\paragraph{Experimental setup and statistical analysis.}\n" + latex + "\n",
        "references.bib": "\n\n".join(entry.strip() for entry in cited) + "\n",
    }


def _spaced(part: str) -> str:
    """Returns a part of a text as LaTeX, with the spaces at its ends, which escaping takes."""
    return " " * part.startswith(" ") + escape(part) + " " * part.endswith(" ")


def sentences(analysis: Analysis) -> Iterator[str]:
    """Yields how the runs were made and weighed; `[@key]` cites an entry of references.bib."""
    study, kind = analysis.study, analysis.study.metric(analysis.metric)
    records = list(study.records.values())
    seeds = sorted(set(map(int, study.runs["seed"])))
    trained = f"We trained {words.count(len(study.labels), 'variant')} with {words.count(len(seeds), 'seed')}"
    if lengths := sorted(study.lengths()):
        trained += f" for {words.numbers(lengths)} {'epoch' if lengths == [1] else 'epochs'}"
    if data := sorted({record.data.name for record in records if record.data is not None and record.data.name}):
        trained += f" on {words.listed(data)}"
    yield f"{trained} ({words.count(len(study.runs), 'run')})."
    if study.unfinished:
        yield f"{words.count(len(study.unfinished), 'more run')} did not complete, and are in no number."
    if records and all(record.pairing is not None for record in records):
        yield (
            "A seed draws the initial weights, the order of the training data, its augmentation and the noise of "
            "training; runs of one seed start from the same weights in the layers they share and see the same batches."
        )
    statistic = f" {kind.over_epochs}" if kind.over_epochs and study.lengths() else ""
    yield f"We report {kind.short}{statistic} as its mean and standard deviation over seeds."
    anytime, paired = analysis.looks.test is Test.ANYTIME, study.definition.pairing != "unpaired"
    if anytime:
        yield (
            "Because seeds were added after others had been looked at, variants are compared by tests and confidence "
            "sequences that hold at any number of looks, of the paired differences over seeds "
            "[@lai1976] [@perezortiz2024]."
        )
    elif paired:
        yield "Variants are compared by paired t-tests over seeds [@student1908], two-sided, with 95 % t-intervals."
    else:
        yield "Variants are compared by Welch's t-test [@welch1947], two-sided, with 95 % intervals."
    tested = "comparisons"
    if analysis.judgements:
        tested = f"{words.count(len(analysis.judgements), 'claim')} and, apart from them, of the further comparisons"
    yield f"The p-values of the {tested} are adjusted by Holm's method [@holm1979], metric by metric, at a 5 % level."
    if any(found.part.question.margin is not None for judged in analysis.judgements for found in judged.findings):
        margin = study.definition.margin
        of_study = f", {kind.show_difference(margin).lstrip('+')} in {kind.short}" if margin is not None else ""
        how = "the confidence sequence lying" if anytime else "two one-sided tests of the difference lying"
        yield f"Equality is shown by {how} within a margin{of_study}{'' if anytime else ' [@schuirmann1987]'}."
    if any(each.effects for each in analysis.factorials):
        yield "Effects of a factorial are tested by one contrast a seed [@box2005]."
    if any(each.shares for each in analysis.factorials):
        yield "Shares of the whole are Shapley values [@shapley1953]."
    yield from _computed(analysis)


def _computed(analysis: Analysis) -> Iterator[str]:
    """Yields on what the runs were computed, and how long."""
    own = [record for record in analysis.study.records.values() if record.imported is None]
    if not own:
        return
    where = {
        " with ".join(filter(None, [record.provenance.accelerator, record.provenance.machine.cpu])) for record in own
    } - {""}
    hours = sum(record.times.get("total_seconds", 0.0) for record in own) / 3600
    took = f"The runs took {hours:.2g} hours in total" if hours < 100 else f"The runs took {hours:,.0f} hours in total"
    yield f"{took}{f' on {words.listed(sorted(where))}' * bool(where)}."
    packages = {f"{name} {version}" for record in own for name, version in record.provenance.packages.items()}
    if packages:
        yield f"Software: {words.listed(sorted(packages))}."


def _checklist(analysis: Analysis) -> Iterator[tuple[str, str]]:
    study = analysis.study
    records = list(study.records.values())
    own = [record for record in records if record.imported is None]
    seeds = sorted(set(map(int, study.runs["seed"])))
    yield "Number of runs, and their seeds", f"{len(study.runs)}; seeds {words.numbers(seeds)}"
    left = [f"{run}: {cell.status}" for run, cell in study.unfinished.items()] + list(study.broken)
    yield "Runs that were left out", words.listed(left[:5]) + f" and {len(left) - 5} more" * (len(left) > 5) or "none"
    yield "All hyperparameters", "run.json of each run has its whole configuration" if own else "not recorded"
    yield "Error bars, and what they are", "standard deviation and 95 % interval over seeds"
    yield "Tests, and their adjustment", f"{analysis.looks.test} ({analysis.looks.why}); Holm's method"
    data = {f"{each.name} (SHA-256 {each.sha256[:16]}…)" for each in (r.data for r in records) if each and each.sha256}
    yield "Data, and its digest", words.listed(sorted(data)) or "not recorded"
    commits = {record.provenance.code.commit[:12] for record in own if record.provenance.code.commit}
    dirty = " with local changes" * any(record.provenance.code.dirty for record in own)
    yield "Code", f"commit {words.listed(sorted(commits))}{dirty}" if commits else "not recorded"
    computed = list(_computed(analysis))
    yield "Hardware and hours", computed[0] if computed else "not recorded"
    yield "Software and versions", computed[1].removeprefix("Software: ") if len(computed) > 1 else "not recorded"
    sizes = {f"{record.model.after.parameters:,}" for record in records if record.model.after.parameters}
    yield "Parameters of the models", words.listed(sorted(sizes, key=lambda text: (len(text), text))) or "not recorded"
