"""Records whose arrays have cohorts, or cases, as their first index."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.words.records import record


@record(eq=False)
class Stacked:
    """A record of arrays over cohorts, and of what these share (`shared`, by name)."""

    shared: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def arrays(cls) -> list[str]:
        """Names of what is not shared."""
        return [each.name for each in fields(cls) if each.name not in cls.shared]

    def part(self, which: NDArray[np.intp] | slice) -> Self:
        """Those of some cohorts."""
        return replace(self, **{name: getattr(self, name)[which] for name in self.arrays()})

    @classmethod
    def concatenated(cls, some: Sequence[Self], axis: int = 0) -> Self:
        """Put several, which share the same, one after the other."""
        arrays = {
            name: np.concatenate([getattr(each, name) for each in some], axis=axis)
            for name in cls.arrays()
        }
        return replace(some[0], **arrays)
