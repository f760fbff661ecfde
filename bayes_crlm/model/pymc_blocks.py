"""Random variables of a model's blocks, in the `pm.Model` that is being written.

Prior parameters and what else a block's prior needs are `pm.Data`, named by what they are for.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bayes_crlm.model.density import AnyBlock, BlockModel
from bayes_crlm.model.families import Family, NormalMixture
from bayes_crlm.model.terms.blocks import UNIT, Block, Cells, Columns
from bayes_crlm.model.terms.gamma_process import GammaHazards
from bayes_crlm.model.terms.horseshoe import LOCAL_SCALE, Shrunk
from bayes_crlm.model.terms.walks import Walk

INTEGER_DATA = frozenset(
    {"stop_interval", "entry_interval", "row_class", "patient_index", "final_row", "level_interval"}
)


def block_data(blocks: Sequence[AnyBlock]) -> dict[str, Any]:
    """Prior parameters and what else the priors need, by `pm.Data` name."""
    values: dict[str, Any] = {}
    for block in blocks:
        for role, value in numbers_of(block).items():
            values[data_name(block, role)] = value
    return in_standard_types(values)


def data_name(block: AnyBlock, role: str) -> str:
    """Name of the container of one of a block's numbers."""
    return block.data_names.get(role, f"{block.name}_prior_{role}")


def numbers_of(block: AnyBlock) -> dict[str, Any]:
    """A block's numbers by what they are for."""
    if isinstance(block, Shrunk):
        return dict(block.global_scale.parameters)
    numbers: dict[str, Any] = {}
    if isinstance(block.enters, Cells) and not is_only_row(block.enters):
        numbers["loading"] = block.enters.loading
    if isinstance(block, GammaHazards):
        return numbers | {"weight": block.weight, "log_rate": block.log_rate}
    for prefix, families in families_by_kind(block):
        numbers |= stacked_parameters(prefix, families)
    if block.scale is not None:
        numbers |= {f"scale_{name}": value for name, value in block.scale.parameters.items()}
    if block.walk is not None:
        numbers |= numbers_of_walk(block.walk, has_steps=bool(block.priors))
    return numbers


def is_only_row(enters: Cells) -> bool:
    """Whether the hazard table has one row, which values are."""
    return np.array_equal(enters.loading, [[1.0]])


def structure_of(block: AnyBlock) -> tuple[Any, ...]:
    """What the random variables of a block depend on but for the numbers in their containers."""
    shared = (type(block).__name__, block.name, type(block.enters).__name__)
    if isinstance(block.enters, Cells):
        shared += (block.enters.loading.shape, is_only_row(block.enters))
    if isinstance(block, GammaHazards):
        return (*shared, block.is_integrated)
    if isinstance(block, Shrunk):
        return shared
    kinds = families_by_kind(block)
    return (
        *shared,
        # of several kinds each entry's is part of the graph
        tuple(each.family for each in block.priors) if len(kinds) > 1 else None,
        tuple((families[0].family, *numbers_shape(prefix, families)) for prefix, families in kinds),
        None if block.scale is None else block.scale.family,
        None if block.walk is None else (bool(block.priors), block.walk.level is not None),
    )


def numbers_shape(prefix: str, families: Sequence[Family]) -> tuple[int, ...]:
    """Number of dimensions of each container of the numbers of families of one kind."""
    return tuple(np.ndim(value) for value in stacked_parameters(prefix, families).values())


def numbers_of_walk(walk: Walk, *, has_steps: bool) -> dict[str, Any]:
    """A walk's numbers by what they are for."""
    numbers: dict[str, Any] = {}
    if has_steps:
        centre = walk.centre[0] if len(walk.centre) == 1 else walk.centre
        numbers |= {"centre": centre, "step_variances": walk.step_variances}
    if walk.level is not None:
        numbers |= {"location": walk.level.location, "sd": walk.level.sd}
        if has_steps:
            numbers["anchor"] = walk.level.anchor
    return numbers


def families_by_kind(block: Block) -> list[tuple[str, list[Family]]]:
    """Families of a block's z, one list for each kind, with a prefix for their numbers' roles."""
    kinds = {each.family: None for each in block.priors}
    prefixed = [
        (f"{kind}_" if len(kinds) > 1 else "", [p for p in block.priors if p.family == kind])
        for kind in kinds
    ]
    # what users say of columns is a number even where it is normal(0, 1)
    is_standard = block.scale is not None or block.walk is not None
    return [] if is_standard and all(each == UNIT for each in block.priors) else prefixed


