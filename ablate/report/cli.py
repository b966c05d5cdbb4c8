"""The command `ablate report`."""

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ablate.config.options import load
from ablate.files import Plain
from ablate.messages import aligned, say, say_json
from ablate.records.store import is_address, mirror
from ablate.records.study_directory import StudyDirectory, studies_below
from ablate.report.analysis.analyse import Analysis, analyse
from ablate.report.analysis.verdicts import Verdict
from ablate.report.output.document import Bullets, Document, Text
from ablate.report.output.sections.changes import comparison
from ablate.report.output.write import write_document, write_report
from ablate.report.study.collect import collect, collect_others, find_studies
from ablate.report.study.definition import define
from ablate.report.study.study import Cell
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
    made.add_argument("other", nargs="?", help="a second one of these: what changed from the first to it")
    made.add_argument(
        "--out", type=Path, help="where to write (default: <study>/report, <file>-report, or outputs/<folder>-report)"
    )
    made.add_argument("--check", action="store_true", help="exit 1 if a claim is refuted or a run is missing")
    made.add_argument("--study", type=Path, metavar="FILE", help="take baseline, claims and so on from here")
    made.add_argument(
        "--config-dir", type=Path, action="append", default=[], help="a folder of config groups beside ablate's own"
    )
    made.add_argument("--json", action="store_true", help="print results and checks as JSON, for programs")
    add_options(made.add_argument_group("for runs of other projects"))
    return made


@dataclass(frozen=True)
class Complaint:
    """Why a study does not pass (a claim, a run, what cannot be read), and what would settle it, if anything would."""

    kind: str  # refuted, broken, or the status of a run: missing, failed, diverged, interrupted, running
    name: str  # of the claim, or of the run
    why: str
    way_out: str


@dataclass(frozen=True)
class Checked:
    """A study's report: where it is, what results.json holds, whether it passes, and what else would settle a claim."""

    report: str
    passed: bool
    complaints: Sequence[Complaint]
    open_claims: Sequence[Complaint]  # inconclusive or untested, which --check lets pass
    inferred: str  # of runs of another project: what is what, and the command that says so
    results: Plain


@dataclass(frozen=True)
class Reports:
    """What `ablate report --json` prints."""

    reports: Sequence[Checked]


def main(arguments: Sequence[str]) -> int:
    """Writes reports; returns 1 if a claim is refuted or a run is missing, and that was asked for."""
    options = parser().parse_args(arguments)
    if options.other is not None:
        _compare(options)
        return 0
    done = []
    complaints = []
    for analysis, out, inferred in _analyses(options):
        document, results = write_report(analysis, out)
        found = _complaints(analysis)
        done.append(Checked(str(out), not found, found, _open_claims(analysis), "\n".join(inferred), results))
        if not options.json:
            say(*inferred, document.title, "")
            _print(document)
            say(f"\nThe report is in {out}: open index.html, or read report.md.")
        complaints += [f"{analysis.study.definition.name}: {one.kind}: {one.name}: {one.why}" for one in found]
    if options.json:
        say_json(Reports(done))
    if not (options.check and complaints):
        return 0
    say("\n".join(text.removesuffix(": ") for text in complaints), file=sys.stderr)
    return 1


def _compare(options: argparse.Namespace) -> None:
    """Writes what changed from one report to another, whose own files stay as they are."""
    if options.check or options.json:
        raise ValueError("--check and --json are for one report: say them of each")
    where = [
        argparse.Namespace(**{**vars(options), "path": path, "out": None}) for path in (options.path, options.other)
    ]
    found = [_analyses(each) for each in where]
    for each, studies in zip(where, found, strict=True):
        if len(studies) > 1:
            raise ValueError(f"{each.path}: holds {len(studies)} studies; name one of them")
    (first, _, _), (second, place, _) = found[0][0], found[1][0]
    names = [first.study.definition.name, second.study.definition.name]
    if names[0] == names[1]:
        names = [options.path, options.other]
    document = comparison(first, second, names)
    out = options.out or place.with_name("changes")
    write_document(document, out)
    say(document.title, "")
    _print(document)
    say(f"\nWhat changed is in {out}: open index.html, or read report.md.")


def _analyses(options: argparse.Namespace) -> list[tuple[Analysis, Path, Sequence[str]]]:
    """Returns each study's analysis, where its report goes, and what to say first; all before the first is written."""
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
        (analyse(study), options.out or StudyDirectory(place).report, ())
        for study, place in zip(studies, places, strict=True)
    ]


def _of_others(path: str, options: argparse.Namespace) -> tuple[Analysis, Path, Sequence[str]]:
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
    inferred = aligned([*said, *(("ignored", text) for text in found.ignored)])
    out = options.out or (found.folder.parent if found.tool == "csv" else Path("outputs")) / f"{name}-report"
    if options.out is None and out.is_dir() and any(out.iterdir()) and not (out / "results.json").is_file():
        raise ValueError(f"{out}: is there already, and is no report; say where to write with --out")
    return analysis, out, (inferred, f"\nThe same in full: {command(found.path, full)}\n")


def _name(folder: Path) -> str:
    """Returns what the report of a folder is called: its name and, where that is but a date, the one above it."""
    path = folder.resolve()
    parts = path.parts[-1:] if re.search("[A-Za-z]", path.name) else path.parts[-2:]
    return re.sub(r"[^\w.+-]+", "_", "_".join(parts))


def _print(document: Document) -> None:
    for block in document.lead:
        if isinstance(block, Text):
            say(block.words)
        elif isinstance(block, Bullets):
            say("\n".join(f"- {item.word}{': ' * bool(item.word)}{item.text}" for item in block.items))


def _complaints(analysis: Analysis) -> list[Complaint]:
    refuted = [judged for judged in analysis.judgements if judged.verdict is Verdict.REFUTED]
    again = "repeat the sweep's command, which trains what is not complete"
    return [
        *(Complaint("refuted", judged.claim.id, judged.claim.statement, "") for judged in refuted),
        *(
            Complaint(cell.status, f"{cell.variant} seed {cell.seed}", _cause(cell), again)
            for cell in analysis.cells
            if cell.status not in ("complete", "stale")
        ),
        *(Complaint("broken", run, why, "mend or remove it") for run, why in analysis.study.broken.items()),
    ]


def _cause(cell: Cell) -> str:
    return cell.why.removeprefix(cell.status).lstrip(": ")


def _open_claims(analysis: Analysis) -> list[Complaint]:
    """Returns the claims that nothing settles yet, each with what would."""
    found = []
    for judged in analysis.judgements:
        if judged.verdict.is_settled:
            continue
        missing = [one.missing for one in judged.findings if one.missing]
        needed = judged.seeds_needed
        way_out = "; ".join(missing)
        if needed is not None and not missing:
            most = "more than 10,000" if needed[1] is None else str(needed[1])
            way_out = f"{needed[0]} to {most} seeds in all would settle it"
        found.append(Complaint(str(judged.verdict), judged.claim.id, judged.claim.statement, way_out))
    return found
