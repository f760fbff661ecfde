"""The parts of a sensitivity analysis: their order in the report, titles and modules.

A new part is a module and a line here. Modules are imported when they are needed.
"""

from importlib import import_module
from types import ModuleType

# name: (module below this package, title)
REGISTRY = {
    "multiverse": ("choices.multiverse", "combinations of analysis choices"),
    "power_scaling": ("priors.power_scaling", "the weight of prior and likelihood"),
    "priors": ("priors.priors", "other readers' priors"),
    "reverse_bayes": ("priors.reverse_bayes", "the scepticism that would overturn the finding"),
    "unmeasured_confounding": ("confounding.unmeasured_confounding", "unmeasured confounding"),
    "immortal_time": ("timing.immortal_time", "immortal time"),
    "missing_data": ("missing.missing_data", "missing data"),
    "influence": ("influence.influence", "single patients"),
    "informative_censoring": ("missing.informative_censoring", "informative censoring"),
    "overlap": ("confounding.overlap", "overlap and weighting"),
    "proportional_hazards": ("choices.proportional_hazards", "proportional hazards"),
    "cutpoints": ("choices.cutpoints", "number and placement of intervals"),
}

PARTS = tuple(REGISTRY)
"""Names of the parts, in the order of the report."""

TITLES = {name: title for name, (_, title) in REGISTRY.items()}
"""What each part is about, in words."""


def part_module(name: str) -> ModuleType:
    """Import a part's module."""
    return import_module(f"bayes_crlm.sensitivity.{REGISTRY[name][0]}")
