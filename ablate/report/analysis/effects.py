"""Effects of parts, edits or settings: their factorials, and what each adds alone and takes away when left out."""

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ablate.config.edits import Edit
from ablate.report.study.variants import Variant
from ablate.stats import Evidence, Test, paired_differences, weigh

_MOST_FACTORS = 6  # beyond which nobody runs all combinations


@dataclass(frozen=True)
class Factorial:
    """Variants that combine the same parts in all ways, or nearly.

    Attributes:
        factors: The names of the parts.
        cells: Label of the variant by the factors that are in it, no factor first; None where no variant has them.
        full: Label of the variant with all factors.
        is_only: Whether no other factorial of the study has the same names of factors.
    """

    factors: tuple[str, ...]
    cells: Mapping[tuple[str, ...], str | None]
    full: str
    is_only: bool = True

    @property
    def key(self) -> str:
        """What no other factorial of the study is called, for names of files."""
        return "_".join([*self.factors, *([] if self.is_only else [self.full])])

    @property
    def name(self) -> str:
        """What no other factorial of the study is called, for people."""
        *first, last = self.factors
        return f"{', '.join(first)} and {last}{'' if self.is_only else f' (of {self.full})'}"

    @property
    def missing(self) -> list[tuple[str, ...]]:
        """The combinations that no variant has."""
        return [combination for combination, label in self.cells.items() if label is None]


@dataclass(frozen=True)
class Effect:
    """A main effect, an interaction, or a share of the whole: a contrast of the cells, of which each seed gives one.

    Attributes:
        factors: One for a main effect or a share, more for an interaction.
        evidence: What the contrasts of the seeds say. A main effect is the mean change that the factor makes over all
            levels of the others. An interaction of two is how much the change that one makes is larger with the other
            than without; and so on.
    """

    factors: tuple[str, ...]
    evidence: Evidence


@dataclass(frozen=True)
class Contribution:
    """A part of a full model: the pairs of variants with and without it.

    Attributes:
        part: Its name; for a layer that a variant removes, the layer's.
        added: The variants (with, without) that differ by the part alone, nothing else being in.
        left_out: The same with everything else in.
    """

    part: str
    added: tuple[str, str] | None
    left_out: tuple[str, str] | None


def components_of(variant: Variant) -> dict[str, bool]:
    """Returns the components that a variant names, and whether each is in: a layer that it removes is not."""
    removed = {name: part.remove for name, part in variant.parts.items() if isinstance(part, Edit) and part.remove}
    return {removed.get(name, name): name not in removed for name in variant.parts}


def components(variants: Iterable[Variant]) -> list[dict[str, bool]]:
    """Returns which components each variant has, of those that not all of them have."""
    named = [components_of(variant) for variant in variants]
    usual = {name: not is_in for each in named for name, is_in in each.items()}  # in variants that do not name it
    whole = [{**usual, **each} for each in named]
    return [{name: each[name] for name in usual if len({other[name] for other in whole}) > 1} for each in whole]


