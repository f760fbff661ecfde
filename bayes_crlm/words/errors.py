"""Errors a user can mend: each is one sentence that says what, where and what would be right."""

from collections.abc import Sequence
from typing import Self


class BayesCRLMError(ValueError):
    """Base of every error that the user's spec, data or arguments cause.

    Attributes
    ----------
    problems : tuple of str
        Each of several problems by itself; empty where the message is one sentence.
    """

    problems: tuple[str, ...] = ()

    @classmethod
    def of(cls, where: str, problems: Sequence[str]) -> Self:
        """Say several problems of one place, and keep them apart for whoever knows more."""
        error = cls(join_problems(where, problems))
        error.problems = tuple(problems)
        return error


class SpecError(BayesCRLMError):
    """The analysis spec is wrong: a key, a type or a value."""


class FormulaError(BayesCRLMError):
    """The covariate formula cannot be read, or calls what it may not call."""


class PriorError(BayesCRLMError):
    """A prior is written wrongly or describes an impossible distribution."""


class DataFileError(BayesCRLMError):
    """A data file cannot be found or read as a table."""


class CohortError(BayesCRLMError):
    """The table was read, but it is not a cohort: a column or a row is wrong."""


class CutpointError(BayesCRLMError):
    """The cutpoints of the follow-up are impossible for this cohort."""


class DesignError(BayesCRLMError):
    """The covariates cannot be turned into an estimable design."""


class EstimandError(BayesCRLMError):
    """An estimand was asked for where the cohort has no follow-up."""


class ExecutorError(BayesCRLMError):
    """The workers that tasks should go to cannot be reached or used."""


class SensitivityError(BayesCRLMError):
    """A sensitivity analysis was asked a question that its numbers cannot answer."""


class SamplingError(BayesCRLMError):
    """A posterior was asked for with impossible settings of the sampler."""


class OutputError(BayesCRLMError):
    """The results cannot be written where they should go."""


def join_problems(where: str, problems: Sequence[str]) -> str:
    """Say several problems of one place in one line.

    Parameters
    ----------
    where : str
        The file, column or key that all problems belong to.
    problems : sequence of str
        One sentence each, without a full stop at the end.

    Returns
    -------
    str
        ``where: problem`` for one problem; a numbered list in one line for more.
    """
    if len(problems) == 1:
        return f"{where}: {problems[0]}"
    numbered = "; ".join(f"({k}) {problem}" for k, problem in enumerate(problems, start=1))
    return f"{where}: {len(problems)} problems: {numbered}"
