"""Simulates studies that are looked at again and again: how often are verdicts false, how many seeds do they take?

A study has 8 claims, each a difference of two variants that the seeds pair, and is looked at after every seed from 3 to
60. Noise is drawn independently for every seed and claim; a claim is decided at the first look at which its test says
that there is a difference. Group-sequential tests spend their level by D. Lan and D. DeMets, Biometrika 70 (1983) 659,
as P. O'Brien and T. Fleming, Biometrics 35 (1979) 549, or S. Pocock, Biometrika 64 (1977) 191, would. Their boundaries
are simulated for Student's t. In a family each claim has its boundaries at the levels that Holm's method needs, as in
W. Maurer and F. Bretz, Stat. Biopharm. Res. 5 (2013) 311.
"""

import argparse
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from ablate import stats
from ablate.stats import ALPHA, PRIOR_VARIANCE

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
CLAIMS, FIRST, LAST = 8, 3, 60
SEEDS = np.arange(FIRST, LAST + 1)  # after each of which a study is looked at
GROUPS = (4, 8, 16, 32, 60)  # after which the group-sequential tests with few looks do
EFFECTS = (0.5, 1.0, 2.0, 5.0, 8.0)  # true differences, in standard deviations of the paired differences
MARGINS = (0.5, 1.0, 2.0, 3.0, 5.0)  # in the same unit
STAKES = (0.5, 1.0, 2.0, 8.0)
BATCH = 1000  # studies held in memory at a time
PATHS = 400_000  # simulated without a difference for the boundaries
NEVER = -1.0  # a boundary that no p-value reaches
FLOOR = 1 / 4  # of a resolution's square, as in ablate.stats


@dataclass(frozen=True)
class Noise:
    """How paired differences scatter about their mean."""

    name: str
    draw: Callable[[np.random.Generator, tuple[int, ...]], Array]
    deviation: float
    resolution: float = 0.0


NOISES = [
    Noise("normal", lambda rng, shape: rng.normal(size=shape), 1.0),
    Noise("t, 3 degrees", lambda rng, shape: rng.standard_t(3, shape), 3**0.5),
    Noise("±1 image", lambda rng, shape: rng.choice([-1.0, 1.0], shape), 1.0, 1.0),
    Noise("normal of SD 1 image, rounded", lambda rng, shape: rng.normal(size=shape).round() + 0.0, 1.0, 1.0),
    Noise("lognormal", lambda rng, shape: rng.lognormal(size=shape) - np.exp(0.5), float(np.sqrt((np.e - 1) * np.e))),
]
NORMAL = NOISES[0]


class Looks:
    """Differences of many claims as they stand at each look.

    Attributes:
        differences: Shape (…, seeds), from the first seed on.
        number: Shape (looks,), of seeds.
        mean: Shape (…, looks), as is `squares`: the sum of squares about the mean, 0 where all differences are equal.
    """

    def __init__(self, differences: Array, resolution: float = 0.0) -> None:
        self.differences, self.resolution = differences, resolution
        self.number = np.arange(FIRST, differences.shape[-1] + 1)
        self.mean = self.at_looks(differences.cumsum(-1)) / self.number
        squares = self.at_looks((differences**2).cumsum(-1)) - self.number * self.mean**2
        low, high = (self.at_looks(bound.accumulate(differences, -1)) for bound in (np.minimum, np.maximum))
        self.are_equal = high - low <= 1e-12 * np.maximum(abs(low), abs(high))
        self.squares: Array = np.where(self.are_equal, 0.0, np.maximum(squares, 0.0))

    @staticmethod
    def at_looks(values: Array) -> Array:
        return values[..., FIRST - 1 :]

    def deviation(self, resolution: float = 0.0) -> Array:
        deviation: Array = np.sqrt((self.squares + self.number * FLOOR * resolution**2) / (self.number - 1))
        return deviation


def p_anytime(looks: Looks, resolution: float = 0.0) -> Array:
    k = 1 + looks.number * PRIOR_VARIANCE
    squares = looks.squares + looks.number * FLOOR * resolution**2
    with np.errstate(divide="ignore", invalid="ignore"):
        u = np.where(looks.mean == 0, 0.0, looks.number * looks.mean**2 / squares)
        log_e = -np.log(k) / 2 - looks.number / 2 * (np.log1p(u / k) - np.log1p(u))
    log_e = np.where(np.isinf(u), (looks.number - 1) / 2 * np.log(k), log_e)
    return np.exp(-np.maximum(log_e, 0.0))


