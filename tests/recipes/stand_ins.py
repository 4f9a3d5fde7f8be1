"""What stands in for the Hub in the tests of the recipes: rows with the columns of each data set, and tiny models.

A model has two layers of the architecture that a recipe names, and a tokenizer of one token a byte with the family's
chat template, beginning, padding and end.
"""

from __future__ import annotations

from trl_rlsp.problems import PRESETS
from trl_rlsp.problems._tables import Table

# Rows of the data sets with the columns that they have on the Hub.
_TESTS = {"input": ["1\n"], "output": ["2\n"]}
ROWS = {
    PRESETS["math"].hub_id: [
        {
            "problem": f"What is ${n} + {n}$?",
            "level": "Level 1",
            "type": "Algebra",
            "solution": f"It is $\\boxed{{{2 * n}}}$.",
        }
        for n in range(1, 9)
    ],
    PRESETS["math-500"].hub_id: [
        {
            "problem": "What is $0 + 0$?",
            "solution": "It is $\\boxed{0}$.",
            "answer": "0",
            "subject": "Algebra",
            "level": 1,
            "unique_id": "test/algebra/1.json",
        }
    ],
    PRESETS["aime"].hub_id: [
        {"ID": f"{year}-1", "Year": year, "Problem Number": 1, "Question": f"Find {n}.", "Answer": str(n), "Part": None}
        for n, year in enumerate([2016, 2017, 2018, 2019, 2020, 2021, 2022, 2023, 2024], start=1)
    ],
    PRESETS["aime-2024"].hub_id: [
        {"id": 1, "problem": "Find 9.", "solution": "9", "answer": "009", "url": "", "year": "2024"}
    ],
    PRESETS["gsm8k"].hub_id: [
        {"question": f"{n} and {n}?", "answer": f"<<{n}+{n}={2 * n}>>{2 * n}\n#### {2 * n}"} for n in range(1, 9)
    ],
    PRESETS["code_contests"].hub_id: [
        {
            "name": f"{n}_A",
            "description": f"Add {n}.",
            "difficulty": 7,
            "public_tests": _TESTS,
            "private_tests": _TESTS,
            "generated_tests": {"input": [], "output": []},
            "solutions": {"language": [3], "solution": ["print(int(input()) + 1)\n"]},
        }
        for n in range(1, 9)
    ],
    "amphora/QwQ-LongCoT-130K": [
        {
            "problem": f"What is {n} + {n}?",
            "qwq": f"Let me think. It is {2 * n}. Wait, yes.\n\n\\[ \\boxed{{{2 * n}}} \\]",
        }
        for n in range(1, 9)
    ]
    + [{"problem": "Tell me a story.", "qwq": "Once upon a time."}],
}


def stand_in(path, *, name=None, split=None, revision=None):
    """Rows of a data set of the Hub, as `read_hub` gives them."""
    return Table(path, ROWS[path], "row", range(1, len(ROWS[path]) + 1))


CHATML = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are Qwen.<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HEADERS = (
    "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n"
    "{{ message['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
FAMILIES = {
    "Qwen/": {
        "special": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        "tokens": {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
        "template": CHATML,
    },
    "meta-llama/": {  # no padding token, and a beginning one
        "special": [
            *("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
            "<|finetune_right_pad_id|>",
        ],
        "tokens": {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"},
        "template": HEADERS,
    },
}


def tiny_tokenizer(family):
    """One token a byte, and the special tokens of the family."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({letter: index for index, letter in enumerate(letters)}, []))
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    core.add_special_tokens(family["special"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, clean_up_tokenization_spaces=False, **family["tokens"])
    tokenizer.chat_template = family["template"]
    return tokenizer


def save_tiny(name, folder):
    """A model of the same architecture as the one of that name, two layers of width 32, with its tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    family = next(family for prefix, family in FAMILIES.items() if name.startswith(prefix))
    tokenizer = tiny_tokenizer(family)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"num_key_value_heads": 2, "max_position_embeddings": 2048, "vocab_size": len(tokenizer)}
    ends = {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id, "pad_token_id": None}
    kind = (Qwen2Config, Qwen2ForCausalLM) if name.startswith("Qwen/") else (LlamaConfig, LlamaForCausalLM)
    torch.manual_seed(0)
    kind[1](kind[0](**sizes, **ends)).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
