"""The life of a host: it starts, serves as the worker does, and leaves nothing behind."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dev.host import Host, HostError, Misconfigured, PortTaken
from tests.host.conftest import Served, Server

STREAM = """
gate = asyncio.Event()

@app.route(route="stream")
async def stream(req: Request) -> StreamingResponse:
    async def pieces():
        try:
            yield b"first"
            await gate.wait()
            yield b"second"
        finally:
            ended.append("stream")
    return StreamingResponse(pieces(), media_type="text/event-stream")

@app.route(route="open")
async def open_gate(req: Request) -> Response:
    gate.set()
    return Response(status_code=204)
"""


def test_a_stream_is_not_buffered(serve: Server) -> None:
    served = serve("ended = []" + STREAM)
    connection = served.connect()
    connection.request("GET", "/api/stream")
    response = connection.getresponse()
    assert response.read(5) == b"first"
    assert served.ask("GET", "/api/open").status == 204
    assert response.read() == b"second"
    connection.close()


def test_an_unhandled_exception_is_a_500_that_tells_nothing_and_is_logged(
    serve: Server, caplog: pytest.LogCaptureFixture
) -> None:
    served = serve(
        """
        @app.route(route="boom")
        async def boom(req: Request) -> Response:
            raise ValueError("a secret of the app")
        """
    )
    answer = served.ask("GET", "/api/boom")
    assert (answer.status, answer.body) == (500, b"Internal Server Error")
    served.host.stop()
    assert "a secret of the app" in caplog.text


def test_a_function_that_returns_nothing_is_a_500(serve: Server, caplog: pytest.LogCaptureFixture) -> None:
    served = serve('@app.route(route="x")\nasync def silent(req: Request): ...')
    assert served.ask("GET", "/api/x").status == 500
    served.host.stop()
    assert "function 'silent' returned no response" in caplog.text


def test_an_http_exception_is_its_own_answer_as_in_the_worker(serve: Server) -> None:
    served = serve(
        """
        from starlette.exceptions import HTTPException

        @app.route(route="teapot")
        async def teapot(req: Request) -> Response:
            raise HTTPException(418, "short and stout")
        """
    )
    assert served.ask("GET", "/api/teapot").status == 418


def test_answers_without_a_body_and_two_cookies_pass(serve: Server) -> None:
    served = serve(
        """
        @app.route(route="status/{code:int}")
        async def status(req: Request) -> Response:
            response = Response(status_code=int(req.path_params["code"]))
            response.set_cookie("a", "1")
            response.set_cookie("b", "2")
            return response
        """
    )
    for code in (204, 304):
        answer = served.ask("GET", f"/api/status/{code}")
        assert (answer.status, answer.body) == (code, b"")
        assert len([value for name, value in answer.pairs if name.lower() == "set-cookie"]) == 2
    for method in ("HEAD", "OPTIONS"):
        assert served.ask(method, "/api/status/200").status == 200


ENVIRON = """
SEEN = {name: os.environ.get(name) for name in ("HOST_TEST_GIVEN", "HOST_TEST_REMOVED", "WEBSITE_SKU")}

@app.route(route="environ")
async def environ(req: Request) -> JSONResponse:
    return JSONResponse(SEEN)