def p_sign_flip(looks: Looks) -> Array:
    values = looks.differences
    scale = np.sqrt((values**2).cumsum(-1) / np.arange(1, values.shape[-1] + 1))
    z = np.divide(values, scale, out=np.zeros_like(values), where=scale > 0)
    total = z.cumsum(-1)
    e = sum(np.exp(_log_cosh(c * total) - _log_cosh(c * z).cumsum(-1)) for c in STAKES) / len(STAKES)
    return Looks.at_looks(1 / np.maximum(e, 1.0))


def _log_cosh(values: Array) -> Array:
    result: Array = np.logaddexp(values, -values) - np.log(2)
    return result


def p_t_test(looks: Looks) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.abs(looks.mean) * np.sqrt(looks.number * (looks.number - 1) / looks.squares)
    p = 2 * t.sf(statistic, looks.number - 1)
    return np.where(looks.are_equal, np.where(looks.mean == 0, 1.0, 2.0 ** (1 - looks.number)), p)


def holm(p: Array) -> Array:
    """Adjusts p-values of shape (studies, claims, looks) over the claims of each study at each look."""
    order = p.argsort(1)
    factors = np.arange(p.shape[1], 0, -1)[:, None]
    adjusted = np.minimum(1, np.maximum.accumulate(np.take_along_axis(p, order, 1) * factors, 1))
    result = np.empty_like(p)
    np.put_along_axis(result, order, adjusted, 1)
    return result


def obrien_fleming(share: Array, alpha: float) -> Array:
    return 4 * norm.sf(norm.isf(alpha / 4) / np.sqrt(share))  # half of alpha at each side


def pocock(share: Array, alpha: float) -> Array:
    return alpha * np.log1p((np.e - 1) * share)


def boundaries(p_values: Array, spent: Array) -> Array:
    """Returns the p-value at each look below which a test stops, so that it has spent its level as planned.

    Args:
        p_values: Shape (looks, paths), simulated without a difference.
        spent: Shape (looks,), the level spent up to each look.
    """
    result = np.full(len(spent), NEVER)
    has_stopped = np.zeros(p_values.shape[1], dtype=bool)
    for look, level in enumerate(spent):
        allowed = round(level * len(has_stopped)) - int(has_stopped.sum())
        if allowed > 0:
            left = np.where(has_stopped, 2.0, p_values[look])
            result[look] = np.partition(left, allowed - 1)[allowed - 1]
            has_stopped |= left <= result[look]
    return result


@dataclass(frozen=True)
class GroupSequential:
    """Boundaries of a test that knows its looks and its last seed, at the levels that Holm's method needs."""

    boundaries: dict[float, Array]

    @classmethod
    def make(cls, null: Array, looks: Sequence[int], spending: Callable[[Array, float], Array]) -> "GroupSequential":
        seeds = np.array(looks)
        levels = {}
        for level in (ALPHA / left for left in range(1, CLAIMS + 1)):
            levels[level] = np.full(len(SEEDS), NEVER)
            levels[level][seeds - FIRST] = boundaries(null[seeds - FIRST], spending(seeds / LAST, level))
        return cls(levels)

    def p(self, looks: Looks) -> Array:
        """Returns the smallest of its levels at which the test has stopped, at this look or before; 1 if at none."""
        p_values = p_t_test(looks)
        result = np.ones_like(p_values)
        for level, bounds in self.boundaries.items():  # from the largest level down
            has_stopped = np.logical_or.accumulate(p_values <= bounds, -1)
            result[has_stopped] = level * (1 - 1e-9)
        return result


