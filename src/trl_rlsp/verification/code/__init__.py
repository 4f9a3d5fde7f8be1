"""Verify programs: reading their tests, running them in a sandbox, and comparing results outside it."""
