"""Whether the runs of a study can be compared: what they should have in common, and whether they do."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from ablate.records.record import Code, RunRecord
from ablate.report.analysis.comparisons import Answer

# What a comparison rests on, and how to read it off a record and say it.
_SHARED: Mapping[str, Callable[[RunRecord], str]] = {
    "data": lambda record: _data(record),
    "code": lambda record: _code(record.provenance.code),
    "packages": lambda record: ", ".join(f"{name} {v}" for name, v in sorted(record.provenance.packages.items())),
    "machine": lambda record: str(record.provenance.machine) or "unknown",
    "device": lambda record: record.provenance.accelerator or "unknown",
    "threads": lambda record: str(record.provenance.threads or "unknown"),
    "precision": lambda record: record.precision,
    "other runs on the machine at the same time": lambda record: _other_runs(record),
}
_COMPUTING = ("torch", "torchvision", "numpy", "scikit-learn")  # packages whose version may alter a result
_MOST_NAMED = 3


def shared(records: Iterable[RunRecord]) -> list[str]:
    """Returns what runs could agree in: what is known of each of them."""
    records = list(records)
    return [name for name, read in _SHARED.items() if not any("unknown" in read(record) for record in records)]


def touched(records: Mapping[str, RunRecord], answers: Iterable[Answer]) -> dict[str, list[str]]:
    """Returns in what the runs of a pair differ that their comparison rests on, each with the comparisons.

    Results rest on data, code that computes, initial weights and order; of the machine, on which only times rest, runs
    that differ are not compared at all. What is not recorded of both is not held against them.
    """
    found: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for answer in answers:
        if answer.is_exact:
            continue
        for pair in answer.runs:
            if len(pair) == 2 and all(run in records for run in pair):
                for fact in _differing(*(records[run] for run in pair), is_cost=answer.metric.is_cost):
                    found[fact][f"{answer.question.first} against {answer.question.second}"] = None
    return {
        fact: [*list(which)[:_MOST_NAMED], *[f"{len(which) - _MOST_NAMED} more"] * (len(which) > _MOST_NAMED)]
        for fact, which in found.items()
    }


def _differing(first: RunRecord, second: RunRecord, *, is_cost: bool) -> Iterator[str]:
    if is_cost:
        names = ["other runs on the machine at the same time"]
    else:
        names = ["data", "code"]
        versions = [[record.provenance.packages.get(name) for name in _COMPUTING] for record in (first, second)]
        if any(None not in each and len(set(each)) > 1 for each in zip(*versions, strict=True)):
            yield "packages"
        if first.pairing is not None and second.pairing is not None:
            if first.pairing.first_epoch_order != second.pairing.first_epoch_order:
                yield "different orders"
            weights = first.pairing.initial_weights, second.pairing.initial_weights
            both = weights[0].keys() & weights[1].keys()
            if any(_unequal({weights[0][name], weights[1][name]}) for name in both):
                yield "different weights"
    for name in names:
        values = {_SHARED[name](record) for record in (first, second)}
        if len(values) > 1 and not any("unknown" in value for value in values):
            yield name


def mismatches(records: Mapping[str, RunRecord]) -> list[str]:
    """Returns what does not match between runs that the report compares."""
    found = []
    for name, read in _SHARED.items():
        drawn_anew = name == "data" and any(record.config["data"].get("split") for record in records.values())
        values = Counter(read(record) for record in records.values())
        if len(values) > 1 and not drawn_anew:  # where each seed holds out images of its own, pairs alone have to agree
            shown = "; ".join(
                f"{value} ({count} {'run' if count == 1 else 'runs'})" for value, count in sorted(values.items())
            )
            found.append(f"The runs differ in {name}: {shown}.")
    return [*found, *unpaired(records.values())]


def unpaired(records: Iterable[RunRecord]) -> list[str]:
    """Returns in what the runs of a seed differ that makes them a pair."""
    found = []
    by_seed: defaultdict[int, list[RunRecord]] = defaultdict(list)
    for record in records:
        by_seed[record.seed].append(record)
    for seed, paired in sorted(by_seed.items()):
        pairings = [record.pairing for record in paired if record.pairing is not None]
        if len({pairing.first_epoch_order for pairing in pairings}) > 1:
            found.append(f"The runs of seed {seed} saw the training images in different orders: they are not paired.")
        weights: defaultdict[str, set[str]] = defaultdict(set)
        for name, digest in (item for pairing in pairings for item in pairing.initial_weights.items()):
            weights[name].add(digest)
        if differing := sorted(name for name, digests in weights.items() if _unequal(digests)):
            found.append(f"The runs of seed {seed} started from different weights in {', '.join(differing)}.")
    return found


def layers(records: Iterable[RunRecord]) -> tuple[list[str], list[str]]:
    """Returns the layers that all runs have in the same shape, and those that only some have, or in another shape."""
    pairings = [record.pairing for record in records if record.pairing is not None]
    shapes: defaultdict[str, list[str]] = defaultdict(list)
    for name, digest in (item for pairing in pairings for item in pairing.initial_weights.items()):
        shapes[name].append(_shape(digest))
    of_all = {name for name, each in shapes.items() if len(each) == len(pairings) and len(set(each)) == 1}
    every = list(dict.fromkeys(_layer(name) for name in shapes))
    some = {_layer(name) for name in shapes.keys() - of_all}
    return [name for name in every if name not in some], [name for name in every if name in some]


def _layer(name: str) -> str:
    return name.rpartition(".")[0] or name  # a parameter of no layer stands for itself


def _shape(digest: str) -> str:
    return digest.rpartition(" ")[0]


def _unequal(digests: set[str]) -> bool:
    """Whether weights of one name and shape differ; a layer of another shape is another layer."""
    return len(digests) > len({_shape(digest) for digest in digests})


def _data(record: RunRecord) -> str:
    data = record.data
    return "unknown" if data is None else f"{data.name or 'unknown'} {(data.sha256 or '')[:12]}"


def _code(code: Code) -> str:
    """What ran: the digests of the sources, which stay when a commit changes something else."""
    if code.sources:
        return ", ".join(f"{name} sources {digest}" for name, digest in sorted(code.sources.items()))
    return f"commit {(code.commit or 'unknown')[:12]}"


def _other_runs(record: RunRecord) -> str:
    """Whether others of ablate's runs shared the machine at the start or the end of any start of a run."""
    counts = [count for start in record.starts for count in (start.other_runs, start.other_runs_at_end)]
    return "some" if any(count is not None and count > 0 for count in counts) else "none"
