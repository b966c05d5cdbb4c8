"""Writes README.md of this folder from the studies' results.json: `python docs/results/write.py`.

Every figure on that page is computed here from those files; what is written by hand is text without figures.
"""

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FIRST = "lenet_cifar10"
EPOCHS = 10  # of the others, as in the Makefile
TIMED = ("dropout_rate", "bn_place")
OTHERS = ("dropout_kind", "dropout_rate", "dropout_place", "bn_place", "weight_decay", "optimizers")

# The explanation of each claim by its verdict; a claim whose verdict changes needs another one.
WHY = {
    ("plain_is_most_accurate", "supported"): "Dropout costs many times what another seed changes.",
    ("dropout_is_least_accurate", "inconclusive"): "It is far below plain, but cannot be told from dropout with batch "
    "norm: another seed changes that difference by more than its own size.",
    (
        "batch_norm_recovers_part",
        "inconclusive",
    ): "It is certainly below plain. Whether batch norm wins back anything "
    "of what dropout costs cannot be told from these runs; if it does, it is little.",
    (
        "dropout_is_faster",
        "refuted",
    ): "Dropout adds computation of its own, and the layers after it take as long on zeros as on other numbers.",
    (
        "dropout_is_faster",
        "inconclusive",
    ): "Dropout adds a little computation and saves nothing, since the layers "
    "after it take as long on zeros as on other numbers. What it adds is too little for these runs to measure.",
    ("batch_norm_is_slowest", "supported"): "It stands where the images have the most pixels, and there it costs about "
    "as much as the convolution before it.",
    ("dropout_costs_accuracy", "supported"): "LeNet-5 is so small that it underfits, and dropout makes it smaller.",
}


def page() -> str:
    """Returns the page."""
    first = _results(FIRST)
    parts = [
        "# What became of the six conclusions",
        "",
        "The first study, a homework report with one run for each variant, drew six conclusions. Here the same "
        f"networks were trained on the same data in {_runs(first)} of 50 epochs each, and the conclusions tested. All "
        "figures are after the last epoch. Intervals have a level of 95 %: for accuracies they are of paired "
        "differences over seeds, for times of the rounds in which the variants took turns.",
        "",
        *_table(["variant", "drop3", "bn1", "test accuracy", "Δ to plain"], _ablation(first)),
        "",
        "Mean ± standard deviation over the seeds; Δ in percentage points, with its 95 % interval. drop3 is dropout "
        "after the second convolution, bn1 batch normalisation after the first.",
        "",
        *_table(["conclusion", "published", "ours", "verdict", "why"], map(_conclusion, first["claims"])),
        "",
        f"[The report of the study]({FIRST}/report.md) has all tables and figures, "
        f"[results.json]({FIRST}/results.json) the numbers. `make study` repeats it.",
        "",
        f"![Learning curves of the variants]({FIRST}/learning_curves.svg)",
        "",
        "## What one run would have said",
        "",
        "The source concluded from the order of single runs. Choose one of our runs for each variant, in every "
        "possible way, and conclude as it did:",
        "",
        *_table(["conclusion", "choices", "agree", "reverse at least one part"], _draws(first)),
        "",
        "Single runs get the large effects right. On the small ones they depend on the seed, and nothing in them shows "
        "it.",
        "",
        "## The reasons, as studies of their own",
        "",
        "The source also gives reasons for its conclusions. These studies test them; `make studies` repeats all.",
        "",
        "On the same kind of machine, each command repeats its numbers to the last digit. A part of it, such as one "
        "seed, trains the runs in other cohorts, where sums are rounded differently, and training amplifies rounding.",
        "",
        *_reasons(),
        "## What these runs cannot say",
        "",
        "- The source names neither its optimizer nor its augmentation nor the kind of its dropout. Ours are the "
        "settings that come nearest to its figures; its own may have behaved differently.",
        *_outside(first),
        "- Times were measured on one kind of machine, a CPU of two cores with one thread, where a layer takes as long "
        "as its computation. On a GPU, starting a layer of LeNet takes longer than computing it.",
    ]
    return "\n".join(parts) + "\n"


def _results(study: str) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((HERE / study / "results.json").read_text(encoding="utf-8"))
    return results


def _runs(results: Mapping[str, Any]) -> str:
    seeds = dict.fromkeys((variant["label"] for variant in results["variants"]), 0)
    for run in results["runs"]:
        seeds[run["variant"]] += 1
    return f"{sum(seeds.values())} runs ({', '.join(f'{label} {count}' for label, count in seeds.items())})"


