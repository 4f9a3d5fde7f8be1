"""trl_rlsp: train language models to search while they reason.

Names are imported on first use, so `import trl_rlsp` is fast. `rlsp_rewards` is a new `RLSPRewards()` on each
access, because TRL keeps and modifies the list it receives.
"""

from typing import Any

from lazy_loader import attach_stub

__version__ = "0.1.0"

_load, _, __all__ = attach_stub(__name__, __file__)
__all__ += ["rlsp_rewards"]


def __getattr__(name: str) -> Any:
    return _load("RLSPRewards")() if name == "rlsp_rewards" else _load(name)


def __dir__() -> list[str]:
    return __all__
