"""Sampling completions for a list of prompts: one interface, three engines (transformers, vLLM, a server).

Promises: a completion is drawn from the distribution that `Sampling` describes, whatever the checkpoint's own settings
and whatever else is in its batch. Also the one client of OpenAI-compatible servers. Knows nothing of rewards, verdicts
or files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trl_rlsp.lazy import attach

if TYPE_CHECKING:
    from trl_rlsp.generation.local import TransformersEngine, finished_leave, leaving_rollout, load_model, why_not
    from trl_rlsp.generation.sampling import Engine, Prefixed, Request, Sample, Sampling, all_requests, render
    from trl_rlsp.generation.server import Reply, ServerClient, ServerEngine
    from trl_rlsp.generation.vllm import VLLMEngine

__getattr__, __all__ = attach(__name__, __file__)
