"""Which choice explains the spread of results over all combinations of choices.

A functional analysis of variance of a full factorial: with every combination given the same
weight, the variance of the results is the sum of the parts that belong to single choices, to pairs
of them, and to more. A choice's `alone` is the variance of the means of its options; its
`in_all` the mean variance that is left when all other choices are fixed, interactions included.

References
----------
Sobol' (2001), Math Comput Simul 55:271-280; Homma & Saltelli (1996), Reliab Eng Syst Saf 52:1-17.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.words.errors import SensitivityError
from bayes_crlm.words.records import record


@record
class Share:
    """A choice's part in the variance.

    Attributes
    ----------
    choice : str
        Its name, such as "baseline".
    alone : float
        Share of the variance that the choice explains by itself, 0 to 1.
    in_all : float
        The same with its interactions; these shares add up to more than 1 when there are some.
    means : dict
        Mean result of each option.
    """

    choice: str
    alone: float
    in_all: float
    means: dict[Any, float]


@record
class Decomposition:
    """Variance of results over a full factorial, and whose it is.

    Attributes
    ----------
    mean, variance : float
        Of the results, all combinations counting alike.
    shares : tuple of Share
        The largest `in_all` first; only choices with more than one option.
    interactions : float
        Share that no choice explains alone.
    n : int
        Combinations that went in.
    left_out : tuple of (str, option)
        Options left out because a combination with them has no result that counts.
    """

    mean: float
    variance: float
    shares: tuple[Share, ...]
    interactions: float
    n: int
    left_out: tuple[tuple[str, Any], ...]


def decompose(
    choices: Sequence[Mapping[str, Any]], results: Sequence[float | None]
) -> Decomposition:
    """Decompose the variance of results over the choices that led to them.

    Parameters
    ----------
    choices : sequence of mapping
        Every combination of the options once; all with the same keys.
    results : sequence of float or None
        None or nan where there is none that counts: the option that most of these share is left
        out, until the rest is complete.

    Raises
    ------
    SensitivityError
        When the combinations are not a full factorial, or nothing is left.
    """
    names = list(choices[0]) if choices else []
    options = {name: list(dict.fromkeys(row[name] for row in choices)) for name in names}
    shape = [len(options[name]) for name in names]
    table = np.full(shape, np.nan)
    if len(choices) != math.prod(shape):
        raise SensitivityError("not every combination of the choices is there exactly once")
    for row, result in zip(choices, results, strict=True):
        place = tuple(options[name].index(row[name]) for name in names)
        table[place] = math.nan if result is None else result
    left_out = []
    while np.isnan(table).any() and table.size:
        axis, place = most_missing(table)
        left_out.append((names[axis], options[names[axis]].pop(place)))
        table = np.delete(table, place, axis=axis)
    if not table.size:
        raise SensitivityError("no combination of the choices has a result")
    variance = float(table.var())
    shares = [
        share_of(table, axis, name, options[name], variance)
        for axis, name in enumerate(names)
        if table.shape[axis] > 1
    ]
    shares.sort(key=lambda each: each.in_all, reverse=True)
    alone = sum(each.alone for each in shares)
    return Decomposition(
        mean=float(table.mean()),
        variance=variance,
        shares=tuple(shares),
        interactions=max(0.0, 1 - alone) if variance > 0 else 0.0,
        n=table.size,
        left_out=tuple(left_out),
    )


def most_missing(table: NDArray) -> tuple[int, int]:
    """Axis and place of the slice with the largest share of missing results.

    The last option of a choice is not taken while another choice has several: nothing would be
    left.
    """
    missing = np.isnan(table)
    found = []
    for axis in range(table.ndim):
        others = tuple(each for each in range(table.ndim) if each != axis)
        share = missing.mean(axis=others)
        place = int(np.argmax(share))
        found.append((table.shape[axis] > 1, float(share[place]), axis, place))
    _, _, axis, place = max(found)
    return axis, place


def share_of(
    table: NDArray, axis: int, name: str, options: Sequence[Any], variance: float
) -> Share:
    """First-order and total share of one choice."""
    others = tuple(each for each in range(table.ndim) if each != axis)
    means = table.mean(axis=others)
    alone, in_all = float(means.var()), float(table.var(axis=axis).mean())
    scale = variance if variance > 0 else 1.0
    return Share(
        choice=name,
        alone=alone / scale,
        in_all=in_all / scale,
        means={option: float(mean) for option, mean in zip(options, means, strict=True)},
    )
