"""Groups of arrays as a netCDF file, written as xarray writes a tree of them."""

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bayes_crlm.fit.groups import Group


def write_groups(groups: Mapping[str, Group], attributes: Mapping[str, Any], path: Path) -> None:
    """Write groups into a new file.

    Parameters
    ----------
    groups : mapping of str to Group
        What the file holds, by the names of its groups.
    attributes : mapping
        Of the file itself.
    path : Path
        The file.

    Raises
    ------
    OSError
        When writing fails; the library's own errors become those of the disk.
    """
    import netCDF4

    try:
        with netCDF4.Dataset(path, "w") as file:
            file.setncatts(attributes)
            for name, group in groups.items():
                write_group(file.createGroup(name), group)
    except RuntimeError as problem:
        raise OSError(errno.EIO, f"{path.name}: {problem}") from problem


def write_group(place: Any, group: Group) -> None:
    """Write one group: dimensions, variables, their labels."""
    place.setncatts(group.attributes)
    for dim, size in group.sizes.items():
        place.createDimension(dim, size)
    # what belongs to variables, and labels no dimension
    beside = {name: set(dims) for name, (dims, _) in group.coords.items() if dims != (name,)}
    for name, (dims, values) in (*group.variables.items(), *group.coords.items()):
        array = np.asarray(values)
        kind = array.dtype.kind
        variable = place.createVariable(
            name,
            {"b": np.int8, "O": str, "U": str}.get(kind, array.dtype),
            dims,
            fill_value=np.nan if kind == "f" else None,
            contiguous=kind not in "OU" and bool(dims),
        )
        if kind == "b":
            variable.setncattr("dtype", "bool")
        own = sorted(each for each, of_dims in beside.items() if of_dims <= set(dims))
        if own and name in group.variables:
            variable.setncattr("coordinates", " ".join(own))
        variable[...] = array.astype(object) if kind in "OU" else array
