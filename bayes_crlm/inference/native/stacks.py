"""Stacks of cohorts as the native library has them: eight rows of one class and interval."""

import ctypes
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.native.library import INTEGER, POINTER, aligned, load_library
from bayes_crlm.likelihood.risk_sums import RiskSums
from bayes_crlm.words.records import record


class ArrayStructure(ctypes.Structure):
    """A structure of the library's: whole numbers, then addresses of arrays that Python owns.

    Attributes
    ----------
    owned : list
        What must live as long as the structure is used.
    """

    owned: list[object]

    def __init__(self) -> None:
        super().__init__()
        self.owned = []

    def fill(self, **values: Any) -> None:
        """Set members: numbers, addresses, arrays (None where there is none), and stacks."""
        for name, value in values.items():
            if isinstance(value, np.ndarray):
                kind = np.float64 if value.dtype.kind == "f" else np.int64
                array = np.ascontiguousarray(value, dtype=kind)
                self.owned.append(array)
                value = array.ctypes.data
            elif isinstance(value, NativeStack):
                self.owned.append(value)
                value = value.address
            setattr(self, name, value)


class CohortArrays(ArrayStructure):
    """Arrays of a stack, as `native/cohorts.h` names them."""

    _fields_ = (
        *((name, INTEGER) for name in (
            "n_cohorts", "n_rows", "n_columns", "n_intervals", "n_classes", "n_strata", "n_loaded",
            "n_groups", "is_delayed",
        )),
        *((name, POINTER) for name in (
            "class_end", "stratum_of_class", "stop_interval", "entry_interval", "group", "loading",
            "design", "width", "stop_within", "entry_within", "count", "events", "event_design",
            "event_group",
        )),
    )  # fmt: skip


@record(eq=False)
class NativeStack:
    """A stack of cohorts that the library laid out.

    Attributes
    ----------
    address : int
        Of the C structure.
    n_cells : int
        Intervals of all strata.
    n_effects : int
        Columns, and effects that are added to cells.
    n_groups : int
        Of one grouping; 0 without it.
    cohort : (cases,) ndarray of int
        Which of the cohorts are meant, in which order.
    owned : tuple
        What must live as long as the address is used.
    """

    address: int
    n_cells: int
    n_effects: int
    n_groups: int
    cohort: NDArray[np.intp]
    owned: tuple[object, ...]

    def part(self, which: NDArray[np.intp]) -> "NativeStack":
        """Mean some of the cohorts, which may be repeated; nothing is copied."""
        return replace(self, cohort=self.cohort[which])


def lay_stack(
    sums: RiskSums, group: NDArray[np.intp] | None = None, event_group: NDArray | None = None
) -> NativeStack:
    """Lay out a stack of cohorts.

    Parameters
    ----------
    sums : RiskSums
        The cohorts.
    group : (rows,) ndarray of int, optional
        Of each row of one cohort.
    event_group : (groups,) ndarray, optional
        Events of each group.
    """
    follow_up, n_rows = sums.follow_up, sums.design.shape[1]
    n_groups = 0 if event_group is None else len(event_group)
    arrays = CohortArrays()
    arrays.fill(
        n_cohorts=len(sums),
        n_rows=n_rows,
        n_columns=sums.n_terms,
        n_intervals=follow_up.width.shape[1],
        n_classes=len(sums.stop_of_class),
        n_strata=sums.n_strata,
        n_loaded=sums.event_design.shape[1] - sums.n_terms,
        n_groups=n_groups,
        is_delayed=follow_up.is_delayed,
        class_end=np.array([n_rows if end is None else end for end in sums.stop_of_class]),
        stratum_of_class=np.array(sums.stratum_of_class),
        stop_interval=follow_up.stop_interval,
        entry_interval=follow_up.entry_interval,
        group=group,
        loading=sums.loading,
        design=sums.design,
        width=follow_up.width,
        stop_within=follow_up.stop_within,
        entry_within=follow_up.entry_within,
        count=follow_up.count,
        events=sums.events,
        event_design=sums.event_design,
        event_group=event_group,
    )
    address, memory = aligned(load_library().crlm_lay_cohorts, ctypes.addressof(arrays))
    sizes = sums.events.shape[1], sums.event_design.shape[1], n_groups
    return NativeStack(address, *sizes, np.arange(len(sums)), (memory, arrays))
