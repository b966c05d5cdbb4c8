"""The command `ablate report`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ablate.messages import say
from ablate.records.store import is_address, mirror
from ablate.records.study_directory import StudyDirectory
from ablate.report.analysis.analyse import Analysis, analyse
from ablate.report.analysis.verdicts import Verdict
from ablate.report.output.document import Bullets, Document, Text
from ablate.report.output.write import write_report
from ablate.report.study.collect import collect, collect_table, find_studies
from ablate.sources.logged_run import add_options, wanted


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="ablate report",
        description="Writes tables, plots and verdicts from run directories into <study>/report/, or from a CSV file.",
    )
    made.add_argument(
        "path",
        nargs="?",
        default="outputs",
        help="a study's folder or its address in a store, one that holds studies, or a CSV file with a row a run "
        "(default: outputs)",
    )
    made.add_argument("--out", type=Path, help="where to write (default: <study>/report, or <file>-report for a CSV)")
    made.add_argument("--check", action="store_true", help="exit 1 if a claim is refuted or a run is missing")
    made.add_argument("--study", type=Path, metavar="FILE", help="take baseline, claims and so on from here")
    made.add_argument(
        "--config-dir", type=Path, action="append", default=[], help="a folder of config groups beside ablate's own"
    )
    add_options(made.add_argument_group("for a CSV file"))
    return made


def main(arguments: Sequence[str]) -> int:
    """Writes reports; returns 1 if a claim is refuted or a run is missing, and that was asked for."""
    options = parser().parse_args(arguments)
    complaints = []
    for analysis, out in _analyses(options):
        document = write_report(analysis, out)
        _print(document)
        say(f"\nThe report is in {out}: open index.html, or read report.md.")
        complaints += _complaints(analysis)
    if not (options.check and complaints):
        return 0
    say("\n".join(complaints), file=sys.stderr)
    return 1


def _analyses(options: argparse.Namespace) -> list[tuple[Analysis, Path]]:
    """Returns each study's analysis, and where its report goes; all of them before the first is written."""
    remote = is_address(options.path)
    options.path = mirror(options.path) if remote else Path(options.path)
    if options.path.suffix.lower() in (".csv", ".tsv"):
        asked = wanted(options)
        study = collect_table(options.path, asked, options.study)
        out = options.out or options.path.with_name(f"{options.path.stem}-report")
        return [(analyse(study, asked.metrics), out)]
    given = [f"--{name}" for name in ("metric", "setting") if getattr(options, name)]
    if given:
        raise ValueError(f"{given[0]} is for a CSV file; of run directories, the study's option says it")
    folders = find_studies(options.path)
    if options.out is not None and len(folders) > 1:
        raise ValueError(f"--out takes one study, {options.path} holds {len(folders)}; name one of them")
    studies = [collect(folder, options.config_dir, options.study, options.baseline) for folder in folders]
    places = [Path("outputs") / folder.name if remote else folder for folder in folders]
    return [
        (analyse(study), options.out or StudyDirectory(place).report)
        for study, place in zip(studies, places, strict=True)
    ]


def _print(document: Document) -> None:
    say(f"{document.title}\n")
    for block in document.lead:
        if isinstance(block, Text):
            say(block.words)
        elif isinstance(block, Bullets):
            say("\n".join(f"- {item.word}{': ' * bool(item.word)}{item.text}" for item in block.items))


def _complaints(analysis: Analysis) -> list[str]:
    name = analysis.study.definition.name
    refuted = [judged for judged in analysis.judgements if judged.verdict is Verdict.REFUTED]
    return [
        *(f"{name}: refuted: {judged.claim.id}: {judged.claim.statement}" for judged in refuted),
        *(
            f"{name}: {cell.status}: {cell.variant} seed {cell.seed}"
            for cell in analysis.cells
            if cell.status not in ("complete", "stale")
        ),
        *(f"{name}: broken: {run}: {why}" for run, why in analysis.study.broken.items()),
    ]
