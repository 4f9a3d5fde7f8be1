"""Does a generated task accept an answer."""
