"""The engine on both databases: what is written, by whom, and what is left to people."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

from tests.unit.cmdb.lab import Lab, server

from midspan.cmdb import answer_of, read_payload
from midspan.instance import Instance
from midspan.kernel.clock import ManualClock
from midspan.records import delete
from midspan.security import SYSTEM


def advance(lab: Lab, **by: int) -> str:
    """Let time pass; return the time of now as a wire text."""
    assert isinstance(lab.clock, ManualClock)
    lab.clock.advance(timedelta(**by))
    with lab.instance.records.read(SYSTEM) as records:
        return records.now_text


def test_item_with_all_that_belongs_to_it(lab: Lab) -> None:
    host = server("whole", ram="2048") | {
        "internal_id": "h",
        "lookup": [
            {
                "className": "cmdb_serial_number",
                "values": {"serial_number": "W-1", "serial_number_type": "uuid"},
            }
        ],
        "sys_object_source_info": {"source_name": "ServiceNow", "source_native_key": "w1"},
    }
    app = {"className": "cmdb_ci_web_server", "internal_id": "a", "values": {"name": "nginx"}}
    runs = {"parent_id": "a", "child_id": "h", "type": "Runs on::Runs"}
    made = lab.send(host, app, relations=[runs])
    host_id, app_id = (item["sysId"] for item in made["items"])
    (stored,) = lab.stored("cmdb_ci_linux_server", "name=whole")
    assert (stored.sys_id, stored.get("ram")) == (host_id, "2048")
    assert stored.get("discovery_source") == "ServiceNow"
    assert stored.get("first_discovered") == stored.get("last_discovered") != ""
    assert [r.get("cmdb_ci") for r in lab.stored("cmdb_serial_number", "serial_number=W-1")] == [
        host_id
    ]
    (relation,) = lab.stored("cmdb_rel_ci", f"parent={app_id}")
    assert relation.get("child") == host_id
    (source,) = lab.stored("sys_object_source", "id=w1")
    assert (source.get("target_sys_id"), source.get("name")) == (host_id, "ServiceNow")

    again = lab.send(host, app, relations=[runs])
    assert [item["operation"] for item in again["items"]] == ["NO_CHANGE", "NO_CHANGE"]
    assert again["relations"][0]["operation"] == "NO_CHANGE"
    assert len(lab.stored("cmdb_rel_ci", f"child={host_id}")) == 1


def test_dry_run_writes_nothing(lab: Lab) -> None:
    told = lab.send(server("dry"), dry=True)
    assert told["items"][0]["operation"] == "INSERT"
    assert "sysId" not in told["items"][0]
    assert lab.stored("cmdb_ci", "name=dry") == []


def test_report_that_changes_nothing_leaves_no_trace_but_its_time(lab: Lab) -> None:
    lab.send(server("quiet", ram="1"))
    now = advance(lab, hours=1)
    assert lab.send(server("quiet", ram="1"))["items"][0]["operation"] == "NO_CHANGE"
    (stored,) = lab.stored("cmdb_ci", "name=quiet")
    assert (stored.get("last_discovered"), stored.get("sys_mod_count")) == (now, "0")


def test_older_report_does_not_turn_the_time_back(lab: Lab) -> None:
    lab.send(server("older"))
    lab.send(server("older", last_discovered="2001-01-01 00:00:00"), source="Altiris")
    (stored,) = lab.stored("cmdb_ci", "name=older")
    assert stored.get("discovery_source") == "ServiceNow"
    assert stored.get("last_discovered") > "2001"


def test_all_or_nothing(lab: Lab) -> None:
    bad = {"className": "cmdb_ci_linux_server", "values": {"ram": "1"}}
    made = lab.send(server("alone"), bad)
    assert [item["sysId"] for item in made["items"]] == ["Unknown", "Unknown"]
    assert lab.stored("cmdb_ci", "name=alone") == []


def test_partly(lab: Lab) -> None:
    bad = {"className": "cmdb_ci_linux_server", "values": {"ram": "1"}}
    made = lab.send(server("partly"), bad, partial_payloads=False, deduplicate_payloads=True)
    assert made["items"][0]["operation"] == "INSERT"
    assert made["items"][1]["errors"][0]["error"] == "MISSING_MATCHING_ATTRIBUTES"
    assert len(lab.stored("cmdb_ci", "name=partly")) == 1


def test_change_of_class_keeps_id_and_what_both_have(lab: Lab) -> None:
    made = lab.send(
        {"className": "cmdb_ci_computer", "values": {"name": "mover", "ram": "5"}},
    )
    sys_id = made["items"][0]["sysId"]
    up = lab.send(server("mover", kernel_release="6.1"))
    assert (up["items"][0]["operation"], up["items"][0]["sysId"]) == ("UPDATE_WITH_UPGRADE", sys_id)
    (stored,) = lab.stored("cmdb_ci_linux_server", "name=mover")
    assert (stored.get("ram"), stored.get("kernel_release")) == ("5", "6.1")
    assert stored.get("used_for") == "Production"  # the default of a field that is new to it
    down = lab.send({"className": "cmdb_ci_computer", "values": {"name": "mover"}})
    assert down["items"][0]["operation"] == "UPDATE_WITH_DOWNGRADE"
    assert lab.stored("cmdb_ci_linux_server", "name=mover") == []
    lab.send(server("mover"))
    (stored,) = lab.stored("cmdb_ci_linux_server", "name=mover")
    assert stored.get("kernel_release") == ""  # it was lost with the class, not hidden


def test_refused_change_of_class_is_left_to_people(lab: Lab) -> None:
    lab.send({"className": "cmdb_ci_computer", "values": {"name": "stuck"}})
    for _ in range(2):
        made = lab.send(server("stuck") | {"classUpgrade": False})
        assert made["items"][0]["errors"][0]["error"] == "RECLASSIFICATION_NOT_ALLOWED"
    (task,) = lab.stored("reclassification_task", "short_descriptionLIKEstuck")
    assert (task.get("from_class"), task.get("to_class")) == (
        "cmdb_ci_computer",
        "cmdb_ci_linux_server",
    )


def test_duplicates_are_marked_and_left_to_people_once(lab: Lab) -> None:
    first = lab.add("cmdb_ci_linux_server", name="double")
    advance(lab, minutes=1)
    second = lab.add("cmdb_ci_linux_server", name="double")
    for _ in range(2):
        assert lab.send(server("double", ram="3"))["items"][0]["sysId"] == first
    (marked,) = lab.stored("cmdb_ci", f"sys_id={second}")
    assert marked.get("duplicate_of") == first
    (task,) = lab.stored("reconcile_duplicate_task", f"cmdb_ci={first}")
    about = lab.stored("duplicate_audit_result", f"follow_on_task={task.sys_id}")
    assert {row.get("duplicate_ci") for row in about} == {first, second}


def test_too_many_duplicates_are_left_to_people_though_the_payload_fails(lab: Lab) -> None:
    for _ in range(6):
        lab.add("cmdb_ci_linux_server", name="many")
    for _ in range(2):
        made = lab.send(server("many"), server("beside"))
        assert made["items"][0]["errors"][0]["error"] == "MULTIPLE_DUPLICATE_RECORDS"
    assert lab.stored("cmdb_ci", "name=beside") == []
    assert len(lab.stored("reconcile_duplicate_task", "short_descriptionLIKEmany")) == 1


def test_sources_take_precedence_in_turn(lab: Lab) -> None:
    rules = [
        lab.add(
            "cmdb_reconciliation_definition",
            discovery_source=source,
            priority=priority,
            attributes="ram",
            applies_to="cmdb_ci_computer",
        )
        for source, priority in (("ServiceNow", "10"), ("Altiris", "20"))
    ]
    stale = lab.add(
        "cmdb_datasource_staleness",
        discovery_source="ServiceNow",
        applies_to="cmdb_ci_hardware",
        effective_duration="1970-01-02 00:00:00",
    )

    def ram() -> str:
        return lab.stored("cmdb_ci_linux_server", "name=ruled")[0].get("ram")

    try:
        lab.send(server("ruled", ram="1"), source="Altiris")
        lab.send(server("ruled", ram="2"), source="ServiceNow")
        assert ram() == "2"  # the higher one
        lab.send(server("ruled", ram="3"), source="Altiris")
        assert ram() == "2"  # the lower one does not overwrite it
        lab.send(server("ruled", ram="4"), source="Tivoli")
        assert ram() == "2"  # nor one without a rule
        advance(lab, hours=23)
        lab.send(server("ruled", ram="5"), source="Altiris")
        assert ram() == "2"
        advance(lab, hours=2)
        lab.send(server("ruled", ram="6"), source="Altiris")
        assert ram() == "6"  # what the higher one said is stale
    finally:
        with lab.instance.records.write(SYSTEM) as records:
            for rule in rules:
                records.apply(delete("cmdb_reconciliation_definition", rule))
            records.apply(delete("cmdb_datasource_staleness", stale))


def test_partial_payload_is_completed_by_a_later_one(lab: Lab) -> None:
    key = {"source_name": "MS SMS", "source_native_key": "part-1"}
    app = {"className": "cmdb_ci_web_server", "values": {"name": "late"}}
    half = {"className": "cmdb_ci_computer", "values": {"ram": "8"}, "sys_object_source_info": key}
    runs = {"parent": 1, "child": 0, "type": "Runs on::Runs"}
    made = lab.send(half, app, relations=[runs], partial_payloads=True)
    assert {item["operation"] for item in made["items"]} == {"INSERT_AS_PARTIAL"}
    assert made["relations"][0]["operation"] == "INSERT_AS_PARTIAL"
    (kept,) = made["items"][0]["partialSysIds"]
    assert lab.stored("cmdb_ire_partial_payloads", f"sys_id={kept}")

    whole = lab.send(server("completed") | {"sys_object_source_info": key}, partial_payloads=True)
    assert whole["items"][0]["mergedPayloadIds"] == [kept]
    assert whole["additionalCommittedItems"][0]["className"] == "cmdb_ci_web_server"
    assert whole["additionalCommittedRelations"][0]["operation"] == "INSERT"
    (stored,) = lab.stored("cmdb_ci_linux_server", "name=completed")
    assert (stored.get("ram"), stored.table) == ("8", "cmdb_ci_linux_server")
    (relation,) = lab.stored("cmdb_rel_ci", f"child={stored.sys_id}")
    assert relation.get("parent") == whole["additionalCommittedItems"][0]["sysId"]
    assert lab.stored("cmdb_ire_partial_payloads", f"sys_id={kept}") == []
    assert lab.stored("cmdb_ire_partial_payloads_index", f"partial_payload={kept}") == []


def test_what_a_barred_source_says_waits_for_another_source(lab: Lab) -> None:
    rule = lab.add(
        "cmdb_ire_data_source_rule",
        data_source="Tivoli",
        applies_to="cmdb_ci_hardware",
        insert_not_allowed="true",
    )
    try:
        made = lab.send(server("waits", ram="9"), source="Tivoli", partial_payloads=True)
        assert made["items"][0]["warnings"][-1]["error"] == "INSERT_NOT_ALLOWED_FOR_SOURCE"
        lab.send(server("waits"), partial_payloads=True)
        assert [ci.get("ram") for ci in lab.stored("cmdb_ci_linux_server", "name=waits")] == ["9"]
        lab.send(server("waits", ram="10"), source="Tivoli")
        assert [ci.get("ram") for ci in lab.stored("cmdb_ci_linux_server", "name=waits")] == ["10"]
    finally:
        with lab.instance.records.write(SYSTEM) as records:
            records.apply(delete("cmdb_ire_data_source_rule", rule))


def test_payload_without_source_is_kept_for_people(lab: Lab) -> None:
    made = lab.send(server("sourceless"), source="")
    (kept,) = made["items"][0]["incompleteSysIds"]
    (row,) = lab.stored("cmdb_ire_incomplete_payloads", f"sys_id={kept}")
    assert "sourceless" in row.get("payload")
    assert lab.stored("cmdb_ci", "name=sourceless") == []


def test_references_may_go_round_in_a_circle(lab: Lab) -> None:
    made = lab.send(
        server("round-a") | {"internal_id": "a"},
        server("round-b") | {"internal_id": "b"},
        references=[
            {"referenceField": "dr_backup", "referencedBy": "a", "referenced": "b"},
            {"referenceField": "dr_backup", "referencedBy": "b", "referenced": "a"},
        ],
    )
    first, second = (item["sysId"] for item in made["items"])
    assert [ci.get("dr_backup") for ci in lab.stored("cmdb_ci_server", "name=round-a")] == [second]
    assert [ci.get("dr_backup") for ci in lab.stored("cmdb_ci_server", "name=round-b")] == [first]


def test_payloads_at_once_make_one_item(instance: Instance) -> None:
    lab = Lab(instance)
    start = threading.Barrier(4)
    answers: list[Any] = []

    def report(number: int) -> None:
        payload: dict[str, Any] = {
            "items": [
                server("atonce", serial_number="AT-1"),
                {"className": "cmdb_ci_web_server", "values": {"name": "www"}},
            ],
            "relations": [{"parent": 1, "child": 0, "type": "Runs on::Runs"}],
        }
        if number % 2:
            payload["items"].reverse()
            payload["relations"][0].update(parent=0, child=1)
        start.wait()
        outcome = instance.identification.commit(SYSTEM, read_payload(payload), "ServiceNow")
        answers.append(answer_of(outcome))

    threads = [threading.Thread(target=report, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(answers) == 4
    (stored,) = lab.stored("cmdb_ci", "name=atonce")
    assert len(lab.stored("cmdb_rel_ci", f"child={stored.sys_id}")) == 1
    assert len(lab.stored("cmdb_ci_web_server", "name=www")) == 1
    done = sorted(item["operation"] for answer in answers for item in answer["items"])
    assert done == ["INSERT"] * 2 + ["NO_CHANGE"] * 6
