"""The engine behind an OpenAI-compatible server, against a real HTTP server."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from trl_rlsp.cli import main
from trl_rlsp.errors import ConfigError, DataError, SourceError
from trl_rlsp.generation import Sampling, all_requests
from trl_rlsp.generation.server import ServerEngine, choice_text

pytest.importorskip("openai")

CHAT = [{"role": "user", "content": "1 + 1 ?"}]


class Handler(BaseHTTPRequestHandler):
    """Answers with the request's seed; `server.behaviour` says what else happens."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.received.append((self.path, body))
        status, answer = self.server.behaviour(self.path, body, len(self.server.received))
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


def completion(path, text, finish_reason="stop", tokens=7, **message):
    choice = {"index": 0, "finish_reason": finish_reason}
    if "chat" in path:
        choice["message"] = {"role": "assistant", "content": text, **message}
    else:
        choice["text"] = text
    return {
        "id": "x",
        "object": "chat.completion" if "chat" in path else "text_completion",
        "created": 0,
        "model": "m",
        "choices": [choice],
        "usage": {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": 1 + tokens},
    }


@pytest.fixture
def server():
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.received = []
    running.behaviour = lambda path, body, count: (200, completion(path, f"\\boxed{{2}} {body['seed']}"))
    running.url = f"http://127.0.0.1:{running.server_port}/v1"
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


def draw(server, prompts, **settings):
    engine = ServerEngine("m", server.url, retries=2)
    sampling = Sampling(**{"batch_size": 4, **settings})
    return [s for batch in engine.sample(prompts, all_requests(len(prompts), sampling.n), sampling) for s in batch]


class TestServerEngine:
    def test_what_is_asked(self, server):
        sampling = {"temperature": 0.5, "top_p": 0.9, "max_new_tokens": 30}
        draw(server, [CHAT, "1 + 1 ="], **sampling)
        asked = dict(server.received)
        chat, text = asked["/v1/chat/completions"], asked["/v1/completions"]
        assert (chat["messages"], text["prompt"]) == (CHAT, "1 + 1 =")
        for body in (chat, text):
            assert (body["model"], body["temperature"], body["top_p"], body["max_tokens"]) == ("m", 0.5, 0.9, 30)

    def test_every_request_has_a_seed_of_its_own(self, server):
        first = draw(server, [CHAT, CHAT], n=3)
        assert [(s.prompt_index, s.sample_index) for s in first] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
        assert len({s.text for s in first}) == 6
        assert draw(server, [CHAT, CHAT], n=3) == first
        assert {s.text for s in draw(server, [CHAT, CHAT], n=3, seed=1)}.isdisjoint({s.text for s in first})

    def test_in_the_order_asked_for_whichever_is_done_first(self, server):
        def slow_first(path, body, count):
            time.sleep(0.3 if count == 1 else 0)
            return 200, completion(path, str(body["seed"]))

        expected = [s.text.removeprefix("\\boxed{2} ") for s in draw(server, [CHAT], n=4)]
        server.received.clear()
        server.behaviour = slow_first
        assert [s.text for s in draw(server, [CHAT], n=4)] == expected

    def test_what_is_not_taken_is_not_asked_for(self, server):
        def slow(path, body, count):
            time.sleep(0.5 if count > 1 else 0)
            return 200, completion(path, "x")

        server.behaviour = slow
        sampling = Sampling(batch_size=1, n=9)
        drawn = ServerEngine("m", server.url).sample([CHAT], all_requests(1, 9), sampling)
        next(drawn)
        drawn.close()
        assert len(server.received) < 9
        assert not any(thread.name == "server-client" for thread in threading.enumerate())

    def test_tokens_and_truncation_are_the_servers(self, server):
        server.behaviour = lambda path, body, count: (200, completion(path, "so", "length", 30))
        (sample,) = draw(server, [CHAT])
        assert (sample.text, sample.tokens, sample.truncated) == ("so", 30, True)

    def test_an_error_that_passes(self, server):
        good = server.behaviour
        server.behaviour = lambda path, body, count: (
            (503, {"error": {"message": "busy"}}) if count == 1 else good(path, body, count)
        )
        assert len(draw(server, [CHAT])) == 1
        assert len(server.received) == 2

    def test_an_error_that_does_not(self, server):
        server.behaviour = lambda path, body, count: (404, {"error": {"message": "no such model"}})
        with pytest.raises(SourceError, match=r"did not answer for model 'm': .*no such model.* the same command"):
            draw(server, [CHAT])

    def test_nobody_there(self, server):
        engine = ServerEngine("m", "http://127.0.0.1:9/v1", retries=0)
        with pytest.raises(SourceError, match=r"the server at http://127.0.0.1:9/v1 did not answer"):
            list(engine.sample([CHAT], all_requests(1, 1), Sampling()))

    @pytest.mark.parametrize("missing", ["usage", "choices"])
    def test_an_answer_without_what_is_needed(self, server, missing):
        def incomplete(path, body, count):
            answer = completion(path, "x")
            answer[missing] = None if missing == "usage" else []
            return 200, answer

        server.behaviour = incomplete
        with pytest.raises(DataError, match=r"must return `choices` and `usage\.completion_tokens`"):
            draw(server, [CHAT])

    def test_split_off_reasoning_is_put_back(self, server):
        server.behaviour = lambda path, body, count: (200, completion(path, "So 2.", reasoning_content="1 + 1"))
        assert draw(server, [CHAT])[0].text == "<think>1 + 1</think>So 2."

    def test_reasoning_that_was_cut_off_stays_open(self):
        message = SimpleNamespace(content=None, reasoning_content="1 +")
        assert choice_text(SimpleNamespace(message=message, finish_reason="length")) == "<think>1 +"

    def test_not_an_address(self):
        with pytest.raises(ConfigError, match="a server's URL must start with http:// or https://, got 'here'"):
            ServerEngine("m", "here")


def test_rlsp_eval(server, tmp_path, capsys):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"problem": "1 + 1?", "answer": "2"}\n{"problem": "1 + 2?", "answer": "3"}\n')
    arguments = ["--engine", "server", "--server_url", server.url, "--model_name_or_path", "m", "--num_samples", "2"]
    folder = tmp_path / "out"
    assert main(["eval", *arguments, "--dataset", str(rows), "--output_dir", str(folder)]) == 0
    figures = json.loads((folder / "metrics.json").read_text())
    # the server says 2 to everything
    assert (figures["pass_at_1"]["mean"], figures["tokens"]["mean"]) == (0.5, 7.0)
    assert "2 problems x 2 completions" in capsys.readouterr().out
