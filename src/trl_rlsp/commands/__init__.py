"""The commands of `rlsp`: each reads its options, calls the room that does the work, and prints what came of it."""
