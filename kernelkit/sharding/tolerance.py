"""How far apart rounding alone may bring two ways to compute the same logits: a bound from theory.

Cutting a model changes the order in which sums are taken, nothing else. So whole and cut model are two
roundings of one function, and their difference is what their rounding errors make of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt

# Half of the distance between 1 and the next larger number: IEEE 754, and bfloat16's 8 bits of significand.
UNIT_ROUNDOFF = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
# A layer's results that are stored, and so rounded, one after the other: norm, projection, rotary embedding,
# attention, output projection, residual; norm, projection, activation, product, projection, residual.
_STORED_PER_LAYER = 12
# Of these, the products that are cut by row; each is summed over the ranks, one addition per further rank.
_SUMMED_PER_LAYER = 2
# The chance that rounding alone makes a check of one prompt fail.
_CHANCE = 0.01


@dataclass(frozen=True)
class Tolerance:
    """What rounding explains, in units of the root mean square of what is compared.

    Attributes:
        largest: the largest difference.
        mean: the root mean square of all differences.
    """

    largest: float
    mean: float


def rounding_tolerance(
    dtype: str, layers: int, ranks: int, reduced: int, tokens: int, compared: int
) -> Tolerance:
    """How far apart the logits of a cut and a whole model may be.

    Let `e^2 = stored * u^2 + summed * v^2`, where

    - `u` is the unit roundoff of the dtype that results are stored in, `v` that of float32, in which products
      are summed up also where inputs and result have 16 bits;
    - `stored` is the number of roundings to the dtype on the way from the embedding to a logit: 12 per layer,
      2 more for every rank but the first, and 2 for the last norm and the head;
    - `summed` is the number of additions on that way: `reduced`, the inputs of all products as if each
      followed on the others, and twice `tokens` per layer, for softmax and the weighted values.

    Errors on the way multiply to a product of factors (1 + delta), |delta| <= u. Its logarithm stays within
    `lambda * e` but with probability 2 exp(-lambda^2 / 2): rounding errors are as often up as down, so n of
    them make sqrt(n) u, not n u (Higham and Mary, A New Approach to Probabilistic Rounding Error Analysis,
    SIAM J. Sci. Comput. 41(5), 2019, theorem 2.4). So

    - `largest = 2 lambda e`, twice because both models err, with `lambda = sqrt(2 ln(2 compared / 0.01))`:
      the chance that any one of all compared numbers is beyond is 1 %;
    - `mean = sqrt(2) e`: the variance of an error is at most e^2, and those of two models add. The mean over
      many numbers needs no lambda. It tells more than the largest where 16 bits leave that much room.

    Both take each perturbation to pass through the rest of the network unamplified, relative to the size of
    what it meets, as residual connections and norms are there to see to.

    Args:
        dtype: of the activations: float32, float16 or bfloat16.
        layers: of the model; or how many of them have been passed, to judge hidden states.
        ranks: over which results are summed: 1 where layers are whole.
        reduced: see above.
        tokens: of the sequence.
        compared: how many numbers are compared.
    """
    unit, single = UNIT_ROUNDOFF[dtype], UNIT_ROUNDOFF["float32"]
    stored = layers * (_STORED_PER_LAYER + _SUMMED_PER_LAYER * (ranks - 1)) + 2
    summed = reduced + 2 * tokens * layers
    error = sqrt(stored * unit**2 + summed * single**2)
    return Tolerance(2 * sqrt(2 * log(2 * compared / _CHANCE)) * error, sqrt(2) * error)
