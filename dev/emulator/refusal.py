"""Refusals, in Azure OpenAI's two shapes: the gateway's {code, message}, and the model's with type and param."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FILTERS = ("hate", "self_harm", "sexual", "violence")


class Refusal(Exception):
    """An error answer: the status, and the JSON under "error" (or, if `bare`, the whole body)."""

    def __init__(
        self, status: int, error: Mapping[str, Any], headers: Mapping[str, str] | None = None, *, bare: bool = False
    ) -> None:
        super().__init__(error.get("message"))
        self.status = status
        self.body = error if bare else {"error": error}
        self.headers = dict(headers or {})


def gateway(status: int, code: str, message: str) -> Refusal:
    """What the service's front says: about tokens, roles, deployments and quotas."""
    return Refusal(status, {"code": code, "message": message})


def invalid(message: str, param: str | None, code: str | None = None) -> Refusal:
    """What the model's side says about a request: 400."""
    return Refusal(400, {"message": message, "type": "invalid_request_error", "param": param, "code": code})


def wrong_type(param: str, expected: str, got: object) -> Refusal:
    """A member of the wrong JSON type."""
    kinds = {
        str: "a string",
        bool: "a boolean",
        int: "an integer",
        float: "a decimal",
        dict: "an object",
        list: "an array",
    }
    found = "null" if got is None else kinds[type(got)]
    return invalid(f"Invalid type for '{param}': expected {expected}, but got {found} instead.", param, "invalid_type")


def missing(param: str) -> Refusal:
    """A required member that is not there."""
    return invalid(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")


def unsupported(param: str, instead: str | None = None) -> Refusal:
    """A member that this deployment's model does not take."""
    advice = f" Use '{instead}' instead." if instead else ""
    message = f"Unsupported parameter: '{param}' is not supported with this model.{advice}"
    return invalid(message, param, "unsupported_parameter")


def filtered_prompt() -> Refusal:
    """The content filter's 400 for a prompt."""
    error = {
        "message": (
            "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. "
            "Please modify your prompt and retry."
        ),
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": {**verdicts("violence"), "jailbreak": {"filtered": False, "detected": False}},
        },
    }
    return Refusal(400, error)


def verdicts(blocked: str | None = None) -> dict[str, dict[str, Any]]:
    """The content filter's four verdicts, one of them blocking if named."""
    return {name: {"filtered": name == blocked, "severity": "high" if name == blocked else "safe"} for name in FILTERS}


STATUSES = {
    400: ("BadRequest", "The request is not valid."),
    401: (
        "Unauthorized",
        "Access token is missing, invalid, audience is incorrect, or have expired.",
    ),
    403: ("Forbidden", "Public access is disabled. Please configure private endpoint."),
    404: ("404", "Resource not found"),
    408: ("Timeout", "The operation was timeout."),
    409: ("Conflict", "The operation conflicts with another one."),
    429: (
        "RateLimitReached",
        "Your requests have exceeded the call rate limit of your pricing tier. Please retry later.",
    ),
    500: ("InternalServerError", "The server had an error while processing your request. Sorry about that!"),
    503: ("ServiceUnavailable", "The service is temporarily unable to process your request. Please try again later."),
}


def scripted(status: int, error: Mapping[str, Any] | None, headers: Mapping[str, str]) -> Refusal:
    """The refusal of a script's step, with Azure's words where the step has none."""
    code, message = STATUSES.get(status, (str(status), "Scripted by the emulator's user."))
    return Refusal(status, error or {"code": code, "message": message}, headers)
