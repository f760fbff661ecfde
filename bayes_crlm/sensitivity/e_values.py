"""E-values: how strong an unmeasured confounder must be to explain a hazard ratio away.

A confounder of any kind, one or many, that is associated with the treatment by a risk ratio
RR_EU and with death by RR_UD, shifts a risk ratio by no more than the bounding factor
RR_EU RR_UD / (RR_EU + RR_UD - 1). The E-value is the smallest that both can be when the bound
reaches the observed effect.

References
----------
Ding & VanderWeele (2016), Epidemiology 27:368-377; VanderWeele & Ding (2017), Ann Intern Med
167:268-274; VanderWeele (2020), Biometrics 76:746-752 (hazard ratios of common outcomes).
"""

import math

from bayes_crlm.words.errors import SensitivityError
from bayes_crlm.words.records import record
from bayes_crlm.words.shown import as_written

__all__ = ["EValue", "e_value", "hazard_ratio_e_value", "risk_ratio_of_hazard_ratio"]

LOG_2 = math.log(2.0)


@record
class EValue:
    """E-values of a hazard ratio and of the limit of its interval nearest to another value.

    Attributes
    ----------
    hazard_ratio, low, high : float
        The posterior median (or an estimate) and its interval.
    shifted_to : float
        The hazard ratio that confounding would have to turn it into; 1 for no effect.
    is_common : bool
        Whether the outcome is common, so that hazard ratios were turned into risk ratios.
    risk_ratio, risk_ratio_shifted_to : float
        `hazard_ratio` and `shifted_to` as approximate risk ratios.
    nearest_limit : float
        The limit on the side of `shifted_to`, a hazard ratio.
    e_value, e_value_limit : float
        Risk ratios, 1 or more; `e_value_limit` is 1 when the interval holds `shifted_to`.
    """

    hazard_ratio: float
    low: float
    high: float
    shifted_to: float
    is_common: bool
    risk_ratio: float
    risk_ratio_shifted_to: float
    nearest_limit: float
    e_value: float
    e_value_limit: float


def risk_ratio_of_hazard_ratio(hazard_ratio: float) -> float:
    """Turn the hazard ratio of a common outcome into an approximate risk ratio.

    (1 - 0.5^sqrt(HR)) / (1 - 0.5^sqrt(1/HR)): the approximation is the best in a minimax sense when
    all that is known is that the outcome is common. For a rare outcome (less than 15% by the end
    of follow-up) the hazard ratio is itself a good approximation.

    Parameters
    ----------
    hazard_ratio : float
        0 and infinity are allowed, as limits.

    Raises
    ------
    SensitivityError
        For a negative hazard ratio or one that is not a number.

    References
    ----------
    VanderWeele & Ding (2017), Ann Intern Med 167:268-274, table 2; VanderWeele (2020), Biometrics
    76:746-752.
    """
    check_ratio("hazard ratio", hazard_ratio)
    if hazard_ratio == 0 or math.isinf(hazard_ratio):
        return hazard_ratio
    root = math.sqrt(hazard_ratio)
    return math.expm1(-LOG_2 * root) / math.expm1(-LOG_2 / root)


def e_value(risk_ratio: float, shifted_to: float = 1.0) -> float:
    """Smallest strength of both a confounder's associations that can explain a risk ratio away.

    Parameters
    ----------
    risk_ratio : float
        Observed; below 1 counts as its inverse. 0 and infinity are allowed, as limits.
    shifted_to : float
        The true risk ratio that the observed one would be explained as.

    Returns
    -------
    float
        Risk ratio, 1 or more; infinity for an observed risk ratio of 0 or infinity.

    Raises
    ------
    SensitivityError
        For a negative or missing risk ratio, or a `shifted_to` that is not positive and finite.

    References
    ----------
    VanderWeele & Ding (2017), Ann Intern Med 167:268-274, table 1.
    """
    check_ratio("risk ratio", risk_ratio)
    check_target(shifted_to)
    if risk_ratio == 0 or math.isinf(risk_ratio):
        return math.inf
    ratio = risk_ratio / shifted_to
    ratio = max(ratio, 1 / ratio)
    return ratio + math.sqrt(ratio * (ratio - 1))


def hazard_ratio_e_value(
    hazard_ratio: float, low: float, high: float, shifted_to: float = 1.0, *, is_common: bool = True
) -> EValue:
    """E-values of a hazard ratio and of the limit nearest to no effect (or to another value).

    Parameters
    ----------
    hazard_ratio : float
        Posterior median, or an estimate.
    low, high : float
        Its interval; 0 and infinity are allowed.
    shifted_to : float
        The hazard ratio that confounding would have to turn it into.
    is_common : bool
        Whether more than about 15% have the event by the end of follow-up.

    Raises
    ------
    SensitivityError
        When not 0 <= low <= hazard_ratio <= high with a positive, finite hazard ratio.

    References
    ----------
    VanderWeele & Ding (2017), Ann Intern Med 167:268-274.
    """
    check_target(shifted_to)
    if not (0 <= low <= hazard_ratio <= high and 0 < hazard_ratio < math.inf):
        raise SensitivityError(
            f"hazard ratio {as_written(hazard_ratio)} with limits {as_written(low)} and "
            f"{as_written(high)} is impossible; give 0 <= low <= hazard ratio <= high"
        )
    nearest = low if hazard_ratio > shifted_to else high
    convert = risk_ratio_of_hazard_ratio if is_common else float
    target = convert(shifted_to)
    holds_target = low <= shifted_to <= high
    return EValue(
        hazard_ratio=hazard_ratio,
        low=low,
        high=high,
        shifted_to=shifted_to,
        is_common=is_common,
        risk_ratio=convert(hazard_ratio),
        risk_ratio_shifted_to=target,
        nearest_limit=nearest,
        e_value=e_value(convert(hazard_ratio), target),
        e_value_limit=1.0 if holds_target else e_value(convert(nearest), target),
    )


def check_ratio(name: str, value: float) -> None:
    """Refuse a ratio that is negative or missing."""
    if not value >= 0:
        raise SensitivityError(
            f"{name} {as_written(value)} is impossible; give a number of 0 or more"
        )


def check_target(value: float) -> None:
    """Refuse a ratio that nothing can be shifted to, or divided by."""
    if not 0 < value < math.inf:
        raise SensitivityError(
            f"ratio {as_written(value)} is impossible; give a finite number above 0"
        )
