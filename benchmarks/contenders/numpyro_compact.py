"""NumPyro's NUTS in double precision on one row a patient: the model written by hand, and well."""

import os
import time
from typing import Any

import numpy as np
from job import BASELINE_SD, EFFECT_SD, Cohort, Outcome, Settings, contend, outcome_of_draws

# JAX shows one processor for every chain, so that chains run side by side on the real ones
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
os.environ["JAX_PLATFORMS"] = "cpu"


def load() -> None:
    """Import what the script of a user imports."""
    import jax
    import numpyro  # noqa: F401

    jax.config.update("jax_enable_x64", True)


def model(data: dict[str, Any]) -> None:
    """Priors, and the log-likelihood sum d log h - H of one row a patient."""
    import jax.numpy as jnp
    import numpyro
    from numpyro.distributions import Normal

    width = data["width"]
    log_hazard = numpyro.sample(
        "log_hazard", Normal(data["log_rate"], BASELINE_SD).expand([len(width)]).to_event(1)
    )
    n_columns = data["design"].shape[1]
    effect = numpyro.sample("effect", Normal(0.0, EFFECT_SD).expand([n_columns]).to_event(1))
    hazard = jnp.exp(log_hazard)
    reached = jnp.concatenate([jnp.zeros(1), jnp.cumsum(hazard * width)[:-1]])
    interval = data["stop_interval"]
    linear_predictor = data["design"] @ effect
    cumulative = reached[interval] + hazard[interval] * data["stop_within"]
    log_likelihood = data["event"] * (log_hazard[interval] + linear_predictor)
    numpyro.factor(
        "log_likelihood", jnp.sum(log_likelihood - cumulative * jnp.exp(linear_predictor))
    )


def fit(cohort: Cohort, settings: Settings, previous: Any) -> Outcome:
    """Sample; a refit of the same shape takes the compiled functions of the first fit."""
    import jax
    from numpyro.infer import MCMC, NUTS

    began = time.perf_counter()
    data = {
        "design": cohort.design,
        "event": cohort.event.astype(float),
        "stop_interval": cohort.stop_interval,
        "stop_within": cohort.time - cohort.cutpoints[cohort.stop_interval],
        "width": np.diff(cohort.cutpoints),
        "log_rate": np.float64(cohort.log_rate),
    }
    sampler = previous
    if sampler is None:
        sampler = MCMC(
            NUTS(model),
            num_warmup=settings.tune,
            num_samples=settings.draws,
            num_chains=settings.chains,
            progress_bar=False,
            jit_model_args=True,
        )
    sampler.run(jax.random.key(settings.seed), data, extra_fields=("num_steps", "diverging"))
    draws = np.asarray(sampler.get_samples(group_by_chain=True)["effect"])
    took = time.perf_counter() - began
    statistics = sampler.get_extra_fields()
    return outcome_of_draws(
        draws,
        seconds=took,
        # `run` compiles and samples: only a refit is sampling alone
        seconds_sample=None if previous is None else took,
        gradients=int(statistics["num_steps"].sum()),
        divergences=int(statistics["diverging"].sum()),
        reusable=sampler,
    )


if __name__ == "__main__":
    contend(load, fit)
