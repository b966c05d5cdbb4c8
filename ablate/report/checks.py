"""Whether the runs of a study can be compared: what they should have in common, and whether they do."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

Record = Mapping[str, Any]

# What a comparison rests on, and how to read it off a record.
_SHARED: Mapping[str, Callable[[Record], Any]] = {
    "data": lambda record: record["data"]["sha256"],
    "code": lambda record: record["provenance"]["code"],
    "packages": lambda record: record["provenance"]["packages"],
    "machine": lambda record: record["provenance"]["machine"],
    "device": lambda record: record["provenance"]["accelerator"],
    "threads": lambda record: record["provenance"]["threads"],
    "precision": lambda record: record["config"]["hardware"]["precision"],
}


def mismatches(records: Mapping[str, Record]) -> list[str]:
    """Returns what does not match between runs that the report compares; nothing if all does.

    Args:
        records: By run.
    """
    found = []
    for name, read in _SHARED.items():
        values = {json.dumps(read(record), sort_keys=True) for record in records.values()}
        if len(values) > 1:
            found.append(f"The runs have {len(values)} different values of: {name}.")
    by_seed: defaultdict[int, list[Record]] = defaultdict(list)
    for record in records.values():
        by_seed[record["seed"]].append(record)
    for seed, paired in sorted(by_seed.items()):
        if len({record["pairing"]["first_epoch_order"] for record in paired}) > 1:
            found.append(f"The runs of seed {seed} saw the training images in different orders: they are not paired.")
        weights: defaultdict[str, set[str]] = defaultdict(set)
        for record in paired:
            for layer, digest in record["pairing"]["initial_weights"].items():
                weights[layer].add(digest)
        differing = sorted(layer for layer, digests in weights.items() if len(digests) > 1)
        if differing:
            found.append(f"The runs of seed {seed} started from different weights in {', '.join(differing)}.")
    return found