"""


def test_the_environment_is_the_hosts_while_it_runs(serve: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST_TEST_REMOVED", "from outside")
    monkeypatch.setenv("WEBSITE_SKU", "from outside")
    served = serve(ENVIRON, {"HOST_TEST_GIVEN": "1", "HOST_TEST_REMOVED": None})
    seen = served.ask("GET", "/api/environ").body
    assert seen == b'{"HOST_TEST_GIVEN":"1","HOST_TEST_REMOVED":null,"WEBSITE_SKU":null}'
    served.host.stop()
    assert os.environ.get("HOST_TEST_GIVEN") is None
    assert os.environ["HOST_TEST_REMOVED"] == os.environ["WEBSITE_SKU"] == "from outside"


def test_a_test_may_have_the_app_believe_that_it_is_in_azure(serve: Server) -> None:
    assert (
        b'"WEBSITE_SKU":"FlexConsumption"'
        in serve(ENVIRON, {"WEBSITE_SKU": "FlexConsumption"}).ask("GET", "/api/environ").body
    )


def test_each_start_loads_the_app_anew_and_leaves_nothing(serve: Server) -> None:
    paths, threads = list(sys.path), threading.active_count()
    module = sys.modules.get("function_app")
    for expected in ("one", "two", "three"):
        served = serve(f'@app.route(route="x")\nasync def item(req: Request): return Response("{expected}")')
        assert served.ask("GET", "/api/x").body == expected.encode()
        served.host.stop()
        served.host.stop()
    assert (sys.path, sys.modules.get("function_app")) == (paths, module)
    assert threading.active_count() == threads
    with pytest.raises(ConnectionRefusedError):
        served.ask("GET", "/api/x")


def test_hosts_may_be_nested_each_with_its_own_app(serve: Server, tmp_path: Path) -> None:
    outer = serve('@app.route(route="x")\nasync def item(req: Request): return Response(__file__)')
    module = sys.modules["function_app"]
    inner_path = tmp_path / "inner" / "function_app.py"
    inner_path.parent.mkdir()
    inner_path.write_text(serve.path.read_text(encoding="utf-8"), encoding="utf-8")
    with Host.start({}, path=inner_path) as host:
        assert Served(host).ask("GET", "/api/x").body.decode() == str(inner_path)
        assert outer.ask("GET", "/api/x").body.decode() == str(serve.path)
    assert sys.modules["function_app"] is module


def test_a_failed_start_leaves_nothing_either(serve: Server) -> None:
    paths, threads = list(sys.path), threading.active_count()
    with pytest.raises(HostError):
        serve("raise ValueError", {"HOST_TEST_GIVEN": "1"})
    assert sys.path == paths
    assert "HOST_TEST_GIVEN" not in os.environ
    assert threading.active_count() == threads


def test_the_warm_up_function_runs_once(serve: Server) -> None:
    served = serve(
        """
        warmed = []

        @app.warm_up_trigger("trigger")
        async def warm(trigger: func.warmup.WarmUpContext, context: func.Context) -> None:
            warmed.append(context.function_name)

        @app.route(route="warmed")
        async def tell(req: Request) -> JSONResponse:
            return JSONResponse(warmed)
        """.replace("func.warmup.WarmUpContext", "object")
    )
    assert served.host.wait_warm()
    assert served.ask("GET", "/api/warmed").body == b'["warm"]'


FAILING_WARM_UP = """
@app.warm_up_trigger("trigger")
async def warm(trigger):
    raise ValueError("cold")

@app.route(route="x")
async def item(req: Request) -> Response:
    return Response("served")
"""


def test_a_failing_warm_up_is_logged_and_harms_nobody(serve: Server, caplog: pytest.LogCaptureFixture) -> None:
    served = serve(FAILING_WARM_UP)
    assert served.host.wait_warm()
    assert "the warm-up function warm failed" in caplog.text
    assert served.ask("GET", "/api/x").body == b"served"


def test_the_warm_up_can_be_left_out(serve: Server, caplog: pytest.LogCaptureFixture) -> None:
    served = serve(FAILING_WARM_UP, warm_up=False)
    assert served.host.wait_warm()
    assert "failed" not in caplog.text


WORKER = """
from types import SimpleNamespace

ended = []

async def close():
    await asyncio.sleep(0)
    print("closed after", ended)

