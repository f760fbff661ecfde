"""How a fit is made: NUTS, or importance sampling around the mode that escalates to NUTS."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bayes_crlm.fit.draws import Importance, PosteriorDraws
from bayes_crlm.inference.ratio_summary import RatioSummary
from bayes_crlm.tasks.blas_threads import one_blas_thread
from bayes_crlm.tasks.streams import new_seed
from bayes_crlm.words.docstrings import require_docstrings
from bayes_crlm.words.errors import SamplingError
from bayes_crlm.words.records import record
from bayes_crlm.words.shown import as_written
from bayes_crlm.words.wording import count_of

if TYPE_CHECKING:
    from bayes_crlm.inference.importance import ImportanceDraws
    from bayes_crlm.inference.nuts import NutsDraws
    from bayes_crlm.model.definition import ModelDefinition
    from bayes_crlm.model.prepared import PreparedCohort

# of NUTS, for a second try when transitions diverged
TARGET_ACCEPT_CAREFUL = 0.99
LIMITS = {
    "chains": (1, 64),
    "draws": (1, 1_000_000),
    "tune": (0, 1_000_000),
    "seed": (0, 2**32 - 1),
}


@record
class Sampling:
    """How a posterior is drawn from; settings that no sampler can work with are refused.

    Attributes
    ----------
    draws, tune, chains : int
        Kept draws and warm-up draws of each chain; number of chains.
    seed : int or None
        Of all randomness; a new one without it.
    engine : {"nuts", "laplace"}
        Hamiltonian Monte Carlo, or importance-sampled draws around the mode.
    target_accept : float
        NUTS' mean acceptance, to which the step size is tuned.
    progress : bool
        Whether a progress bar is shown.

    Raises
    ------
    SamplingError
        One sentence.
    """

    draws: int = 1000
    tune: int = 1000
    chains: int = 4
    seed: int | None = None
    engine: Literal["nuts", "laplace"] = "nuts"
    target_accept: float = 0.8
    progress: bool = False

    def __post_init__(self) -> None:
        """Check every setting."""
        if self.engine not in ("nuts", "laplace"):
            raise SamplingError(f"engine {self.engine!r} is unknown; give 'nuts' or 'laplace'")
        given = self.sizes | ({} if self.seed is None else {"seed": self.seed})
        for name, value in given.items():
            low, high = LIMITS[name]
            is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
            if not (is_whole and low <= value <= high):
                raise SamplingError(
                    f"{name} {value!r}: must be a whole number from {low} to {high}"
                )
        if self.engine == "nuts" and self.tune < 1:
            raise SamplingError("tune 0: NUTS has to find its step size; give 50 or more")
        target = self.target_accept
        if not (isinstance(target, int | float) and 0 < target < 1):
            raise SamplingError(f"target_accept {target!r}: must be a number between 0 and 1")

    @property
    def sizes(self) -> dict[str, Any]:
        """Number of chains, and their draws."""
        return {"chains": self.chains, "draws": self.draws, "tune": self.tune}


@record
class Approximation:
    """What importance sampling around the mode gives, before any file or label is made of it.

    Attributes
    ----------
    drawn : ImportanceDraws or None
        Draws to be used; None where there are none to be trusted.
    problem : str or None
        Why there are none, in words that a sentence can go on after.
    seconds : float
        Wall time.
    """

    drawn: "ImportanceDraws | None"
    problem: str | None
    seconds: float


@record
class HazardRatio:
    """Posterior median of one treatment level's hazard ratio, with its 95% limits."""

    treatment: Any
    median: float
    low: float
    high: float


def approximate(inputs: "PreparedCohort", draws: int, seed: int) -> Approximation:
    """Draw by importance sampling around the mode; needs NumPy and the native library alone.

    Parameters
    ----------
    inputs : PreparedCohort
        A cohort as the model sees it.
    draws : int
        Number of draws.
    seed : int
        Fixes them.

    Returns
    -------
    Approximation
        Without draws where the engine does not serve the model, where no mode is found or a tail
        was not reached, where Pareto k is above 0.7, and where draws, or those at a term's 95%
        limits, are of an effective size below a tenth of their number.
    """
    from bayes_crlm.inference.importance import sample_importance
    from bayes_crlm.inference.layout import why_not_approximated

    started = time.perf_counter()
    drawn, problem = None, why_not_approximated(inputs.block_model)
    if problem is None:
        with one_blas_thread(), memory_for(draws):
            drawn = sample_importance(inputs, draws, seed)
        if not drawn.converged:
            drawn, problem = None, "engine laplace found no approximation of the posterior"
        elif (why := drawn.weighted.problem) is not None:
            drawn, problem = None, f"engine laplace: {why}"
    return Approximation(drawn, problem, time.perf_counter() - started)


@contextmanager
def memory_for(draws: int) -> Generator[None]:
    """Draw meanwhile.

    Raises
    ------
    SamplingError
        In one sentence, where the machine has no memory for so many draws.
    """
    try:
        yield
    except MemoryError:
        raise SamplingError(
            f"there is not enough memory for {count_of(draws, 'draw')}; ask for fewer draws or "
            "chains"
        ) from None


