"""The tokenizer: pad token, chat template, and whether reasoning survives the template."""

from __future__ import annotations

from collections.abc import Iterator

from trl_rlsp.doctor.finding import Finding
from trl_rlsp.stages.stage import Stage

MARK = "seventeen"
"""A word that the probe reasons with."""


def check_pad_token(stage: Stage) -> Iterator[Finding]:
    """A tokenizer without a pad token."""
    tokenizer, name = stage.tokenizer, "pad_token"
    if tokenizer.pad_token is not None or getattr(stage.training, "pad_token", None):
        return
    if tokenizer.eos_token is None:
        yield Finding(
            name,
            "error",
            "the tokenizer has neither a pad nor an end token",
            "batches cannot be padded, and no completion ever ends",
            'set "pad_token" and "eos_token" in the model\'s tokenizer_config.json',
        )
        return
    line = pad_line(tokenizer.get_vocab())
    yield Finding(
        name,
        "warning",
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
    name, sft = "chat_template", stage.kind == "sft"
    if sft and getattr(stage.data, "demonstration_style", "messages") == "plain":
        return
    if stage.tokenizer.chat_template is None:
        yield Finding(
            name,
            "error",
            "the tokenizer has no chat template",
            "problems are messages, which nothing can render" + ("" if sft else "; an SFT stage can set one"),
            "demonstration_style: plain" if sft else "take an instruct model, or save a template with the model",
        )
        return
    if sft and not survives(stage, own_message(stage)):
        yield Finding(
            name,
            "error",
            "the chat template drops the reasoning of the demonstrations",
            "the model would be trained on answers alone",
            "chat_template_path: TEMPLATE.jinja",
        )
    elif not survives(stage, f"<think>\n{MARK}\n</think>\n\nfour"):
        yield Finding(
            name,
            "warning",
            "the chat template drops <think>...</think> from an assistant's message",
            "reasoning in these tags is lost wherever a completion is rendered again: in demonstrations, in further "
            "turns, in harvested traces",
            "chat_template_path: TEMPLATE.jinja" if sft else "save a template that keeps them with the model",
        )


def own_message(stage: Stage) -> str:
    """A completion as the stage's own demonstrations write it."""
    from trl_rlsp.problems.demonstrations import DEFAULT_TEMPLATE

    template = getattr(stage.data, "demonstration_template", None) or DEFAULT_TEMPLATE
    return template.replace("{reasoning}", MARK).replace("{answer}", "4")


def survives(stage: Stage, completion: str) -> bool:
    """Whether the reasoning of an assistant's last message is there after rendering."""
    messages = [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": completion}]
    return MARK in stage.tokenizer.apply_chat_template(messages, tokenize=False)
