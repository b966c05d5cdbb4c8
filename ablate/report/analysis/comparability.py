"""Whether the runs of a study can be compared: what they should have in common, and whether they do."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Any

Record = Mapping[str, Any]

# What a comparison rests on, and how to read it off a record and say it.
_SHARED: Mapping[str, Callable[[Record], str]] = {
    "data": lambda record: f"{record['data']['name']} {record['data']['sha256'][:12]}",
    "code": lambda record: _code(record["provenance"]["code"]),
    "packages": lambda record: ", ".join(f"{name} {v}" for name, v in sorted(record["provenance"]["packages"].items())),
    "machine": lambda record: ", ".join(map(str, record["provenance"]["machine"].values())),
    "device": lambda record: record["provenance"]["accelerator"],
    "threads": lambda record: str(record["provenance"]["threads"]),
    "precision": lambda record: record["config"]["hardware"]["precision"],
    "other runs on the machine at the same time": lambda record: _other_runs(record),
}


def mismatches(records: Mapping[str, Record]) -> list[str]:
    """Returns what does not match between runs that the report compares; nothing if all does.

    Args:
        records: By run.
    """
    found = []
    for name, read in _SHARED.items():
        values = Counter(read(record) for record in records.values())
        if len(values) > 1:
            shown = "; ".join(
                f"{value} ({count} {'run' if count == 1 else 'runs'})" for value, count in sorted(values.items())
            )
            found.append(f"The runs differ in {name}: {shown}.")
    by_seed: defaultdict[int, list[Record]] = defaultdict(list)
    for record in records.values():
        by_seed[record["seed"]].append(record)
    for seed, paired in sorted(by_seed.items()):
        if len({record["pairing"]["first_epoch_order"] for record in paired}) > 1:
            found.append(f"The runs of seed {seed} saw the training images in different orders: they are not paired.")
        weights: defaultdict[str, set[str]] = defaultdict(set)
        for record in paired:
            for layer, digest in record["pairing"]["initial_weights"].items():
                weights[layer].add(str(digest))
        differing = sorted(layer for layer, digests in weights.items() if len(digests) > 1)
        if differing:
            found.append(f"The runs of seed {seed} started from different weights in {', '.join(differing)}.")
    return found


def _code(code: Mapping[str, Any]) -> str:
    """What ran: the digests of the sources, which stay when a commit changes something else."""
    sources = code.get("sources")
    if isinstance(sources, Mapping):
        return ", ".join(f"{name} sources {digest}" for name, digest in sorted(sources.items()))
    return f"commit {str(code.get('commit', 'unknown'))[:12]}"


def _other_runs(record: Record) -> str:
    """Whether others of ablate's runs shared the machine at the start or the end of any start of a run."""
    counts = {start.get(key) for start in record.get("starts", ()) for key in ("other_runs", "other_runs_at_end")}
    return "some" if any(isinstance(count, int) and count > 0 for count in counts) else "none"
