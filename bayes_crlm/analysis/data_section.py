"""What was put in: the rows that were used, and the model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.cohort.eligibility import Dropped
from bayes_crlm.fit.estimands.warnings import estimand_warnings
from bayes_crlm.fit.findings import Findings
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.words.section import Column, Note, Rows, Section
from bayes_crlm.words.wording import SYNTHETIC


def data_sections(found: Findings) -> list[Section]:
    """Give what was put in.

    Parameters
    ----------
    found : Findings
        A fit with all that was found of it.
    """
    inputs, cohort = found.inputs, found.inputs.cohort
    columns = (
        Column("treatment", inputs.design.treatment),
        Column("n_patients", "patients", "count"),
        Column("n_events", "events", "count"),
        Column("exposure", "follow-up", "duration", found.unit),
    )
    source = Path(cohort.source).name or cohort.source
    mark = f" ({SYNTHETIC})" if cohort.is_synthetic else ""
    in_rows = f" in {cohort.n_rows} rows" if cohort.n_rows != cohort.n_patients else ""
    left_out = (
        *(
            f"{n} patients outside the question: {why}"
            for why, n in counts(cohort.excluded).items()
        ),
        *(f"{n} patients left out: {why}" for why, n in counts(cohort.dropped).items()),
    )
    warnings = (*found.warnings, *estimand_warnings(found.fit))
    return [
        Section(
            "data",
            chapter="data",
            rows=(Rows("", by_treatment(inputs), columns),),
            notes=(
                Note(f"{source}{mark}: {cohort.n_patients} patients{in_rows}.", is_first=True),
                Note(name="left-out", items=left_out),
            ),
            summary={"data": data_section(cohort), "model": model_section(inputs)},
        ),
        Section(
            "warnings",
            title="Warnings" if warnings else "",
            chapter="data",
            notes=(Note(name="warnings", items=warnings),),
            summary={"warnings": list(warnings)},
        ),
    ]


def by_treatment(inputs: PreparedCohort) -> list[dict[str, Any]]:
    """Count patients, events and follow-up on every treatment level."""
    cohort, design = inputs.cohort, inputs.design
    rows = []
    for code, level in enumerate(design.levels):
        here = design.treatment_level == code
        rows.append(
            {
                "treatment": level,
                "n_patients": len(set(cohort.patient_index[here].tolist())),
                "n_events": int(cohort.event[here].sum()),
                "exposure": float((cohort.time - cohort.entry)[here].sum()),
            }
        )
    return rows


def counts(left_out: Sequence[Dropped]) -> dict[str, int]:
    """Count patients by the reason for which they were left out."""
    total: dict[str, int] = {}
    for each in left_out:
        total[each.reason] = total.get(each.reason, 0) + each.n_patients
    return total


def data_section(cohort: Cohort) -> dict[str, Any]:
    """Describe the rows that were used and those that were not."""
    return {
        "source": cohort.source,
        "synthetic": cohort.is_synthetic,
        "sha256": cohort.sha256,
        "n_patients": cohort.n_patients,
        "n_rows": cohort.n_rows,
        "n_events": cohort.n_events,
        "exposure": cohort.exposure,
        "n_censored_at_end": None
        if cohort.censoring_end is None
        else int(cohort.is_administrative.sum()),
        "unit": cohort.unit,
        "n_dropped": sum(each.n_patients for each in cohort.dropped),
        "dropped_why": counts(cohort.dropped),
        "excluded_why": counts(cohort.excluded),
    }


def model_section(inputs: PreparedCohort) -> dict[str, Any]:
    """Describe what was fitted."""
    return {
        "formula": inputs.design.formula,
        "treatment": inputs.design.treatment,
        "reference": inputs.design.reference,
        "cutpoints": inputs.intervals.cutpoints,
        "events_per_interval": inputs.intervals.events,
        "exposure_per_interval": inputs.intervals.exposure,
        "log_rate": inputs.log_rate,
        "baseline": inputs.baseline.name,
        "priors": {
            "treatment": inputs.treatment_prior.describe(),
            "covariates": inputs.covariate_prior.describe(),
            "baseline": inputs.baseline.describe(),
            **{term.name: term.describe_prior() for term in inputs.terms},
        },
        "terms": list(inputs.design.terms),
        "center": inputs.design.center,
        "scale": inputs.design.scale,
    }
