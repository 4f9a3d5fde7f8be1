"""A model whose next token depends on the last one alone, so that every completion can be worked out by hand."""

from __future__ import annotations

import pytest
import torch
from datasets import Dataset
from transformers import GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from trl_rlsp.countdown import build_tokenizer
from trl_rlsp.evaluation.budget import draw_within
from trl_rlsp.generation import Sampling, TransformersEngine


class MarkovConfig(PreTrainedConfig):
    """The vocabulary is all there is to say."""

    model_type = "markov"

    def __init__(self, vocab_size=8, **kwargs):
        super().__init__(**kwargs)
        self.vocab_size = vocab_size
        self.num_hidden_layers = 1


class Markov(PreTrainedModel, GenerationMixin):
    """Logits of the next token are the row of the last one in a table."""

    config_class = MarkovConfig

    def __init__(self, config):
        super().__init__(config)
        self.table = torch.nn.Embedding(config.vocab_size, config.vocab_size)
        self.post_init()

    def forward(self, input_ids, **_):
        return CausalLMOutputWithPast(logits=self.table(input_ids))


@pytest.fixture(scope="session")
def markov():
    """`markov({"1": {"2": 0.75, "3": 0.25}})`: a model with these next words, and its tokenizer.

    A word without a row is followed by the end token.
    """

    def build(chain):
        tokenizer = build_tokenizer()
        model = Markov(MarkovConfig(vocab_size=len(tokenizer), eos_token_id=2, pad_token_id=0)).eval()
        with torch.no_grad():
            model.table.weight.fill_(-1e9)
            model.table.weight[:, tokenizer.eos_token_id] = 0.0
            for word, followers in chain.items():
                row = model.table.weight[tokenizer.convert_tokens_to_ids(word)]
                row[tokenizer.eos_token_id] = -1e9
                for follower, share in followers.items():
                    row[tokenizer.convert_tokens_to_ids(follower)] = torch.tensor(share).log()
        return model, tokenizer

    return build


@pytest.fixture
def think():
    """`think(model, tokenizer, prompts, budget)`: the `Thought` of each prompt, greedy unless said otherwise."""

    def run(model, tokenizer, prompts, budget, *, store=None, **settings):
        tokenizer.padding_side = "left"
        sampling = Sampling(**{"temperature": 0, "max_new_tokens": 60, **settings})
        problems = Dataset.from_dict({"prompt": prompts})
        return draw_within(TransformersEngine(model, tokenizer), problems, sampling, budget, store=store)

    return run
