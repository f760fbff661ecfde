"""Cox, Firth and separation: the baseline from outside."""
