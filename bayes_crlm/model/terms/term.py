"""What a kind of term is: columns, strata, groups, and the blocks of unknowns that they have.

A kind of term is a frozen value in a file of its own that inherits from `Term` and says only what
it has. Whatever it brings enters the density, both engines, prior draws and `fit_many` from here.
"""

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.likelihood.intervals import Intervals
from bayes_crlm.model.priors import SimplePrior
from bayes_crlm.model.terms.blocks import Block, Cells, Columns, Grouping
from bayes_crlm.model.terms.row_kinds import Labelled, RowKinds
from bayes_crlm.words.records import record

Floats = NDArray[np.float64]


@record(eq=False)
class Place:
    """What a prepared cohort is to one of its terms.

    Attributes
    ----------
    name : str
        Of the term.
    columns : slice
        The term's own columns of the design.
    intervals : Intervals
        Cutpoints and events between them.
    earliest : float
        When the first row enters.
    kinds : RowKinds
        Strata, classes and groups of the rows.
    stratum_of_class : (classes,) ndarray of int
        Whose baseline hazards each class has.
    contrasts : (levels, treatment columns) ndarray
        Columns of every level of the treatment, centred as in the design.
    """

    name: str
    columns: slice
    intervals: Intervals
    earliest: float
    kinds: RowKinds
    stratum_of_class: NDArray[np.intp]
    contrasts: Floats

    def block_of_columns(self, prior: SimplePrior) -> Block:
        """Log hazard ratios of the term's own columns, each under one prior."""
        size = self.columns.stop - self.columns.start
        return Block(
            f"{self.name}_effect",
            Columns(self.columns.start, self.columns.stop),
            (prior,) * size,
            dim=f"{self.name}_term",
        )

    @property
    def grouping(self) -> Grouping:
        """Where values of the term's own groups enter."""
        return Grouping(list(self.kinds.groups).index(self.name))

    @property
    def group_labels(self) -> tuple[str, ...]:
        """Names of the term's own groups."""
        return self.kinds.groups[self.name]

    @property
    def treatment_cells(self) -> Cells:
        """Where log hazard ratios of the treatment that change with time enter, a row a column.

        Centred, as columns are: else the answer would depend on which level is the reference.
        """
        return Cells(self.contrasts[self.kinds.level_of_class(len(self.stratum_of_class))])


class Term:
    """Effects that a model has beside those of the treatment and of its covariates."""

    @property
    def name(self) -> str:
        """What its unknowns and its table of a spec are called."""
        raise NotImplementedError

    @property
    def columns_needed(self) -> tuple[str, ...]:
        """Columns of the cohort that it is made of."""
        raise NotImplementedError

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of its columns of the design, which stand after those of the covariates."""
        return ()

    @property
    def is_by_treatment(self) -> bool:
        """Whether each level of the treatment has hazards of a shape of its own."""
        return False

    def columns(self, cohort: Cohort) -> NDArray:
        """Make its columns in original units, shape (rows, len(terms)).

        Raises
        ------
        DesignError
            Where the cohort does not allow it.
        """
        return np.empty((cohort.n_rows, 0))

    def strata(self, cohort: Cohort) -> Labelled | None:
        """Say which stratum every row belongs to, where strata have baselines of their own."""
        return None

    def groups(self, cohort: Cohort) -> Labelled | None:
        """Say which group every row belongs to, where groups have values of their own."""
        return None

    def blocks(self, place: Place) -> tuple[Block, ...]:
        """Make its blocks of unknowns; all of its columns are in one of them."""
        raise NotImplementedError

    def labels(self, place: Place) -> dict[str, list[str]]:
        """Name the entries of dimensions that only its blocks have."""
        return {}

    def describe(self) -> str:
        """Say in a few words what it is."""
        raise NotImplementedError

    def describe_prior(self) -> str:
        """Say its prior in words."""
        raise NotImplementedError
