"""The file of draws is what xarray would write of the tree that `Fit.posterior` gives."""

import netCDF4
import numpy as np
import pytest
import xarray as xr

from bayes_crlm.fit.groups import Group, to_tree
from bayes_crlm.report.netcdf import write_groups

GROUPS = {
    "posterior": Group(
        {
            "x": (("chain", "draw"), np.array([[0.5, np.nan], [np.inf, -1.0]])),
            "is_odd": (("chain", "draw"), np.array([[True, False], [False, True]])),
            "number": ((), 3.5),
        },
        {
            "chain": (("chain",), np.arange(2)),
            "draw": (("draw",), np.arange(2)),
            "time": (("chain", "draw"), np.ones((2, 2))),
            "entry": (("chain",), np.array([0.0, 1.0])),
        },
        {"seed": 1, "source": "a file", "origin": 0.5},
    ),
    "observed_data": Group(
        {
            "event": (("patient",), np.array([0, 1, 1], dtype=np.int8)),
            "conclusion": (("patient",), np.array(["", "lower", "höher"], dtype=object)),
            "depth": (("patient",), np.array([1, 2, 3], dtype=np.uint64)),
        },
        {"patient": (("patient",), np.array(["a", "b", "c"]))},
    ),
}


def structure(path):
    with netCDF4.Dataset(path) as file:
        return {
            name: (
                {attribute: group.getncattr(attribute) for attribute in group.ncattrs()},
                {dim: each.size for dim, each in group.dimensions.items()},
                {
                    variable: (
                        each.dtype,
                        each.dimensions,
                        {key: str(each.getncattr(key)) for key in each.ncattrs()},
                        each.chunking(),
                    )
                    for variable, each in group.variables.items()
                },
            )
            for name, group in (("/", file), *file.groups.items())
        }


@pytest.mark.parametrize("groups", [GROUPS, None], ids=["every kind of array", "a fit"])
def test_the_file_is_the_one_that_xarray_writes(groups, tmp_path, request):
    groups = groups or request.getfixturevalue("colon_fit").groups
    own, theirs = tmp_path / "own.nc", tmp_path / "theirs.nc"
    write_groups(groups, {"status": "ok"}, own)
    tree = to_tree(groups, {"status": "ok"})
    tree.to_netcdf(theirs, engine="netcdf4")
    assert structure(own) == structure(theirs)
    with xr.open_datatree(own) as read, xr.open_datatree(theirs) as expected:
        xr.testing.assert_identical(read, expected)
