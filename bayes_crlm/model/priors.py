"""Priors as small values: what they are, in words, their density, and draws from them.

Effects are log hazard ratios on the sampling scale: every column centred, and columns
with more than two values divided by their standard deviation. A prior family has
one implementation of its density here (NumPy) and one in the `pm.Model`
(`bayes_crlm.fit.piecewise_exponential`); tests hold them against each other.
"""

import math
import re
from collections.abc import Callable
from typing import ClassVar, Literal

from bayes_crlm.model.families import Laplace, Normal, Numbers, StudentT
from bayes_crlm.words.errors import PriorError
from bayes_crlm.words.records import record
from bayes_crlm.words.shown import as_written, significant
from bayes_crlm.words.wording import count_of, shown

# Far beyond what anybody believes of a log hazard ratio or of patients at risk, and well within
# what double precision can square: outside them sums lose every digit or overflow.
LIMITS = {
    "mean": (-20.0, 20.0),
    "scale": (1e-8, 1e8),
    "nu": (0.1, 1e8),
    "weight": (1e-8, 1e8),
}
IN_WORDS = {
    "mean": "its median",
    "scale": "its scale",
    "nu": "its degrees of freedom",
    "weight": "its weight",
}
HALF_WIDTH_95 = 1.959963984540054


@record
class Horseshoe(Numbers):
    """Horseshoe prior of many covariate effects, most of them thought near zero.

    effect_k = global x local_k x z_k with z_k ~ Normal(0, 1), local_k ~
    HalfCauchy(1) and global ~ HalfCauchy(scale).

    References
    ----------
    Carvalho, Polson & Scott (2010), Biometrika 97:465-480.
    """

    scale: float

    family: ClassVar[str] = "horseshoe"
    roles: ClassVar[tuple[str, ...]] = ("scale",)


SimplePrior = Normal | StudentT | Laplace
EffectPrior = SimplePrior | Horseshoe


def simple_prior(prior: EffectPrior) -> SimplePrior:
    """Take a prior that has a density of its own, without scales that are unknowns too.

    Raises
    ------
    TypeError
        For a horseshoe.
    """
    if isinstance(prior, Horseshoe):
        raise TypeError(f"{prior.describe()} has no density without its scales")
    return prior


def hazard_ratio_prior(median: float, low: float, high: float) -> Normal:
    """Normal prior of a log hazard ratio from a published ratio and its 95% limits.

    Parameters
    ----------
    median, low, high : float
        Hazard ratio and the 2.5% and 97.5% points; the limits decide.

    Returns
    -------
    Normal
        Its `note` says so when the median is not the one that the limits imply.

    Raises
    ------
    PriorError
        When not 0 < low < median < high.
    """
    if not 0 < low < median < high:
        raise PriorError(
            f"hr({as_written(median)}, {as_written(low)}, {as_written(high)}) is impossible; "
            "give hr(median, low, high) with 0 < low < median < high"
        )
    mean = (math.log(low) + math.log(high)) / 2
    sd = (math.log(high) - math.log(low)) / (2 * HALF_WIDTH_95)
    implied = math.exp(mean)
    note = None
    if abs(math.log(median / implied)) > math.log(1.1):
        note = (
            f"prior hr({as_written(median)}, {as_written(low)}, {as_written(high)}): the normal "
            "with these 95% limits has its "
            f"median at {significant(implied, 3)}, not at {as_written(median)}; the limits were "
            "used"
        )
    return Normal(mean, sd, note)


def check_limits(parameter: str, value: float, text: str) -> None:
    """Refuse a parameter that nobody means and that arithmetic cannot hold.

    Parameters
    ----------
    parameter : {"mean", "scale", "nu", "weight"}
        As the model's data containers name it.
    value : float
        The parameter's value.
    text : str
        What messages call the prior.

    Raises
    ------
    PriorError
    """
    low, high = LIMITS[parameter]
    if not low <= value <= high:
        raise PriorError(
            f"{text} cannot be used: {IN_WORDS[parameter]} {as_written(value)} must lie between "
            f"{as_written(low)} "
            f"and {as_written(high)}"
        )


