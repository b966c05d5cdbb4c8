"""Designs: which components of a model are in each variant of a study."""

import itertools
from collections.abc import Mapping, Sequence

from ablate.files import Plain
from ablate.messages import nearest

DESIGNS = ("leave_one_out", "add_one_in", "one_at_a_time", "factorial")
NONE = "none"  # the variant without any component
_MOST_FACTORS = 8  # of a factorial, which has 2**8 variants then


def variants_of_design(design: str, components: Mapping[str, bool]) -> list[tuple[str, ...]]:
    """Returns the components of each variant of a design, the variant that the others are compared with first.

    - `leave_one_out`: all of them, and all but one;
    - `add_one_in`: none, and each alone;
    - `one_at_a_time`: those that are in at first, and each in turn switched over;
    - `factorial`: every combination.

    Args:
        design: One of `DESIGNS`.
        components: By name, in order, whether each is in at first, which only `one_at_a_time` asks.
    """
    names = tuple(components)
    if not names:
        raise ValueError("study.design: the model has no edits to make variants of; name one that has with model=…")
    if design == "leave_one_out":
        return [names, *(tuple(other for other in names if other != name) for name in names)]
    if design == "add_one_in":
        return [(), *((name,) for name in names)]
    if design == "one_at_a_time":
        first = tuple(name for name in names if components[name])
        return [first, *(tuple(n for n in names if (n in first) != (n == name)) for name in names)]
    assert design == "factorial"
    if len(names) > _MOST_FACTORS:
        raise ValueError(
            f"study.design=factorial: {len(names)} components would be {2 ** len(names):,} variants; name at most "
            f"{_MOST_FACTORS} in study.components, or take study.design=leave_one_out"
        )
    return [chosen for size in range(len(names) + 1) for chosen in itertools.combinations(names, size)]


def variant_name(model: str, components: Sequence[str], used: Sequence[str], design: str | None) -> str:
    """Returns what a variant is called: `model-left_out`, or `one+other` where a design starts from none."""
    if design in (None, "leave_one_out"):
        return model + "".join(f"-{name}" for name in components if name not in used)
    return "+".join(name for name in components if name in used) or NONE


def components(config: Plain) -> dict[str, bool]:
    """Returns the names of the model's components, in the order of its edits, and whether each is in at first."""
    edits, named = [str(name) for name in config["model"]["edits"]], config["study"]["components"]
    if named is None:
        return dict.fromkeys(edits, True)
    states = {str(name): bool(named[name]) if isinstance(named, Mapping) else True for name in named}
    for name in states:
        if name not in edits:
            raise ValueError(
                f"study.components={name}: model={config['model']['name']} has no such edit; {nearest(name, edits)}"
            )
    return {name: states[name] for name in edits if name in states}


def apply_design(config: Plain) -> Plain:
    """Returns plain data without the components that its variant of the design does without, and with its name."""
    study, model = config["study"], config["model"]
    design, used = study["design"], model["components"]
    if design is not None and design not in DESIGNS:
        raise ValueError(f"study.design={design}: there is no such design; {nearest(design, DESIGNS)}")
    if design is None and used is None:
        return config
    known, name = components(config), str(model["name"])
    study = {**study, "components": None}
    if design is not None:
        study["baseline"] = variant_name(name, list(known), variants_of_design(design, known)[0], design)
    if used is not None:
        for component in used:
            if component not in known:
                raise ValueError(
                    f"model.components={component}: there is no such component; {nearest(component, list(known))}"
                )
        edits = {edit: value for edit, value in model["edits"].items() if edit in used or edit not in known}
        model = {**model, "name": variant_name(name, list(known), used, design), "edits": edits, "components": None}
    return {**config, "study": study, "model": model}
