"""A branch pushed to a real remote, and a pull request asked of a local server in place of the forge's API."""

import http.server
import json
import socket
import threading

import pytest

from model.table import BadInput
from pipelines.forge import Forge
from rollout.git import Repo

OPEN = [{"number": 5, "html_url": "http://forge/pull/5"}]
MADE = {"number": 5, "html_url": "http://forge/pull/5"}


class Api:
    """Answers with what it is given, in order, and remembers what it was asked."""

    def __init__(self, *answers: tuple):
        self.answers, self.asked = list(answers), []
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                api.asked.append((self.command, self.path.removeprefix("/repos/ada/models"), json.loads(content or "null")))
                status, body, *headers = api.answers.pop(0)
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            do_GET = do_POST = do_PATCH = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.forge = Forge(f"http://127.0.0.1:{self.server.server_port}", "https://forge", "ada/models", "secret")


def ask(api: Api) -> str:
    return api.forge.request("train/dev-credit-2", "main", "credit(dev): start 2", "text")


LOOK = ("GET", "/pulls?state=open&head=ada:train/dev-credit-2", None)
OPENED = ("POST", "/pulls", {"title": "credit(dev): start 2", "body": "text", "head": "train/dev-credit-2", "base": "main"})
REPLACED = ("PATCH", "/pulls/5", {"title": "credit(dev): start 2", "body": "text"})


def test_it_is_opened_once_and_replaced_the_second_time():
    api = Api((200, []), (201, MADE), (200, OPEN), (200, MADE))
    assert ask(api) == ask(api) == "http://forge/pull/5"
    assert api.asked == [LOOK, OPENED, LOOK, REPLACED]


def test_where_somebody_was_quicker_it_is_replaced():
    api = Api((200, []), (422, {"message": "already exists"}), (200, OPEN), (200, MADE))
    assert ask(api) == "http://forge/pull/5"
    assert api.asked == [LOOK, OPENED, LOOK, REPLACED]


def test_our_comment_is_found_on_a_later_page_and_nobody_elses_is_taken_for_it():
    mark, ours = "<!-- rollout: review -->", {"login": "github-actions[bot]"}
    others = [{"id": number, "user": {"login": "eve"}, "body": f"{mark} mine"} for number in range(99)]
    others.append({"id": 99, "user": ours, "body": f"not first: {mark}"})
    api = Api((200, others), (200, [{"id": 7, "user": ours, "body": f"{mark}\nold"}]), (200, {"html_url": "http://forge/c"}))
    assert api.forge.comment(5, "review", "new", "github-actions[bot]") == "http://forge/c"
    assert api.asked == [
        ("GET", "/issues/5/comments?per_page=100&page=1", None),
        ("GET", "/issues/5/comments?per_page=100&page=2", None),
        ("PATCH", "/issues/comments/7", {"body": f"{mark}\nnew"}),
    ]


REFUSED = {
    "401": (
        [(401, {"message": "Bad credentials"})],
        "answers 401 (Bad credentials); a token that is valid would be right",
    ),
    "403": (
        [(200, []), (403, {"message": "Resource not accessible"})],
        "answers 403 (Resource not accessible); a token that may write pull requests would be right",
    ),
    "422 for another reason": (
        [(200, []), (422, {"message": "No commits between main and it"}), (200, [])],
        "refuses the pull request: No commits between main and it",
    ),
    "a rate limit": (
        [(403, {}, ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1790000000"))],
        "rate limit; come back after 1790000000",
    ),
    "too many": ([(429, {}, ("retry-after", "60"))], "rate limit; come back after 60"),
    "500": ([(500, {"message": "oops"})], "answers 500 (oops); run again when it does better"),
}


@pytest.mark.parametrize(("answers", "message"), REFUSED.values(), ids=REFUSED)
def test_a_forge_that_refuses_is_told_in_one_sentence(answers, message):
    with pytest.raises(BadInput) as error:
        ask(Api(*answers))
    assert str(error.value) == f"forge: ada/models: {message}"


def test_a_forge_that_is_down_is_said_so():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(BadInput, match=rf"^forge: http://127.0.0.1:{port} does not answer \(NewConnectionError\); run again"):
        Forge(f"http://127.0.0.1:{port}", "x", "ada/models", "t").request("b", "main", "t", "b")


def test_without_a_token_nothing_is_asked():
    with pytest.raises(BadInput, match=r"^environment: GH_TOKEN is not set; a workflow sets it, a person exports it$"):
        Forge.of({"GITHUB_REPOSITORY": "ada/models"})


def test_the_branch_is_pushed_and_may_be_made_anew(desk, tmp_path):
    desk.git("init", "--quiet", "--bare", str(tmp_path / "ada" / "models"))
    forge = Forge("http://unused", f"file://{tmp_path}", "ada/models", "secret")
    for message in ("one", "another"):
        desk.git("switch", "--quiet", "--force-create", "train/x", "main")
        desk.git("commit", "--quiet", "--allow-empty", "-m", message)
        forge.push(Repo(desk.path), "train/x")
        assert desk.git("--git-dir", str(tmp_path / "ada/models"), "log", "-1", "--format=%s", "train/x") == f"{message}\n"


def test_a_remote_that_is_not_there_is_said_so(desk, tmp_path):
    with pytest.raises(BadInput, match=r"^forge: main is not pushed: .*; run again when it answers$"):
        Forge("http://unused", f"file://{tmp_path}", "ada/nowhere", "secret").push(Repo(desk.path), "main")
