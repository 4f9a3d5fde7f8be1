"""Whether a program passes its tests: what the tests ask, the sandbox that runs it, the comparison outside it."""
