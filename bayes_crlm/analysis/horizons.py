"""Times of estimands that a spec leaves open: round numbers within what every arm supports."""

import math

from bayes_crlm.model.arm_follow_up import last_follow_up
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.specification.model import EstimandSpec

# what people count time in, by unit; beyond and below these, 1, 2 and 5 times powers of ten
STEPS = {
    "day": (1, 2, 5, 10, 30, 90, 180, 365, 1825, 3650),
    "week": (1, 2, 4, 13, 26, 52, 260, 520),
    "month": (1, 2, 3, 6, 12, 60, 120),
    "year": (1, 2, 5, 10, 20),
}
# so many of them at least fit between origin and horizon, so that the thirds differ
STEPS_LEAST = 3


def round_step(span: float, unit: str | None) -> float:
    """Find the largest round number of which at least three fit into a span.

    Parameters
    ----------
    span : float
        A length of time.
    unit : str or None
        Its unit, such as "months".
    """
    most = span / STEPS_LEAST
    words = (unit or "").lower().split()
    kind = words[0].rstrip("s") if words else ""
    fitting = [step for step in STEPS.get(kind, ()) if step <= most]
    power = 10.0 ** math.floor(math.log10(most))
    plain = max(digit * power for digit in (1, 2, 5) if digit * power <= most * (1 + 1e-12))
    if not fitting or plain > STEPS[kind][-1]:
        return plain
    return float(fitting[-1])


def default_rmst(inputs: PreparedCohort, origin: float) -> float:
    """Horizon of the restricted mean: round, and no later than any arm's last patient.

    Parameters
    ----------
    inputs : PreparedCohort
        The cohort as the model sees it.
    origin : float
        Where curves begin. An arm of which nobody is followed beyond it sets no limit.
    """
    last = [float(each) for each in last_follow_up(inputs) if each > origin]
    supported = min(last, default=float(inputs.intervals.cutpoints[-1]))
    step = round_step(supported - origin, inputs.cohort.unit)
    return min(as_written(math.floor(supported / step * (1 + 1e-12)) * step), supported)


def default_horizons(origin: float, rmst: float, unit: str | None) -> tuple[float, ...]:
    """A third, two thirds and all of the way from the origin to a horizon, as round numbers."""
    step = round_step(rmst - origin, unit)
    thirds = [origin + (rmst - origin) * k / 3 for k in (1, 2)]
    return (*(as_written(math.floor(each / step + 0.5) * step) for each in thirds), rmst)


def as_written(value: float) -> float:
    """Take off the rounding of a product such as 3 x 0.1."""
    return float(f"{value:.12g}")


def horizon_problems(asked: EstimandSpec, origin: float, last: float) -> list[str]:
    """Say which times that are asked for lie outside of (origin, last].

    Parameters
    ----------
    asked : EstimandSpec
        Horizons and thresholds of what is reported.
    origin, last : float
        Where curves begin, and the last follow-up time.
    """
    rmst = () if asked.rmst is None else (asked.rmst,)
    return [
        f"estimands.{key}: {value!r} "
        + (
            f"lies beyond the last follow-up time {last!r}; give times up to {last!r}"
            if value > last
            else f"does not lie after estimands.origin, {origin!r}, where curves begin; "
            f"give times after {origin!r}"
        )
        for key, values in (("horizons", asked.horizons or ()), ("rmst", rmst))
        for value in values
        if not origin < value <= last
    ]
