"""Times, the status of the runs, and what the comparison rests on."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from ablate.records.record import DataFacts, Provenance, RunRecord
from ablate.report.analysis.analyse import Analysis
from ablate.report.analysis.comparability import layers, shared, unpaired
from ablate.report.analysis.completeness import commands, default_command
from ablate.report.output import pictures, words
from ablate.report.output.document import Block, Bullets, Cell, Commands, Item, Table, Text, text
from ablate.report.output.sections.accuracy import summary
from ablate.report.output.sections.cells import measured

_MOST_COLUMNS, _MOST_RUNS = 30, 1000  # of a table
_MOST_METRICS = 4  # of a run, in a table
_MOST_LAYERS = 5  # that are named
_MARKS = {"complete": "good", "missing": "open", "failed": "bad", "diverged": "bad"}


def times(analysis: Analysis, tables: Mapping[str, pd.DataFrame]) -> Iterator[Block]:
    """Yields the times of a run and its parts."""
    if tables["time"].empty:
        return
    yield summary(analysis.study, "time", "Seconds of a run on its own clock, over seeds.", tables["time"], ["part"])
    yield Text(
        "Runs shared their machine with whatever else ran on it, so small differences between variants may be the "
        "machine's."
    )
    together = sum(record.cohort is not None for record in analysis.study.records.values())
    if together:
        yield Text(
            f"{words.count(together, 'run')} of {len(analysis.study.records)} were trained together with others, in "
            "lock-step. Their times are shares of the cohort's: they are in no comparison and no figure."
        )
    changed = sum(record.changed_company for record in analysis.study.records.values())
    if changed:
        yield Text(
            f"{words.count(changed, 'run')} were begun in a cohort and finished alone or in another, as after a "
            "failure. Their sums were rounded otherwise from then on: repeated together, they end with slightly other "
            "numbers."
        )
    predicted = analysis.study.prediction
    if predicted is not None:
        error = predicted.predicted / predicted.taken - 1
        yield Text(
            f"Before {words.count(predicted.runs, 'run')} of these, {predicted.predicted / 3600:.3f} core-hours were "
            f"predicted, and {predicted.taken / 3600:.3f} were taken: the prediction was {abs(error):.0%} too "
            f"{'high' if error > 0 else 'low'}, for one run at most {predicted.largest:.0%}."
        )
    yield from pictures.times(analysis)
    yield from pictures.accuracy_against_time(analysis)


def completeness(analysis: Analysis) -> Iterator[Block]:
    """Yields the matrix of variants and seeds, what is left out, and the command for what is missing."""
    yield _matrix(analysis)
    study = analysis.study
    if len(study.runs) <= _MOST_RUNS:
        yield _each_run(analysis)
    else:
        yield Text("runs.csv has a row for each run.")
    left_out = [f"{run}: {cell.why}" for run, cell in study.unfinished.items()]
    left_out += [f"{run}: {why}" for run, why in study.broken.items()]
    if left_out:
        yield Text("Left out of all numbers:")
        yield Bullets([Item(line) for line in left_out])
    stale = [cell for cell in analysis.cells if cell.status == "stale"]
    if stale:
        reasons = words.listed(dict.fromkeys(cell.why for cell in stale))
        counted = "1 run is" if len(stale) == 1 else f"{len(stale)} runs are"
        yield Text(
            f"{counted} stale ({reasons}), and in the numbers: when the sweep's command was last repeated, a run would "
            "have started under other conditions. `rerun=stale` added to the command restarts them."
        )
    missing = [cell for cell in analysis.cells if cell.status not in ("complete", "stale")]
    if missing:
        numbers = words.listed(f"{n} {status}" for status, n in Counter(cell.status for cell in missing).items())
        labels = dict.fromkeys(cell.variant for cell in missing)
        typed: list[str | None] = [*commands(study, labels, [cell.seed for cell in missing])]
        known = [command for command in (typed or [default_command(study)]) if command is not None]
        yield Text(f"Of the study's runs, {numbers}.{' To run them:' if known else ''}")
        yield from [Commands(known)] if known else []


def _each_run(analysis: Analysis) -> Table:
    """Returns the table that the numbers of all others lead to."""
    study = analysis.study
    kinds = [study.metric(name) for name in list(analysis.questions)[:_MOST_METRICS]]
    rows = [
        [
            text("variant", row["variant"]),
            Cell("seed", str(row["seed"]), row["seed"]),
            *(measured(kind.short, kind, row[kind.name]) for kind in kinds),
            text("run", row["run"]),
        ]
        for row in study.runs.to_dict("records")
    ]
    caption = "Each complete run, of which the other tables' numbers are; a click on one of these marks its runs here."
    return Table("each_run", caption, rows, runs=list(study.runs["run"]))


def _matrix(analysis: Analysis) -> Table:
    cells = {(cell.variant, cell.seed): cell for cell in analysis.cells}
    variants, seeds = dict.fromkeys(variant for variant, _ in cells), sorted({seed for _, seed in cells})
    if len(seeds) > _MOST_COLUMNS:
        statuses = list(dict.fromkeys(cell.status for cell in analysis.cells))
        counts = Counter((cell.variant, cell.status) for cell in analysis.cells)
        rows = []
        for variant in variants:
            of_variant = {status: counts[variant, status] for status in statuses}
            rows.append([text("variant", variant), *(Cell(head, str(n), n) for head, n in of_variant.items())])
        return Table("completeness", "How many seeds of each variant have which status.", rows)
    rows = []
    for variant in variants:
        row = [text("variant", variant)]
        for seed in seeds:
            cell = cells.get((variant, seed))
            status, mark = ("–", "") if cell is None else (cell.status, _MARKS.get(cell.status, "open"))
            row.append(text(f"seed {seed}", status, mark))
        rows.append(row)
    return Table("completeness", "The run of each variant and seed.", rows)


def basis(analysis: Analysis) -> Iterator[Block]:
    """Yields what all runs have in common, and what not."""
    every = analysis.study.records.values()
    unknown = [each for each in every if each.imported is not None and not each.provenance.packages]
    imported = Counter(record.imported.tool for record in unknown if record.imported is not None)
    lines = [
        f"{words.count(number, 'run')} imported from {tool}: of what data, code and machine is not recorded, nor "
        "whether the runs of a seed share anything else"
        for tool, number in imported.items()
    ]
    records = [record for record in every if record not in unknown]
    if not records:
        if lines:
            yield Bullets([Item(line) for line in lines])
        return
    lines += [_data(records[0].data), *_provenance(records[0].provenance)]
    lines += [f"Mismatch: {mismatch}" for mismatch in analysis.mismatches]
    if not analysis.mismatches:
        lines.append(f"All runs agree in {words.listed(shared(records))}.")
    if any(record.pairing is None for record in records):
        lines.append("What the runs of a seed share is not recorded.")
    elif not unpaired(records):
        lines.append(
            "The runs of each seed saw the images in one order and started from the same weights in "
            f"{_layers(records)}."
        )
    yield Bullets([Item(line) for line in lines])


def _layers(records: Sequence[RunRecord]) -> str:
    """Returns which layers the runs share, and which not all of them have."""
    shared_by_all, others = layers(records)
    if not others:
        return f"all layers ({len(shared_by_all)})"
    named = words.listed(others) if len(others) <= _MOST_LAYERS else words.count(len(others), "layer")
    return f"the {words.count(len(shared_by_all), 'layer')} that all have; {named} not all have, or in other shapes"


def _data(data: DataFacts | None) -> str:
    if data is None:
        return "Data: unknown"
    images = [f"{number:,} {name}" for name, number in data.images.items()]
    digest = [f"SHA-256 {data.sha256[:16]}…"] if data.sha256 else []
    return ", ".join([f"Data: {data.name or 'without a name'}", *images, *digest])


def _provenance(provenance: Provenance) -> Iterator[str]:
    code, machine = provenance.code, provenance.machine
    commit = f"commit {code.commit[:12]}" if code.commit else "not from a git checkout"
    if code.dirty:
        commit += " with local changes"
    yield f"Code: {commit}; {', '.join(f'{name} {version}' for name, version in provenance.packages.items())}"
    where = f"Machine: {machine.cpu or 'unknown'}, {machine.cores or 'unknown'} cores"
    if provenance.accelerator is not None and provenance.threads is not None:
        where += f"; computed on {provenance.accelerator} with {words.count(provenance.threads, 'thread')}"
    yield where
