"""An OpenAI-compatible server on a free port of this machine, with scripted answers."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

GOOD = {"diversity": 6, "depth": 5, "creativity": 3, "persistence": 6}
"""Grades with mean 5: worth 0.99 * 5 / 10 = 0.495."""

WORTH = 0.495


class Step(NamedTuple):
    """What the server does with a request.

    Attributes:
        text: content of the chat completion.
        status: HTTP status; the text is the error message if it is not 200.
        headers: further headers.
        delay: seconds before it answers.
        raw: body in place of a chat completion.
    """

    text: str = json.dumps(GOOD)
    status: int = 200
    headers: dict[str, str] = {}
    delay: float = 0.0
    raw: str | None = None

    def body(self) -> bytes:
        """What is sent."""
        if self.raw is not None:
            return self.raw.encode()
        if self.status != 200:
            return json.dumps({"error": {"message": self.text, "type": "test"}}).encode()
        message = {"role": "assistant", "content": self.text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return json.dumps(
            {"id": "1", "object": "chat.completion", "created": 1, "model": "judge", "choices": [choice]}
        ).encode()


class JudgeServer:
    """Answers the n-th request by the n-th step, and by the last one from then on; keeps what it was sent."""

    def __init__(self, *steps: Step, by: Any = None) -> None:
        self.steps, self.by = steps or (Step(),), by
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.active = self.most_active = 0
        self.lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                server.answer(self)

            def log_message(self, *arguments: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Serve one request."""
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        with self.lock:
            step = self.by(body) if self.by else self.steps[min(len(self.requests), len(self.steps) - 1)]
            self.requests.append(body)
            self.headers.append({name.lower(): value for name, value in handler.headers.items()})
            self.active += 1
            self.most_active = max(self.active, self.most_active)
        time.sleep(step.delay)
        with self.lock:
            self.active -= 1
        content = step.body()
        try:
            handler.send_response(step.status)
            for name, value in {"Content-Type": "application/json", **step.headers}.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client gave up, as some tests want

    def __enter__(self) -> JudgeServer:
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.http.shutdown()
        self.http.server_close()


def shown(request: dict[str, Any]) -> dict[str, str]:
    """The problem and the work in a request, as the judge's server got them."""
    lines = request["messages"][1]["content"].split("\n")
    return json.loads(lines[1])
