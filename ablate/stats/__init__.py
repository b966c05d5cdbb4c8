"""Statistics of paired runs: pure functions from arrays to numbers.

Runs are paired by seed: `differences[i]` is the difference between two variants trained from seed i. NaN stands for a
missing run; a pair with one is left out.
"""

from ablate.stats.anytime import (
    PRIOR_VARIANCE,
    Anytime,
    anytime,
    confidence_sequence,
    e_value,
    fewest_to_decide,
    half_width,
    sign_flip_e_value,
)
from ablate.stats.paired import (
    ALPHA,
    LEVEL,
    Comparison,
    Interval,
    Pairing,
    Ratio,
    compare,
    equivalence_test,
    holm,
    mean_interval,
    paired_differences,
    pairing,
    prediction_interval,
    ratio,
    sign_flip_test,
    welch,
)
from ablate.stats.planning import POWER, seeds_needed, seeds_range, smallest_difference

__all__ = [
    "ALPHA",
    "LEVEL",
    "POWER",
    "PRIOR_VARIANCE",
    "Anytime",
    "Comparison",
    "Interval",
    "Pairing",
    "Ratio",
    "anytime",
    "compare",
    "confidence_sequence",
    "e_value",
    "equivalence_test",
    "fewest_to_decide",
    "half_width",
    "holm",
    "mean_interval",
    "paired_differences",
    "pairing",
    "prediction_interval",
    "ratio",
    "seeds_needed",
    "seeds_range",
    "sign_flip_e_value",
    "sign_flip_test",
    "smallest_difference",
    "welch",
]
