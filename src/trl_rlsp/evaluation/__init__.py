"""Drawing samples, scoring them, figures with intervals."""
