"""The data sets that come with the package: two synthetic cohorts and one real trial."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bayes_crlm.words.wording import SYNTHETIC

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DATASETS", "Dataset", "is_copy_of_synthetic", "load_dataset"]

FOLDER = Path(__file__).parent
EARLY_RECURRENCE_DAYS = 365


@dataclass(frozen=True)
class Dataset:
    """What is known of a data set without reading it.

    Attributes
    ----------
    name : str
        As a spec's `data.source` gives it.
    title : str
        What it holds, in a few words.
    is_synthetic : bool
        Whether no patient stands behind it.
    unit : str
        Of its times.
    statement : str
        What every output made from it says, or where it comes from.
    """

    name: str
    title: str
    is_synthetic: bool
    unit: str
    statement: str


DATASETS: dict[str, Dataset] = {
    each.name: each
    for each in (
        Dataset(
            "crlm-synthetic",
            "135 synthetic patients with early recurrence of colorectal liver metastases",
            True,
            "months",
            SYNTHETIC,
        ),
        Dataset(
            "crlm-synthetic-missing",
            "the same synthetic patients with a few covariate values missing",
            True,
            "months",
            SYNTHETIC,
        ),
        Dataset(
            "colon-early-recurrence",
            "207 of 222 patients of the adjuvant colon-cancer trial who recurred within a year: "
            "2 have no time after recurrence, 13 others miss a covariate",
            False,
            "days",
            "Moertel et al. (1990), N Engl J Med 322:352-358; survival::colon in R",
        ),
    )
}


def load_dataset(name: str) -> "tuple[pd.DataFrame, str]":
    """Read a data set.

    Parameters
    ----------
    name : str
        A key of `DATASETS`.

    Returns
    -------
    pandas.DataFrame
        One row per patient.
    str
        SHA-256 of its CSV bytes.

    Raises
    ------
    KeyError
        For a name that is not in `DATASETS`.
    """
    import pandas as pd

    if name not in DATASETS:
        raise KeyError(name)
    if name == "colon-early-recurrence":
        table = colon_early_recurrence()
        content = table.to_csv(index=False, lineterminator="\n").encode()
    else:
        content = shipped(name)
        table = pd.read_csv(io.BytesIO(content))
    return table, hashlib.sha256(content).hexdigest()


def is_copy_of_synthetic(sha256: str) -> bool:
    """Whether a file with this SHA-256 is a synthetic data set, under whatever name."""
    synthetic = (name for name, dataset in DATASETS.items() if dataset.is_synthetic)
    return any(hashlib.sha256(shipped(name)).hexdigest() == sha256 for name in synthetic)


def shipped(name: str) -> bytes:
    """CSV of a data set that comes as a file of this package."""
    return (FOLDER / f"{name.replace('-', '_')}.csv").read_bytes()


def colon_early_recurrence() -> "pd.DataFrame":
    """Patients of the colon trial who recurred within a year, followed from recurrence.

    Returns
    -------
    pandas.DataFrame
        id, time (days from recurrence to death or censoring), event (death), rx, age, sex,
        nodes, differ, extent, recurrence_days; complete cases with time above 0: of 222 patients
        2 have no time after recurrence and 13 others miss a covariate, so 207 are left.
    """
    import pandas as pd
    import survival.datasets as shipped

    # the package makes its loaders by name, which a type checker cannot see
    load_colon = getattr(shipped, "load_colon")  # noqa: B009
    rows = pd.DataFrame(load_colon())
    recurrence = rows[(rows["etype"] == 1) & (rows["status"] == 1)]
    recurrence = recurrence[recurrence["time"] <= EARLY_RECURRENCE_DAYS]
    death = rows[rows["etype"] == 2].set_index("id")
    followed = death.loc[recurrence["id"]].reset_index()
    days = recurrence["time"].to_numpy()
    table = pd.DataFrame(
        {
            "id": followed["id"].astype(int),
            "time": (followed["time"].to_numpy() - days).astype(int),
            "event": followed["status"].astype(int),
            "rx": followed["rx"].astype(str),
            "age": followed["age"],
            "sex": followed["sex"],
            "nodes": followed["nodes"],
            "differ": followed["differ"],
            "extent": followed["extent"],
            "recurrence_days": days.astype(int),
        }
    )
    table = table.dropna()
    table = table[table["time"] > 0].reset_index(drop=True)
    whole = ["age", "sex", "nodes", "differ", "extent"]
    return table.astype(dict.fromkeys(whole, int))
