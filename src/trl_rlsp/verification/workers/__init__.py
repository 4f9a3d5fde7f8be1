"""Processes for untrusted text and programs: a fork server, its confined forks, and a pool of them.

For its promises see `pool.py`. Does not depend on answers, tests or verdicts.
"""
