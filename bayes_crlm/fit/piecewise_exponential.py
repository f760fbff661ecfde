"""What users hold: the definition of a model, and its `fit`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.model.definition import ModelDefinition

if TYPE_CHECKING:
    from bayes_crlm.fit.fit import Fit


@dataclass(frozen=True)
class PiecewiseExponential(ModelDefinition):
    """Piecewise-exponential proportional-hazards model.

    Parameters are those of `bayes_crlm.model.definition.ModelDefinition`.
    """

    def fit(
        self,
        cohort: Cohort,
        *,
        draws: int = 1000,
        tune: int = 1000,
        chains: int = 4,
        seed: int | None = None,
        engine: Literal["nuts", "laplace"] = "nuts",
        target_accept: float = 0.8,
        progress: bool = False,
        origin: float | None = None,
        population: Literal["entrants", "before_entry"] = "entrants",
    ) -> "Fit":
        """Draw from the posterior.

        Parameters
        ----------
        cohort : Cohort
            The data.
        draws, tune, chains : int
            Kept draws and warm-up draws of each chain; number of chains.
        seed : int, optional
            The same seed gives the same draws on the same machine.
        engine : {"nuts", "laplace"}
            Hamiltonian Monte Carlo, or importance-sampled draws around the mode.
        target_accept : float
            NUTS' mean acceptance, to which the step size is tuned.
        progress : bool
            Show a progress bar.
        origin : float, optional
            The time that survival is given survival to; see `bayes_crlm.model.origin`. It changes
            no draw.
        population : {"entrants", "before_entry"}
            Whom estimands average over; see `bayes_crlm.estimands.population`.

        Returns
        -------
        Fit

        Raises
        ------
        EstimandError
            When the origin is not a time within follow-up, or there is no such population.
        """
        from bayes_crlm.estimands.population import check_population
        from bayes_crlm.fit.fit import fit_model
        from bayes_crlm.model.origin import check_origin

        inputs = self.prepare(cohort)
        # before the draws are made, not after
        origin = check_origin(origin, inputs)
        check_population(population)
        fit = fit_model(
            self,
            inputs,
            draws=draws,
            tune=tune,
            chains=chains,
            seed=seed,
            engine=engine,
            target_accept=target_accept,
            progress=progress,
        )
        return fit.estimating(origin=origin, population=population)
