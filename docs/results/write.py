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

# Why, in a sentence for each claim and verdict; a claim whose verdict changes needs another sentence.
WHY = {
    ("plain_is_most_accurate", "supported"): "What dropout takes away is many times what a seed changes.",
    ("dropout_is_least_accurate", "inconclusive"): "It is far below plain, but not apart from dropout with batch norm: "
    "the difference of those two is smaller than what another seed does to it.",
    ("batch_norm_recovers_part", "inconclusive"): "Below plain it certainly is; whether batch norm wins anything back "
    "from dropout cannot be told from these runs, and what it wins is small if it does.",
    ("dropout_is_faster", "refuted"): "Dropout is work of its own, and the layers after it compute on zeros as they do "
    "on other numbers.",
    ("dropout_is_faster", "inconclusive"): "Dropout is a small piece of work of its own, and spares none: the layers "
    "after it compute on zeros as they do on other numbers. The clock cannot tell the rest from nothing.",
    ("batch_norm_is_slowest", "supported"): "It stands where the network is widest in pixels, and there it costs about "
    "as much as the convolution before it.",
    ("dropout_costs_accuracy", "supported"): "LeNet-5 is so small that it underfits, and dropout makes it smaller.",
}


def page() -> str:
    """Returns the page."""
    first = _results(FIRST)
    parts = [
        "# What became of the six conclusions",
        "",
        "The first study, a homework report with one run a variant, drew six conclusions. Here are the same networks "
        f"on the same data, {_runs(first)}, 50 epochs each, and what a reviewer would let stand. All figures are after "
        "the last epoch; intervals are of paired differences over seeds, of times over rounds in turns, at 95 %.",
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
        "Draw one run of each variant from ours, in every way, and conclude from their order, as the source did:",
        "",
        *_table(["conclusion", "draws", "drawn so", "reversed in at least one part"], _draws(first)),
        "",
        "A single run a variant gets the large effects right. On the small ones it says, as surely, whatever the seeds "
        "happen to say.",
        "",
        "## Reasons, as studies of their own",
        "",
        "Why it is so, the source says too. `make studies` repeats all of these.",
        "",
        "The whole of a command repeats its numbers to the last digit on such a machine. A part of it, such as one "
        "seed, trains the runs in other cohorts, whose rounding differs, and training amplifies rounding.",
        "",
        *_reasons(),
        "## What we cannot say",
        "",
        "- The source names neither its optimizer nor its augmentation nor the kind of dropout. Ours are the settings "
        "that come nearest to its figures; of its own, nothing follows.",
        *_outside(first),
        "- Times are of one kind of machine, a CPU of two cores with one thread, where a layer costs what it computes. "
        "On a GPU, starting a layer costs more than LeNet's layers compute.",
    ]
    return "\n".join(parts) + "\n"


def _results(study: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((HERE / study / "results.json").read_text(encoding="utf-8"))
    return found


def _runs(results: Mapping[str, Any]) -> str:
    seeds = dict.fromkeys((variant["label"] for variant in results["variants"]), 0)
    for run in results["runs"]:
        seeds[run["variant"]] += 1
    return f"{sum(seeds.values())} runs ({', '.join(f'{label} {count}' for label, count in seeds.items())})"


def _table(columns: Sequence[str], rows: Iterator[Sequence[str]]) -> list[str]:
    cells = [columns, ["---"] * len(columns), *rows]
    return [f"| {' | '.join(row)} |" for row in cells]


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
        yield f"{_runs(results)}, {EPOCHS} epochs each. Repeated by"
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
            f"- {len(outside)} of {len(results['published'])} published figures lie outside of what one more run of "
            f"ours would give ({named}): the source's settings were not quite these."
        )


if __name__ == "__main__":
    (HERE / "README.md").write_text(page(), encoding="utf-8")
    print(f"written: {HERE / 'README.md'}")
