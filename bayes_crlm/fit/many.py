"""Fits of one model to many cohorts, summarised."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from bayes_crlm.cohort.stack import BATCH, CohortBatch, CohortStack, batches_of
from bayes_crlm.fit.fitting import LIMITS
from bayes_crlm.fit.many_results import (
    CohortRow,
    ManyFits,
    Reported,
    escalated_row,
    failed_row,
    rows_of_block,
    tables_of,
)
from bayes_crlm.fit.one_of_many import summary_of_one
from bayes_crlm.frequentist.many_cox import fit_block_cox
from bayes_crlm.inference.importance import sample_batch
from bayes_crlm.inference.targets import Targets
from bayes_crlm.inference.weighted import BlockSummary, summarise
from bayes_crlm.model.definition import ModelDefinition
from bayes_crlm.model.prepared_block import CohortBlock
from bayes_crlm.model.preparing_many import prepare_batch, prepare_one
from bayes_crlm.model.priors import Horseshoe, parse_prior
from bayes_crlm.tasks.run import progress_bar
from bayes_crlm.tasks.streams import Stream, new_seed, numbered_seed, random_stream
from bayes_crlm.tasks.workers import available_cpus
from bayes_crlm.words.arguments import thresholds_of
from bayes_crlm.words.errors import PriorError, SamplingError
from bayes_crlm.words.records import record
from bayes_crlm.words.success import SuccessRule, success_rule
from bayes_crlm.words.wording import shown

if TYPE_CHECKING:
    from bayes_crlm.cohort.cohort import Cohort
    from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential

Engine = Literal["auto", "numpy"]
# cohorts that are worked on together, at most
CHUNK, CHUNK_ENTRIES = 64, 2**21
FEWEST_DRAWS = 100


def fit_many(
    model: "PiecewiseExponential",
    cohorts: "Iterable[Cohort] | CohortStack",
    seeds: int | Sequence[int] | None = None,
    *,
    draws: int = 1000,
    thresholds: Sequence[float] = (1.0, 0.8),
    engine: Engine = "auto",
    cox: bool = True,
    escalate: bool = False,
    jobs: int | None = None,
    progress: bool | str = False,
    success: SuccessRule | None = None,
) -> ManyFits:
    """Fit one model to many cohorts by importance sampling, and summarise every posterior.

    A cohort's row depends on the model, the cohort, its seed and `draws`, and on nothing else: not
    on the other cohorts, their order or the number of jobs, to the last digit.

    Parameters
    ----------
    model : PiecewiseExponential
        With any priors but a horseshoe.
    cohorts : iterable of Cohort, or CohortStack
        An iterable is read as it is needed. `bayes_crlm.stack_cohorts` takes thousands of cohorts
        from one table far quicker than they can be read one by one.
    seeds : int or sequence of int, optional
        One seed from which every cohort's is made, by its place, or one for each cohort; random
        without it. The seeds used are in the result.
    draws : int
        Draws of each cohort, 100 to 1,000,000; an odd number is raised by one.
    thresholds : sequence of float
        Hazard ratios r whose probability P(HR < r) is given.
    engine : {"auto", "numpy"}
        Both are the native library, in threads; "numpy" is its earlier name.
    cox : bool
        Fit Cox regressions too.
    escalate : bool
        Fit cohorts whose draws are not to be trusted, or that have none for want of a mode or
        because tails were not reached, again by NUTS, one by one.
    jobs : int, optional
        Threads; one for each CPU that this process may use without it.
    progress : bool or str
        Show a bar on the terminal's standard error, under this name.
    success : SuccessRule, optional
        By which is concluded; 0.975 on one side of 1 without it.

    Where a cohort says when treatment started (`treatment_start`) and somebody waited for it, the
    fit is that of time-dependent treatment, as `Fit.starts` gives it: patients are on the reference
    until treatment starts, and independent hazards follow the wait. Its row says so.

    Returns
    -------
    ManyFits
        A cohort that could not be fitted has a row that says why, and no numbers.

    Raises
    ------
    BayesCRLMError
        When the model is wrong for any cohort: a formula that is refused, a horseshoe prior. For
        an argument that is out of range, and without a cohort. What is wrong with one
        cohort is the reason in its row.

    References
    ----------
    Vehtari, Simpson, Gelman, Yao & Gabry (2024), JMLR 25(72).
    """
    check_arguments(model, cohorts, draws, engine, jobs)
    reported = Reported(thresholds_of(thresholds), success_rule(success))
    fits = BlockFits(model, draws + draws % 2, reported, cox)
    labels, used = list[Any](), list[int]()
    rows: dict[int, CohortRow] = {}
    total = len(cohorts) if isinstance(cohorts, (CohortStack, Sequence)) else None
    seed_of = seeds_of(seeds, total)

    with (
        ThreadpoolController().limit(limits=1, user_api="blas"),
        progress_bar(total is not None and progress, total or 0, total or 0) as advance,
        ThreadPoolExecutor(jobs or available_cpus()) as pool,
    ):

        def finish(batch: CohortBatch, futures: Iterable[Any]) -> None:
            for future in futures:
                rows.update(future.result())
            if escalate:
                escalate_rows(model, batch, rows, used, reported)
            advance(len(batch.labels))

        running: deque[tuple[CohortBatch, Any]] = deque()
        for batch in batches_of(cohorts, BATCH):
            labels += batch.labels
            used += [seed_of(batch.first + k) for k in range(len(batch.labels))]
            running.append((batch, fits.submitted(pool, batch, used)))
            # the next batch is prepared while this one is fitted
            if len(running) > 1:
                finish(*running.popleft())
        while running:
            finish(*running.popleft())
    check_count(len(labels), seeds)
    return tables_of([rows[k] for k in range(len(labels))], labels, used, reported)


@record(eq=False)
class BlockFits:
    """How every block of prepared cohorts is fitted.

    Attributes
    ----------
    model : PiecewiseExponential
        What is fitted.
    draws : int
        Of each cohort.
    reported : Reported
        What is told of every hazard ratio.
    cox : bool
        Whether Cox regressions are fitted too.
    """

    model: "PiecewiseExponential"
    draws: int
    reported: Reported
    cox: bool

    def parts(self, block: CohortBlock) -> list[CohortBlock]:
        """Cut a block into chunks of a moderate size, alike and even in number for two threads."""
        most = max(1, min(CHUNK, CHUNK_ENTRIES // (block.n_rows * block.intervals.n_intervals)))
        size = math.ceil(len(block) / (2 * math.ceil(len(block) / (2 * most))))
        return [block.part(slice(first, first + size)) for first in range(0, len(block), size)]

    def summary(self, block: CohortBlock, seeds: NDArray[np.int64]) -> BlockSummary:
        """Draw and summarise."""
        rngs = [random_stream(seed, Stream.MANY_COHORTS) for seed in seeds.tolist()]
        if block.alone is not None:
            return summary_of_one(block.alone, self.draws, rngs[0], self.reported.ratios)
        targets = Targets.of_block(block)
        drawn = sample_batch(targets, self.draws, rngs, keeps_hazards=False)
        quality = (drawn.pareto_k, drawn.ess, drawn.converged)
        return summarise(
            drawn.effect,
            drawn.weight,
            block.design.scale,
            self.reported.ratios,
            drawn.scramble,
            quality,
        )

    def fit(self, block: CohortBlock, seeds: NDArray[np.int64]) -> dict[int, CohortRow]:
        """Fit a part of a block, given one seed for each of its cohorts."""
        of_cox = fit_block_cox(block) if self.cox else None
        summary = self.summary(block, seeds)
        return rows_of_block(block, summary, of_cox, ("numpy", self.draws), self.reported)

    def submitted(
        self, pool: ThreadPoolExecutor, batch: CohortBatch, seeds: Sequence[int]
    ) -> "list[Future[dict[int, CohortRow]]]":
        """Prepare cohorts and let them be fitted; `seeds` are those of all cohorts so far."""
        prepared = prepare_batch(self.model, batch)
        failed: Future[dict[int, CohortRow]] = Future()
        failed.set_result({k: failed_row(reason) for k, reason in prepared.failures.items()})
        every = np.array(seeds, dtype=np.int64)
        parts = [part for block in prepared.blocks for part in self.parts(block)]
        return [failed, *(pool.submit(self.fit, part, every[part.position]) for part in parts)]


def escalate_rows(
    model: "PiecewiseExponential",
    batch: CohortBatch,
    rows: dict[int, CohortRow],
    seeds: list[int],
    reported: Reported,
) -> None:
    """Replace rows of a batch that are not to be trusted by NUTS fits."""
    from bayes_crlm.fit.fit import fit_model

    for k in range(len(batch.labels)):
        row = rows[batch.first + k]
        # a cohort without a design cannot be fitted by any engine
        if row.about["is_trustworthy"] or not row.terms:
            continue
        fitted, inputs, _ = prepare_one(model, batch.cohorts[k])
        try:
            fit = fit_model(fitted, inputs, seed=seeds[batch.first + k] % 2**32, engine="nuts")
        except RuntimeError as problem:
            # one cohort that no sampler can follow does not lose the others
            rows[batch.first + k] = failed_row(f"{row.about['reason']}; NUTS: {problem}")
            continue
        rows[batch.first + k] = escalated_row(row, fit, reported)


def seeds_of(seeds: int | Sequence[int] | None, total: int | None) -> Callable[[int], int]:
    """Say which seed the k-th cohort has; refuse what are no seeds, or not as many as cohorts."""
    if seeds is None or is_whole(seeds):
        if seeds is not None and seeds < 0:
            raise SamplingError(f"seed {seeds} is negative; give 0 or more")
        root = new_seed(64) if seeds is None else int(seeds)

        def made(k: int) -> int:
            return numbered_seed(root, k, np.uint64) >> 1

        return made
    if not isinstance(seeds, Iterable) or not all(map(is_whole, seeds)):
        raise SamplingError(f"seeds {seeds!r}: must be a whole number, or one for each cohort")
    given = [int(seed) for seed in seeds]
    if total is not None and total != len(given):
        raise SamplingError(f"there are {len(given)} seeds for {total} cohorts")
    if any(not 0 <= seed < 2**63 for seed in given):
        raise SamplingError("seeds must be from 0 to 2**63 - 1")

    def taken(k: int) -> int:
        if k >= len(given):
            raise SamplingError(f"there are {len(given)} seeds and more cohorts; give each a seed")
        return given[k]

    return taken


def check_count(n_cohorts: int, seeds: int | Sequence[int] | None) -> None:
    """Refuse no cohorts, and other than one seed for each, once they are counted."""
    if isinstance(seeds, Sequence) and len(seeds) != n_cohorts:
        raise SamplingError(f"there are {len(seeds)} seeds for {n_cohorts} cohorts")
    if not n_cohorts:
        raise SamplingError("there are no cohorts; give one or more")


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a value is a whole number, and no truth value."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def check_arguments(
    model: "PiecewiseExponential",
    cohorts: object,
    draws: int,
    engine: str,
    jobs: int | None,
) -> None:
    """Refuse what cannot be done for any cohort."""
    if not isinstance(model, ModelDefinition):
        raise SamplingError(f"fit_many takes a PiecewiseExponential, not {shown(model)}")
    if not isinstance(cohorts, (CohortStack, Iterable)):
        raise SamplingError(
            f"cohorts are {type(cohorts).__name__}, not several; give a list of cohorts, or "
            "what stack_cohorts makes"
        )
    if isinstance(parse_prior(model.covariate_prior), Horseshoe) and model.covariates.strip():
        raise PriorError(
            "fit_many: a horseshoe's posterior has no useful mode to draw around and needs NUTS; "
            "give another prior of the covariates, or fit the cohorts with engine 'nuts'"
        )
    if not is_whole(draws) or draws > LIMITS["draws"][1]:
        raise SamplingError(
            f"draws {draws!r}: must be a whole number from {FEWEST_DRAWS} to {LIMITS['draws'][1]}"
        )
    if draws < FEWEST_DRAWS:
        raise SamplingError(f"{draws} draws are too few; give {FEWEST_DRAWS} or more")
    if engine == "jax":
        raise SamplingError("engine 'jax' is no longer part of fit_many; give 'auto' or 'numpy'")
    if engine not in ("auto", "numpy"):
        raise SamplingError(f"engine {engine!r} is unknown; give 'auto' or 'numpy'")
    if jobs is not None and (not is_whole(jobs) or jobs < 1):
        raise SamplingError(f"{jobs!r} jobs are impossible; give a whole number, 1 or more")
