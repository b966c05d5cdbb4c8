"""Statistics of paired runs: pure functions from arrays to numbers.

Runs are paired by seed: `differences[i]` is the difference between two variants trained from seed i. NaN stands for a
missing run; a pair with one is left out.
"""

from ablate.stats.anytime import (
    PRIOR_VARIANCE,
    Anytime,
    anytime,
    anytime_equivalence,
    confidence_sequence,
    e_value,
    fewest_to_decide,
    half_width,
    sign_flip_e_value,
)
from ablate.stats.evidence import Evidence, Test, weigh, weigh_unpaired
from ablate.stats.paired import (
    ALPHA,
    LEVEL,
    Comparison,
    Interval,
    Ratio,
    adjust,
    compare,
    equivalence_test,
    holm,
    mean_interval,
    paired_differences,
    prediction_interval,
    ratio,
    sign_flip_test,
)
from ablate.stats.pairing import Pairing, pairing, welch, welch_equivalence
from ablate.stats.planning import POWER, seeds_needed, seeds_range, smallest_difference
from ablate.stats.random_effects import Pooled, random_effects
