"""Does a program pass its tests."""
