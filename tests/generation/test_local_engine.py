"""Sampling with transformers: order, lengths, truncation, seeds."""

from __future__ import annotations

import pytest
import torch

from trl_rlsp.countdown import build_model, build_tokenizer
from trl_rlsp.errors import ConfigError, SourceError
from trl_rlsp.generation import Prefixed, Request, Sampling, TransformersEngine, all_requests, load_model, local, render

PROMPTS = [
    [{"role": "user", "content": "8 1 9 : 72"}],
    "12 4 : 3",
    [{"role": "user", "content": "1 2 3 4 5 6 : 72"}],
]


@pytest.fixture(scope="module")
def model():
    return build_model(hidden_size=32, layers=2).eval()


@pytest.fixture(scope="module")
def left():
    """The tokenizer as `load_model` gives it; the shared one pads on the right."""
    padded = build_tokenizer()
    padded.padding_side = "left"
    return padded


def draw(model, tokenizer, prompts=PROMPTS, **settings):
    defaults = {"temperature": 1.0, "max_new_tokens": 12, "batch_size": 4}
    sampling = Sampling(**{**defaults, **settings})
    requests = all_requests(len(prompts), sampling.n)
    batches = list(TransformersEngine(model, tokenizer).sample(prompts, requests, sampling))
    return [sample for batch in batches for sample in batch], batches


class TestSampling:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"n": 0}, "n must be at least 1, got 0"),
            ({"max_new_tokens": -1}, "max_new_tokens must be at least 1, got -1"),
            ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
            ({"temperature": -0.1}, r"temperature must be 0 or more .* got -0.1 and 1.0"),
            ({"temperature": float("nan")}, r"temperature must be 0 or more .* got nan and 1.0"),
            ({"top_p": 0}, r"top_p in \(0, 1\], got 0.7 and 0"),
            ({"top_p": 1.1}, r"top_p in \(0, 1\], got 0.7 and 1.1"),
            ({"temperature": 0, "n": 2}, "greedy decoding gives one completion per prompt, got n=2"),
        ],
    )
    def test_refused(self, arguments, message):
        with pytest.raises(ConfigError, match=message):
            Sampling(**arguments)

    def test_defaults_are_the_papers(self):
        assert Sampling() == Sampling(n=1, temperature=0.7, top_p=1.0, max_new_tokens=8192)


class TestRender:
    def test_messages_by_the_chat_template(self, tokenizer):
        assert render(PROMPTS[0], tokenizer) == "<user> 8 1 9 : 72 <assistant>"

    def test_text_as_it_is(self, tokenizer):
        assert render("12 4 : 3", tokenizer) == "12 4 : 3"


class TestGenerate:
    def test_n_completions_of_every_prompt_in_batches(self, model, left):
        samples, batches = draw(model, left, n=3)
        assert sorted(s.prompt_index for s in samples) == [0] * 3 + [1] * 3 + [2] * 3
        assert [len(batch) for batch in batches] == [4, 4, 1]
        # shortest text first: the plain one, then 5 tokens, then 8
        assert [s.prompt_index for s in samples] == [1] * 3 + [0] * 3 + [2] * 3

    def test_token_counts_and_truncation(self, model, left):
        samples, _ = draw(model, left, n=40, batch_size=64)
        ended = [s for s in samples if not s.truncated]
        assert ended  # 120 completions of 12 draws from 165 tokens: 8 of them or so end
        for sample in samples:
            assert 1 <= sample.tokens <= 12
            assert "<eos>" not in sample.text
        assert all(s.tokens == 12 for s in samples if s.truncated)

    def test_the_end_token_counts(self, left):
        model = build_model(hidden_size=32, layers=1).eval()
        with torch.no_grad():
            model.lm_head.weight.zero_()
        model.generation_config.eos_token_id = left.convert_tokens_to_ids("<pad>")
        # all logits are equal and greedy takes the first token, <pad>, which is an end token of the model here
        samples, _ = draw(model, left, temperature=0)
        assert [(s.tokens, s.truncated, s.text) for s in samples] == [(1, False, "")] * 3

    def test_seed(self, model, left):
        first, second, other = (draw(model, left, seed=seed)[0] for seed in (3, 3, 4))
        assert first == second
        assert first != other

    def test_leaves_torchs_generator_alone(self, model, left):
        before = torch.random.get_rng_state()
        draw(model, left)
        assert torch.equal(torch.random.get_rng_state(), before)

    @pytest.mark.parametrize("segment", [2, 32])
    def test_greedy_is_the_argmax(self, model, left, segment, monkeypatch):
        monkeypatch.setattr(local, "SEGMENT", segment)
        samples, _ = draw(model, left, prompts=PROMPTS[:1], temperature=0, max_new_tokens=5)
        ids = left(render(PROMPTS[0], left), return_tensors="pt")["input_ids"]
        expected = []
        with torch.no_grad():
            for _ in range(5):
                token = model(ids).logits[0, -1].argmax()
                expected.append(int(token))
                ids = torch.cat([ids, token.view(1, 1)], dim=1)
                if token == left.eos_token_id:
                    break
        assert samples[0].text == left.decode(expected, skip_special_tokens=True)
        assert samples[0].tokens == len(expected)

    def test_padding_does_not_change_greedy_completions(self, model, left):
        together = {s.prompt_index: s for s in draw(model, left, temperature=0, batch_size=3)[0]}
        alone = {s.prompt_index: s for s in draw(model, left, temperature=0, batch_size=1)[0]}
        assert together == alone

    def test_settings_of_the_checkpoint_do_not_bend_the_distribution(self, left):
        """Hub models bring penalties and cut-offs in their generation_config; `Sampling` alone decides."""
        plain, bent = (build_model(hidden_size=32, layers=2).eval() for _ in range(2))
        for name, value in {
            "repetition_penalty": 5.0,
            "top_k": 3,
            "min_p": 0.5,
            "no_repeat_ngram_size": 1,
            "num_beams": 2,
        }.items():
            setattr(bent.generation_config, name, value)
        assert draw(bent, left)[0] == draw(plain, left)[0]


