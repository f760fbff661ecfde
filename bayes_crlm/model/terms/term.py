"""What a kind of term is: columns of the design with a prior of their own, and a name."""

from typing import TYPE_CHECKING, Protocol

from numpy.typing import NDArray

from bayes_crlm.model.priors import SimplePrior

if TYPE_CHECKING:
    from bayes_crlm.cohort.cohort import Cohort


class Term(Protocol):
    """Effects that a model has beside those of the treatment and of its covariates.

    A kind of term is a frozen value in a file of its own. It is named as its table of a spec, and
    its columns stand after those of the covariates.
    """

    @property
    def name(self) -> str:
        """What its unknowns and its table are called."""
        ...

    @property
    def prior(self) -> SimplePrior:
        """Of each log hazard ratio on the sampling scale."""
        ...

    @property
    def columns_needed(self) -> tuple[str, ...]:
        """Columns of the cohort that it is made of."""
        ...

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of its columns of the design."""
        ...

    def columns(self, cohort: "Cohort") -> NDArray:
        """Make its columns in original units, shape (rows, len(terms)).

        Raises
        ------
        DesignError
            Where the cohort does not allow it.
        """
        ...

    def describe(self) -> str:
        """Say in a few words what it is."""
        ...
