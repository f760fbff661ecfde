"""How well ``engine = "laplace"`` serves terms built by hand of blocks.

Usage: ``python benchmarks/built_terms.py [--cohorts 200] [--nuts 5] [--rows NAME ...]``. Every row
is a kind of term: centres whose hazards differ, pairs, an effect that changes with time, pooled
subgroups, strata. For simulated cohorts it counts those whose weights may be used (Pareto k at most
0.7, an effective sample size of at least 10% of the draws); for the first few, 20,000 draws are
held against long chains of NUTS. Every cohort is stored at once in
``benchmarks/results/built_terms.json``; another run goes on where the last one stopped. ``--table``
only writes the table of ``docs/engines.md`` again.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# one thread: processor time is then that of one core
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from bayes_crlm.inference.importance import sample_model
from bayes_crlm.inference.layout import why_not_approximated
from bayes_crlm.likelihood.follow_up import cut_follow_up
from bayes_crlm.likelihood.survival_data import SurvivalData
from bayes_crlm.model.baseline_priors import LogTimeWalk
from bayes_crlm.model.density import BlockModel, constrain, log_hazards_of
from bayes_crlm.model.families import HalfNormal, Normal
from bayes_crlm.model.terms.baseline import baseline_block, event_shares
from bayes_crlm.model.terms.blocks import UNIT, Block, Cells, Columns, Grouping
from bayes_crlm.model.terms.walks import Walk

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "built_terms.json"
PAGE = HERE.parent / "docs" / "engines.md"
BEGIN, END = "<!-- built_terms: begin -->", "<!-- built_terms: end -->"

DRAWS, DRAWS_BESIDE_NUTS = 4000, 20_000
CHAINS, TUNE, NUTS_DRAWS = 4, 1000, 5000
MOST_K, LEAST_ESS = 0.7, 0.1
LOG_HR = -0.5


def simulate(rng: np.random.Generator, log_relative: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Follow-up of patients with a hazard that falls with time, censored after 1 to 5 years."""
    death = (rng.exponential(np.exp(-log_relative)) / 0.08) ** 1.25
    stop = rng.uniform(12, 60, len(log_relative))
    return np.minimum(death, stop) + 1e-3, (death <= stop).astype(float)