def stacked_parameters(prefix: str, families: Sequence[Family]) -> dict[str, Any]:
    """Parameters of families of one kind: numbers where they are the same, else arrays.

    Mixtures of fewer parts than others have parts of no weight.
    """
    if all(each == families[0] for each in families):
        families = families[:1]
    each = [family.parameters for family in families]
    stacked = {}
    for name in each[0]:
        values = [np.atleast_1d(np.asarray(one[name], dtype=float)) for one in each]
        most = max(len(value) for value in values)
        fill = 1.0 if name == "scale" else 0.0
        table = np.array([
            np.pad(value, (0, most - len(value)), constant_values=fill) for value in values
        ])  # fmt: skip
        table = table if isinstance(families[0], NormalMixture) else table[:, 0]
        stacked[f"{prefix}{name}"] = table[0] if len(families) == 1 else table
    return stacked


def in_standard_types(values: dict[str, Any]) -> dict[str, Any]:
    """Arrays in C order, of float64 or int64, copied only where they are not."""
    arrays = {name: np.asarray(value) for name, value in values.items()}

    def is_index(name: str, array: np.ndarray) -> bool:
        return name in INTEGER_DATA or np.issubdtype(array.dtype, np.integer)

    return {
        name: np.asarray(array, dtype=np.int64 if is_index(name, array) else float, order="C")
        for name, array in arrays.items()
    }


class HazardVariables(NamedTuple):
    """Tensors of what a model says of the hazards; see `hazard_table.LogHazards`.

    Attributes
    ----------
    cells : (classes, intervals) tensor
        Log-hazards, without those that are integrated out.
    effect : (terms,) tensor
        Log hazard ratios of the columns.
    groups : tuple of (groups,) tensor
        Log hazard ratios of the groups of each grouping.
    """

    cells: Any
    effect: Any
    groups: tuple[Any, ...]


def hazard_variables(model: BlockModel, data: Mapping[str, Any]) -> HazardVariables:
    """Make the random variables of a model's blocks, and what they say of the hazards.

    Parameters
    ----------
    model : BlockModel
        The blocks, and the rows that they are to explain.
    data : mapping of str to tensor
        Made of `block_data`, and "interval_width" for a gamma process.

    Returns
    -------
    HazardVariables
    """
    import pytensor.tensor as pt

    rows, effects = [], {}
    groups = [pt.zeros(count) for count in model.data.group_counts]
    if model.integrated is not None:
        rows.append(pt.zeros((model.data.n_classes, 1)) + pt.zeros_like(data["interval_width"]))
    for block in model.in_vector:
        values = block_variables(block, data)
        if isinstance(block.enters, Columns):
            effects[block.enters.start] = values
        elif isinstance(block.enters, Cells):
            table = values.reshape((block.enters.copies, -1))
            is_only = is_only_row(block.enters)
            rows.append(table if is_only else pt.dot(data[data_name(block, "loading")], table))
        else:
            groups[block.enters.index] = groups[block.enters.index] + values
    in_order = [effects[start] for start in sorted(effects)]
    effect = pt.concatenate(in_order) if in_order else pt.zeros(0)
    return HazardVariables(sum(rows[1:], rows[0]), effect, tuple(groups))


def block_variables(block: AnyBlock, data: Mapping[str, Any]) -> Any:
    """Make a block's random variables.

    Parameters
    ----------
    block : Block, Shrunk or GammaHazards
        Whose unknowns become random variables.
    data : mapping of str to tensor
        Containers of the numbers of `block_data`.

    Returns
    -------
    (size,) tensor
        Its values.
    """
    import pymc as pm
    import pytensor.tensor as pt

    def number(role: str) -> Any:
        return data[data_name(block, role)]

    if isinstance(block, Shrunk):
        overall, local, unit = block.names
        size = dims_or_shape(block.dim, block.size)
        value = (
            pm.HalfCauchy(overall, number("scale"))
            * pm.HalfCauchy(local, LOCAL_SCALE.scale, **size)
            * pm.Normal(unit, 0.0, 1.0, **size)
        )
        return pm.Deterministic(block.name, value, dims=block.dim)
    if isinstance(block, GammaHazards):
        prior_exposure = pt.tile(number("weight") * data["interval_width"], block.enters.copies)
        hazard = pm.Gamma(
            block.name,
            alpha=prior_exposure * pt.exp(number("log_rate")),
            beta=prior_exposure,
            **dims_or_shape(block.dim, block.size),
        )
        return pm.Deterministic(block.log_name, pt.log(hazard), dims=block.dim)
    scale = None
    if block.scale is not None:
        scale = scale_variable(block, number)
    unit = unit_variable(block, number) if block.priors else None
    if block.walk is not None:
        values = walk_variables(block, block.walk, unit, scale, number)
    elif scale is not None:
        values = scale * unit
    else:
        return unit
    return pm.Deterministic(block.name, values, dims=block.dim)


