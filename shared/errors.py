"""What can go wrong, in one tree.

AppError
├── InvalidRequest            400  invalid_request          the body breaks a rule; the message names the field
│   └── InvalidJson           400  invalid_json             the body is no JSON, or JSON that is refused (as NaN)
├── Unauthorized              401  unauthorized             nobody is signed in
├── ModelNotFound             404  model_not_found          the message lists the models that are offered
├── FeatureRetired            410  feature_retired          Azure OpenAI no longer has it; the message says what does
├── BodyTimeout               408  body_timeout             the body came too slowly
├── BodyTooLarge              413  body_too_large
├── InvalidImage              400  invalid_image            damaged, cut or no picture; the message says which image
├── UnsupportedImage          415  unsupported_image_type   a kind of picture that is not taken
├── ImageTooLarge             413  image_too_large          more bytes, pixels or frames than the limits allow
├── TooManyImages             413  too_many_images
├── UnsupportedMediaType      415  unsupported_media_type
├── ContentFiltered           400  content_filter           Azure OpenAI's filter stopped the prompt
├── Misconfigured             503  misconfigured            the operator must change a setting
├── IdentityUnavailable       503  identity_unavailable     no token can be had from the platform right now
├── RunInterrupted            502  run_interrupted          the agent's run broke off after tools had run
├── Overloaded                503  overloaded               this app is at its own limit
└── UpstreamError                                           Azure OpenAI did not answer as it should
    ├── UpstreamRejected      400  upstream_rejected        it refused the request's content or parameters
    ├── UpstreamUnauthorized  502  upstream_unauthorized    it refused the token
    ├── UpstreamForbidden     502  upstream_forbidden       the identity lacks the role
    ├── DeploymentNotFound    502  deployment_not_found     the deployment in the settings does not exist
    ├── RateLimited           429  rate_limited             the deployment's quota is used up for now
    ├── UpstreamUnavailable   502  upstream_unavailable     5xx, a refused or reset connection, a redirect, no sense
    ├── NoDeploymentAvailable 503  no_deployment_available  every deployment of the model has failed and is left alone
    ├── UpstreamTimeout       504  upstream_timeout         no answer in time
    └── UpstreamInterrupted   502  upstream_interrupted     the answer broke off

Every message is this project's own and is safe to show: it holds no upstream text, no exception's text, no token.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

IdentityFault = Literal["refused", "failing", "unreachable", "late", "absent", "unusable"]
"""Why there is no token: the endpoint refused (4xx) or failed (5xx), was not reached, did not answer in time; there is
no identity or sign-in at all; or what came is of no use."""


class AppError(Exception):
    """Anything that a caller is told about.

    `status` is the HTTP status when nothing has been sent yet; `code` is stable and meant for programs; `retryable`
    says whether the same request may succeed later; `retry_after` is in seconds, when known. `beside` is told beside
    the error: what was done before it.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False
    default_message: ClassVar[str] = "The app failed to handle this request. Its log has the request id."

    def __init__(self, message: str | None = None, *, retry_after: float | None = None) -> None:
        self.message = message or self.default_message
        self.beside: dict[str, Any] = {}
        self.retry_after = retry_after
        super().__init__(self.message)

    def told(self, request_id: str) -> dict[str, Any]:
        """The error as callers are told it, in every dialect of this app's own. `retry_after` is in seconds or null."""
        return {
            "code": self.code,
            "message": self.message,
            "retryable": self.retryable,
            "retry_after": self.retry_after,
            "request_id": request_id,
        }


class InvalidRequest(AppError):
    status = 400
    code = "invalid_request"
    default_message = "The request is not valid."


class InvalidJson(InvalidRequest):
    code = "invalid_json"
    default_message = "The body is not valid JSON. Send a JSON object in UTF-8."


class Unauthorized(AppError):
    status = 401
    code = "unauthorized"
    default_message = "Sign in first: this app answers only callers that the platform has authenticated."


class ModelNotFound(AppError):
    status = 404
    code = "model_not_found"
    default_message = "There is no model of this name."


class FeatureRetired(AppError):
    status = 410
    code = "feature_retired"
    default_message = "Azure OpenAI has retired this feature."


