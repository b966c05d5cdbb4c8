"""Records of runs that ablate has not trained: of tasks of users, and of other tools."""

from typing import Any

from ablate.records.record import Config, ModelFacts, RunRecord, Size


def record_of_others(
    study: Config, variant: str, seed: int, settings: Config, precision: str, epochs: int = 0, **known: Any
) -> RunRecord:
    """Returns the record of a run that ablate has not trained; `settings` may tell its variant from others."""
    config = {
        "seed": seed,
        "study": dict(study),
        "model": {"name": variant, "base": {}, "edits": {}},
        "hardware": {"precision": precision},
        "data": {},
        "train": {"epochs": epochs},
        "settings": dict(settings),
    }
    about = {"study": str(study["name"]), "variant": variant, "seed": seed, "config": config}
    return RunRecord(**{"model": ModelFacts(after=Size()), "data": None, "pairing": None, **about, **known})
