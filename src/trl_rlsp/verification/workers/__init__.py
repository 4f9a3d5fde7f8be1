"""Confined worker processes with hard limits."""
