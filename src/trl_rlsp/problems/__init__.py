"""Any source of problems or demonstrations, as rows that the trainers, the verifier and the evaluation read.

Promises: whatever is wrong with a source is an error that names the place, before a model is loaded. Knows how answers
stand in worked solutions; knows nothing of models, rewards and runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trl_rlsp.lazy import attach

if TYPE_CHECKING:
    from trl_rlsp.problems._disk_cache import DiskCache, cache_folder
    from trl_rlsp.problems._tables import FILE_EXTENSIONS
    from trl_rlsp.problems.data import (
        CODE_SYSTEM_PROMPT,
        DEFAULT_SYSTEM_PROMPT,
        EVALUATION_PRESETS,
        PRESETS,
        find_preset,
        load_problems,
        problem_key,
        task_name,
    )
    from trl_rlsp.problems.demonstrations import (
        DEFAULT_TEMPLATE,
        completion_text,
        demonstration_rows,
        load_demonstrations,
    )

__getattr__, __all__ = attach(__name__, __file__)
