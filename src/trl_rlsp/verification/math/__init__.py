"""Is a mathematical answer right."""