def ratios_of(drawn: "ImportanceDraws", inputs: "PreparedCohort") -> RatioSummary:
    """Summarise the treatment's contrasts, as `PosteriorDraws.treatment_ratios` does."""
    split = inputs.n_treatment_terms
    return RatioSummary(drawn.vectors[:, :split] / inputs.design.scale[:split])


def hazard_ratios_of(drawn: "ImportanceDraws", inputs: "PreparedCohort") -> list[HazardRatio]:
    """Hazard ratios of every treatment level, the numbers that `Fit.hazard_ratios` gives."""
    ratios = zip(inputs.design.levels[1:], ratios_of(drawn, inputs).ratios, strict=True)
    return [HazardRatio(level, *ratio) for level, ratio in ratios]


def refitted_ratios(
    inputs: "PreparedCohort", draws: int, seed: int
) -> list[tuple[float | None, float | None, float | None]]:
    """Medians and limits of a quick refit, for every treatment level; None without draws."""
    drawn = approximate(inputs, draws, seed).drawn
    if drawn is None:
        return [(None, None, None)] * inputs.n_treatment_terms
    return [*ratios_of(drawn, inputs).ratios]


def sample_posterior(
    model: "ModelDefinition",
    inputs: "PreparedCohort",
    sampling: Sampling,
    approximation: Approximation | None = None,
) -> PosteriorDraws:
    """Sample a prepared model; see `bayes_crlm.fit.piecewise_exponential.PiecewiseExponential.fit`.

    `approximation` is that of engine laplace, of the same inputs, draws and seed, when there
    already.
    """
    require_docstrings()
    seed = new_seed() if sampling.seed is None else sampling.seed
    notes: list[str] = []
    if sampling.engine == "laplace":
        if approximation is None:
            approximation = approximate(inputs, sampling.chains * sampling.draws, seed)
        if approximation.drawn is not None:
            return fit_laplace(model, inputs, sampling, seed, approximation)
        notes.append(f"{approximation.problem}: NUTS was used instead")
    tried = 0.0 if approximation is None else approximation.seconds
    with one_blas_thread():
        return fit_nuts(model, inputs, sampling, seed, notes, tried)


def fit_laplace(
    model: "ModelDefinition",
    inputs: "PreparedCohort",
    sampling: Sampling,
    seed: int,
    approximation: Approximation,
) -> PosteriorDraws:
    """Keep the draws of importance sampling, and what they were resampled from.

    Raises
    ------
    ValueError
        When the approximation has no draws.
    """
    drawn = approximation.drawn
    if drawn is None:
        raise ValueError(f"{approximation.problem}: there are no draws")
    statistics = {"importance_pareto_k": drawn.pareto_k, "importance_ess": drawn.ess}
    return PosteriorDraws(
        model=model,
        inputs=inputs,
        vectors=drawn.vectors.reshape(sampling.chains, sampling.draws, -1),
        statistics=statistics,
        engine="laplace",
        seed=seed,
        settings=sampling.sizes,
        seconds={"import": 0.0, "compile": 0.0, "sample": approximation.seconds},
        importance=Importance(
            drawn.pareto_k,
            drawn.ess,
            np.minimum(drawn.weighted.ess_tail, len(drawn.vectors)),
            drawn.scramble,
        ),
        weighted=drawn.weighted,
    )


def fit_nuts(
    model: "ModelDefinition",
    inputs: "PreparedCohort",
    sampling: Sampling,
    seed: int,
    notes: list[str],
    tried: float,
) -> PosteriorDraws:
    """Fit by NUTS, once more with smaller steps when transitions diverged.

    `tried` are seconds in which engine laplace drew in vain.
    """
    started = time.perf_counter()
    from bayes_crlm.inference.native.nutpie_part import compiled_part
    from bayes_crlm.inference.nuts import sample_nuts

    compiled_part()
    seconds_import = time.perf_counter() - started

    def sampled_at(target_accept: float) -> "NutsDraws":
        return sample_nuts(
            inputs,
            **sampling.sizes,
            seed=seed,
            target_accept=target_accept,
            progress=sampling.progress,
        )

    sampled = sampled_at(sampling.target_accept)
    seconds_sample = tried + sampled.seconds_sample
    diverged = int(sampled.statistics["diverging"].sum())
    if diverged and sampling.target_accept < TARGET_ACCEPT_CAREFUL:
        notes = [
            *notes,
            f"{diverged} transitions diverged at target_accept "
            f"{as_written(sampling.target_accept)}: sampled again at "
            f"{as_written(TARGET_ACCEPT_CAREFUL)}, and only those draws are used",
        ]
        sampled = sampled_at(TARGET_ACCEPT_CAREFUL)
        seconds_sample += sampled.seconds_sample
    return PosteriorDraws(
        model=model,
        inputs=inputs,
        vectors=sampled.vectors,
        statistics=sampled.statistics,
        engine="nuts",
        seed=seed,
        settings=sampling.sizes,
        seconds={
            "import": seconds_import,
            # nothing is compiled where the package runs
            "compile": 0.0,
            "sample": seconds_sample,
        },
        notes=tuple(notes),
    )
