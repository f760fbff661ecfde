"""Families of priors as small values: density, curvature, draws.

A family of an unknown on the real line has a log density with its second derivative, draws, and a
normal that stands in for it where an engine needs one (`stand_in`). A family of a scale has a log
density on the positive numbers, and draws. PyMC's own densities, of which
`bayes_crlm.model.pymc_model` makes the model, are what tests hold them against.
"""

import math
from dataclasses import fields
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.words.records import record
from bayes_crlm.words.shown import as_written

LOG_2PI = math.log(2 * math.pi)


@record
class Numbers:
    """A family with its numbers, in the order in which a spec writes them."""

    family: ClassVar[str]
    roles: ClassVar[tuple[str, ...]]

    @property
    def parameters(self) -> dict[str, Any]:
        """Numbers by the names that the model's data containers give them."""
        numbers = [getattr(self, each.name) for each in fields(self)]
        return dict(zip(self.roles, numbers, strict=False))

    def describe(self) -> str:
        """Say the prior in the way the spec writes it."""
        return f"{self.family}({', '.join(map(as_written, self.parameters.values()))})"


@record
class Normal(Numbers):
    """Normal prior of a log hazard ratio."""

    mean: float
    sd: float
    note: str | None = None

    family: ClassVar[str] = "normal"
    roles: ClassVar[tuple[str, ...]] = ("mean", "scale")

    def log_density(self, effect: NDArray) -> NDArray:
        """Elementwise log density at log hazard ratios of any shape."""
        return -0.5 * ((effect - self.mean) / self.sd) ** 2 - math.log(self.sd) - 0.5 * LOG_2PI

    def curvature(self, effect: NDArray) -> NDArray:
        """Elementwise second derivative of the log density."""
        return np.full_like(effect, -1 / self.sd**2)

    def draw(self, rng: np.random.Generator, size: tuple[int, ...]) -> NDArray:
        """Draw log hazard ratios of the given shape."""
        return rng.normal(self.mean, self.sd, size)

    def stand_in(self) -> "Normal":
        """Normal of about the same spread: its log density is concave and smooth."""
        return self


@record
class StudentT(Numbers):
    """Student t prior of a log hazard ratio: a normal with heavier tails."""

    degrees_of_freedom: float
    location: float
    scale: float

    family: ClassVar[str] = "student_t"
    roles: ClassVar[tuple[str, ...]] = ("nu", "mean", "scale")

    def log_density(self, effect: NDArray) -> NDArray:
        """Elementwise log density at log hazard ratios of any shape."""
        nu = self.degrees_of_freedom
        constant = (
            math.lgamma((nu + 1) / 2)
            - math.lgamma(nu / 2)
            - 0.5 * math.log(nu * math.pi)
            - math.log(self.scale)
        )
        standardised = (effect - self.location) / self.scale
        return constant - (nu + 1) / 2 * np.log1p(standardised**2 / nu)

    def curvature(self, effect: NDArray) -> NDArray:
        """Elementwise second derivative of the log density."""
        nu = self.degrees_of_freedom
        distance = effect - self.location
        spread = nu * self.scale**2
        return -(nu + 1) * (spread - distance**2) / (spread + distance**2) ** 2

    def draw(self, rng: np.random.Generator, size: tuple[int, ...]) -> NDArray:
        """Draw log hazard ratios of the given shape."""
        return self.location + self.scale * rng.standard_t(self.degrees_of_freedom, size)

    def stand_in(self) -> Normal:
        """Normal of about the same spread: its log density is concave and smooth."""
        # variances do not exist below two degrees of freedom; the middle half does
        return Normal(self.location, self.scale * math.sqrt(1 + 2 / self.degrees_of_freedom))


@record
class Laplace(Numbers):
    """Double-exponential prior of a log hazard ratio."""

    location: float
    scale: float

    family: ClassVar[str] = "laplace"
    roles: ClassVar[tuple[str, ...]] = ("mean", "scale")

    def log_density(self, effect: NDArray) -> NDArray:
        """Elementwise log density at log hazard ratios of any shape."""
        return -np.abs(effect - self.location) / self.scale - math.log(2 * self.scale)

    def curvature(self, effect: NDArray) -> NDArray:
        """Elementwise second derivative of the log density away from the kink: 0."""
        return np.zeros_like(effect)

    def draw(self, rng: np.random.Generator, size: tuple[int, ...]) -> NDArray:
        """Draw log hazard ratios of the given shape."""
        return rng.laplace(self.location, self.scale, size)

    def stand_in(self) -> Normal:
        """Normal of about the same spread: its log density is concave and smooth."""
        return Normal(self.location, math.sqrt(2) * self.scale)


