"""Does a generated task of reasoning-gym accept an answer."""
