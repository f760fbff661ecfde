"""stanli: the compact model from one CSV file to the posterior of the hazard ratio.

Usage: ``python stanli_compact.py FILE CUTPOINT [CUTPOINT ...]``; prints mean and standard deviation
of the treatment's log hazard ratio.
"""

import sys

import numpy as np
import pandas as pd
import stanli

PROGRAM = """
data {
  int<lower=1> n; int<lower=1> p; int<lower=1> j;
  matrix[n, p] x; vector[n] event; vector[n] within; array[n] int<lower=1> interval;
  vector[j] width; vector[j] events; real log_rate;
}
parameters { vector[p] beta; vector[j] log_hazard; }
model {
  vector[j] hazard = exp(log_hazard);
  vector[j] before = cumulative_sum(hazard .* width) - hazard .* width;
  vector[n] eta = x * beta;
  beta ~ normal(0, 1);
  log_hazard ~ normal(log_rate, 2);
  target += dot_product(events, log_hazard) + dot_product(event, eta)
            - dot_product(exp(eta), before[interval] + hazard[interval] .* within);
}
"""
DRAWS, TUNE, CHAINS = 2000, 1000, 4


def main(path: str, cutpoints: list[float]) -> None:
    """Read, cut, sample."""
    table = pd.read_csv(path)
    columns = [name for name in table if name not in ("time", "event")]
    x = table[columns].to_numpy(float)
    x -= x.mean(axis=0)
    x[:, 1:] /= x[:, 1:].std(axis=0)
    time, event = table["time"].to_numpy(), table["event"].to_numpy(float)
    edges = np.array([0.0, *cutpoints])
    interval = np.searchsorted(cutpoints, time, side="left")
    width = np.append(np.diff(edges), time.max() - edges[-1])
    data = {
        "n": len(table), "p": len(columns), "j": len(edges), "x": x.tolist(),
        "event": event.tolist(), "within": (time - edges[interval]).tolist(),
        "interval": (interval + 1).tolist(), "width": width.tolist(),
        "events": np.bincount(interval, event, len(edges)).tolist(),
        "log_rate": float(np.log(event.sum() / time.sum())),
    }  # fmt: skip
    model = stanli.Model(stan_code=PROGRAM, data=data)
    fit = model.sample(chains=CHAINS, seed=1, warmup=TUNE, samples=DRAWS, refresh=0)
    draws = np.asarray(fit["beta"])
    draws = draws.reshape(-1, draws.shape[-1])[:, 0]
    print(draws.mean(), draws.std())


if __name__ == "__main__":
    main(sys.argv[1], [float(each) for each in sys.argv[2:]])
