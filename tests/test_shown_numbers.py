"""Numbers as people read them: no exponents from 1,000 on, no more digits than known."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayes_crlm.shown_numbers import (
    as_written,
    duration,
    number,
    p_value,
    ratio_in_words,
    significant,
)

large = st.floats(1000, 1e300) | st.floats(-1e300, -1000)


@given(large, st.integers(1, 6))
def test_no_number_of_a_thousand_or_more_has_an_exponent(value, digits):
    written = [
        number(value, digits),
        duration(value),
        significant(value, digits),
        ratio_in_words(abs(value), (abs(value), abs(value))),
    ]
    assert not any(re.search(r"\de[+-]?\d", text) for text in written)
    if abs(value) <= 1e15:
        assert "e" not in as_written(value)


@given(st.floats(1e-4, 1e15), st.integers(2, 6))
def test_significant_digits_are_right_to_half_a_unit_of_the_last(value, digits):
    read = float(significant(value, digits).replace(",", ""))
    unit = min(10.0 ** (math.floor(math.log10(value)) + 1 - digits), 1.0)
    assert abs(read - value) <= 0.5 * unit * 1.0000001 + 1e-12 * value


@given(st.floats(-1e15, 1e15))
def test_what_a_spec_would_write_is_read_back_to_six_digits(value):
    assert float(as_written(value)) == pytest.approx(value, rel=1e-5, abs=1e-300)


def test_the_interval_that_was_written_971_to_102e03():
    assert f"{duration(971.2)} to {duration(1023.6)}" == "971 to 1,024"
    assert (significant(999.6, 3), significant(9.996, 3)) == ("1,000", "10")
    assert as_written(1_000_000.0) == "1000000"
    assert p_value(4e-8) == "below 0.0001"
