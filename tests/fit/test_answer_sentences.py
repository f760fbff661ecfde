"""Sentences beside the answer are functions of rows that stand in tables, both ways."""

import math
from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bayes_crlm.cohort.outcome.rounded_times import RoundedTimes
from bayes_crlm.fit.agreement import unmoved_reason
from bayes_crlm.fit.answers import proportionality_warnings
from bayes_crlm.fit.crude import crude_sentence
from bayes_crlm.likelihood.kaplan_meier import reaches_zero
from bayes_crlm.model.column_counts import (
    FEW_EVENTS,
    Side,
    arm_cautions,
    prior_share,
    rare_sentence,
    sides_of_columns,
)
from bayes_crlm.model.priors import Normal
from bayes_crlm.model.withdrawn import no_bound
from bayes_crlm.words.shown import ratio_in_words

sides = st.builds(
    Side,
    terms=st.sampled_from([("x",), ("x", "z")]),
    name=st.sampled_from(["x = 1", "x = 0", "stage 2"]),
    n_patients=st.integers(1, 60),
    n_events=st.integers(0, 60),
    n_without_event=st.integers(0, 60),
    n_other_events=st.integers(0, 300),
    is_treatment=st.just(False),
    reaches_zero=st.booleans(),
)


@given(sides, st.floats(0.05, 10))
def test_a_rare_levels_sentence_goes_by_its_share_of_the_prior(side, sd):
    prior = Normal(0.0, sd)
    said, share = rare_sentence(side, prior), prior_share(side, prior)
    assert ("the prior decides" in said) == (share >= 0.5)
    assert (
        f"about {share:.0%} of what is known of its log hazard ratio comes from the prior" in said
    ) == (0.1 <= share < 0.5)
    assert ("the data say little" in said) == (share < 0.1)
    assert ("for every contrast" in said) == (len(side.terms) > 1)
    assert ("one event" in said) == (side.n_events == 1)
    assert ("one patient" in said) == (side.n_patients == 1)


@given(st.lists(st.integers(0, 3), min_size=2, max_size=4))
def test_an_arm_is_cautioned_of_exactly_where_it_has_one_event_or_none(events):
    level = np.repeat(np.arange(len(events)), 4)
    event = np.concatenate([np.arange(4) < count for count in events]).astype(int)
    n = len(level)
    cohort = SimpleNamespace(
        time=np.arange(1.0, n + 1), entry=np.zeros(n), event=event, patient_index=np.arange(n)
    )
    names = tuple(f"arm[T.{k}]" for k in range(1, len(events)))
    design = SimpleNamespace(
        terms=names, levels=tuple(range(len(events))), treatment="arm", treatment_level=level,
        n_treatment_terms=len(names), matrix=np.zeros((n, len(names))),
    )  # fmt: skip
    said = arm_cautions(sides_of_columns(cohort, design))
    expected = [
        f"arm {k} has {'no event' if count == 0 else 'one event'} among 4 patients"
        for k, count in enumerate(events)
        if count <= 1
    ]
    assert [each.split(":")[0] for each in said] == expected


@given(st.lists(st.floats(0, 1) | st.just(math.nan), min_size=1, max_size=3))
def test_a_hazard_is_said_not_to_be_proportional_exactly_where_its_test_is_below_5_percent(ps):
    terms = tuple(f"arm[T.{k}]" for k in range(1, len(ps) + 1))
    design = SimpleNamespace(
        terms=terms, levels=tuple(range(len(ps) + 1)), treatment="arm", reference=0
    )
    fit = SimpleNamespace(
        inputs=SimpleNamespace(design=design),
        cox=SimpleNamespace(ph_test=[*zip(terms, ps, strict=True), ("GLOBAL", 0.001)]),
    )
    said = " ".join(proportionality_warnings(fit))
    for k, p in enumerate(ps, start=1):
        assert (f" {k} (test: p " in said) == (p < 0.05)
    assert bool(said) == any(p < 0.05 for p in ps)