def _table(columns: Sequence[str], rows: Iterator[Sequence[str]]) -> list[str]:
    cells = [columns, ["---"] * len(columns), *rows]
    return [f"| {' | '.join(row)} |" for row in cells]


def _ablation(results: Mapping[str, Any]) -> Iterator[list[str]]:
    deltas = {row["first"]: row for row in results["comparisons"] if row["metric"] == "test_accuracy"
              and row["second"] == "plain"}  # fmt: skip
    finals = {row["variant"]: row for row in results["summary"] if row["metric"] == "test_accuracy"
              and row["epoch"] == "final epoch"}  # fmt: skip
    for variant in results["variants"]:
        label, final = variant["label"], finals[variant["label"]]
        parts = ["✓" if part in variant["edits"] else "–" for part in ("drop3", "bn1")]
        delta = "–"
        if row := deltas.get(label):
            mean, low, high = (f"{100 * row[end]:+.1f}".replace("-", "−") for end in ("mean", "low", "high"))
            delta = f"{mean} ({low} to {high})"
        yield [label, *parts, f"{100 * final['mean']:.1f} ± {100 * final['sd']:.1f} %", delta]


def _conclusion(claim: Mapping[str, Any]) -> list[str]:
    unit = "{:.2%}" if claim["metric"] == "test_accuracy" else "{:,.0f} s"
    published = ", ".join(f"{name} {unit.format(value)}" for name, value in claim["published"].items())
    # Without the verdict of each part, which the claim's sums up.
    ours = "; ".join(
        re.sub(r": (supported|refuted|inconclusive|untested);", ":", part["words"]) for part in claim["parts"]
    )
    return [claim["statement"], published, ours, f"**{claim['verdict']}**", WHY[claim["id"], claim["verdict"]]]


def _draws(results: Mapping[str, Any]) -> Iterator[list[str]]:
    for claim in results["claims"]:
        if claim["metric"] != "test_accuracy":
            continue
        orders = [order for text in claim["expect"] for order in _orders(text)]
        names = sorted({name for order in orders for name in order})
        values = [[run["test_accuracy"] for run in results["runs"] if run["variant"] == name] for name in names]
        draws = [dict(zip(names, drawn, strict=True)) for drawn in itertools.product(*values)]
        so = sum(all(draw[first] > draw[second] for first, second in orders) for draw in draws)
        reversed_ = sum(any(draw[first] < draw[second] for first, second in orders) for draw in draws)
        yield [claim["statement"], f"{len(draws)}", f"{so / len(draws):.0%}", f"{reversed_ / len(draws):.0%}"]


def _orders(text: str) -> Iterator[tuple[str, str]]:
    """Yields each pair of an expectation such as `a > b > c`, the higher first."""
    names = re.split(r"\s*[<>]\s*", text)
    signs = re.findall(r"[<>]", text)
    for sign, first, second in zip(signs, names, names[1:], strict=False):
        yield (first, second) if sign == ">" else (second, first)


def _reasons() -> Iterator[str]:
    for study in OTHERS:
        if not (HERE / study / "results.json").is_file():
            continue
        results = _results(study)
        yield f"### [{results['study']['title']}]({study}/report.md)"
        yield ""
        yield f"{_runs(results)}, {EPOCHS} epochs each. The commands are"
        yield ""
        yield "```"
        yield f"python -m ablate -m study={study} 'seed=range(6)' train.epochs={EPOCHS}"
        if study in TIMED:
            yield f"ablate timing study={study} hardware.threads=1"
        yield f"ablate report outputs/{study}"
        yield "```"
        yield ""
        for claim in results["claims"]:
            evidence = "; ".join(part["words"] for part in claim["parts"])
            yield f"- {claim['statement']} **{claim['verdict']}**: {evidence}."
        yield ""


def _outside(results: Mapping[str, Any]) -> Iterator[str]:
    outside = [row for row in results["published"] if not row["inside"]]
    if outside:
        named = ", ".join(f"{row['variant']}'s {row['metric'].replace('_', ' ').replace('.', ', ')}" for row in outside)
        yield (
            f"- {len(outside)} of {len(results['published'])} published figures lie outside the prediction interval "
            f"for one more run of ours ({named}): the source's settings were not quite these."
        )


if __name__ == "__main__":
    (HERE / "README.md").write_text(page(), encoding="utf-8")
    print(f"written: {HERE / 'README.md'}")