def factorials(variants: Mapping[str, Variant]) -> list[Factorial]:
    """Recognises factorials: a variant with two parts or more, and the variants with some of them.

    At least half of the combinations must have runs. A factorial within a larger one is left out.

    Args:
        variants: By label.
    """
    variants = _without_common(variants) if variants else {}
    found: list[Factorial] = []
    by_parts = {_key(variant): label for label, variant in variants.items()}
    for label, variant in sorted(variants.items(), key=lambda item: (-len(item[1].parts), item[0])):
        names = tuple(variant.parts)
        if not 2 <= len(names) <= _MOST_FACTORS:
            continue
        cells: dict[tuple[str, ...], str | None] = {}
        for combination in _combinations(names):
            cell = replace(variant, parts={name: variant.parts[name] for name in combination})
            cells[combination] = by_parts.get(_key(cell))
        there = [cell for cell in cells.values() if cell is not None]
        known = {cell for other in found for cell in other.cells.values()}
        if len(there) > max(2, len(cells) // 2) and not set(there) <= known:
            found.append(Factorial(names, cells, label))
    often = Counter(factorial.factors for factorial in found)
    return [replace(factorial, is_only=often[factorial.factors] == 1) for factorial in found]


def effects(
    values: ArrayLike, factors: Sequence[str], test: Test = Test.FIXED, resolution: float = 0.0
) -> list[Effect]:
    """Estimates main effects and interactions of a complete factorial, by one contrast a seed.

    An error pooled over all cells would take the effects for the same in each seed, and find them too often where they
    vary with it. The contrasts, one a seed, take nothing for granted but what a paired comparison does.

    Args:
        values: Shape (seeds, 2**factors), a column for each combination in the order of `Factorial.cells`.
        factors: The factors' names.
        test: Which test decides.
        resolution: The step in which the values come.

    Returns:
        The effects, single factors first.

    Source: G. Box, J. Hunter and W. Hunter, "Statistics for Experimenters", 2nd edition, 2005, chapter 5.

    Example:
        >>> values = [[60.0, 62.0, 50.0, 55.0], [61.0, 63.0, 51.0, 57.0]]  # neither, bn, drop, both; two seeds
        >>> [(effect.factors, effect.evidence.mean) for effect in effects(values, ["bn", "drop"])]
        [(('bn',), 3.75), (('drop',), -8.25), (('bn', 'drop'), 3.5)]
    """
    combinations = _combinations(factors)
    found = []
    for chosen in combinations[1:]:
        # ±1 for each cell: the product over the chosen factors of whether they are in.
        signs = [math.prod(1 if factor in cell else -1 for factor in chosen) for cell in combinations]
        weights = np.array(signs) / 2 ** (len(factors) - len(chosen))
        found.append(_effect(values, chosen, weights, test, resolution))
    return found


def shares(values: ArrayLike, factors: Sequence[str], test: Test = Test.FIXED, resolution: float = 0.0) -> list[Effect]:
    """Shares what all factors do together among them: the Shapley value of each, by one contrast a seed.

    A factor's share is the mean of what it adds over all orders in which the factors could be added; the shares sum to
    the difference of all factors and none.

    Args:
        values: As for `effects`, and the others too.

    Source: L. Shapley, "A value for n-person games", Contributions to the Theory of Games 2, 1953, 307.

    Example:
        >>> values = [[60.0, 62.0, 50.0, 55.0], [61.0, 63.0, 51.0, 57.0]]  # neither, bn, drop, both; two seeds
        >>> [(share.factors, share.evidence.mean) for share in shares(values, ["bn", "drop"])]
        [(('bn',), 3.75), (('drop',), -8.25)]
    """
    combinations, count = _combinations(factors), len(factors)
    found = []
    for factor in factors:
        weights = []
        for cell in combinations:
            others = len(set(cell) - {factor})
            orders = math.factorial(others) * math.factorial(count - others - 1) / math.factorial(count)
            weights.append(orders if factor in cell else -orders)
        found.append(_effect(values, (factor,), np.array(weights), test, resolution))
    return found


def _combinations(factors: Sequence[str]) -> list[tuple[str, ...]]:
    return [chosen for size in range(len(factors) + 1) for chosen in itertools.combinations(factors, size)]


def _effect(
    values: ArrayLike, chosen: tuple[str, ...], weights: NDArray[np.float64], test: Test, resolution: float
) -> Effect:
    array = np.asarray(values, dtype=float)
    assert array.shape[1] == len(weights)
    contrasts = array @ weights
    size = np.abs(array).max(initial=0)
    if size:  # equal on paper is equal, as in a comparison
        contrasts = paired_differences(size + contrasts, np.full_like(contrasts, size))
    return Effect(chosen, weigh(contrasts, test, resolution=resolution))


def contributions(variants: Mapping[str, Variant], baseline: str | None = None) -> list[Contribution]:
    """Returns the parts of a model, with the variants that tell what each contributes.

    Where variants remove layers, the full model is the one that removes none, and a removal's part is its layer.

    Args:
        variants: By label.
        baseline: Of a design, the variant that its others are made from: the parts are those of all variants, and what
            is added to it or left out of it counts. Without one, the parts are those of the variant with the most.
    """
    if not variants:
        return []
    variants = _without_common(variants)
    fullest = max(variants.values(), key=lambda variant: len(variant.parts))
    start = fullest if baseline is None else variants.get(baseline, fullest)
    parts = _parts(list(variants.values()), fullest, baseline is not None)
    if len(parts) < 2:
        return []
    by_parts = {_key(variant): label for label, variant in variants.items()}

    def pair(name: str, others: Mapping[str, Edit | str]) -> tuple[str, str] | None:
        """Returns the variants with a part and without it, beside others."""
        others = {other: part for other, part in others.items() if other != name}
        made = [replace(start, parts=chosen) for chosen in ({**others, name: parts[name]}, others)]
        with_it, without = (by_parts.get(_key(variant)) for variant in made)
        return None if with_it is None or without is None else (with_it, without)

    found = []
    for name, part in parts.items():
        # What the part is added to, and what it is left out of.
        to: Mapping[str, Edit | str] = {} if baseline is None or name in start.parts else start.parts
        of = start.parts if baseline is not None and name in start.parts else parts
        added, left_out = pair(name, to), pair(name, of)
        if isinstance(part, Edit) and part.remove is not None:  # with the layer is without its removal
            found.append(Contribution(part.remove, _swapped(left_out), _swapped(added)))
        else:
            found.append(Contribution(name, added, left_out))
    return [part for part in found if part.added or part.left_out]


def _parts(variants: Sequence[Variant], fullest: Variant, of_design: bool) -> dict[str, Edit | str]:
    """Returns the parts: all of a design's, the edits that remove layers, or the fullest variant's."""
    removing = [variant for variant in variants if any(edit.remove for edit in variant.edits.values())]
    holding = variants if of_design else removing or [fullest]
    return {name: part for variant in holding for name, part in variant.parts.items()}


def _swapped(pair: tuple[str, str] | None) -> tuple[str, str] | None:
    return None if pair is None else (pair[1], pair[0])


def _without_common(variants: Mapping[str, Variant]) -> dict[str, Variant]:
    """Returns variants without the parts that all of them have, such as edits that fit a base to the data."""
    common = frozenset.intersection(*(frozenset(variant.parts.items()) for variant in variants.values()))
    if len(variants) < 2 or not common:
        return dict(variants)
    return {
        label: replace(variant, parts=dict(item for item in variant.parts.items() if item not in common))
        for label, variant in variants.items()
    }


def _key(variant: Variant) -> tuple[frozenset[tuple[str, Edit | str]], frozenset[tuple[str, str]]]:
    return frozenset(variant.parts.items()), frozenset(variant.beside.items())
