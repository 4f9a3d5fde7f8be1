from .local import (
    TransformersEngine as TransformersEngine,
    finished_leave as finished_leave,
    leaving_rollout as leaving_rollout,
    load_model as load_model,
    why_not as why_not,
)
from .sampling import (
    Engine as Engine,
    Prefixed as Prefixed,
    Request as Request,
    Sample as Sample,
    Sampling as Sampling,
    all_requests as all_requests,
    render as render,
)
from .server import Reply as Reply, ServerClient as ServerClient, ServerEngine as ServerEngine
from .vllm import VLLMEngine as VLLMEngine, why_merged as why_merged
