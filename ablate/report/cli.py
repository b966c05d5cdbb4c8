"""The command `ablate report`."""

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ablate.config.options import load
from ablate.messages import aligned, say
from ablate.records.store import is_address, mirror
from ablate.records.study_directory import StudyDirectory, studies_below
from ablate.report.analysis.analyse import Analysis, analyse
from ablate.report.analysis.verdicts import Verdict
from ablate.report.output.document import Bullets, Document, Text
from ablate.report.output.write import write_report
from ablate.report.study.collect import collect, collect_others, find_studies
from ablate.report.study.definition import define
from ablate.sources.csv_table import SUFFIXES
from ablate.sources.found_runs import find_runs
from ablate.sources.inference import command, infer
from ablate.sources.logged_run import add_options, metric_names, wanted
from ablate.sources.path_template import is_template


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="ablate report",
        description="Writes tables, plots and verdicts from run directories into <study>/report/, or from the runs of "
        "another project.",
    )
    made.add_argument(
        "path",
        nargs="?",
        default="outputs",
        help="a study's folder or its address in a store, or one that holds studies; a folder of another project's "
        "runs, such as a multirun of Hydra, a template such as 'runs/{variant}/seed{seed}/log.csv', or a CSV file "
        "(default: outputs)",
    )
    made.add_argument(
        "--out", type=Path, help="where to write (default: <study>/report, <file>-report, or outputs/<folder>-report)"
    )
    made.add_argument("--check", action="store_true", help="exit 1 if a claim is refuted or a run is missing")
    made.add_argument("--study", type=Path, metavar="FILE", help="take baseline, claims and so on from here")
    made.add_argument(
        "--config-dir", type=Path, action="append", default=[], help="a folder of config groups beside ablate's own"
    )
    add_options(made.add_argument_group("for runs of other projects"))
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
    folder = mirror(options.path) if remote else Path(options.path)
    if not studies_below(folder) and (
        folder.is_dir() or is_template(options.path) or folder.suffix.lower() in SUFFIXES
    ):
        return [_of_others(str(folder), options)]
    given = [f"--{name}" for name in ("metric", "setting", "only") if getattr(options, name)]
    if given:
        raise ValueError(f"{given[0]} is for runs of other projects; of run directories, the study's option says it")
    folders = find_studies(folder)
    if options.out is not None and len(folders) > 1:
        raise ValueError(f"--out takes one study, {folder} holds {len(folders)}; name one of them")
    studies = [collect(each, options.config_dir, options.study, options.baseline) for each in folders]
    places = [Path("outputs") / each.name if remote else each for each in folders]
    return [
        (analyse(study), options.out or StudyDirectory(place).report)
        for study, place in zip(studies, places, strict=True)
    ]


def _of_others(path: str, options: argparse.Namespace) -> tuple[Analysis, Path]:
    """Returns the analysis of another project's runs, of which it says what was inferred, and where its report goes."""
    asked = wanted(options)
    defined = None
    if options.study is not None:
        content = load(options.study)
        defined = define(Path(path).stem, content, None)
        metrics = metric_names([content["study"]["metric"]] if content["study"].get("metric") else [])
        baseline = asked.baseline or content["study"].get("baseline")
        asked = replace(asked, metrics=asked.metrics or metrics, baseline=baseline)
    found = find_runs(path, asked)
    runs, full, said = infer(found.runs, asked)
    name = _name(found.folder)
    study = collect_others(name, found.tool, runs, full, defined)
    analysis = analyse(study, full.metrics)
    full = replace(full, baseline=study.definition.baseline)
    say(aligned([*said, *(("ignored", text) for text in found.ignored)]))
    say(f"\nThe same in full: {command(found.path, full)}\n")
    out = options.out or (found.folder.parent if found.tool == "csv" else Path("outputs")) / f"{name}-report"
    if options.out is None and out.is_dir() and any(out.iterdir()) and not (out / "results.json").is_file():
        raise ValueError(f"{out}: is there already, and is no report; say where to write with --out")
    return analysis, out


def _name(folder: Path) -> str:
    """Returns what the report of a folder is called: its name and, where that is but a date, the one above it."""
    path = folder.resolve()
    parts = path.parts[-1:] if re.search("[A-Za-z]", path.name) else path.parts[-2:]
    return re.sub(r"[^\w.+-]+", "_", "_".join(parts))


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
