"""Streams of random numbers: one a purpose, and every generator of the package is one of them."""

import re
from pathlib import Path

import numpy as np

import bayes_crlm
from bayes_crlm.tasks.streams import Stream, random_stream

# a generator, or a seed, that the list would not know
MADE_ELSEWHERE = re.compile(r"default_rng\(|SeedSequence\(|RandomState\(|randbits\(")


def test_every_purpose_has_numbers_of_its_own():
    first = {each: random_stream(7, each).integers(2**63) for each in Stream}
    assert len(set(first.values())) == len(Stream)
    assert first[Stream.IMPORTANCE] == np.random.default_rng([7, 2]).integers(2**63)


def test_no_module_makes_a_stream_that_the_list_does_not_know():
    folder = Path(bayes_crlm.__file__).parent
    found = [path.name for path in folder.rglob("*.py") if MADE_ELSEWHERE.search(path.read_text())]
    assert found == ["streams.py"]
