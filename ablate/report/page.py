"""The report as a page of Markdown."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from ablate.report.collect import Study


def markdown(
    study: Study, accuracy: pd.DataFrame, time: pd.DataFrame, mismatches: Sequence[str], figures: Mapping[str, str]
) -> str:
    """Returns the report.

    Args:
        study: What it is about.
        accuracy: What `accuracy_table` returned.
        time: What `time_table` returned.
        mismatches: What `mismatches` returned.
        figures: File name by caption.
    """
    published = study.definition["published"]
    parts = [f"# {study.definition['title'] or study.definition['name']}", _overview(study)]
    if published["source"]:
        parts.append(f"Published figures: {published['source']}{_other_epochs(study)}")
    for metric, rows in accuracy.groupby("metric", sort=False):
        parts += [f"## {str(metric).replace('_', ' ').capitalize()}", _accuracy_markdown(rows.drop(columns="metric"))]
        if metric == "test_accuracy":
            parts.append(
                "Mean, standard deviation (SD), minimum and maximum over seeds. The best epoch is chosen on the test "
                "images themselves, which flatters it: compare variants by their final epoch."
            )
    parts += [
        "## Time",
        _time_markdown(time),
        "Seconds of a run on its own clock. Runs shared their machine with whatever else ran on it, so small "
        "differences between variants may be the machine's.",
    ]
    parts += [f"## {caption}\n\n![{caption}]({file})" for caption, file in figures.items()]
    parts += ["## What the comparison rests on", _basis(study, mismatches)]
    if study.unfinished or study.broken:
        left_out = [*study.unfinished.items(), *study.broken.items()]
        parts += ["## Left out", _bullets(f"`{run}`: {why}" for run, why in left_out)]
    return "\n\n".join(parts) + "\n"


def _overview(study: Study) -> str:
    runs = len(study.records)
    seeds = sorted({record["seed"] for record in study.records.values()})
    text = (
        f"{_count(runs, 'complete run')} of {_count(len(study.labels), 'variant')}; "
        f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}."
    )
    if len(seeds) == 1:
        text += " One seed says nothing about the spread between runs: add seeds before concluding."
    if study.unfinished or study.broken:
        text += f" Left out, and named at the end: {_count(len(study.unfinished) + len(study.broken), 'run')}."
    return text


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _other_epochs(study: Study) -> str:
    published = study.definition["published"]["epochs"]
    epochs = {record["config"]["train"]["epochs"] for record in study.records.values()}
    if published is None or epochs == {published}:
        return ""
    return f" They are after {published} epochs; these runs have {' or '.join(map(str, sorted(epochs)))}."


def _accuracy_markdown(rows: pd.DataFrame) -> str:
    shown = rows.assign(**{name: rows[name].map(_percent) for name in ("mean", "sd", "min", "max", "published")})
    return _table(shown)


def _time_markdown(rows: pd.DataFrame) -> str:
    shown = rows.assign(**{name: rows[name].map(_seconds) for name in ("mean", "sd", "min", "max", "published")})
    return _table(shown)


def _table(rows: pd.DataFrame) -> str:
    rows = rows if rows["published"].ne("–").any() else rows.drop(columns="published")
    rows = rows.rename(columns=lambda name: "SD" if name == "sd" else str(name).capitalize())
    text = [name for name in rows.columns if name in ("Variant", "Epoch", "Part")]
    align = ["left" if name in text else "right" for name in rows.columns]
    return str(rows.to_markdown(index=False, disable_numparse=True, colalign=align))


def _percent(value: float | None) -> str:
    return "–" if pd.isna(value) else f"{100 * value:.2f} %"


def _seconds(value: float | None) -> str:
    return "–" if pd.isna(value) else f"{value:.2f}"


def _basis(study: Study, mismatches: Sequence[str]) -> str:
    first = next(iter(study.records.values()))
    provenance, data = first["provenance"], first["data"]
    images = ", ".join(f"{count:,} {name}" for name, count in data["images"].items())
    code = provenance["code"]
    commit = f"commit {code['commit'][:12]}" if code else "not from a git checkout"
    if code.get("dirty"):
        commit += " with local changes"
    packages = ", ".join(f"{name} {version}" for name, version in provenance["packages"].items())
    machine = provenance["machine"]
    lines = [
        f"Data: {data['name']}, {images} images, SHA-256 {data['sha256'][:16]}…",
        f"Code: {commit}; {packages}",
        f"Machine: {machine['cpu']}, {machine['cores']} cores; computed on {provenance['accelerator']} "
        f"with {provenance['threads']} threads",
    ]
    if mismatches:
        lines += [f"**Mismatch:** {text}" for text in mismatches]
    else:
        lines.append(
            "All runs agree in data, code, packages, machine, device, threads and precision; the runs of each seed saw "
            "the images in one order and started from the same weights in the layers that they share."
        )
    return _bullets(lines)


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
