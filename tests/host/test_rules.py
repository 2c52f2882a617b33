"""What the Functions worker refuses, this host refuses too, and names all of it."""

from __future__ import annotations

import pytest

from dev.host import LoadFailed, RulesBroken
from tests.host.conftest import Server

GOOD = """
@app.route(route="good", auth_level=ANONYMOUS)
async def good(req: Request) -> Response:
    return Response("ok")
"""


def broken(serve: Server, source: str) -> list[str]:
    with pytest.raises(RulesBroken) as caught:
        serve(source)
    return [str(violation) for violation in caught.value.violations]


WORKER_RULES = [
    (
        '@app.route(route="x")\nasync def item(req: Request, item_id: str): ...',
        "item: parameter 'item_id' is no binding",
    ),
    ('@app.route(route="x")\nasync def item(): ...', "item: binding 'req' is no parameter of the function"),
    (
        '@app.route(route="x")\nasync def classic(req: func.HttpRequest): ...',
        "classic: parameter 'req' must be azurefunctions.extensions.http.fastapi.Request",
    ),
    (
        '@app.route(route="x")\nasync def item(req: Request, context: str): ...',
        "item: parameter 'context' must be azure.functions.Context",
    ),
    (
        '@app.route(route="x")\nasync def either(req: Request) -> Response | JSONResponse: ...',
        "either: return annotation must be one response class or absent",
    ),
    (
        '@app.route(route="x")\nasync def nothing(req: Request) -> None: ...',
        "nothing: return annotation must be one response class or absent, not None",
    ),
    (
        '@app.route(route="x")\nasync def generic(req: Request) -> dict[str, str]: ...',
        "generic: return annotation must be one response class or absent, not dict[str, str]",
    ),
    (
        '@app.route(route="x")\nasync def classic(req: Request) -> func.HttpResponse: ...',
        "classic: return annotation must be one response class or absent, not azure.functions._http.HttpResponse",
    ),
    (
        '@app.route(route="x")\nasync def typed(req: Request) -> Missing: ...',
        "typed: typing.get_type_hints fails on its annotations: NameError",
    ),
    ('@app.function_name("bare")\nasync def bare(req: Request): ...', "Function bare does not have a trigger"),
]
"""Source, and what is said of it. The worker itself refuses these: see test_worker_agrees.py."""

OTHER_RULES = [
    ('@app.route(route="x")\ndef blocks(req: Request): ...', "blocks: must be a coroutine function"),
    ('@app.route(route="x")\nasync def streams(req: Request):\n    yield b""', "streams: must be a coroutine function"),
    (
        '@app.timer_trigger(schedule="0 * * * * *", arg_name="timer")\nasync def tick(timer): ...',
        "tick: has a timerTrigger; this host serves only httpTrigger and warmupTrigger",
    ),
    (
        '@app.function_name("host")\n@app.route(route="x")\nasync def fine(req: Request): ...',
        "host: is no function name",
    ),
    ('@app.route(route="/x")\nasync def slashed(req: Request): ...', "slashed: route '/x' must not start with"),
    (
        '@app.route(route="admin/x")\nasync def reserved(req: Request): ...',
        "reserved: route 'admin/x': the host keeps 'admin' and 'runtime' for itself",
    ),
    (
        '@app.route(route="a/{b:range(1,2)}")\nasync def ranged(req: Request): ...',
        "ranged: route 'a/{b:range(1,2)}': the constraint 'range(1,2)' is not known here",
    ),
    ('@app.route(route="a//b")\nasync def gap(req: Request): ...', "gap: route 'a//b': cannot read the segment ''"),
    (
        '@app.route(route="a/{*b}/c")\nasync def deep(req: Request): ...',
        "deep: route 'a/{*b}/c': '{*b}' can only be the last segment",
    ),
    (
        '@app.route(route="{a}/{A}")\nasync def twice(req: Request): ...',
        "twice: route '{a}/{A}': the parameter 'A' is there twice",
    ),
]
"""Rules of the Functions host, and of this house."""


@pytest.mark.parametrize(("source", "named"), WORKER_RULES + OTHER_RULES)
def test_a_broken_rule_is_named_with_its_function(serve: Server, source: str, named: str) -> None:
    violations = broken(serve, source)
    assert len(violations) == 1
    assert named in violations[0]


def test_every_breach_is_named_at_once(serve: Server) -> None:
    violations = broken(
        serve,
        """
        @app.route(route="a")
        def first(req: func.HttpRequest, more): ...

        @app.route(route="b")
        async def second(req: Request) -> None: ...
        """,
    )
    assert [violation.partition(":")[0] for violation in violations] == ["first", "first", "first", "second"]


def test_two_functions_of_one_name_are_refused_whatever_the_letter_case(serve: Server) -> None:
    violations = broken(
        serve,
        """
        @app.route(route="a")
        async def same(req: Request): ...

        @app.function_name("SAME")
        @app.route(route="b")
        async def other(req: Request): ...
        """,
    )
    assert violations == ["SAME: this function name is there twice; names must be unique"]


def test_two_functions_on_one_route_and_method_are_refused(serve: Server) -> None:
    violations = broken(
        serve,
        """
        @app.route(route="things/{id}", methods=["GET", "PUT"])
        async def read(req: Request): ...

        @app.route(route="things/{name}", methods=["GET"])
        async def again(req: Request): ...

        @app.route(route="things/{id}", methods=["POST"])
        async def fine(req: Request): ...
        """,
    )
    assert violations == ["again: has the route (things/{name}) and a method of 'read', which hides it"]


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("other = func.FunctionApp()" + GOOD, "needs exactly one module-level FunctionApp; found app, other"),
        ("alias = app" + GOOD, "needs exactly one module-level FunctionApp; found alias, app"),
        ("app = None", "needs exactly one module-level FunctionApp; found none"),
        (GOOD + "app.get_functions()", "must not call get_functions()"),
        ("", "has no functions"),
    ],
)
def test_the_file_itself_has_rules_too(serve: Server, source: str, named: str) -> None:
    violations = broken(serve, source)
    assert violations
    assert all(violation.startswith("function_app.py: ") for violation in violations)
    assert named in violations[0]


def test_an_app_that_does_not_import_the_extension_would_buffer_and_is_refused(serve: Server) -> None:
    serve.write(
        """
        import azure.functions as func

        app = func.FunctionApp()

        @app.route(route="x")
        async def item(req): ...
        """,
        header="",
    )
    with pytest.raises(RulesBroken, match=r"function_app\.py: must import azurefunctions"):
        serve.start()


def test_a_handler_without_annotations_is_fine(serve: Server) -> None:
    served = serve(
        """
        @app.route(route="plain")
        async def plain(req, context):
            return JSONResponse({"function": context.function_name})
        """
    )
    assert served.ask("GET", "/api/plain").body == b'{"function":"plain"}'


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import a_module_that_is_not_there", "ModuleNotFoundError: No module named 'a_module_that_is_not_there'"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        (
            "coroutine = asyncio.sleep(0)\ntry:\n    asyncio.run(coroutine)\nfinally:\n    coroutine.close()",
            "RuntimeError: asyncio.run() cannot be called from a running event loop",
        ),
    ],
)
def test_a_file_that_cannot_be_imported_is_an_error_that_says_so(serve: Server, source: str, said: str) -> None:
    with pytest.raises(LoadFailed, match=r"function_app\.py cannot be imported") as caught:
        serve(source)
    assert said in str(caught.value)


def test_a_file_that_is_not_there_is_an_error_that_says_so(serve: Server) -> None:
    with pytest.raises(LoadFailed, match=r"there is no function_app\.py in "):
        serve.start()
