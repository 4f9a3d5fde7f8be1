"""Reading what a model wrote: the final answer, what counts as reasoning, words and calculations."""