@st.composite
def differing(draw):
    """A cohort's events, the sides of one of its columns, and whether its times are rounded."""
    n = draw(st.integers(4, 200))
    event = np.zeros(n, dtype=int)
    event[: draw(st.integers(1, n))] = 1
    time = np.arange(1.0, n + 1) if draw(st.booleans()) else np.arange(n, 0.0, -1.0)
    cohort = SimpleNamespace(
        entry=np.zeros(n), time=time, event=event, n_events=int(event.sum()), unit="months"
    )
    terms = tuple(f"x{k}" for k in range(draw(st.integers(1, 5))))
    own = draw(st.lists(sides, max_size=2).map(tuple))
    rounded = draw(st.none() | st.builds(RoundedTimes, st.floats(1, 12), st.floats(12, 40)))
    return cohort, ("x", *terms), own, rounded


@given(differing())
def test_what_no_refit_explains_is_put_down_to_the_first_count_that_is_small(case):
    cohort, terms, own, rounded = case
    fit = SimpleNamespace(
        inputs=SimpleNamespace(cohort=cohort, design=SimpleNamespace(terms=terms))
    )
    said = unmoved_reason(fit, "x", own, rounded)
    everybody = reaches_zero(cohort.entry, cohort.time, cohort.event)
    rarest = min(own, key=lambda side: (side.n_events, side.name), default=None)
    few_on_a_side = rarest is not None and rarest.n_events < FEW_EVENTS
    few = few_on_a_side or cohort.n_events < FEW_EVENTS * len(terms)
    none_left = not few and not everybody and any(each.n_without_event <= 1 for each in own)
    dies_out = everybody or (few_on_a_side and rarest.reaches_zero)
    assert said.startswith("few events") == (few and not dies_out)
    assert said.startswith("few patients") == (few and dies_out)
    assert said.startswith("few without the event") == none_left
    assert said.startswith("rounded times") == (not few and not none_left and rounded is not None)
    assert said.startswith("not explained") == (not few and not none_left and rounded is None)
    assert ("rounded" in said) == (rounded is not None)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 99)), min_size=1, max_size=2))
def test_a_level_without_events_is_named_with_its_patients(levels):
    said = no_bound("arm", levels)
    assert said.startswith("no answer is given, because ")
    for level, patients in levels:
        assert f"none of the {patients} patients on arm {level} had an event" in said
    assert said.count("none of the") == len(levels)


ratio = st.floats(0.05, 20)
analyses = st.lists(
    st.sampled_from(["crude", "without age", "without cea", "without sex"]), unique=True
)


@given(analyses, st.data())
def test_the_crude_sentence_has_the_analyses_of_its_rows_and_no_others(names, data):
    names = ["adjusted", *names]
    rows = [
        {"treatment": 1, "analysis": name, "hazard_ratio": data.draw(ratio)}
        | {"eti95_low": 0.01, "eti95_high": 30.0, "cox_hazard_ratio": 1.0}
        | {"cox_low": 0.5, "cox_high": 2.0}
        for name in names
    ]
    # a posterior that was not found again, as under a horseshoe
    not_found = data.draw(st.sets(st.sampled_from(names)))
    for row in rows:
        if row["analysis"] in not_found and row["analysis"].startswith("without"):
            row["hazard_ratio"] = None
    said = crude_sentence(rows, 1)
    assert (said is None) == ("crude" not in names)
    assert crude_sentence(rows, 2) is None
    if said is None:
        return
    for name in ("without age", "without cea", "without sex"):
        assert (name in said) == (name in names)
        of_cox = any(row["analysis"] == name and row["hazard_ratio"] is None for row in rows)
        assert (f"{name} 1.00 (Cox)" in said) == of_cox
    crude = next(row for row in rows if row["analysis"] == "crude")
    told = ratio_in_words(crude["hazard_ratio"], (crude["eti95_low"], crude["eti95_high"]))
    assert said.startswith(f"hazard ratio {told}; Cox 1")