worker = SimpleNamespace(close=close, settings=SimpleNamespace(mistakes=()))
"""


def test_an_open_stream_is_ended_and_then_the_app_is_closed(
    serve: Server, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    served = serve(WORKER + STREAM, grace=0)
    connection = served.connect()
    connection.request("GET", "/api/stream")
    response = connection.getresponse()
    assert response.read(5) == b"first"
    served.host.stop()
    connection.close()
    assert capsys.readouterr().out == "closed after ['stream']\n"
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


READS = """
@app.route(route="read", methods=["POST"])
async def read(req: Request) -> Response:
    try:
        return Response(await req.body())
    except BaseException as error:
        print(type(error).__name__)
        raise

@app.route(route="wait", methods=["POST"])
async def wait(req: Request) -> Response:
    try:
        async for _ in req.stream():
            pass
    except Exception:
        pass
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        print("cancelled")
        raise
"""


@contextmanager
def reading(served: Served, path: str) -> Iterator[socket.socket]:
    """A connection whose handler waits for the body: the server says 100 when it is asked for it."""
    connection = served.connect()
    with socket.create_connection((connection.host, connection.port), timeout=20) as caller:
        headers = "Host: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        caller.sendall(f"POST {path} HTTP/1.1\r\n{headers}".encode())
        assert caller.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        yield caller


def test_an_answer_under_way_may_end_within_the_grace(serve: Server) -> None:
    served = serve(READS, grace=20)
    idle = served.connect()
    idle.request("GET", "/api/nothing")
    idle.getresponse().read()
    with reading(served, "/api/read") as caller:
        stopping = threading.Thread(target=served.host.stop)
        stopping.start()
        assert idle.sock.recv(1) == b""  # idle connections are closed when the end begins
        idle.close()
        caller.sendall(b"done")
        with caller.makefile("rb") as answer:
            assert answer.read().endswith(b"\r\n\r\ndone")
        stopping.join()


def test_after_the_grace_the_app_sees_its_caller_leave(serve: Server, capsys: pytest.CaptureFixture[str]) -> None:
    served = serve(READS, grace=0)
    with reading(served, "/api/read"):
        served.host.stop()
    assert capsys.readouterr().out == "ClientDisconnect\n"


def test_a_handler_that_will_not_end_is_cancelled(serve: Server, capsys: pytest.CaptureFixture[str]) -> None:
    served = serve(READS, grace=0)
    with reading(served, "/api/wait"):
        served.host.stop()
    assert capsys.readouterr().out == "cancelled\n"


def test_a_close_that_fails_is_logged(serve: Server, caplog: pytest.LogCaptureFixture) -> None:
    served = serve(
        """
        class worker:
            @staticmethod
            async def close():
                raise ValueError("stuck")

        @app.route(route="x")
        async def item(req: Request): ...
        """
    )
    served.host.stop()
    assert "the app's worker.close() failed" in caplog.text


MISTAKEN = """
from types import SimpleNamespace

worker = SimpleNamespace(settings=SimpleNamespace(mistakes=("A: is missing.", "B: is no number.")))

@app.route(route="x")
async def item(req: Request) -> Response:
    return Response("served")
"""


def test_an_app_whose_settings_are_wrong_is_not_served(serve: Server) -> None:
    with pytest.raises(Misconfigured) as caught:
        serve(MISTAKEN)
    assert caught.value.mistakes == ["A: is missing.", "B: is no number."]
    assert str(caught.value) == "these settings are wrong:\n  A: is missing.\n  B: is no number."


def test_an_app_whose_settings_are_wrong_is_served_when_asked(serve: Server) -> None:
    assert serve(MISTAKEN, allow_mistakes=True).ask("GET", "/api/x").body == b"served"


def test_a_busy_port_is_named(serve: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port} is in use"):
            serve("@app.route(route='x')\nasync def item(req: Request): ...", port=port)


def test_a_number_that_is_no_port_is_said_to_be_none(serve: Server) -> None:
    path = serve.write("@app.route(route='x')\nasync def item(req: Request): ...")
    with pytest.raises(HostError, match="70000 is no port"):
        Host.start({}, port=70_000, path=path)
