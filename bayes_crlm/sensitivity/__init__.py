"""What would change the answer: sensitivity analyses of a small observational cohort.

Each module holds one question, as functions on numbers: what a prior, an unmeasured confounder or
another choice would have to be to change the conclusion.
"""
