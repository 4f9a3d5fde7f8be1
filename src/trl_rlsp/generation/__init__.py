"""Sampling completions for a list of prompts: one interface, three engines (transformers, vLLM, a server).

Knows nothing of rewards, verdicts or files.
"""

from trl_rlsp.generation.local import TransformersEngine, generate, load_model
from trl_rlsp.generation.rollout import leaving_rollout
from trl_rlsp.generation.sampling import Engine, Prefixed, Request, Sample, Sampling, all_requests, render

__all__ = [
    "Engine",
    "Prefixed",
    "Request",
    "Sample",
    "Sampling",
    "TransformersEngine",
    "all_requests",
    "generate",
    "leaving_rollout",
    "load_model",
    "render",
]
