from ._arithmetic import (
    approach as approach,
    calculations as calculations,
    check_half as check_half,
    rational as rational,
    without_thousands as without_thousands,
)
from ._completion import (
    GOLD_COLUMNS as GOLD_COLUMNS,
    KINDS as KINDS,
    Completion as Completion,
    Reading as Reading,
    answer_key as answer_key,
    completion_text as completion_text,
    is_task as is_task,
    kinds_of as kinds_of,
    read as read,
    thinking_is_open as thinking_is_open,
)
from ._latex import (
    balanced as balanced,
    closing as closing,
    normalize as normalize,
    split_top as split_top,
    too_complex as too_complex,
)
from ._marks import find_boxes as find_boxes
from ._terminal import (
    HIDDEN as HIDDEN,
    Terminal as Terminal,
    json_for_script as json_for_script,
    visible_text as visible_text,
)
from ._words import (
    MAX_CHARS as MAX_CHARS,
    Gram as Gram,
    distance as distance,
    effective_length as effective_length,
    folded_words as folded_words,
    ngrams as ngrams,
    novel_words as novel_words,
    prompt_text as prompt_text,
    visible as visible,
    words as words,
)
