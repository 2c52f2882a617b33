"""`POST /api/images/analyze`: pictures and an instruction in, an analysis out."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import httpx2
import pytest
from PIL import Image

from tests.conftest import App
from tests.photos import photo, saved
from tests.streams import open_stream, text_of

JPEG = saved(photo(320, 200), "JPEG")
PNG = saved(photo(64, 48), "PNG")
HEIC = saved(photo(120, 80), "HEIF")
ASK = {"instructions": "What is on it?"}


def data_url(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def sent_images(app: App, request: int = 0) -> list[bytes]:
    """The pictures that reached Azure OpenAI, decoded from their data URLs."""
    parts = app.azure.openai.requests[request].json()["input"][-1]["content"]
    return [base64.b64decode(part["image_url"].partition(",")[2]) for part in parts if part["type"] == "input_image"]


def test_a_raw_body_is_analysed_and_its_type_comes_from_the_bytes(app: App) -> None:
    response = app.start().post(
        "images/analyze", params=ASK, content=JPEG, headers={"content-type": "application/octet-stream"}
    )
    assert response.status_code == 200
    answer = response.json()
    assert answer["id"] == f"images_{response.headers['x-request-id']}"
    assert answer["images"] == [
        {"media_type": "image/jpeg", "width": 320, "height": 200, "bytes": len(JPEG), "changed": []}
    ]
    assert answer.keys() == {"id", "model", "text", "finish_reason", "usage", "images"}
    body = app.azure.openai.requests[0].json()
    assert body["input"][0]["content"][0] == {"type": "input_text", "text": "What is on it?"}
    assert sent_images(app) == [JPEG]


def test_a_wrong_content_type_of_a_picture_does_no_harm(app: App) -> None:
    response = app.start().post("images/analyze", params=ASK, content=JPEG, headers={"content-type": "image/png"})
    assert response.json()["images"][0]["media_type"] == "image/jpeg"


def test_a_form_may_hold_several_files_and_every_option(app: App) -> None:
    response = app.start().post(
        "images/analyze",
        files=[("image", ("a.jpg", JPEG)), ("whatever", ("b", PNG))],
        data={**ASK, "model": "gpt-4.1-mini", "detail": "low", "max_tokens": "50", "temperature": "0.5"},
    )
    assert response.status_code == 200, response.text
    assert [one["media_type"] for one in response.json()["images"]] == ["image/jpeg", "image/png"]
    body = app.azure.openai.requests[0].json()
    assert (body["max_output_tokens"], body["temperature"]) == (50, 0.5)
    assert {part.get("detail") for part in body["input"][0]["content"]} == {None, "low"}
    assert sent_images(app) == [JPEG, PNG]


def test_json_holds_data_urls(app: App) -> None:
    body = {**ASK, "images": [data_url(JPEG, "image/jpeg"), data_url(PNG)]}
    response = app.start().post("images/analyze", json=body)
    assert response.status_code == 200
    assert sent_images(app) == [JPEG, PNG]


def test_the_tutorials_name_of_the_route_works_too(app: App) -> None:
    response = app.start().post(
        "process_image", params=ASK, content=PNG, headers={"content-type": "application/octet-stream"}
    )
    assert response.status_code == 200


def test_the_bare_text_can_be_asked_for(app: App) -> None:
    caller = app.start()
    app.azure.openai.script({"text": "A gradient. Ünïcode."})
    headers = {"accept": "text/plain", "content-type": "image/png"}
    response = caller.post("images/analyze", params=ASK, content=PNG, headers=headers)
    assert response.headers["content-type"].startswith("text/plain")
    assert response.text == "A gradient. Ünïcode."


def test_an_analysis_can_be_streamed_with_what_was_done_to_the_pictures(app: App) -> None:
    caller = app.start()
    app.azure.openai.script({"chunks": ["A ", "photo."]})
    with open_stream(caller, "images/analyze", {**ASK, "images": [data_url(HEIC)], "stream": True}) as stream:
        frames = stream.rest()
    assert [one if one == "[DONE]" else one["type"] for one in frames][:3] == ["start", "start-step", "data-picture"]
    assert frames[2]["data"]["changed"] == ["converted"]
    assert text_of(frames) == "A photo."
    assert frames[-1] == "[DONE]"


def test_a_form_can_ask_for_a_stream(app: App) -> None:
    response = app.start().post("images/analyze", files={"image": PNG}, data={**ASK, "stream": "true"})
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text.endswith("data: [DONE]\n\n")


SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "place",
        "schema": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


@pytest.mark.parametrize("form", [True, False])
def test_json_of_a_schema_comes_parsed(app: App, form: bool) -> None:
    caller = app.start()
    if form:
        data = {**ASK, "response_format": json.dumps(SCHEMA)}
        answer = caller.post("images/analyze", files={"image": PNG}, data=data).json()
    else:
        body = {**ASK, "images": [data_url(PNG)], "response_format": SCHEMA}
        answer = caller.post("images/analyze", json=body).json()
    assert answer["json"].keys() == {"city"}
    assert json.loads(answer["text"]) == answer["json"]


def test_any_json_object_needs_the_word_in_the_instructions(app: App) -> None:
    caller = app.start()
    body = {"images": [data_url(PNG)], "response_format": {"type": "json_object"}}
    response = caller.post("images/analyze", json={**body, "instructions": "What is it?"})
    assert response.status_code == 400
    assert "the word JSON" in response.json()["error"]["message"]
    assert caller.post("images/analyze", json={**body, "instructions": "Tell as JSON"}).status_code == 200


def test_json_that_was_cut_is_told_as_null(app: App) -> None:
    caller = app.start()
    app.azure.openai.script({"text": '{"ci', "finish": "length"})
    body = {**ASK, "images": [data_url(PNG)], "response_format": SCHEMA}
    answer = caller.post("images/analyze", json=body).json()
    assert (answer["json"], answer["text"], answer["finish_reason"]) == (None, '{"ci', "length")


def test_a_phones_photo_arrives_upright_small_enough_and_without_its_place(app: App) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 30.0), 3: "E", 4: (2.0, 17.0, 40.0)})
    original = saved(photo(3000, 2000), "JPEG", exif=exif)
    response = app.start().post("images/analyze", files={"image": original}, data=ASK)
    (picture,) = response.json()["images"]
    assert picture["changed"] == ["resized", "rotated", "metadata_removed"]
    assert (picture["width"], picture["height"]) == (1365, 2048)
    (arrived,) = sent_images(app)
    assert len(arrived) == picture["bytes"]
    assert b"Exif" not in arrived
    assert b"GPS" not in arrived


def test_chats_own_pictures_go_the_same_way(app: App) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    turned = saved(photo(100, 80), "JPEG", exif=exif)
    parts = [
        {"type": "image_url", "image_url": {"url": data_url(turned, "image/jpeg"), "detail": "high"}},
        {"type": "text", "text": "And this?"},
        {"type": "image_url", "image_url": {"url": data_url(HEIC, "image/heic")}},
    ]
    response = app.start().post("chat", json={"messages": [{"role": "user", "content": parts}]})
    assert response.status_code == 200
    content = app.azure.openai.requests[0].json()["input"][0]["content"]
    assert [part["type"] for part in content] == ["input_image", "input_text", "input_image"]
    assert [part.get("detail") for part in content] == ["high", None, "auto"]
    assert content[2]["image_url"].startswith("data:image/jpeg;base64,")
    assert b"Exif" not in sent_images(app)[0]


def error_of(response: httpx2.Response) -> tuple[int, str, str]:
    error = response.json()["error"]
    return response.status_code, error["code"], error["message"]


@pytest.mark.parametrize("path", ["chat", "images/analyze"])
@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/a.png",
        "http://169.254.169.254/metadata/identity",
        "http://127.0.0.1:7072/msi/token",
        "file:///etc/passwd",
        "//example.com/a.png",
        "data:image/png;base64,*",
        "data:text/html;base64,AAAA",
        "data:,",
        "",
    ],
)
def test_what_is_no_picture_in_the_request_itself_is_refused(app: App, path: str, url: str) -> None:
    good = data_url(PNG)
    if path == "chat":
        content = [{"type": "image_url", "image_url": {"url": one}} for one in (good, url)]
        body: dict[str, Any] = {"messages": [{"role": "user", "content": content}]}
    else:
        body = {**ASK, "images": [good, url]}
    status, code, message = error_of(app.start().post(path, json=body))
    assert (status, code) == (400, "invalid_image")
    assert message.startswith("Image 2 ")
    assert app.azure.openai.requests == []


def test_addresses_of_the_web_are_passed_on_only_by_switch_and_never_fetched(app: App) -> None:
    caller = app.start({"ALLOW_REMOTE_IMAGES": "true"})
    address = "https://192.0.2.1/a.png"
    response = caller.post("images/analyze", json={**ASK, "images": [address, data_url(PNG)]})
    assert response.status_code == 200, response.text
    content = app.azure.openai.requests[0].json()["input"][0]["content"]
    assert content[1]["image_url"] == address
    assert [one["media_type"] for one in response.json()["images"]] == ["image/png"]
    # Not even by switch: plain http, and what only the app could reach.
    for url in ("http://192.0.2.1/a.png", "http://169.254.169.254/"):
        assert error_of(caller.post("images/analyze", json={**ASK, "images": [url]}))[1] == "invalid_image"


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 400, "invalid_image"),
        (JPEG[: len(JPEG) // 2], 400, "invalid_image"),
        (PNG[:-20], 400, "invalid_image"),
        # Its first letters, read as a size, are some 10,000 pixels each way.
        (b"GIF89a/*<svg onload=alert(1)>*/", 413, "image_too_large"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "unsupported_image_type"),
        (b"%PDF-1.7", 415, "unsupported_image_type"),
    ],
)
def test_a_picture_that_is_not_taken_is_told_by_its_number(app: App, data: bytes, status: int, code: str) -> None:
    caller = app.start()
    response = caller.post("images/analyze", files=[("a", ("a", PNG)), ("b", ("b", data))], data=ASK)
    assert error_of(response)[:2] == (status, code)
    assert "Image 2 " in error_of(response)[2]
    assert app.azure.openai.requests == []
    assert caller.post("images/analyze", files={"a": PNG}, data=ASK).status_code == 200


def test_the_limits_of_the_settings_hold(app: App) -> None:
    caller = app.start({"MAX_IMAGES": "2", "MAX_IMAGE_BYTES": "5000", "MAX_IMAGE_PIXELS": "10000"})
    small = saved(photo(20, 20), "PNG")
    three = caller.post("images/analyze", files=[("a", ("a", small))] * 3, data=ASK)
    assert error_of(three)[:2] == (413, "too_many_images")
    assert error_of(caller.post("images/analyze", files={"a": small + bytes(5000)}, data=ASK))[1] == "image_too_large"
    wide = saved(photo(200, 100), "PNG", optimize=True)
    assert error_of(caller.post("images/analyze", files={"a": wide}, data=ASK))[1] == "image_too_large"


@pytest.mark.parametrize("detail", ["low", "high"])
def test_a_larger_picture_than_the_setting_is_made_smaller(app: App, detail: str) -> None:
    caller = app.start({"IMAGE_LONG_SIDE": "256"})
    response = caller.post("images/analyze", files={"a": JPEG}, data={**ASK, "detail": detail})
    assert response.json()["images"][0]["width"] == 256


def test_instructions_and_pictures_must_be_there(caller: httpx2.Client) -> None:
    missing = [
        caller.post("images/analyze", content=PNG, headers={"content-type": "image/png"}),
        caller.post("images/analyze", files={"a": PNG}),
        caller.post("images/analyze", json={"images": [data_url(PNG)]}),
        caller.post("images/analyze", json={**ASK, "images": [data_url(PNG)], "instructions": ""}),
    ]
    for response in missing:
        status, code, message = error_of(response)
        assert (status, code) == (400, "invalid_request")
        assert message.startswith("instructions: ")
    for response in (
        caller.post("images/analyze", json=ASK),
        caller.post("images/analyze", json={**ASK, "images": []}),
        caller.post("images/analyze", files={"instructions": (None, "Hi")}),
    ):
        assert error_of(response)[2].startswith("images: ")


BOUNDARY = "multipart/form-data; boundary=x"
FIELD = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n'


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"", "multipart/form-data"),
        (b"", BOUNDARY),
        (b"--x\r\n", BOUNDARY),
        (b"no form", BOUNDARY),
        (FIELD + b"half", BOUNDARY),
        (FIELD + b"\xff\r\n--x--\r\n", BOUNDARY),
        ((FIELD + b"1\r\n") * 101 + b"--x--", BOUNDARY),
        ((FIELD + b"1\r\n") * 2 + b"--x--", BOUNDARY),
        (b"--x\r\n" + b"a: b\r\n" * 100 + b"\r\n1\r\n--x--", BOUNDARY),
    ],
)
def test_a_form_that_is_no_proper_one_is_refused(caller: httpx2.Client, content: bytes, content_type: str) -> None:
    response = caller.post("images/analyze", content=content, headers={"content-type": content_type})
    assert error_of(response)[:2] == (400, "invalid_request")


def test_another_content_type_is_told_the_three_that_work(caller: httpx2.Client) -> None:
    response = caller.post("images/analyze", content=b"a=b", headers={"content-type": "text/plain"})
    assert error_of(response)[:2] == (415, "unsupported_media_type")
    assert "multipart/form-data" in error_of(response)[2]


@pytest.mark.parametrize("field", ["enhancements", "dataSources", "data_sources"])
@pytest.mark.parametrize("path", ["chat", "images/analyze"])
def test_what_azure_has_retired_is_told_with_what_to_use_instead(caller: httpx2.Client, path: str, field: str) -> None:
    response = caller.post(path, json={**ASK, "images": [data_url(PNG)], field: {"ocr": {"enabled": True}}})
    assert error_of(response)[:2] == (410, "feature_retired")
    assert "/api/images/analyze" in error_of(response)[2]


def test_the_tutorials_names_of_the_settings_are_understood_with_a_warning(app: App) -> None:
    endpoint = app.azure.environ()["AZURE_OPENAI_ENDPOINT"]
    caller = app.start(
        {
            "AZURE_OPENAI_ENDPOINT": None,
            "AZURE_OPENAI_DEPLOYMENT": None,
            "GPT4V_ENDPOINT": endpoint,
            "GPT4V_DEPLOYMENT": "gpt-4.1-mini",
        }
    )
    assert caller.post("images/analyze", files={"a": PNG}, data=ASK).status_code == 200
    for name in ("GPT4V_ENDPOINT", "GPT4V_DEPLOYMENT"):
        assert sum(f"{name} is an older name of " in line for line in app.told.lines) == 1


def test_two_callers_at_once_never_see_each_others_picture(app: App) -> None:
    caller = app.start()
    pictures = [saved(photo(40 + number, 30), "PNG") for number in range(12)]

    async def ask(client: httpx2.AsyncClient, number: int) -> tuple[int, int]:
        answer = await client.post("images/analyze", files={"a": pictures[number]}, data={"instructions": f"n{number}"})
        return number, answer.json()["images"][0]["width"]

    async def all_of_them() -> list[tuple[int, int]]:
        async with httpx2.AsyncClient(base_url=caller.base_url, timeout=30) as client:
            return await asyncio.gather(*(ask(client, number) for number in range(12)))

    assert asyncio.run(all_of_them()) == [(number, 40 + number) for number in range(12)]
    for request in app.azure.openai.requests:
        text, image = request.json()["input"][0]["content"]
        assert base64.b64decode(image["image_url"].partition(",")[2]) == pictures[int(text["text"][1:])]


def test_no_picture_is_in_a_log_line_or_a_span(app: App) -> None:
    app.start().post("images/analyze", json={**ASK, "images": [data_url(PNG)]})
    start = base64.b64encode(PNG).decode()[20:60]
    assert not any(start in line for line in app.told.lines + app.told.spans())
