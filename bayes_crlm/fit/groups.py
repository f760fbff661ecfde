"""Arrays with named dimensions and labels, as a file of draws holds them."""

from collections.abc import Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_crlm.words.records import record

if TYPE_CHECKING:
    import xarray as xr

Variables = Mapping[str, tuple[tuple[str, ...], ArrayLike]]


@record(eq=False)
class Group:
    """Arrays that share dimensions: a Dataset of xarray, made without loading it.

    Attributes
    ----------
    variables : dict of str to (dims, array)
        Arrays by name, each with the names of its dimensions.
    coords : dict of str to (dims, array)
        Labels of the dimensions, and arrays that belong to the variables.
    attributes : dict of str to value
        What has to be read with them.
    """

    variables: Variables
    coords: Variables = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """The array of a variable or coordinate."""
        return np.asarray((self.coords if name in self.coords else self.variables)[name][1])

    @property
    def sizes(self) -> dict[str, int]:
        """Lengths of the dimensions."""
        found = {}
        for dims, values in (*self.variables.values(), *self.coords.values()):
            found |= dict(zip(dims, np.shape(values), strict=True))
        return found

    def described(self, attributes: Mapping[str, Any]) -> "Group":
        """The same arrays with further attributes."""
        return replace(self, attributes={**self.attributes, **attributes})

    def to_dataset(self) -> "xr.Dataset":
        """Give it as xarray has it."""
        import xarray as xr

        return xr.Dataset(dict(self.variables), dict(self.coords), dict(self.attributes))


@record(eq=False)
class Labelled:
    """One array with labels of its dimensions: a DataArray of xarray, made without loading it."""

    values: NDArray[np.float64]
    dims: tuple[str, ...]
    coords: Mapping[str, Any]

    def to_array(self) -> "xr.DataArray":
        """Give it as xarray has it."""
        import xarray as xr

        return xr.DataArray(self.values, dims=self.dims, coords=dict(self.coords))


def to_tree(groups: Mapping[str, Group], attributes: Mapping[str, Any]) -> "xr.DataTree":
    """Give groups as a tree, the attributes being those of its root."""
    import xarray as xr

    datasets = {name: group.to_dataset() for name, group in groups.items()}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=dict(attributes))} | datasets)
