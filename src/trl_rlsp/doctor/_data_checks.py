"""Checks of what the settings name: the data, the tokenizer and its chat template, the model's context."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from trl_rlsp.doctor._finding import Finding, error, unchecked, warning
from trl_rlsp.errors import ConfigError, MissingColumnError, MissingDependencyError, RLSPError, SourceError
from trl_rlsp.stages import Stage, UnknownError
from trl_rlsp.verification.code.sandbox import require_sandbox

COLUMNS = {"grpo": ("prompt", "solution"), "sft": ()}
COUNTED = 64
"""Prompts that are tokenized: those with the most characters."""
MARK = "seventeen"
"""A word that the probe reasons with."""


def check_data(stage: Stage) -> Iterator[Finding]:
    """Whether the source is there and has what the stage needs."""
    source = str(stage.data.dataset)
    try:
        rows = stage.rows
    except SourceError as failure:
        if on_the_hub(source):
            yield unchecked(f"the data set {source!r}", str(failure))
        else:
            yield error(f"there is no data at {source!r}", str(failure), "dataset: SOURCE")
        return
    except RLSPError as failure:
        columns = isinstance(failure, MissingColumnError) or "column" in str(failure)
        line = "dataset_columns: {problem: COLUMN, answer: COLUMN}" if columns else "dataset: SOURCE"
        what = "the data set lacks a column" if columns else "the data set cannot be used"
        yield error(what, str(failure), line if not isinstance(failure, ConfigError) else "dataset: SOURCE")
        return
    missing = [column for column in COLUMNS[stage.kind] if column not in rows.column_names]
    if missing:
        yield error(f"no column {missing[0]!r}", "the verifier needs it", "dataset_columns: {answer: COLUMN}")
    try:
        require_sandbox(rows.column_names)
    except MissingDependencyError as failure:
        yield error("no sandbox for programs", str(failure), "apt-get install bubblewrap")


def on_the_hub(source: str) -> bool:
    """Whether a source is fetched from the hub, so that it may be there and out of reach from here."""
    from trl_rlsp.problems import FILE_EXTENSIONS, find_preset

    path = Path(source)
    if source.startswith("reasoning_gym:") or path.exists() or path.suffix.lower() in FILE_EXTENSIONS:
        return False
    return find_preset(source) is not None or source.count("/") == 1


def check_prompts(stage: Stage) -> Iterator[Finding]:
    """Fewer prompts than one generation takes: TRL drops the incomplete batch and trains for no step at all."""
    prompts = len(stage.rows)
    needed = stage.sequences_per_generation // max(stage.training.num_generations, 1)
    if prompts < needed:
        yield error(
            f"there are {prompts} prompts and one generation takes {needed}",
            "TRL leaves out an incomplete batch of prompts: with no other it ends after 0 steps, in silence",
            fitting_line(stage, prompts),
        )


def fitting_line(stage: Stage, prompts: int) -> str:
    """The line with which `prompts` fill a generation: fewer micro-batches, else smaller ones."""
    training, group = stage.training, stage.training.num_generations
    at_once, most = training.per_device_train_batch_size * stage.processes, prompts * group
    whole = math.lcm(at_once, group)
    fits = most // whole * whole
    by_total = bool(training.generation_batch_size) and not training.steps_per_generation  # both after TRL's parsing
    if fits and by_total:
        return f"generation_batch_size: {fits}"
    if fits:
        field = "steps_per_generation" if training.steps_per_generation else "gradient_accumulation_steps"
        return f"{field}: {fits // at_once}"
    ranks = stage.processes * (1 if by_total else stage.steps_per_generation)
    smaller = [size for size in range(1, most // ranks + 1) if size * ranks % group == 0]
    return f"per_device_train_batch_size: {smaller[-1]}" if smaller else "take more problems"


def check_pad_token(stage: Stage) -> Iterator[Finding]:
    """A tokenizer without a pad token."""
    tokenizer = stage.tokenizer
    if tokenizer.pad_token is not None or getattr(stage.training, "pad_token", None):
        return
    if tokenizer.eos_token is None:
        yield error(
            "the tokenizer has neither a pad nor an end token",
            "batches cannot be padded, and no completion ever ends",
            'set "pad_token" and "eos_token" in the model\'s tokenizer_config.json',
        )
        return
    line = pad_line(tokenizer.get_vocab())
    yield warning(
        "the tokenizer has no pad token",
        f"TRL pads with the end token {tokenizer.eos_token!r}: what masks padding by its id masks the real end, too",
        line if stage.kind == "sft" else f"in the model's tokenizer_config.json, {line}",
    )


def pad_line(vocabulary: dict[str, int]) -> str:
    """The line that sets a pad token, with one that the vocabulary already has.

    Example:
        >>> pad_line({"a": 0, "<|finetune_right_pad_id|>": 1})
        'pad_token: "<|finetune_right_pad_id|>"'
    """
    special = sorted(token for token in vocabulary if token.startswith("<") and token.endswith(">") and len(token) > 2)
    fitting = [token for word in ("pad", "unk", "reserved") for token in special if word in token.lower()]
    return f'pad_token: "{fitting[0] if fitting else "<pad>"}"'


def check_chat_template(stage: Stage) -> Iterator[Finding]:
    """A chat template that is missing, or that drops the reasoning of an assistant's message."""
    sft = stage.kind == "sft"
    if sft and getattr(stage.data, "demonstration_style", "messages") == "plain":
        return
    if stage.tokenizer.chat_template is None:
        yield error(
            "the tokenizer has no chat template",
            "problems are messages, which nothing can render" + ("" if sft else "; an SFT stage can set one"),
            "demonstration_style: plain" if sft else "take an instruct model, or save a template with the model",
        )
        return
    if sft and not survives(stage, own_message(stage)):
        yield error(
            "the chat template drops the reasoning of the demonstrations",
            "the model would be trained on answers alone",
            "chat_template_path: TEMPLATE.jinja",
        )
    elif not survives(stage, f"<think>\n{MARK}\n</think>\n\nfour"):
        yield warning(
            "the chat template drops <think>...</think> from an assistant's message",
            "reasoning in these tags is lost wherever a completion is rendered again: in demonstrations, in further "
            "turns, in harvested traces",
            "chat_template_path: TEMPLATE.jinja" if sft else "save a template that keeps them with the model",
        )


