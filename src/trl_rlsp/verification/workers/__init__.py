"""Processes for text and programs that nobody vouches for: a fork server, its confined forks, and a pool of them.

Promises what `pool.py` says. Knows nothing of answers, tests and verdicts.
"""
