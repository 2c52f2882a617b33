"""The real Python worker judges as this host does. Its code for Python 3.13 is a package; it asks for 3.13."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from azure.functions.decorators.core import BindingDirection, DataType

from dev.emulator import Emulators
from dev.host import AZURE_MARKS, Host
from tests.host.conftest import Server
from tests.host.test_rules import WORKER_RULES

ROOT = Path(__file__).parent.parent.parent

functions: Any = pytest.importorskip("azure_functions_runtime.functions", reason="the worker's package asks for 3.13")
loader: Any = pytest.importorskip("azure_functions_runtime.loader")
meta: Any = pytest.importorskip("azure_functions_runtime.bindings.meta")

# The worker only compares with these; in Azure they are protobuf enumerations with the same numbers.
PROTOS = SimpleNamespace(
    BindingInfo=SimpleNamespace(
        out=BindingDirection.OUT.value, inout=BindingDirection.INOUT.value, undefined=DataType.UNDEFINED.value
    )
)


def indexed(app: Any) -> list[str]:
    """The names of the functions that the worker finds in a FunctionApp. Raises what it raises."""
    meta.load_binding_registry()
    registry = functions.Registry()
    return [registry.add_indexed_function(function, PROTOS).name for function in app.get_functions()]


def imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("worker_agrees", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("source", [source for source, _ in WORKER_RULES])
def test_what_breaks_a_rule_of_the_workers_does_not_load_there(serve: Server, source: str) -> None:
    app = imported(serve.write(source)).app
    with pytest.raises((functions.FunctionLoadError, NameError, ValueError)):
        indexed(app)


def test_what_is_fine_here_loads_there(serve: Server) -> None:
    source = """
    @app.route(route="plain")
    async def plain(req, context): ...

    @app.route(route="typed")
    async def typed(req: Request, context: func.Context) -> StreamingResponse: ...

    @app.warm_up_trigger("trigger")
    async def warm(trigger): ...
    """
    served = serve(source)
    names = [function.name for function in served.host.functions]
    assert indexed(imported(serve.path).app) == names == ["plain", "typed", "warm"]


def test_this_app_loads_there() -> None:
    with Host.start({}, path=ROOT / "function_app.py", allow_mistakes=True, warm_up=False) as host:
        assert indexed(sys.modules["function_app"].app) == [function.name for function in host.functions]


@contextmanager
def asked(azure: Emulators, *words: str, body: bytes = b"") -> Iterator[Iterator[Any]]:
    """One request through the real worker: an iterator of the status, then of the answer's pieces."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.host.real_worker", *words],
        cwd=ROOT,
        env={**{name: value for name, value in os.environ.items() if name not in AZURE_MARKS}, **azure.environ()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(body)
        process.stdin.close()
        yield (json.loads(line) for line in process.stdout if line.startswith((b'"', b"2", b"4", b"5")))
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def test_this_app_answers_through_the_real_worker(azure: Emulators) -> None:
    with asked(azure, "health", "GET", "health") as answer:
        assert list(answer) == [200, '{"status":"ok"}']


def test_this_app_streams_through_the_real_worker_piece_by_piece(azure: Emulators) -> None:
    azure.openai.script({"chunks": ["Good ", "morning."], "gate": "half", "after": 1})
    body = b'{"messages": [{"role": "user", "content": "Hello"}], "stream": true}'
    with asked(azure, "chat", "POST", "chat", body=body) as answer:
        assert next(answer) == 200
        begun = next(piece for piece in answer if "Good " in piece)
        assert "morning." not in begun
        azure.openai.open_gate("half")
        rest = "".join(answer)
    assert "morning." in rest
    assert rest.endswith("data: [DONE]\n\n")
