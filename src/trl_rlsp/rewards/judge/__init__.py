"""A language model grades the reasoning."""
