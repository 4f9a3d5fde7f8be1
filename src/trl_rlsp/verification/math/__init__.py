"""Verify mathematical answers: as text, as exact rational numbers, then symbolically in a worker process.

Promises: symbolic comparison never runs in the calling process; listing several answers or restating the prompt never
counts as right. Does not depend on rewards; of a completion it uses only the `Reading`.
"""
