"""What trained networks did without a part, as `ablate knockout` left it in the study's folder."""

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ablate.records.study_directory import KNOCKOUT, read_study_file, read_study_files


@dataclass(frozen=True)
class Knockout:
    """A part knocked out of trained networks."""

    edit: str  # as it was typed
    part: str  # the name of the layer, or the pattern
    accuracies: Mapping[str, tuple[float, float]]  # on the test images before and after, from 0 to 1, by run


def read_knockouts(folder: Path, runs: Container[str], broken: dict[str, str]) -> list[Knockout]:
    """Returns a study's knockouts by edit, the newest of each run; what cannot be read goes to `broken`."""
    newest: dict[str, Knockout] = {}
    for knockout in read_study_files(folder, KNOCKOUT, partial(_read, runs), broken):
        later = newest.get(knockout.edit)
        known = {} if later is None else later.accuracies
        newest[knockout.edit] = Knockout(knockout.edit, knockout.part, {**knockout.accuracies, **known})
    return [knockout for _, knockout in sorted(newest.items()) if knockout.accuracies]


def _read(runs: Container[str], path: Path) -> Knockout:
    content = read_study_file(path)
    accuracies = {}
    for each in content["runs"]:
        before, after = (float(each[side]["test_accuracy"]) for side in ("before", "after"))
        if not (math.isfinite(before) and math.isfinite(after)):
            raise ValueError("an accuracy is no number")
        if each["run"] in runs:
            accuracies[str(each["run"])] = before, after
    return Knockout(str(content["edit"]), str(content["part"]), accuracies)
