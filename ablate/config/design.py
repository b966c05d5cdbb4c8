"""Designs: what the components of a study are, and which of them are in each variant."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ablate.files import PlainMapping
from ablate.messages import nearest

DESIGNS = ("leave_one_out", "add_one_in", "one_at_a_time", "factorial")
NONE = "none"  # the variant without any component
_MOST_FACTORS = 8  # of a factorial, which has 2**8 variants then
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")  # of a component or a variant, as the command line takes it unquoted


@dataclass(frozen=True)
class Component:
    """A part of what is trained that a variant has or lacks: an edit of the model, or settings by dotted key."""

    is_edit: bool = False
    on: PlainMapping = field(default_factory=dict)  # what is set where it is in
    off: PlainMapping = field(default_factory=dict)  # what is set where it is not
    first: bool = True  # whether it is in at first, which `one_at_a_time` asks


def variants_of_design(design: str, components: Mapping[str, bool]) -> list[tuple[str, ...]]:
    """Returns the components of each variant of a design, the variant that the others are compared with first.

    - `leave_one_out`: all of them, and all but one;
    - `add_one_in`: none, and each alone;
    - `one_at_a_time`: those that are in at first, and each in turn switched over;
    - `factorial`: every combination.

    Args:
        design: One of `DESIGNS`.
        components: By name, in order, whether each is in at first, which only `one_at_a_time` asks.

    Raises:
        ValueError: There are no components, or too many for a factorial.
    """
    names = tuple(components)
    if not names:
        raise ValueError(
            "study.design: there is nothing to make variants of: the model has no edits; name one that has with "
            "model=…, or name settings in study.components"
        )
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


def read_components(study: PlainMapping, edits: Sequence[str], model: str) -> dict[str, Component]:
    """Returns the components of a study by name: edits in the order of the model's, then bundles of settings.

    Args:
        study: Its `components` are the names of edits, or by name `edit`, whether an edit is in at first, or the
            settings that are made where the component is `on` and where it is `off`; all edits if there are none.
        edits: Names of the model's edits.
        model: Its name, for messages.

    Raises:
        ValueError: A component is no edit and no bundle, or two set one key.
    """
    named = study.get("components")
    if named is None:
        return dict.fromkeys(edits, Component(is_edit=True))
    given = named if isinstance(named, Mapping) else dict.fromkeys(named, "edit")
    components = {str(name): _component(f"study.components.{name}", value) for name, value in given.items()}
    for name, component in components.items():
        if component.is_edit and name not in edits:
            raise ValueError(
                f"study.components={name}: model={model} has no such edit; {nearest(name, edits)}; or give the "
                f"settings that it stands for, as study.components.{name}={{off: {{KEY: VALUE}}}}"
            )
    for (one, keys), (other, others) in itertools.combinations(map(_keys, components.items()), 2):
        for key, same in itertools.product(keys, others):
            if f"{key}.".startswith(f"{same}.") or f"{same}.".startswith(f"{key}."):
                raise ValueError(
                    f"study.components: {one} and {other} both set {max(key, same, key=len)}; make them one component"
                )
    ordered = sorted(components, key=lambda name: edits.index(name) if components[name].is_edit else len(edits))
    return {name: components[name] for name in ordered}


def _component(key: str, value: object) -> Component:
    _check_name(key)
    if value == "edit" or isinstance(value, bool):
        return Component(is_edit=True, first=value is not False)
    sides = {_SIDES.get(side, side): made for side, made in value.items()} if isinstance(value, Mapping) else {}
    if sides and sides.keys() <= {"on", "off"}:
        on, off = (read_bundle(f"{key}.{side}", sides.get(side) or {}) for side in ("on", "off"))
        if on or off:
            return Component(on=on, off=off, first=bool(off))
    raise ValueError(
        f"{key}={value}: a component is `edit`, or the settings that are made where it is off, or on, such as "
        "{off: {model.base.use_pos: false}}"
    )


def _keys(component: tuple[str, Component]) -> tuple[str, list[str]]:
    name, each = component
    return name, [f"model.edits.{name}"] if each.is_edit else [key_of(key) for key in {**each.on, **each.off}]


def key_of(written: str) -> str:
    """Returns the key that a setting names, which may be written with Hydra's `+` or `~` before it."""
    return written.lstrip("+~")


def read_bundle(where: str, bundle: object) -> dict[str, object]:
    """Returns settings by dotted key; ValueError where they are none, or set what is no part of a variant."""
    if not isinstance(bundle, Mapping):
        raise ValueError(f"{where}={bundle}: must be settings by key, such as {{model.base.use_pos: false}}")
    settings = dict(_flat(bundle))
    for key in settings:
        if key_of(key).partition(".")[0] in _NOT_OF_A_VARIANT:
            raise ValueError(f"{where}.{key}: is no part of a variant; leave it to the configuration")
    return settings