class BodyTimeout(AppError):
    status = 408
    code = "body_timeout"
    retryable = True
    default_message = "The request's body did not arrive in time. Send it again over a faster connection, or send less."


class BodyTooLarge(AppError):
    status = 413
    code = "body_too_large"
    default_message = "The request's body is too large."


class UnsupportedMediaType(AppError):
    status = 415
    code = "unsupported_media_type"
    default_message = "Send the body as application/json."


class InvalidImage(AppError):
    status = 400
    code = "invalid_image"
    default_message = "An image is damaged, or no picture."


class UnsupportedImage(AppError):
    status = 415
    code = "unsupported_image_type"
    default_message = "An image is of a kind that is not taken. Send PNG, JPEG, GIF, WEBP, HEIC, BMP or TIFF."


class ImageTooLarge(AppError):
    status = 413
    code = "image_too_large"
    default_message = "An image is too large."


class TooManyImages(AppError):
    status = 413
    code = "too_many_images"
    default_message = "There are too many images in this request."


class ContentFiltered(AppError):
    status = 400
    code = "content_filter"
    default_message = "Azure OpenAI's content filter stopped this prompt. Change what is asked and send it again."


class Misconfigured(AppError):
    status = 503
    code = "misconfigured"
    default_message = "The app's settings are not complete. Its operator finds the reason in the app's log."


class IdentityUnavailable(AppError):
    status = 503
    code = "identity_unavailable"
    retryable = True
    default_message = (
        "The app's managed identity gave no token. Try again shortly; if it lasts, its operator should check that"
        " an identity is assigned to the app and that AZURE_CLIENT_ID names it."
    )

    def __init__(
        self, message: str | None = None, *, retry_after: float | None = None, fault: IdentityFault = "unusable"
    ) -> None:
        self.fault = fault
        super().__init__(message, retry_after=retry_after)


class RunInterrupted(AppError):
    status = 502
    code = "run_interrupted"
    default_message = (
        "The run broke off after tools had run: sent again, the same request would run them again. The steps say what"
        " was done."
    )


class Overloaded(AppError):
    status = 503
    code = "overloaded"
    retryable = True
    default_message = "The app is handling as many requests as it may. Try again shortly."


class UpstreamError(AppError):
    status = 502
    code = "upstream_unavailable"
    retryable = True


class UpstreamRejected(UpstreamError):
    status = 400
    code = "upstream_rejected"
    retryable = False
    default_message = (
        "Azure OpenAI refused this request's content or parameters. Check them against what the model supports."
    )


class UpstreamUnauthorized(UpstreamError):
    code = "upstream_unauthorized"
    retryable = False
    default_message = (
        "Azure OpenAI refused the app's token. Its operator should check the endpoint and the identity's tenant."
    )


class UpstreamForbidden(UpstreamError):
    code = "upstream_forbidden"
    default_message = (
        "The app's managed identity may not use this Azure OpenAI resource. Its operator should assign the role"
        " 'Cognitive Services OpenAI User' to it; a new assignment takes some minutes to take effect."
    )


class DeploymentNotFound(UpstreamError):
    code = "deployment_not_found"
    retryable = False
    default_message = (
        "The Azure OpenAI resource has no deployment of the name in the app's settings. Its operator should correct"
        " AZURE_OPENAI_DEPLOYMENT or the model map; a new deployment takes some minutes to appear."
    )


class RateLimited(UpstreamError):
    status = 429
    code = "rate_limited"
    default_message = "The model's quota is used up for the moment. Try again after the time given."


class UpstreamUnavailable(UpstreamError):
    default_message = "Azure OpenAI could not be reached or failed. Try again shortly."


class NoDeploymentAvailable(UpstreamError):
    status = 503
    code = "no_deployment_available"
    default_message = (
        "Every deployment of this model has failed lately and is left alone for a while. Try again shortly."
    )


class UpstreamTimeout(UpstreamError):
    status = 504
    code = "upstream_timeout"
    default_message = "Azure OpenAI did not answer in time. Try again, or ask for a shorter answer."


class UpstreamInterrupted(UpstreamError):
    code = "upstream_interrupted"
    default_message = "The model's answer broke off before its end. Try again."
