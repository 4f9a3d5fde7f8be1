"""Verify answers to generated tasks of reasoning-gym."""