def own_message(stage: Stage) -> str:
    """A completion as the stage's own demonstrations write it."""
    from trl_rlsp.problems import DEFAULT_TEMPLATE

    template = getattr(stage.data, "demonstration_template", None) or DEFAULT_TEMPLATE
    return template.replace("{reasoning}", MARK).replace("{answer}", "4")


def survives(stage: Stage, completion: str) -> bool:
    """Whether the reasoning of an assistant's last message is there after rendering."""
    messages = [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": completion}]
    return MARK in stage.tokenizer.apply_chat_template(messages, tokenize=False)


def check_context(stage: Stage) -> Iterator[Finding]:
    """The longest sequence of the stage against the positions that the model knows."""
    context = getattr(stage.config.get_text_config(), "max_position_embeddings", None)
    if context is None:
        yield unchecked("the model's context", "its configuration gives no length")
    elif stage.kind == "sft":
        yield from _traces(stage, context)
    else:
        yield from _completions(stage, context)


def _traces(stage: Stage, context: int) -> Iterator[Finding]:
    longest = stage.training.max_length
    if longest is not None and longest > context:
        yield warning(
            f"max_length {longest} is above the model's context of {context} tokens",
            "longer traces are trained at positions the model does not know",
            f"max_length: {context}",
        )


def _completions(stage: Stage, context: int) -> Iterator[Finding]:
    completion = stage.training.max_completion_length
    if completion is None:
        return
    if completion >= context:
        yield error(
            f"max_completion_length {completion} leaves no room for a prompt in a context of {context} tokens",
            "completions run past the positions that the model knows",
            f"max_completion_length: {context // 2}",
        )
        return
    try:
        prompt = longest_prompt(stage)
    except UnknownError as failure:
        yield unchecked("whether the longest prompt leaves room for its completion", str(failure))
        return
    if prompt + completion > context:
        fits = f"max_completion_length: {context - prompt}"
        yield Finding(
            "context",
            "warning" if prompt < context else "error",
            f"the longest prompt has {prompt} tokens: with max_completion_length {completion} "
            f"they exceed the model's context of {context}",
            "its completions run past the positions that the model knows; vLLM refuses them",
            fits if prompt < context else "leave out the longest prompts",
        )


def longest_prompt(stage: Stage) -> int:
    """Tokens of the longest prompt, of the `COUNTED` with the most characters.

    Raises:
        UnknownError: there is no tokenizer, or no chat template.
    """
    if stage.tokenizer.chat_template is None:
        raise UnknownError("the tokenizer has no chat template")
    prompts = sorted(stage.rows["prompt"], key=lambda messages: sum(len(m["content"]) for m in messages))
    rendered = [
        stage.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        for messages in prompts[-COUNTED:]
    ]
    return max(len(ids) for ids in stage.tokenizer(rendered, add_special_tokens=False)["input_ids"])