@record
class NormalMixture(Numbers):
    """Mixture of normals, such as a robust prior from earlier data: one part vague.

    References
    ----------
    Schmidli, Gsteiger, Roychoudhury, O'Hagan, Spiegelhalter & Neuenschwander (2014), Biometrics
    70:1023-1032.
    """

    weights: tuple[float, ...]
    means: tuple[float, ...]
    sds: tuple[float, ...]

    family: ClassVar[str] = "normal_mixture"
    roles: ClassVar[tuple[str, ...]] = ("weight", "mean", "scale")

    def describe(self) -> str:
        """Say the prior in words."""
        parts = [
            f"{as_written(weight)} normal({as_written(mean)}, {as_written(sd)})"
            for weight, mean, sd in zip(self.weights, self.means, self.sds, strict=True)
        ]
        return " + ".join(parts)

    def parts(self, effect: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        """Log density; the parts' shares of it; each part's slope, on a last axis of parts."""
        standardised = (effect[..., None] - self.array[1]) / self.array[2]
        each = np.log(self.array[0] / self.array[2]) - 0.5 * standardised**2 - 0.5 * LOG_2PI
        most = each.max(axis=-1, keepdims=True)
        total = most[..., 0] + np.log(np.exp(each - most).sum(axis=-1))
        return total, np.exp(each - total[..., None]), -standardised / self.array[2]

    @cached_property
    def array(self) -> NDArray[np.float64]:
        """Weights, means and standard deviations, shape (3, parts)."""
        return np.array([self.weights, self.means, self.sds])

    def log_density(self, effect: NDArray) -> NDArray:
        """Elementwise log density at log hazard ratios of any shape."""
        return self.parts(effect)[0]

    def curvature(self, effect: NDArray) -> NDArray:
        """Elementwise second derivative of the log density."""
        _, share, slope = self.parts(effect)
        mean = (share * slope).sum(axis=-1)
        return (share * (slope**2 - self.array[2] ** -2)).sum(axis=-1) - mean**2

    def draw(self, rng: np.random.Generator, size: tuple[int, ...]) -> NDArray:
        """Draw log hazard ratios of the given shape."""
        part = rng.choice(len(self.weights), size, p=self.array[0] / self.array[0].sum())
        return self.array[1][part] + self.array[2][part] * rng.standard_normal(size)

    def stand_in(self) -> Normal:
        """Normal with the mixture's mean and variance."""
        weights, means, sds = self.array
        mean = float(weights @ means)
        return Normal(mean, math.sqrt(float(weights @ (sds**2 + (means - mean) ** 2))))


Family = Normal | StudentT | Laplace | NormalMixture


@record
class HalfNormal(Numbers):
    """Positive half of a normal around 0: prior of a scale."""

    scale: float

    family: ClassVar[str] = "half_normal"
    roles: ClassVar[tuple[str, ...]] = ("scale",)

    def log_density(self, value: NDArray) -> NDArray:
        """Elementwise log density at positive numbers of any shape."""
        constant = 0.5 * math.log(2 / math.pi) - math.log(self.scale)
        return constant - 0.5 * (value / self.scale) ** 2

    def draw(self, rng: np.random.Generator, size: tuple[int, ...]) -> NDArray:
        """Draw scales of the given shape."""
        return np.abs(rng.normal(0.0, self.scale, size))


@record
class HalfStudentT(Numbers):
    """Positive half of a Student t around 0: prior of a scale.

    References
    ----------
    Gelman (2006), Bayesian Anal 1:515-534.
    """

    degrees_of_freedom: float
    scale: float

    family: ClassVar[str] = "half_student_t"
    roles: ClassVar[tuple[str, ...]] = ("nu", "scale")

    @property
    def whole(self) -> StudentT:
        """The Student t of which this is the positive half."""
        return StudentT(self.degrees_of_freedom, 0.0, self.scale)

    def log_density(self, value: NDArray) -> NDArray:
        """Elementwise log density at positive numbers of any shape."""
        return math.log(2) + self.whole.log_density(value)

    def draw(self, rng: np.random.Generator, size: tuple[int, ...]) -> NDArray:
        """Draw scales of the given shape."""
        return np.abs(self.whole.draw(rng, size))


@record
class HalfCauchy(Numbers):
    """Positive half of a Cauchy around 0: prior of a scale."""

    scale: float

    family: ClassVar[str] = "half_cauchy"
    roles: ClassVar[tuple[str, ...]] = ("scale",)

    def log_density(self, value: NDArray) -> NDArray:
        """Elementwise log density at positive numbers of any shape."""
        return math.log(2 / (math.pi * self.scale)) - np.log1p((value / self.scale) ** 2)

    def draw(self, rng: np.random.Generator, size: tuple[int, ...]) -> NDArray:
        """Draw scales of the given shape."""
        return np.abs(self.scale * rng.standard_cauchy(size))


ScaleFamily = HalfNormal | HalfStudentT | HalfCauchy