def dims_or_shape(dim: str | None, size: int) -> dict[str, Any]:
    """How PyMC is told a variable's length."""
    return {"shape": (size,)} if dim is None else {"dims": dim}


def scale_variable(block: Block, number: Callable[[str], Any]) -> Any:
    """Make the random variable of a block's scale."""
    import pymc as pm

    family = None if block.scale is None else block.scale.family
    if family == "half_normal":
        return pm.HalfNormal(block.scale_name, number("scale_scale"))
    if family == "half_cauchy":
        return pm.HalfCauchy(block.scale_name, number("scale_scale"))
    return pm.HalfStudentT(block.scale_name, nu=number("scale_nu"), sigma=number("scale_scale"))


def unit_variable(block: Block, number: Callable[[str], Any]) -> Any:
    """Make the random variable of a block's z, each entry of its own family."""
    import pymc as pm

    size = dims_or_shape(block.unit_dim, len(block.priors))
    kinds = families_by_kind(block)
    if not kinds:
        return pm.Normal(block.unit_name, UNIT.mean, UNIT.sd, **size)
    if len(kinds) == 1:
        family, arguments = pymc_family(kinds[0][1][0].family, "", number)
        return family(block.unit_name, **arguments, **size)
    unit = pm.Flat(block.unit_name, **size)
    for prefix, families in kinds:
        kind = families[0].family
        entries = [k for k, each in enumerate(block.priors) if each.family == kind]
        family, arguments = pymc_family(kind, prefix, number)
        density: Any = pm.logp(family.dist(**arguments, shape=(len(entries),)), unit[entries])
        pm.Potential(f"{block.unit_name}_{kind}", density.sum())
    return unit


def pymc_family(kind: str, prefix: str, number: Callable[[str], Any]) -> tuple[Any, dict[str, Any]]:
    """PyMC's distribution of a kind of family, with its arguments."""
    import pymc as pm

    mean, scale = number(f"{prefix}mean"), number(f"{prefix}scale")
    if kind == "normal":
        return pm.Normal, {"mu": mean, "sigma": scale}
    if kind == "student_t":
        return pm.StudentT, {"nu": number(f"{prefix}nu"), "mu": mean, "sigma": scale}
    if kind == "laplace":
        return pm.Laplace, {"mu": mean, "b": scale}
    return pm.NormalMixture, {"w": number(f"{prefix}weight"), "mu": mean, "sigma": scale}


def walk_variables(
    block: Block, walk: Walk, unit: Any, scale: Any, number: Callable[[str], Any]
) -> Any:
    """Make the random variable of a walk's level; its values as a (size,) tensor.

    One interval's value has a prior. Giving it that through the mean level, which the data know
    well and which hardly depends on the walk, is the same model with a posterior that is easier to
    sample.
    """
    import pymc as pm
    import pytensor.tensor as pt

    copies = len(walk.centre)
    size: dict[str, Any] = {} if copies == 1 else {"shape": (copies,)}
    if unit is None:
        level = pm.Normal(block.level_name, number("location"), number("sd"), **size)
        return pt.atleast_1d(level)
    steps = pt.sqrt(number("step_variances")) * unit.reshape((copies, -1))
    steps = steps if scale is None else scale * steps
    path = pt.concatenate([pt.zeros((copies, 1)), pt.cumsum(steps, axis=1)], axis=1)
    path = path - pt.sum(path * number("centre"), axis=1, keepdims=True)
    if walk.level is None:
        return path.ravel()
    offset = path[0 if copies == 1 else slice(None), number("anchor")]
    level = pm.Normal(block.level_name, number("location") - offset, number("sd"), **size)
    return (pt.atleast_1d(level)[:, None] + path).ravel()