_SIDES: Mapping[object, str] = {True: "on", False: "off"}  # which YAML reads for on and off without quotes
_NOT_OF_A_VARIANT = ("seed", "study", "hydra", "variant", "rerun", "store", "logger", "allow")


def _flat(bundle: PlainMapping) -> Iterator[tuple[str, object]]:
    """Yields settings by dotted key, however they are nested; a value may be a mapping below a dotted key."""
    for key, value in bundle.items():
        if isinstance(value, Mapping) and value and "." not in str(key):
            yield from ((f"{key}.{inner}", each) for inner, each in _flat(value))
        else:
            yield str(key), value


@dataclass(frozen=True)
class Choice:
    """A variant of a study as it was asked for.

    Attributes:
        name: What it is called; None if nothing was asked for.
        baseline: The variant that the study's others are compared with; None if the study says it itself.
        left_out: Edits that it does without.
        bundles: The settings that it makes, by the key that declares them.
    """

    name: str | None = None
    baseline: str | None = None
    left_out: Sequence[str] = ()
    bundles: Mapping[str, PlainMapping] = field(default_factory=dict)


def choose(study: PlainMapping, edits: Sequence[str], model: str) -> Choice:
    """Returns what `study.variant` asks for: one of `study.variants`, or a list of the components that are in.

    Args:
        study: Its `design`, `components`, `variants` and `variant`.
        edits: Names of the model's edits.
        model: The model's name, or what a task calls the variant of its configuration.

    Raises:
        ValueError: There is no such design, variant or component.
    """
    design, asked, named = study.get("design"), study.get("variant"), study.get("variants")
    if design is not None and design not in DESIGNS:
        raise ValueError(f"study.design={design}: there is no such design; {nearest(design, DESIGNS)}")
    if named and design is not None:
        raise ValueError(f"study.design={design}: study.variants names the variants already; leave one of them out")
    if named:
        variants = read_variants(named)
        own = next((name for name, bundle in variants.items() if not bundle), next(iter(variants)))
        baseline = None if study.get("baseline") in variants else own
        if asked is None:
            return Choice(baseline=baseline)
        if str(asked) not in variants:
            raise ValueError(f"study.variant={asked}: there is no such variant; {nearest(str(asked), list(variants))}")
        return Choice(str(asked), baseline, (), {f"study.variants.{asked}": variants[str(asked)]})
    if design is None and asked is None:
        return Choice()
    known = read_components(study, edits, model)
    baseline = None
    if design is not None:
        first = variants_of_design(design, {name: each.first for name, each in known.items()})[0]
        baseline = variant_name(model, list(known), first, design)
    if asked is None:
        return Choice(baseline=baseline)
    if isinstance(asked, str) or not isinstance(asked, Sequence):
        raise ValueError(f"study.variant={asked}: name the components that are in, as [{','.join(known)}]")
    for name in map(str, asked):
        if name not in known:
            raise ValueError(f"study.variant={name}: there is no such component; {nearest(name, list(known))}")
    sides = {name: "on" if name in asked else "off" for name in known}
    bundles = {f"study.components.{name}.{side}": getattr(known[name], side) for name, side in sides.items()}
    left_out = [name for name, each in known.items() if each.is_edit and name not in asked]
    name = variant_name(model, list(known), asked, design)
    return Choice(name, baseline, left_out, {key: bundle for key, bundle in bundles.items() if bundle})


def read_variants(named: object) -> dict[str, dict[str, object]]:
    """Returns the settings of each of `study.variants`, by name; ValueError where two are the same."""
    if not isinstance(named, Mapping):
        raise ValueError(f"study.variants={named}: must be settings by name, such as {{wide: {{model.base.width: 8}}}}")
    variants = {str(name): read_bundle(f"study.variants.{name}", bundle or {}) for name, bundle in named.items()}
    for name in variants:
        _check_name(f"study.variants.{name}")
    for one, other in itertools.combinations(variants, 2):
        if variants[one] == variants[other]:
            raise ValueError(f"study.variants: {one} and {other} are the same; leave one of them out")
    return variants


def _check_name(key: str) -> None:
    name = key.split(".", 2)[2]
    if not _NAME.fullmatch(name) or name.lower() in ("true", "false", "null"):
        raise ValueError(f"{key}: a name is of letters, digits, '_', '-' and '.', and begins with no digit")
