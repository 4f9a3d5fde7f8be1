"""Sampling completions for a list of prompts: one interface, three engines (transformers, vLLM, a server).

Also the one client of OpenAI-compatible servers. Knows nothing of rewards, verdicts or files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trl_rlsp.lazy import attach

if TYPE_CHECKING:
    from trl_rlsp.generation._client import Reply, ServerClient
    from trl_rlsp.generation.local import TransformersEngine, generate, load_model
    from trl_rlsp.generation.rollout import leaving_rollout
    from trl_rlsp.generation.sampling import Engine, Prefixed, Request, Sample, Sampling, all_requests, render

__getattr__, __all__ = attach(
    __name__,
    {
        "_client": "Reply ServerClient",
        "local": "TransformersEngine generate load_model",
        "rollout": "leaving_rollout",
        "sampling": "Engine Prefixed Request Sample Sampling all_requests render",
    },
)
