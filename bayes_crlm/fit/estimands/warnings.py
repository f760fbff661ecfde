"""What has to be read with a fit's estimands."""

from bayes_crlm.fit.draws import PosteriorDraws
from bayes_crlm.fit.entry_weights import entry_weight_rows, entry_weight_warnings
from bayes_crlm.fit.estimands.median_survival import median_rows
from bayes_crlm.model.arm_follow_up import NO_EVENT, eventless_cautions, last_follow_up
from bayes_crlm.words.shown import estimate, significant, whole


def estimand_warnings(fit: PosteriorDraws) -> list[str]:
    """Say which medians lie beyond follow-up, which arms have no event, and what weights leave.

    What is known before fitting - horizons beyond an arm, the origin - is in the plan's warnings.
    """
    cohort, treatment = fit.inputs.cohort, fit.inputs.design.treatment
    unit, last = cohort.unit or "time units", last_follow_up(fit.inputs)
    phrases = eventless_cautions(fit.inputs)
    for k, row in enumerate(median_rows(fit)):
        median, high, note = row["median"], row["eti95_high"], row["note"]
        if note is not None and note != NO_EVENT:
            where = (
                f"{estimate(median, 4)}"
                if median > last[k]
                else f"{estimate(median, 4)} (to {estimate(high, 4)})"
            )
            phrases.append(
                f"{treatment} {row['treatment']}, median survival {where} {unit}: {note} "
                f"(the longest: {significant(last[k], 4)})"
            )
    if fit.population == "before_entry":
        phrases.append(
            "survival, its median and restricted means are those of the population before entry: "
            "each patient counts 1 / survival from the origin to the first entry, which leaves "
            f"{whole(fit.effective_patients)} effective of {cohort.n_patients} patients"
        )
    return [*phrases, *entry_weight_warnings(entry_weight_rows(fit), unit)]
