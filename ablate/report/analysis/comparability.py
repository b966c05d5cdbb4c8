"""Whether the runs of a study can be compared: what they should have in common, and whether they do."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping

from ablate.records.record import Code, RunRecord

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


def mismatches(records: Mapping[str, RunRecord]) -> list[str]:
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
    by_seed: defaultdict[int, list[RunRecord]] = defaultdict(list)
    for record in records.values():
        by_seed[record.seed].append(record)
    for seed, paired in sorted(by_seed.items()):
        pairings = [record.pairing for record in paired if record.pairing is not None]
        if len({pairing.first_epoch_order for pairing in pairings}) > 1:
            found.append(f"The runs of seed {seed} saw the training images in different orders: they are not paired.")
        weights: defaultdict[str, set[str]] = defaultdict(set)
        for pairing in pairings:
            for layer, digest in pairing.initial_weights.items():
                weights[layer].add(digest)
        differing = sorted(layer for layer, digests in weights.items() if len(digests) > 1)
        if differing:
            found.append(f"The runs of seed {seed} started from different weights in {', '.join(differing)}.")
    return found


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
