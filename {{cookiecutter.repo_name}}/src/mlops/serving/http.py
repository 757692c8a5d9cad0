"""The wrapper's REST pages: a bad request gets a 4xx as JSON that says what is expected, never a stack trace."""

import math

import orjson
from flask import Blueprint, Response, current_app, request
from google.protobuf import json_format
from seldon_core.proto import prediction_pb2
from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    MethodNotAllowed,
    NotFound,
    RequestEntityTooLarge,
    UnsupportedMediaType,
)

from .messages import MOST_BYTES, MOST_EXAMPLES, read_json
from .metrics import RECORDER

MOST_DISCARDED = 8 * MOST_BYTES  # of a body that is too long, which are read before it is refused
PREDICT = "/api/v1.0/predictions"
PREDICT_PATHS = {PREDICT, "/api/v0.1/predictions", "/predict"}
POST_ONLY = {*PREDICT_PATHS, "/api/v1.0/feedback", "/api/v0.1/feedback", "/send-feedback"}
# The wrapper's routes for other kinds of models, for files of which there are none, and no route at all.
NOT_OURS = ("TransformInput", "TransformOutput", "Route", "Aggregate", "static", None)
AS_JSON = "Send the request as JSON, with Content-Type: application/json."


def error_pages(model) -> Blueprint:
    """What the wrapper's Flask application takes from us: limits, a check of each request, and errors as JSON."""
    pages = Blueprint("model_errors", __name__)

    @pages.record_once
    def change(state):
        state.app.config["MAX_CONTENT_LENGTH"] = state.app.config["MAX_FORM_MEMORY_SIZE"] = MOST_BYTES
        state.app.wsgi_app = ShortWay(state.app.wsgi_app, model)

    pages.before_app_request(_check_request)
    pages.app_errorhandler(HTTPException)(_error_page)
    return pages


class ShortWay:
    """WSGI middleware that takes plain questions to the model, past Flask, which costs more than the model does.

    Plain is what a program sends: a POST of JSON with its length, to a path of predictions. All else goes the long way.
    """

    def __init__(self, application, model):
        self.application, self.model = application, model

    def __call__(self, environ, start_response):
        length = environ.get("CONTENT_LENGTH") or ""
        if (
            environ["REQUEST_METHOD"] != "POST"
            or environ["PATH_INFO"] not in PREDICT_PATHS
            or environ.get("CONTENT_TYPE") != "application/json"
            or not (length.isdecimal() and int(length) <= MOST_BYTES)
            or environ.get("QUERY_STRING")
            or "HTTP_ORIGIN" in environ  # a browser's, whose answer needs headers of Flask-CORS
            or "HTTP_TRANSFER_ENCODING" in environ
        ):
            return self.application(environ, start_response)
        try:
            body = environ["wsgi.input"].read(int(length))
            if len(body) < int(length):
                raise BadRequest("The body could not be read to its end.")
            status, answer = "200 OK", self.model.predict_raw(body)
        except HTTPException as error:
            RECORDER.count(error.code or 500)
            status, answer = f"{error.code} {error.name}", _refusal(error)
        start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
        return [answer]


def _check_request() -> None:
    """Stop what the wrapper answers with a 500: wrong methods, types and bodies, routes of other kinds of models."""
    if request.endpoint in NOT_OURS:
        allowed = _methods(request.path)
        if request.method not in allowed:
            raise MethodNotAllowed(valid_methods=sorted(allowed - {"HEAD", "OPTIONS"})) if allowed else NotFound()
    elif request.endpoint in ("Predict", "SendFeedback") and request.method != "OPTIONS":
        _check_post()


def _methods(path: str) -> set:
    """The methods that a path of ours answers to; none when there is no such path."""
    rules = [rule for rule in current_app.url_map.iter_rules() if rule.rule == path and rule.endpoint not in NOT_OURS]
    return set().union(*(rule.methods for rule in rules)) - ({"GET", "HEAD"} if path in POST_ONLY else set())


def _check_post() -> None:
    """A body of the right type and length, before the wrapper looks at it."""
    if request.method != "POST":  # the wrapper lets some of its paths be read, too
        raise MethodNotAllowed(valid_methods=["POST"])
    if request.mimetype not in ("application/json", "application/x-www-form-urlencoded"):
        raise UnsupportedMediaType(AS_JSON)
    try:
        body = request.get_data()
    except RequestEntityTooLarge:
        _discard_body()
        raise
    except HTTPException:
        raise
    except Exception:  # gunicorn's own, for chunks that are none
        raise BadRequest("The body could not be read to its end.") from None
    if request.mimetype != "application/json":  # Seldon's own client sends the message in a form
        body = request.form.get("json")
        if not body:
            raise UnsupportedMediaType(AS_JSON)
    if request.endpoint == "SendFeedback":
        _check_feedback(body)


def _discard_body() -> None:
    """Read on to the end of a body that is too long: the caller would else see a reset connection, not our answer."""
    stream, left = request.environ["wsgi.input"], MOST_DISCARDED
    while left > 0 and (chunk := stream.read(65536)):
        left -= len(chunk)


def _check_feedback(body) -> None:
    message = read_json(body)
    try:
        feedback = json_format.ParseDict(message, prediction_pb2.Feedback())
    except Exception:  # what it raises depends on where the message is wrong
        feedback = None
    if feedback is None or not math.isfinite(feedback.reward):
        parts = '"request", "response" and "truth", Seldon messages'
        raise BadRequest(f'Feedback must be a JSON object with "reward", a number, and {parts}.')


def _error_page(error: HTTPException) -> Response:
    """An error as an answer, counted when a prediction was asked for."""
    if request.path in PREDICT_PATHS:
        RECORDER.count(error.code or 500)
    response = Response(_refusal(error), status=error.code, mimetype="application/json")
    response.headers.extend([header for header in error.get_headers() if header[0] in ("Allow", "Retry-After")])
    return response


def _refusal(error: HTTPException) -> bytes:
    """An error as Seldon's JSON."""
    if error.code == 404:
        text = f"There is nothing here: predictions are at POST {PREDICT}."
    elif error.code == 405:
        allowed = getattr(error, "valid_methods", None) or []
        text = f"Wrong method: allowed here is {', '.join(sorted(allowed))}."
    elif error.code == 413:
        limit = f"{MOST_BYTES // 2**20} MiB"
        text = f"The body is over {limit}: send fewer examples in a request (up to {MOST_EXAMPLES}), or binData."
    else:
        text = error.description or error.name
    status = {"status": "FAILURE", "code": error.code, "reason": error.name.upper().replace(" ", "_"), "info": text}
    return orjson.dumps({"status": status})
