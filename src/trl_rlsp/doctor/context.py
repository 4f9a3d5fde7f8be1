"""Whether prompt and completion fit into the model's context."""

from __future__ import annotations

from collections.abc import Iterator

from trl_rlsp.doctor.finding import Finding
from trl_rlsp.stages.stage import Stage, UnknownError

COUNTED = 64
"""Prompts that are tokenised: those with the most characters."""


def check_context(stage: Stage) -> Iterator[Finding]:
    """The longest sequence of the stage against the positions that the model knows."""
    context = getattr(stage.config.get_text_config(), "max_position_embeddings", None)
    if context is None:
        yield Finding("context", "not checked", "the model's context", "its configuration gives no length")
    elif stage.kind == "sft":
        yield from _traces(stage, context)
    else:
        yield from _completions(stage, context)


def _traces(stage: Stage, context: int) -> Iterator[Finding]:
    longest = stage.training.max_length
    if longest is not None and longest > context:
        yield Finding(
            "context",
            "warning",
            f"max_length {longest} is above the model's context of {context} tokens",
            "longer traces are trained at positions the model does not know",
            f"max_length: {context}",
        )


def _completions(stage: Stage, context: int) -> Iterator[Finding]:
    completion = stage.training.max_completion_length
    if completion is None:
        return
    if completion >= context:
        yield Finding(
            "context",
            "error",
            f"max_completion_length {completion} leaves no room for a prompt in a context of {context} tokens",
            "completions run past the positions that the model knows",
            f"max_completion_length: {context // 2}",
        )
        return
    try:
        prompt = longest_prompt(stage)
    except UnknownError as error:
        yield Finding("context", "not checked", "whether the longest prompt leaves room for its completion", str(error))
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
