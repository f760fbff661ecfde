"""Records whose arrays may have cohorts, or cases, as their first index."""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.words.records import record


@record(eq=False)
class Stacked:
    """A record of arrays, or of such records, and of what cohorts share (`shared`, by name).

    The same record without the first index is that of one cohort: `part` of a number.
    """

    shared: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def arrays(cls) -> list[str]:
        """Names of what is not shared."""
        return [each.name for each in fields(cls) if each.name not in cls.shared]

    @classmethod
    def combined(cls, change: Callable[..., NDArray], some: Sequence[Self]) -> Self:
        """Make a record of what `change` makes of the arrays that some records have by a name."""
        found: dict[str, Any] = {}
        for name in cls.arrays():
            values = [getattr(each, name) for each in some]
            kind = type(values[0])
            is_record = issubclass(kind, Stacked)
            found[name] = kind.combined(change, values) if is_record else change(*values)
        return replace(some[0], **found)

    def part(self, which: NDArray[np.intp] | slice | int) -> Self:
        """Those of some cohorts; that of one, where its number is given."""
        return self.combined(lambda values: values[which], [self])

    def as_stack(self) -> Self:
        """Make a stack of one cohort."""
        return self.combined(lambda values: np.asarray(values, order="C")[None], [self])

    @classmethod
    def concatenated(cls, some: Sequence[Self], axis: int = 0) -> Self:
        """Put several, which share the same, one after the other."""
        return cls.combined(lambda *values: np.concatenate(values, axis=axis), some)