def tests() -> dict[str, Callable[[Looks], Array]]:
    """Returns the tests, each from looks to p-values of shape (studies, claims, looks)."""
    rng = np.random.default_rng(0)
    null = np.concatenate([p_t_test(Looks(rng.normal(size=(10_000, LAST)))).T for _ in range(PATHS // 10_000)], 1)
    groups = ", ".join(map(str, GROUPS))
    return {
        "t-test, one look after 60": lambda looks: np.where(looks.number == LAST, p_t_test(looks), 1.0),
        "t-test as if one look, after every seed (invalid)": p_t_test,
        "anytime-valid": p_anytime,
        "anytime-valid, with the floor": lambda looks: p_anytime(looks, looks.resolution),
        "sign-flip e-value": p_sign_flip,
        f"O'Brien-Fleming, after {groups}": GroupSequential.make(null, GROUPS, obrien_fleming).p,
        f"Pocock, after {groups}": GroupSequential.make(null, GROUPS, pocock).p,
        "Pocock, after every seed": GroupSequential.make(null, SEEDS.tolist(), pocock).p,
    }


def simulated(noise: Noise, studies: int, effects: Sequence[float], seeds: int = LAST) -> Iterator[Looks]:
    """Yields batches of studies whose claims have these true differences, in standard deviations of the noise."""
    rng = np.random.default_rng(1)
    shift = noise.deviation * np.array(effects)[:, None]
    for start in range(0, studies, BATCH):
        shape = (min(BATCH, studies - start), len(effects), seeds)
        yield Looks(noise.draw(rng, shape) + shift, noise.resolution)


def check() -> None:
    """Holds the arithmetic of arrays against `ablate.stats`, and the boundaries against published ones."""
    rng = np.random.default_rng(2)
    for noise in NOISES:
        looks = Looks(noise.draw(rng, (4, CLAIMS, 25)) + rng.choice([0.0, 1.0, 8.0]), noise.resolution)
        floored, flipped, fixed = p_anytime(looks, noise.resolution), p_sign_flip(looks), p_t_test(looks)
        adjusted = holm(fixed)
        for study, claim, n in rng.integers((0, 0, FIRST), (4, CLAIMS, 26), (100, 3)):
            values, at = looks.differences[study, claim, :n], (study, claim, n - FIRST)
            expected = stats.anytime(values, noise.resolution)
            for found, wanted in (
                (p_anytime(looks)[at], stats.anytime(values).p),
                (floored[at], expected.p),
                (flipped[at], min(1.0, 1 / expected.e_sign_flip)),
                (fixed[at], stats.compare(values, np.zeros(n)).p_t),
                (adjusted[at], stats.holm(fixed[study, :, n - FIRST].tolist())[claim]),
                (
                    looks.mean[at] + stats.half_width(n) * looks.deviation(noise.resolution)[at],
                    expected.interval.high,
                ),
            ):
                assert np.isclose(found, wanted, rtol=1e-6, atol=0), (noise.name, n, found, wanted)
            for margin in MARGINS:
                is_inside = (
                    np.abs(looks.mean[at]) + stats.half_width(n) * looks.deviation(noise.resolution)[at] <= margin
                )
                assert is_inside == (stats.anytime_equivalence(values, margin, noise.resolution)[0] <= ALPHA)
    # Five equal steps of a normal statistic: D. Reboussin et al., Control. Clin. Trials 21 (2000) 190.
    paths = rng.normal(size=(PATHS, 5)).cumsum(1) / np.sqrt(np.arange(1, 6))
    for spending, published in (
        (obrien_fleming, (3.36, 2.68, 2.29, 2.03)),  # and 4.88 at the first, which no simulation reaches
        (pocock, (2.44, 2.43, 2.41, 2.40, 2.39)),
    ):
        bounds = boundaries(2 * norm.sf(abs(paths.T)), spending(np.arange(1, 6) / 5, ALPHA))
        assert np.allclose(norm.isf(bounds[-len(published) :] / 2), published, atol=0.04), bounds


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print(f"\n{title}\n")
    for row in (header, ["---"] * len(header), *rows):
        print("| " + " | ".join(row) + " |")


def percent(hits: Flags) -> str:
    return f"{100 * hits.mean():.1f} %"


def how_looking_adds_up(studies: int) -> None:
    lasts = (3, 5, 10, 20, 40, 60)
    false: dict[str, list[Flags]] = {"t-test as if one look": [], "anytime-valid": []}
    for looks in simulated(NORMAL, studies, [0.0] * CLAIMS):
        for name, p in zip(false, (p_t_test(looks), p_anytime(looks)), strict=True):
            false[name].append(np.logical_or.accumulate(p <= ALPHA, -1).reshape(-1, len(SEEDS)))
    found = {name: np.concatenate(batches) for name, batches in false.items()}
    rows = [[name, *(percent(at[:, last - FIRST]) for last in lasts)] for name, at in found.items()]
    table(
        "One claim without a difference, normal noise: false verdicts when looked at after every seed from 3 to …",
        ["test", *map(str, lasts)],
        rows,
    )


def false_verdicts(studies: int, found: dict[str, Callable[[Looks], Array]]) -> None:
    half = CLAIMS // 2
    titles = {
        "single": "One claim without a difference: share of false verdicts at any look",
        "none": f"A family of {CLAIMS} claims without differences (Holm): share of studies with a false verdict",
        "half": f"The same where {half} of the {CLAIMS} claims differ by 2 SD: a false verdict on one of the others",
    }
    rows: dict[str, dict[str, list[str]]] = {of: {name: [] for name in found} for of in titles}
    for noise in NOISES:
        false: dict[str, dict[str, list[Flags]]] = {of: {name: [] for name in found} for of in titles}
        for looks in simulated(noise, studies, [0.0] * CLAIMS):
            for name, test in found.items():
                p = test(looks)
                false["single"][name].append((p <= ALPHA).any(-1).ravel())
                false["none"][name].append(np.any(holm(p) <= ALPHA, (1, 2)))
        for looks in simulated(noise, studies, [0.0] * half + [2.0] * half):
            for name, test in found.items():
                false["half"][name].append(np.any(holm(test(looks))[:, :half] <= ALPHA, (1, 2)))
        for of, name in itertools.product(titles, found):
            is_same = "floor" in name and noise.resolution == 0
            rows[of][name].append("–" if is_same else percent(np.concatenate(false[of][name])))
    for of, title in titles.items():
        table(title, ["test", *(noise.name for noise in NOISES)], [[name, *cells] for name, cells in rows[of].items()])


def coverage(studies: int) -> None:
    halves = np.array([stats.half_width(int(n)) for n in SEEDS])
    students = t.ppf(1 - ALPHA / 2, SEEDS - 1) / np.sqrt(SEEDS)
    rows: list[list[str]] = [[name] for name in ("confidence sequence", "t-interval", "t-interval, at 60 alone")]
    for noise in NOISES:
        covered: list[list[Flags]] = [[], [], []]
        for looks in simulated(noise, studies, [0.0] * CLAIMS):
            distance = np.abs(looks.mean).reshape(-1, len(SEEDS))
            floored = looks.deviation(looks.resolution).reshape(distance.shape)
            # Without a spread there is no t-interval, which cannot miss.
            plain = np.where(looks.are_equal, np.inf, looks.deviation()).reshape(distance.shape)
            with np.errstate(invalid="ignore"):
                covered[0].append(np.all((distance <= halves * floored) | np.isinf(halves), 1))
            covered[1].append(np.all(distance <= students * plain, 1))
            covered[2].append((distance <= students * plain)[:, -1])
        for row, batches in zip(rows, covered, strict=True):
            row.append(percent(np.concatenate(batches)))
    table(
        "Share of claims whose interval (95 %, with the floor) covers the truth at all looks at once",
        ["interval", *(noise.name for noise in NOISES)],
        rows,
    )
    effects = (0.0, 0.2, 0.5, 1.0, 2.0)
    rows = [["confidence sequence covers"], ["t-interval covers"], ["sequence: mean / truth"], ["t-interval: the same"]]
    for effect in effects:
        for at, widths in enumerate((halves, students)):
            hits, means = [], []
            for looks in simulated(NORMAL, studies, [effect] * CLAIMS):
                half = widths * looks.deviation()
                stops = np.abs(looks.mean) > half
                stop = np.where(stops.any(-1), stops.argmax(-1), len(SEEDS) - 1)[..., None]
                hits.append(np.take_along_axis(np.abs(looks.mean - effect) <= half, stop, -1).ravel())
                means.append(np.take_along_axis(looks.mean, stop, -1)[stops.any(-1)].ravel())
            rows[at].append(percent(np.concatenate(hits)))
            rows[at + 2].append(f"{np.concatenate(means).mean() / effect:.2f}" if effect else "–")
    table(
        "At the look at which the interval first leaves out 0, or else after 60: a true difference of … SD",
        ["at that look", *(f"{effect:g}" for effect in effects)],
        rows,
    )


def seeds_to_a_verdict(studies: int, found: dict[str, Callable[[Looks], Array]]) -> None:
    shown = {name: test for name, test in found.items() if "floor" not in name and "one look after 60" not in name}
    designs = {"fixed design of 80 % power": ALPHA, "the same at 0.05 / 8": ALPHA / CLAIMS}
    rows: dict[str, list[str]] = {name: [] for name in designs}
    for effect in EFFECTS:
        known = [effect - 0.5**0.5, effect + 0.5**0.5]  # of just this mean and a standard deviation of 1
        for name, level in designs.items():
            rows[name].append(f"{max(FIRST, stats.seeds_needed(known, level) or 0)} (≥ 80 %)")
        waits: dict[str, list[Array]] = {}
        for looks in simulated(NORMAL, studies, [effect] * CLAIMS):
            for name, test in shown.items():
                waits.setdefault(name, []).append(_wait(test(looks)))
            waits.setdefault("anytime-valid, all 8 of a family differ", []).append(_wait(holm(p_anytime(looks))))
        for looks in simulated(NORMAL, studies, [effect] + [0.0] * (CLAIMS - 1)):
            alone = _wait(holm(p_anytime(looks))[:, :1])
            waits.setdefault("anytime-valid, the only one of a family of 8", []).append(alone)
        for name, batches in waits.items():
            seeds = np.concatenate(batches)
            cell = f"{np.minimum(seeds, LAST).mean():.1f} ({100 * (seeds <= LAST).mean():.0f} %)"
            rows.setdefault(name, []).append(cell)
    table(
        "Mean seeds to a verdict, 60 where there is none (share with a verdict): a true difference of … SD",
        ["test", *(f"{effect:g}" for effect in EFFECTS)],
        [[name, *cells] for name, cells in rows.items()],
    )


def _wait(p: Array) -> Array:
    """Returns the seeds after which each claim is decided, one more than the last if it is not."""
    decided = p <= ALPHA
    return np.where(decided.any(-1), decided.argmax(-1) + FIRST, LAST + 1).ravel()


def equality(studies: int) -> None:
    longest = 2 * LAST
    number = np.arange(FIRST, longest + 1)
    halves = {
        "confidence sequence": np.array([stats.half_width(int(n)) for n in number]),
        "two one-sided t-tests, after every seed (invalid)": t.ppf(1 - ALPHA, number - 1) / np.sqrt(number),
    }
    rows = []
    for name, half in halves.items():
        medians, false = [f"{name}: median seeds, no difference"], [f"{name}: false, difference at the margin"]
        for margin in MARGINS:
            inside: list[list[Array]] = [[], []]
            for results, effect in zip(inside, (0.0, margin), strict=True):
                for looks in simulated(NORMAL, studies, [effect] * CLAIMS, longest):
                    is_equal = np.abs(looks.mean) + half * looks.deviation() <= margin
                    first = np.where(is_equal.any(-1), is_equal.argmax(-1) + FIRST, longest + 1)
                    results.append(first.ravel())
            median = np.median(np.concatenate(inside[0]))
            medians.append(f"{median:.0f}" if median <= longest else f"more than {longest}")
            false.append(percent(np.concatenate(inside[1]) <= LAST))
        rows += [medians, false]
    table(
        f"Equality within a margin of … SD (median up to {longest} seeds, false up to {LAST})",
        ["", *(f"{margin:g}" for margin in MARGINS)],
        rows,
    )


def widths() -> None:
    seeds = (4, 5, 6, 8, 10, 15, 20, 30, 60)
    half = [stats.half_width(n) for n in seeds]
    student = [float(t.ppf(1 - ALPHA / 2, n - 1) / np.sqrt(n)) for n in seeds]
    table(
        "Half-width in standard deviations of the differences, and the ratio of the two",
        ["interval", *map(str, seeds)],
        [
            ["confidence sequence", *(f"{value:.2f}" for value in half)],
            ["t-interval", *(f"{value:.2f}" for value in student)],
            ["ratio", *(f"{one / other:.2f}" for one, other in zip(half, student, strict=True))],
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=10_000, help="simulated for each figure (default: 10000)")
    options = parser.parse_args()
    check()
    found = tests()
    print(f"{options.studies} studies of {CLAIMS} claims, looked at after every seed from {FIRST} to {LAST}")
    how_looking_adds_up(options.studies)
    false_verdicts(options.studies, found)
    coverage(options.studies)
    seeds_to_a_verdict(options.studies, found)
    equality(options.studies)
    widths()


if __name__ == "__main__":
    main()
