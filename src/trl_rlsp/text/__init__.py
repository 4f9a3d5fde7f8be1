"""Reading what a model wrote: its final answer, its reasoning, how much of that is new, how to show it safely.

Promises: time linear in the text whatever it holds, nothing kept between calls, no heavy import. `read` is the only
place that knows what a final answer is. Knows nothing of right and wrong: whether an answer is right, and whether two
that differ as text are equal, is decided in `trl_rlsp.verification`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trl_rlsp.lazy import attach

if TYPE_CHECKING:
    from trl_rlsp.text._arithmetic import calculations, check_half, rational, without_thousands
    from trl_rlsp.text._completion import (
        GOLD_COLUMNS,
        KINDS,
        Completion,
        Reading,
        completion_text,
        is_task,
        kinds_of,
        read,
        thinking_is_open,
    )
    from trl_rlsp.text._latex import balanced, closing, normalize, split_top, too_complex
    from trl_rlsp.text._marks import find_boxes
    from trl_rlsp.text._terminal import HIDDEN, Terminal, json_for_script, visible_text
    from trl_rlsp.text._words import (
        MAX_CHARS,
        Gram,
        distance,
        effective_length,
        folded_words,
        ngrams,
        novel_words,
        prompt_text,
        visible,
        words,
    )

__getattr__, __all__ = attach(__name__, __file__)
