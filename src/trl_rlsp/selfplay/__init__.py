"""Self-play: what a model found out in RL becomes the demonstrations of its next round."""
