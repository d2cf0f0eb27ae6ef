"""What people answered to the questions of the catalogue, for the records that came of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from midspan.api.request import Request
from midspan.api.viewer import Viewer
from midspan.records import Record

Answers = Mapping[str, Sequence[Mapping[str, object]]]


def answers_of(request: Request, rows: Iterable[Mapping[str, object]]) -> Answers:
    """Return the answers by the sys_id of their record, in the order of the questions.

    Those of a requested item are found by ``sc_item_option_mtom``, those of the record of a
    producer by ``question_answer``; what the sender may not read is missing.
    """
    ids = [sys_id for sys_id in map(id_of, rows) if sys_id]
    if not ids:
        return {}
    with request.parts.records.read(request.actor) as transaction:
        viewer = Viewer(request, transaction)
        pairs = [*_ordered(viewer, ids), *_produced(viewer, ids)]
        questions = _by_id(viewer, "item_option_new", {question for _, question, _ in pairs})
    found: dict[str, list[Mapping[str, object]]] = {}
    for record, question, value in pairs:
        if question in questions:
            found.setdefault(record, []).append(_answer(questions[question], value))
    return {record: sorted(each, key=_place) for record, each in found.items()}


def _ordered(viewer: Viewer, ids: Sequence[str]) -> Iterable[tuple[str, str, str]]:
    links = viewer.find("sc_item_option_mtom", f"request_itemIN{','.join(ids)}")
    options = _by_id(viewer, "sc_item_option", {link.get("sc_item_option") for link in links})
    for link in links:
        option = options.get(link.get("sc_item_option"))
        if option is not None:
            yield link.get("request_item"), option.get("item_option_new"), option.get("value")


def _produced(viewer: Viewer, ids: Sequence[str]) -> Iterable[tuple[str, str, str]]:
    for answer in viewer.find("question_answer", f"table_sys_idIN{','.join(ids)}"):
        yield answer.get("table_sys_id"), answer.get("question"), answer.get("value")


def _by_id(viewer: Viewer, table: str, ids: Iterable[str]) -> dict[str, Record]:
    wanted = sorted(set(ids) - {""})
    if not wanted:
        return {}
    return {one.sys_id: one for one in viewer.find(table, f"sys_idIN{','.join(wanted)}")}


def _answer(question: Record, value: str) -> Mapping[str, object]:
    return {
        "sys_id": question.sys_id,
        "name": question.get("name"),
        "question_text": question.get("question_text"),
        "type": int(question.get("type") or 0),
        "order": int(question.get("order") or 0),
        "value": value,
        "children": [],
    }


def _place(answer: Mapping[str, object]) -> tuple[int, str]:
    return int(str(answer["order"])), str(answer["sys_id"])


def id_of(row: Mapping[str, object]) -> str:
    """Return the sys_id of a rendered row, ``''`` where it may not be read."""
    cell = row.get("sys_id", "")
    return str(cell["value"] if isinstance(cell, dict) else cell)
