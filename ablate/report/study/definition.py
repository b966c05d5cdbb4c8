"""What a study is about: its baseline, metric, published figures, claims and default sweep."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ablate.config.options import load, options
from ablate.config.plain import plain, read
from ablate.config.schema import PAIRINGS, TESTS, FiguresConfig, MetricConfig, TableConfig
from ablate.files import PlainMapping
from ablate.messages import nearest
from ablate.records.epochs import field_name

# What a study declares of how it is judged, before there are results.
JUDGED_BY = ("metric", "margin", "test", "pairing")


@dataclass(frozen=True)
class Definition:
    """A study option, as the report reads it.

    Attributes:
        name: The study's name.
        title: For people.
        baseline: The label of the variant that others are compared with.
        metric: The metric that the study is about.
        margin: The smallest difference in it that matters, if that is said.
        test: Which test decides: auto, fixed or anytime.
        pairing: Whether variants are compared as pairs by seed: paired or unpaired.
        declared: What a run recorded of metric, margin, test and pairing, which the option may say otherwise today.
        design: The design that made its variants, if one did.
        components: Of the design, as a run records them.
        variants: The names of the variants that the study itself names.
        source: Where the published figures come from.
        published_epochs: After how many epochs they were taken, if known.
        published: Published figures by variant and metric.
        claims: Claims as they are written; `ablate.report.analysis.claims` reads them.
        metrics: What each is, of metrics that are not ablate's: better, unit and label.
        tables: What the tables for a paper show, by name.
        figures: How figures are drawn.
        sweep: What its default sweep sets: overrides by key, as Hydra's sweeper takes them.
        option: The name of the option, if it is a file that was found.
    """

    name: str
    title: str = ""
    baseline: str = "plain"
    metric: str = "test_accuracy"
    margin: float | None = None
    test: str = "auto"
    pairing: str = "paired"
    declared: PlainMapping = field(default_factory=dict)
    design: str | None = None
    components: PlainMapping = field(default_factory=dict)
    variants: Sequence[str] = ()
    source: str = ""
    published_epochs: int | None = None
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    claims: Sequence[object] = ()
    metrics: Mapping[str, PlainMapping] = field(default_factory=dict)
    tables: Mapping[str, TableConfig] = field(default_factory=dict)
    figures: FiguresConfig = field(default_factory=FiguresConfig)
    sweep: Mapping[str, str] = field(default_factory=dict)
    option: str | None = None

    @property
    def makes_variants(self) -> bool:
        """Whether the study makes its variants itself, by a design or by name, and not a sweep over models."""
        return self.design is not None or bool(self.variants)


def find(
    name: str, recorded: PlainMapping, folders: Iterable[Path], file: Path | None = None, typed: Sequence[str] = ()
) -> Definition:
    """Returns the definition of a study: as it stands today in its option's file, or else as a run recorded it.

    What it is judged by, and the file does not say, is what was recorded; likewise what was typed for the runs.

    Args:
        name: The study's name.
        recorded: The `study` part of a run's config.
        folders: Folders of config groups to look in.
        file: A study option's file to take instead.
        typed: The overrides of the run.

    Raises:
        ValueError: A file cannot be read, or its values have the wrong form.
    """
    option, content = None, {"study": recorded} if file is None else load(file)
    if file is None:
        of_name = [
            (each, found)
            for each, found in options("study", folders).items()
            if isinstance(found.get("study"), dict) and found["study"].get("name") == name
        ]
        option, content = of_name[0] if of_name else (None, content)
    if isinstance(content.get("study"), Mapping):
        kept = ("baseline", *JUDGED_BY)
        absent = {key: recorded[key] for key in kept if recorded.get(key) and not content["study"].get(key)}
        by_hand = {re.split("[.=]", key.lstrip("+"))[1] for key in typed if key.lstrip("+").startswith("study.")}
        chosen = {
            key: recorded[key]
            for key in (*kept, "tables", "figures")
            if file is None and key in by_hand and recorded.get(key)
        }
        metrics = {**(recorded.get("metrics") or {}), **(content["study"].get("metrics") or {})}
        content = {**content, "study": {**content["study"], **absent, **chosen, "metrics": metrics}}
    definition = define(name, content, option)
    definition = replace(definition, declared={key: recorded[key] for key in JUDGED_BY if key in recorded})
    return definition if file is not None else _made_of(definition, recorded)


def _made_of(definition: Definition, recorded: PlainMapping) -> Definition:
    """Returns the definition with what made the variants of its runs: components, a design, or names and settings."""
    components, variants = recorded.get("components"), recorded.get("variants")
    if isinstance(components, Mapping):
        definition = replace(definition, components=components)
    if isinstance(variants, Mapping):
        definition = replace(definition, variants=tuple(map(str, variants)))
    design, baseline = recorded.get("design"), recorded.get("baseline")
    if not isinstance(baseline, str) or not (isinstance(design, str) or definition.variants):
        return definition
    return replace(definition, design=design, baseline=baseline)


def define(name: str, content: PlainMapping, option: str | None) -> Definition:
    """Returns the definition that a study option's content gives.

    Raises:
        ValueError: Its values have the wrong form.
    """
    study = content.get("study")
    if not isinstance(study, Mapping):
        raise ValueError(f"study {name}: its definition has no `study:` with the study's keys")
    published = study.get("published") or {}
    _require(f"study {name}: published", published, Mapping)
    _require(f"study {name}: published.variants", published.get("variants") or {}, Mapping)
    for key in ("title", "baseline", "metric"):
        _require(f"study {name}: {key}", study.get(key) or "", str)
    _require(f"study {name}: published.source", published.get("source") or "", str)
    _require(f"study {name}: published.epochs", published.get("epochs") or 0, int)
    for key, choices in {"test": TESTS, "pairing": PAIRINGS}.items():
        if (study.get(key) or choices[0]) not in choices:
            raise ValueError(f"study {name}: {key}={study[key]}: {nearest(str(study[key]), choices)}")
    margin = study.get("margin")
    if margin is not None and (isinstance(margin, bool) or not isinstance(margin, int | float) or not margin > 0):
        raise ValueError(
            f"study {name}: margin={margin}: must be a number above 0, the smallest difference that matters"
        )
    known = {key: study[key] for key in ("title", "baseline", *JUDGED_BY) if study.get(key)}
    for variant in published.get("variants") or {}:
        if not isinstance(variant, str):  # 0.10 and true are other values to YAML
            raise ValueError(f"study {name}: published.variants.{variant}: put the variant's name in quotes")
    claims = study.get("claims") or []
    if not isinstance(claims, Sequence) or isinstance(claims, str):
        raise ValueError(f"study {name}: claims must be a list")
    metrics = read("study.metrics", dict[str, MetricConfig], study.get("metrics") or {})
    params = ((content.get("hydra") or {}).get("sweeper") or {}).get("params") or {}
    return Definition(
        name=name,
        **known,
        source=published.get("source") or "",
        published_epochs=published.get("epochs"),
        published={
            str(variant): dict(_figures(f"study {name}: published.variants.{variant}", figures))
            for variant, figures in (published.get("variants") or {}).items()
        },
        claims=list(claims),
        metrics={field_name(each): plain(said) for each, said in metrics.items()},
        tables=read("study.tables", dict[str, TableConfig], study.get("tables") or {}),
        figures=read("study.figures", FiguresConfig, study.get("figures") or {}),
        sweep={str(key): str(value) for key, value in params.items()},
        option=option,
    )


def _require(where: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        names = {str: "a text", int: "a whole number"}
        raise ValueError(f"{where}={value}: must be {names.get(kind, 'a mapping')}")


def _figures(where: str, figures: object) -> Iterable[tuple[str, float]]:
    """Yields metric and value of {metric: {statistic: value}}."""
    if not isinstance(figures, Mapping):
        raise ValueError(f"{where}: must be a mapping such as test_accuracy: {{final: 0.63}}")
    for metric, statistics in figures.items():
        for statistic, value in statistics.items() if isinstance(statistics, Mapping) else [("final", statistics)]:
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{where}.{metric}.{statistic}={value}: must be a number")
            yield (metric if statistic in ("final", "total") else f"{metric}.{statistic}"), float(value)
