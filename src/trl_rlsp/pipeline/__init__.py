"""A recipe from data to report."""
