"""What Slack's published description says of a message payload, as checks; pure.

Source: docs.slack.dev and api.slack.com, pages of the blocks and of chat.postMessage, stored copies
read 2026-11. A published limit is checked; what is not published is let through. Blocks whose
pages were not read (``_UNCHECKED``) are accepted by type alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

MAX_TEXT = 40_000
MAX_BLOCKS = 50
MAX_ATTACHMENTS = 100
MAX_MARKDOWN = 12_000
_NO_LIMIT = 10**9  # the body is bounded anyway
_UNCHECKED = frozenset(
    {
        "alert",
        "card",
        "carousel",
        "container",
        "context_actions",
        "data_table",
        "data_visualization",
        "plan",
        "table",
        "task_card",
    }
)


class PayloadError(Exception):
    """A payload that Slack refuses: its error ``word``, and for people where and why."""

    def __init__(self, word: str, reason: str, pointer: str = "") -> None:
        super().__init__(f"{word}: {reason} [json-pointer:{pointer}]")
        self.word = word
        self.message = f"[ERROR] {reason} [json-pointer:{pointer}]"


def check_message(payload: Mapping[str, Any]) -> str:
    """Return the text that Slack would keep, cut to 40,000 characters.

    Raises:
        PayloadError: no text and nothing else to show, or text, blocks or attachments are wrong.
    """
    text = payload.get("text")
    if text is not None and not isinstance(text, str):
        raise PayloadError("invalid_payload", "text must be a string", "/text")
    blocks = payload.get("blocks")
    if blocks is not None:
        check_blocks(blocks)
    attachments = payload.get("attachments")
    if attachments is not None:
        _check_attachments(attachments)
    if not (text and text.strip()) and not blocks and not attachments:
        raise PayloadError("no_text", "the message has no text", "/text")
    return (text or "")[:MAX_TEXT]


def check_blocks(blocks: Any) -> None:
    """Check the ``blocks`` of a message.

    Raises:
        PayloadError: ``invalid_blocks_format`` when it is no array of objects, else
            ``invalid_blocks`` or ``msg_blocks_too_long``.
    """
    if not isinstance(blocks, list) or not all(isinstance(each, dict) for each in blocks):
        raise PayloadError("invalid_blocks_format", "blocks must be an array of objects", "/blocks")
    if len(blocks) > MAX_BLOCKS:
        raise _wrong(f"no more than {MAX_BLOCKS} items allowed", "/blocks")
    seen: set[str] = set()
    for number, block in enumerate(blocks):
        place = f"/blocks/{number}"
        _check_id(block, place, seen)
        kind = str(block.get("type"))
        check = _CHECKS.get(kind)
        if check is not None:
            check(block, place)
        elif kind not in _UNCHECKED:
            raise _wrong(f"unsupported type: {kind}", f"{place}/type")
    marked = sum(len(each["text"]) for each in blocks if each["type"] == "markdown")
    if marked > MAX_MARKDOWN:
        raise PayloadError(
            "msg_blocks_too_long", f"markdown blocks hold over {MAX_MARKDOWN} characters", "/blocks"
        )


def _wrong(reason: str, place: str) -> PayloadError:
    return PayloadError("invalid_blocks", reason, place)


def _check_attachments(attachments: Any) -> None:
    if not isinstance(attachments, list) or not all(isinstance(one, dict) for one in attachments):
        raise PayloadError("invalid_payload", "attachments must be an array", "/attachments")
    if len(attachments) > MAX_ATTACHMENTS:
        raise PayloadError("too_many_attachments", "over 100 attachments", "/attachments")


def _check_id(block: Mapping[str, Any], place: str, seen: set[str]) -> None:
    if "block_id" not in block:
        return
    name = _text(block, "block_id", place, 255)
    if name in seen:
        raise _wrong("block_id must be unique in a message", f"{place}/block_id")
    seen.add(name)


def _text(owner: Mapping[str, Any], name: str, place: str, longest: int) -> str:
    value = owner.get(name)
    if not isinstance(value, str) or not value:
        raise _wrong(f"missing required field: {name}", place)
    if len(value) > longest:
        raise _wrong(f"must be less than {longest + 1} characters", f"{place}/{name}")
    return value


def _text_object(value: Any, place: str, longest: int, *, plain: bool = False) -> None:
    kinds = ("plain_text",) if plain else ("plain_text", "mrkdwn")
    if not isinstance(value, dict):
        raise _wrong("must be a text object", place)
    if value.get("type") not in kinds:
        raise _wrong(f"type must be {' or '.join(kinds)}", f"{place}/type")
    _text(value, "text", place, longest)


def _elements(block: Mapping[str, Any], place: str, most: int) -> list[dict[str, Any]]:
    elements = block.get("elements")
    if not isinstance(elements, list) or not elements:
        raise _wrong("missing required field: elements", place)
    if len(elements) > most:
        raise _wrong(f"no more than {most} items allowed", f"{place}/elements")
    for number, element in enumerate(elements):
        if not isinstance(element, dict) or not isinstance(element.get("type"), str):
            raise _wrong("must be an object with a type", f"{place}/elements/{number}")
    return elements


def _check_section(block: Mapping[str, Any], place: str) -> None:
    if "text" in block:
        _text_object(block["text"], f"{place}/text", 3000)
    elif "fields" not in block:
        raise _wrong("missing required field: text", place)
    if "fields" in block:
        fields = block["fields"]
        if not isinstance(fields, list) or not 1 <= len(fields) <= 10:
            raise _wrong("must be an array of 1 to 10 text objects", f"{place}/fields")
        for number, field in enumerate(fields):
            _text_object(field, f"{place}/fields/{number}", 2000)
    accessory = block.get("accessory", {"type": ""})
    if not isinstance(accessory, dict) or not isinstance(accessory.get("type"), str):
        raise _wrong("must be an object with a type", f"{place}/accessory")


def _check_header(block: Mapping[str, Any], place: str) -> None:
    _text_object(block.get("text"), f"{place}/text", 150, plain=True)


def _check_divider(block: Mapping[str, Any], place: str) -> None:
    """Accept every divider: it has no field of its own."""


def _check_image(block: Mapping[str, Any], place: str) -> None:
    _text(block, "alt_text", place, 2000)
    if not isinstance(block.get("slack_file"), dict):
        _text(block, "image_url", place, 3000)
    if "title" in block:
        _text_object(block["title"], f"{place}/title", 2000, plain=True)


def _check_context(block: Mapping[str, Any], place: str) -> None:
    for number, element in enumerate(_elements(block, place, 10)):
        where = f"{place}/elements/{number}"
        if element["type"] == "image":
            _check_image(element, where)
        else:
            _text_object(element, where, 3000)


def _check_actions(block: Mapping[str, Any], place: str) -> None:
    for number, element in enumerate(_elements(block, place, 25)):
        where = f"{place}/elements/{number}"
        if "action_id" in element:
            _text(element, "action_id", where, 255)
        if element["type"] == "button":
            _text_object(element.get("text"), f"{where}/text", 75, plain=True)


def _check_rich_text(block: Mapping[str, Any], place: str) -> None:
    kinds = ("section", "list", "preformatted", "quote")
    for number, element in enumerate(_elements(block, place, _NO_LIMIT)):
        if element["type"] not in {f"rich_text_{kind}" for kind in kinds}:
            raise _wrong(f"unsupported type: {element['type']}", f"{place}/elements/{number}")


def _check_markdown(block: Mapping[str, Any], place: str) -> None:
    _text(block, "text", place, _NO_LIMIT)  # the limit is on all of them together


def _check_input(block: Mapping[str, Any], place: str) -> None:
    _text_object(block.get("label"), f"{place}/label", 2000, plain=True)
    if not isinstance(block.get("element"), dict):
        raise _wrong("missing required field: element", place)


def _check_file(block: Mapping[str, Any], place: str) -> None:
    _text(block, "external_id", place, _NO_LIMIT)
    if block.get("source") != "remote":
        raise _wrong("source must be remote", f"{place}/source")


def _check_video(block: Mapping[str, Any], place: str) -> None:
    _text_object(block.get("title"), f"{place}/title", 199, plain=True)
    for name in ("video_url", "thumbnail_url", "alt_text"):
        _text(block, name, place, _NO_LIMIT)


_CHECKS: Mapping[str, Callable[[Mapping[str, Any], str], None]] = {
    "actions": _check_actions,
    "context": _check_context,
    "divider": _check_divider,
    "file": _check_file,
    "header": _check_header,
    "image": _check_image,
    "input": _check_input,
    "markdown": _check_markdown,
    "rich_text": _check_rich_text,
    "section": _check_section,
    "video": _check_video,
}
