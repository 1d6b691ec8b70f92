"""Student's t: how far off is rare when the scale itself is known from few independent values."""

from math import exp, isinf, lgamma, log, log1p

_TINY = 1e-300
_STEPS = 500


def student_quantile(tail: float, freedom: float) -> float:
    """Return the value that Student's t exceeds with probability `tail`, above 0 and at most a half.

    Parameters
    ----------
    tail
        Probability of one side.
    freedom
        Degrees of freedom, above 0 and not necessarily whole.
    """
    if not 0.0 < tail <= 0.5 or not freedom > 0.0 or isinf(freedom):
        raise ValueError("a tail lies between 0 and 1/2, and degrees of freedom are a number above 0")
    low, high = 0.0, 1.0
    while student_tail(high, freedom) > tail and high < 1e150:
        low, high = high, 2.0 * high
    for _ in range(200):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        low, high = (middle, high) if student_tail(middle, freedom) > tail else (low, middle)
    return high


def student_tail(value: float, freedom: float) -> float:
    """Return the probability that Student's t exceeds `value`, which is not negative."""
    square = value * value
    return 0.5 * _incomplete_beta(0.5 * freedom, 0.5, freedom / (freedom + square), square / (freedom + square))


def _incomplete_beta(a: float, b: float, x: float, rest: float) -> float:
    """Return the regularised incomplete beta function at `x`; `rest` is ``1 - x``, free of cancellation."""
    if x <= 0.0 or rest <= 0.0:
        return 0.0 if x <= 0.0 else 1.0
    scale = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * (log(x) if x < 0.5 else log1p(-rest)) + b * log(rest))
    if x < (a + 1.0) / (a + b + 2.0):
        return scale * _fraction(a, b, x) / a
    return 1.0 - scale * _fraction(b, a, rest) / b


def _fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction of the incomplete beta function (Lentz's method; DLMF 8.17.22)."""
    c, d = 1.0, 1.0 / _apart(1.0 - (a + b) * x / (a + 1.0))
    found = d
    for m in range(1, _STEPS):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d, c = 1.0 / _apart(1.0 + step * d), _apart(1.0 + step / c)
            found *= d * c
        if abs(d * c - 1.0) < 1e-15:
            break
    return found


def _apart(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