def model_of(
    rng: np.random.Generator,
    log_relative: np.ndarray,
    columns: list[np.ndarray],
    make: Callable[[SurvivalData, np.ndarray], list[Block]],
    **rows: Any,
) -> BlockModel:
    """Build a model of simulated rows: effects, the default baseline, and what `make` adds.

    Columns beyond the treatment and two covariates belong to the added blocks.
    """
    stop, event = simulate(rng, log_relative)
    n_intervals = int(np.clip(event.sum() // 2, 1, 20))
    inner = np.quantile(stop[event > 0], np.arange(1, n_intervals) / n_intervals)
    cutpoints = np.unique(np.concatenate([[0.0], inner, [stop.max()]]))
    design = np.column_stack(columns)
    data = SurvivalData(
        follow_up=cut_follow_up(np.zeros_like(stop), stop, cutpoints),
        event=event,
        design=design - design.mean(axis=0),
        patient_index=np.arange(len(stop)),
        n_patients=len(stop),
        **rows,
    )
    cells = Cells.of_strata(data.stratum_of_class)
    log_rate = float(np.log(event.sum() / stop.sum()))
    baseline = baseline_block(
        LogTimeWalk(), cells, cells.loading.T @ data.events_per_cell, cutpoints,
        earliest=0.0, log_rate=log_rate,
    )  # fmt: skip
    effects = Block("effect", Columns(0, 3), (Normal(0.0, 1.0),) * 3)
    return BlockModel((effects, baseline, *make(data, cutpoints)), data)


def patients(rng: np.random.Generator, n: int) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Treatment, columns of treatment and covariates, and log relative hazards."""
    treated = rng.permutation(np.arange(n) % 2).astype(float)
    covariates = rng.normal(size=(2, n))
    return treated, [treated, *covariates], LOG_HR * treated + 0.3 * covariates[0]


def groups(rng: np.random.Generator, group: np.ndarray, spread: float = 0.5) -> BlockModel:
    """Patients in groups whose hazards differ by factors."""
    count = int(group.max()) + 1
    _, columns, log_relative = patients(rng, len(group))
    log_relative += spread * rng.normal(size=count)[group]
    block = Block("centre_effect", Grouping(0), (UNIT,) * count, HalfNormal(1.0))
    return model_of(
        rng, log_relative, columns, lambda *_: [block], groups=(group,), group_counts=(count,)
    )


def centres(rng: np.random.Generator, n: int) -> BlockModel:
    """Six centres, the smallest with a patient and the largest with nearly half of all."""
    share = np.array([0.45, 0.25, 0.15, 0.08, 0.05])
    sizes = np.maximum(1, np.floor(share * n).astype(int))
    return groups(rng, rng.permutation(np.repeat(np.arange(6), [*sizes, n - sizes.sum()])))


def over_time(rng: np.random.Generator, n: int) -> BlockModel:
    """An effect of the treatment that changes with time, beside the overall effect."""
    treated, columns, log_relative = patients(rng, n)
    level = treated.astype(int)

    def make(data: SurvivalData, cutpoints: np.ndarray) -> list[Block]:
        variances = LogTimeWalk().step_variances(cutpoints, 0.0)
        walk = Walk(variances, event_shares(data.events_per_interval[None]))
        loading = np.array([[-treated.mean()], [1 - treated.mean()]])
        steps = (UNIT,) * len(variances)
        return [Block("over_time", Cells(loading), steps, HalfNormal(0.5), walk)]

    two = {"row_class": level, "stratum_of_class": np.zeros(2, dtype=int)}
    return model_of(rng, log_relative, columns, make, **two)


def subgroups(rng: np.random.Generator, n: int, count: int, strata: int = 1) -> BlockModel:
    """Subgroups with pooled deviations from the overall effect; and strata."""
    treated, columns, log_relative = patients(rng, n)
    group, stratum = rng.integers(count, size=n), np.arange(n) % strata
    centred = treated - treated.mean()
    columns += [(group == k) * centred for k in range(count)]
    log_relative += 0.3 * rng.normal(size=count)[group] * treated
    log_relative += 0.5 * rng.normal(size=strata)[stratum]
    pooled = Block("subgroup", Columns(3, 3 + count), (UNIT,) * count, HalfNormal(0.5))
    rows = {"row_class": stratum, "stratum_of_class": np.arange(strata)}
    return model_of(rng, log_relative, columns, lambda *_: [pooled], **rows)


def centres_in_strata(rng: np.random.Generator, count: int, strata: int) -> BlockModel:
    """Small centres whose hazards differ, beside strata with baselines of their own."""
    _, columns, log_relative = patients(rng, 5 * count)
    group, stratum = np.repeat(np.arange(count), 5), rng.integers(strata, size=5 * count)
    log_relative += 0.5 * rng.normal(size=count)[group]
    log_relative += 0.5 * rng.normal(size=strata)[stratum]
    block = Block("centre_effect", Grouping(0), (UNIT,) * count, HalfNormal(1.0))
    rows = {"row_class": stratum, "stratum_of_class": np.arange(strata)}
    groups = {"groups": (group,), "group_counts": (count,)}
    return model_of(rng, log_relative, columns, lambda *_: [block], **rows, **groups)


ROWS: dict[str, Callable[[np.random.Generator], BlockModel]] = {
    "6 centres, n = 60": lambda rng: centres(rng, 60),
    "6 centres, n = 135": lambda rng: centres(rng, 135),
    "30 centres of 5": lambda rng: groups(rng, np.repeat(np.arange(30), 5)),
    "70 pairs": lambda rng: groups(rng, np.repeat(np.arange(70), 2)),
    "effect over time, n = 60": lambda rng: over_time(rng, 60),
    "effect over time, n = 135": lambda rng: over_time(rng, 135),
    "4 subgroups": lambda rng: subgroups(rng, 135, 4),
    "5 strata + 3 subgroups": lambda rng: subgroups(rng, 135, 3, 5),
    "30 centres of 5 in 3 strata": lambda rng: centres_in_strata(rng, 30, 3),
}
ROW_SEEDS = {name: k for k, name in enumerate(ROWS)}


def measure(name: str, number: int) -> dict[str, Any]:
    """Draw from one cohort's posterior and weigh the draws."""
    model = ROWS[name](np.random.default_rng([number, ROW_SEEDS[name]]))
    why = why_not_approximated(model)
    if why is not None:
        raise ValueError(why)
    began = time.process_time()
    drawn = sample_model(model, DRAWS, np.random.default_rng([number, 99]))
    seconds = time.process_time() - began
    record = {"part": "weights", "row": name, "cohort": number, "seconds": seconds}
    if drawn is None:
        return record | {"pareto_k": None, "ess_share": 0.0}
    return record | {"pareto_k": drawn.pareto_k, "ess_share": drawn.ess / DRAWS}


def compare(name: str, number: int) -> dict[str, Any]:
    """Hold one cohort's draws against long chains: log-hazards and log hazard ratios."""
    from bayes_crlm.inference.nuts import sample_blocks

    model = ROWS[name](np.random.default_rng([number, ROW_SEEDS[name]]))
    drawn = sample_model(model, DRAWS_BESIDE_NUTS, np.random.default_rng([number, 98]))
    record: dict[str, Any] = {"part": "nuts", "row": name, "cohort": number}
    if drawn is None:
        return record
    sampled = sample_blocks(
        model, [(None, CHAINS)], draws=NUTS_DRAWS, tune=TUNE, seed=number, target_accept=0.9
    )
    quick = hazards(drawn.vectors, model)
    slow = hazards(sampled.vectors.reshape(-1, sampled.vectors.shape[-1]), model)
    weight = np.where(np.isfinite(quick).all(axis=1), drawn.weight, 0.0)
    quick = np.nan_to_num(quick)
    mean, sd = slow.mean(axis=0), slow.std(axis=0)
    own = weight @ quick
    own_sd = np.sqrt(weight @ (quick - own) ** 2)
    limits = np.quantile(slow, [0.025, 0.975], axis=0)
    own_limits = np.stack([weighted_limits(each, weight) for each in quick.T], axis=1)
    return record | {
        "mean": float(np.abs((own - mean) / sd)[:3].max()),
        "sd": float(np.abs(own_sd / sd - 1)[:3].max()),
        "limits": float(np.abs((own_limits - limits) / sd)[:, :3].max()),
        "mean_all": float(np.abs((own - mean) / sd).max()),
        "divergences": int(np.sum(sampled.statistics["diverging"])),
    }


def hazards(vectors: np.ndarray, model: BlockModel) -> np.ndarray:
    """Log hazard ratios of the columns and log-hazards of the table, one row a draw."""
    at = log_hazards_of(constrain(vectors, model.parameters), model)
    return np.concatenate([at.effect, at.cells.reshape(len(vectors), -1)], axis=1)


def weighted_limits(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted 2.5% and 97.5% points."""
    order = np.argsort(values)
    middle = np.cumsum(weight[order]) - weight[order] / 2
    return np.interp([0.025, 0.975], middle, values[order])


def works(record: dict[str, Any]) -> bool:
    """Whether a cohort's weights may be used."""
    k = record["pareto_k"]
    return k is not None and k <= MOST_K and record["ess_share"] >= LEAST_ESS


def table(records: list[dict[str, Any]]) -> str:
    """Summarise all rows as a Markdown table."""
    lines = [
        "| term | cohorts | k at most 0.7 and ESS at least 10% | ESS, median | seconds, median | "
        "mean, sd, limits against NUTS |",
        "|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        some = [each for each in records if each["row"] == row and each["part"] == "weights"]
        if not some:
            continue
        share = np.mean([works(each) for each in some])
        ess = np.median([each["ess_share"] for each in some])
        seconds = np.median([each["seconds"] for each in some])
        beside = [each for each in records if each["row"] == row and "mean" in each]
        told = ""
        if beside:
            mean, sd, limits = (
                max(each[key] for each in beside) for key in ("mean", "sd", "limits")
            )
            told = f"{mean:.3f} sd, {sd:.1%}, {limits:.2f} sd ({len(beside)} cohorts)"
        lines.append(f"| {row} | {len(some)} | {share:.1%} | {ess:.0%} | {seconds:.2f} | {told} |")
    return "\n".join(lines)


def run(cohorts: int, nuts: int, names: list[str]) -> None:
    """Measure what is not there yet."""
    records = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    done = {(each["part"], each["row"], each["cohort"]) for each in records}
    for name in names:
        wanted = [(measure, "weights", number) for number in range(cohorts)]
        wanted += [(compare, "nuts", number) for number in range(nuts)]
        for what, part, number in wanted:
            if (part, name, number) not in done:
                records.append(what(name, number))
                store(records)
        print(table([each for each in records if each["row"] == name]).splitlines()[-1], flush=True)


def store(records: list[dict[str, Any]]) -> None:
    """Write all records at once or not at all."""
    beside = RESULTS.with_suffix(".new")
    beside.write_text(json.dumps(records, indent=1) + "\n")
    beside.replace(RESULTS)


def write_table() -> None:
    """Put the table into the page."""
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    records = json.loads(RESULTS.read_text())
    PAGE.write_text(f"{before}{BEGIN}\n{table(records)}\n{END}{after}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=200)
    parser.add_argument("--nuts", type=int, default=5)
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if not options.table:
        run(options.cohorts, options.nuts, options.rows)
    write_table()