class TestSegments:
    """Finished sequences leave the batch; nothing about the others may change."""

    def test_lengths_have_the_same_distribution(self, model, left, monkeypatch):
        settings = {"n": 30, "max_new_tokens": 24, "batch_size": 90}
        drawn = {}
        for segment in (4, 24):
            monkeypatch.setattr(local, "SEGMENT", segment)
            drawn[segment] = [s for seed in range(4) for s in draw(model, left, seed=seed, **settings)[0]]
        shares = [sum(not s.truncated for s in samples) / len(samples) for samples in drawn.values()]
        # 360 completions, about one in eight ends in time: standard error of the difference sqrt(2 * .11 / 360) = 0.025
        assert 0 < shares[0] < 0.5
        assert shares[0] == pytest.approx(shares[1], abs=0.1)

    def test_greedy_completions_that_end_at_different_times(self, taught_folder, monkeypatch):
        taught, tokenizer = load_model(str(taught_folder), dtype="float32")
        prompts = [f"<user> {problem} <assistant>" for problem in ("8 1 9 : 72", "1 2 : 3", "7 1 : 3", "2 5 9 : 63")]
        drawn = []
        for segment, batch_size in ((40, 1), (3, 4), (1, 4)):
            monkeypatch.setattr(local, "SEGMENT", segment)
            samples, _ = draw(taught, tokenizer, prompts, temperature=0, max_new_tokens=40, batch_size=batch_size)
            drawn.append(sorted(samples, key=lambda s: s.prompt_index))
        assert len({s.tokens for s in drawn[0]}) > 1  # they do leave one after another
        assert drawn[0] == drawn[1] == drawn[2]

    def test_a_cache_that_cannot_be_cut_is_left_to_transformers(self, model, left, monkeypatch):
        monkeypatch.setattr(local, "SEGMENT", 3)
        prompts = [*PROMPTS, Prefixed("12 4 : 3", ("12", "-"), 2, 4)]
        expected = draw(model, left, prompts, temperature=0)[0]
        monkeypatch.setattr(local, "can_be_cut", lambda cache: False)
        assert draw(model, left, prompts, temperature=0)[0] == expected
        assert {s.prompt_index: s.tokens <= 2 + 4 for s in expected}[3]


class TestRequests:
    def test_only_what_is_asked_for(self, model, left):
        engine = TransformersEngine(model, left)
        requests = [Request(2, 5), Request(0, 1)]
        samples = [s for batch in engine.sample(PROMPTS, requests, Sampling(max_new_tokens=2)) for s in batch]
        assert {s.request for s in samples} == set(requests)

    def test_a_batch_does_not_depend_on_those_before_it(self, model, left):
        engine, sampling = TransformersEngine(model, left), Sampling(max_new_tokens=6, batch_size=2, temperature=1.0)
        requests = [Request(1, n) for n in range(6)]
        whole = list(engine.sample(PROMPTS, requests, sampling))
        assert list(engine.sample(PROMPTS, requests[2:], sampling)) == whole[1:]


class TestLoadModel:
    def test_folder(self, model_folder):
        model, tokenizer = load_model(str(model_folder), dtype="float32")
        assert (model.training, model.dtype, tokenizer.padding_side) == (False, torch.float32, "left")

    def test_adapter_over_its_base(self, model_folder, tmp_path):
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        base = AutoModelForCausalLM.from_pretrained(model_folder)
        adapted = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
        adapted.save_pretrained(tmp_path)
        load_model(str(model_folder))[1].save_pretrained(tmp_path)
        loaded, tokenizer = load_model(str(tmp_path))
        ids = tokenizer("8 1 9 : 72", return_tensors="pt")["input_ids"]
        with torch.no_grad():
            difference = (loaded(ids).logits - adapted.eval()(ids).logits).abs().max()
            change = (loaded(ids).logits - load_model(str(model_folder))[0](ids).logits).abs().max()
        assert difference < 1e-5 < change

    def test_without_a_padding_token_the_end_token_pads(self, model_folder, tmp_path):
        model, tokenizer = load_model(str(model_folder))
        model.save_pretrained(tmp_path)
        tokenizer.pad_token = None
        tokenizer.save_pretrained(tmp_path)
        assert load_model(str(tmp_path))[1].pad_token == "<eos>"

    @pytest.mark.parametrize("name", ["/no/such/folder", "nobody/no-such-model"])
    def test_nothing_there(self, name):
        with pytest.raises(SourceError, match=f"no model at '{name}'"):
            load_model(name)

    def test_empty_folder(self, tmp_path):
        with pytest.raises(SourceError, match="no model at"):
            load_model(str(tmp_path))