def checked(make: Callable[..., EffectPrior], *positive: str) -> Callable[..., EffectPrior]:
    """Let a prior be made only where some of its numbers are above 0: what they are, by role."""

    def construct(*numbers: float) -> EffectPrior:
        prior = make(*numbers)
        for role in positive:
            value = prior.parameters[role]
            if not value > 0:
                name = "its standard deviation" if make is Normal else IN_WORDS[role]
                raise PriorError(
                    f"{prior.describe()} is impossible; {name} {as_written(value)} must be above 0"
                )
        return prior

    return construct


CONSTRUCTORS: dict[str, tuple[Callable[..., EffectPrior], tuple[str, ...]]] = {
    "normal": (checked(Normal, "scale"), ("mean", "sd")),
    "student_t": (checked(StudentT, "nu", "scale"), ("nu", "mean", "scale")),
    "laplace": (checked(Laplace, "scale"), ("mean", "scale")),
    "horseshoe": (checked(Horseshoe, "scale"), ("scale",)),
    "hr": (hazard_ratio_prior, ("median", "low", "high")),
}
CALL = re.compile(r"\s*([A-Za-z_]\w*)\s*\(([^()]*)\)\s*", re.ASCII)


def parse_prior(
    prior: str | EffectPrior, role: Literal["treatment", "covariates"] = "covariates"
) -> EffectPrior:
    """Read a prior written as in a spec, such as ``normal(0, 1)``.

    Parameters
    ----------
    prior : str or prior value
        ``normal(m, s)``, ``student_t(nu, m, s)``, ``laplace(m, b)``,
        ``horseshoe(scale)`` or ``hr(median, low, high)``; a value is returned as it is.
    role : {"treatment", "covariates"}
        Whose prior it is: a horseshoe is for covariates only.

    Raises
    ------
    PriorError
        One sentence: an unknown family, a wrong count of numbers, an impossible value.
    """
    if not isinstance(prior, str | SimplePrior | Horseshoe):
        raise PriorError(
            f"prior {shown(prior)} is not understood; write for example 'normal(0, 1)' "
            "or 'hr(0.5, 0.25, 1.0)'"
        )
    if not isinstance(prior, str):
        parsed: EffectPrior = prior
    else:
        written = prior if len(prior) <= 60 else prior[:57] + "..."
        match = CALL.fullmatch(prior)
        if match is None:
            raise PriorError(
                f"prior {written!r} is not understood; write for example 'normal(0, 1)' "
                "or 'hr(0.5, 0.25, 1.0)'"
            )
        name, inside = match.groups()
        if name not in CONSTRUCTORS:
            raise PriorError(
                f"prior {written!r} is of an unknown family {name!r}; give one of "
                f"{', '.join(CONSTRUCTORS)}"
            )
        construct, parameters = CONSTRUCTORS[name]
        numbers = [to_number(part, written) for part in inside.split(",")] if inside.strip() else []
        if len(numbers) != len(parameters):
            raise PriorError(
                f"prior {written!r} has {count_of(len(numbers), 'number')}; "
                f"write {name}({', '.join(parameters)})"
            )
        parsed = construct(*numbers)
    for parameter, value in parsed.parameters.items():
        check_limits(parameter, value, f"prior {prior if isinstance(prior, str) else parsed}")
    if role == "treatment" and isinstance(parsed, Horseshoe):
        raise PriorError(
            "prior of the treatment: a horseshoe shrinks many effects towards zero and is for "
            "covariates only; give a normal, student_t, laplace or hr prior"
        )
    return parsed


def to_number(text: str, prior: str) -> float:
    """Read one number of a prior."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or "_" in text:
        raise PriorError(f"prior {prior!r}: {text.strip()!r} is not a finite number")
    return value
