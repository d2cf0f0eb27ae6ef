"""Skeletons: whole, parsable, without secrets, and true to the spokes they call."""

import importlib
import io
import re
from pathlib import Path, PurePosixPath

import msgspec
import pytest
import yaml

from midspan.advice import CARDS, Mechanism, advise, parse_facts, skeleton
from midspan.api.deployment import deploy
from midspan.api.memoryfolder import memory_folder
from midspan.apps.definition import AppDefinition
from midspan.apps.load import load_app
from midspan.flow import parse_flow
from midspan.flow.definition import ActionStep
from midspan.formats import column_names
from midspan.importsets import ImportRunner
from midspan.security import SYSTEM
from midspan.testing import open_instance

CASES = {
    Mechanism.IMPORT_SET: "direction=in trigger=once",
    Mechanism.IMPORT_SET_THROUGH_MID: "source=database trigger=once",
    Mechanism.SCHEDULED_IMPORT: "direction=in frequency=weekly",
    Mechanism.SCHEDULED_IMPORT_THROUGH_MID: "source=database frequency=monthly",
    Mechanism.INBOUND_TABLE_API: "direction=in",
    Mechanism.SCRIPTED_REST: "source=webhook",
    Mechanism.SOAP_INBOUND: "direction=in protocol=soap partner=acme",
    Mechanism.FLOW_WITH_SPOKE: "partner=slack",
    Mechanism.FLOW_WITH_SPOKE_THROUGH_MID: "direction=out location=behind_firewall",
    Mechanism.OUTBOUND_REST_MESSAGE: "direction=out trigger=request",
    Mechanism.OUTBOUND_REST_MESSAGE_THROUGH_MID:
        "direction=out trigger=request location=behind_firewall",
    Mechanism.SOAP_OUTBOUND: "direction=out protocol=soap",
    Mechanism.SOAP_OUTBOUND_THROUGH_MID: "direction=out protocol=soap location=behind_firewall",
}  # fmt: skip


def files_for(words: str) -> dict[str, str]:
    return skeleton(advise(parse_facts(words.split())))


def loaded(words: str, folder: Path) -> AppDefinition:
    for path, text in files_for(words).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return load_app(folder)


def records_of(words: str, folder: Path, table: str) -> list[dict[str, str]]:
    return [record.values for record in loaded(words, folder).records if record.table == table]


def flow_of(files: dict[str, str]) -> str:
    (found,) = (text for path, text in files.items() if path.startswith("flows/"))
    return found


def test_every_mechanism_has_a_case() -> None:
    assert set(CASES) == set(CARDS)
    for mechanism, words in CASES.items():
        assert advise(parse_facts(words.split())).mechanism is mechanism


@pytest.mark.parametrize(
    "words", [*CASES.values(), "direction=both", "direction=both protocol=soap"]
)
def test_the_files_are_whole(words: str) -> None:
    files = files_for(words)
    assert {"README.md", "app.yaml"} < set(files)
    for path, text in files.items():
        assert not PurePosixPath(path).is_absolute()
        assert ".." not in path
        assert text.endswith("\n")
        assert "${" not in text
        assert max(len(line) for line in text.splitlines()) <= 100 or path == "README.md"
        if path.endswith(".yaml"):
            assert yaml.safe_load(text)
    assert not re.search(
        r"password\s*[:=]\s*\w|token\s*[:=]", "".join(files.values()), re.IGNORECASE
    )


@pytest.mark.parametrize("words", [*CASES.values(), "direction=both"])
def test_the_readme_names_only_commands_that_exist(words: str) -> None:
    commands = re.findall(r"`midspan ([a-z]+(?: [a-z]+)?)", files_for(words)["README.md"])
    known = {"apply", "user add", "mid code", "mid validate", "mid list", "import run",
             "flow test", "flow runs", "flow show"}  # fmt: skip
    assert commands
    assert {word if word in known else word.split()[0] for word in commands} <= known


@pytest.mark.parametrize(
    "words", ["partner=slack", "direction=out", "direction=out trigger=request",
              "direction=out protocol=soap"],
)  # fmt: skip
def test_a_flow_calls_an_action_that_its_spoke_has_with_inputs_it_takes(words: str) -> None:
    step = next(parse_flow(flow_of(files_for(words))).each())
    assert isinstance(step, ActionStep)
    module = importlib.import_module(f"midspan_spokes.{step.spoke}.actions.{step.action}")
    takes = {field.name for field in msgspec.structs.fields(module.Inputs)}
    assert set(step.inputs) <= takes
    alias, connection = yaml.safe_load(files_for(words)["data/connection.yaml"])
    assert alias["records"][0]["id"] == step.connection
    address = connection["records"][0].get("connection_url", "a secret of the credential")
    assert address.startswith("a secret" if step.action == "post_webhook" else "https://")


@pytest.mark.parametrize(
    ("words", "schedule"),
    [
        ("direction=in frequency=hourly",
         {"run_type": "periodically", "run_period": "1970-01-01 01:00:00"}),
        ("direction=in frequency=daily", {"run_type": "daily", "run_time": "1970-01-01 02:00:00"}),
        ("direction=in frequency=weekly", {"run_type": "weekly", "run_dayofweek": "1"}),
        ("direction=in frequency=monthly", {"run_type": "monthly", "run_dayofmonth": "1"}),
        ("source=database direction=in trigger=event",
         {"run_type": "periodically", "run_period": "1970-01-01 00:05:00"}),
    ],
)  # fmt: skip
def test_the_schedule_has_the_rhythm_that_was_asked_for(
    words: str, schedule: dict[str, str], tmp_path: Path
) -> None:
    (found,) = records_of(words, tmp_path, "scheduled_import_set")
    assert {name: found[name] for name in schedule} == schedule


@pytest.mark.parametrize("words", [*CASES.values(), "direction=both protocol=soap", "partner=1e5"])
def test_the_installer_reads_the_folder(words: str, tmp_path: Path) -> None:
    app = loaded(words, tmp_path)
    assert app.app.name.endswith(advise(parse_facts(words.split())).mechanism.value)
    assert app.records


def test_a_staged_import_fits_together(tmp_path: Path) -> None:
    words = "source=database frequency=daily partner=acme"
    (source,) = records_of(words, tmp_path, "sys_data_source")
    (transform,) = records_of(words, tmp_path, "sys_transform_map")
    entries = records_of(words, tmp_path, "sys_transform_entry")
    assert source["import_set_table_name"] == transform["source_table"]
    assert source["mid_target"] == source["name"] == "acme_scheduled_import_through_mid"
    assert [entry["target_field"] for entry in entries if entry["coalesce"] == "true"] == ["email"]
    example = files_for("direction=in trigger=once")["files/example.csv"].splitlines()[0]
    assert column_names(example.split(",")) == [entry["source_field"] for entry in entries]


def test_both_directions_come_in_one_folder() -> None:
    files = files_for("direction=both source=webhook")
    flow = "flows/my_flow_with_spoke.yaml"
    assert {flow, "data/connection.yaml", "rest/messages/messages.js"} <= set(files)


def test_a_schedule_that_nothing_could_carry_out_waits(tmp_path: Path) -> None:
    words = "direction=in source=file frequency=daily location=behind_firewall"
    (found,) = records_of(words, tmp_path, "scheduled_import_set")
    assert found["active"] == "false"
    readme = files_for(words)["README.md"]
    assert "midspan import run scheduled-import-through-mid/files/example.csv" in readme
    assert "midspan mid code" not in readme
    (found,) = records_of(
        "source=database frequency=daily", tmp_path / "db", "scheduled_import_set"
    )
    assert found["active"] == "true"


def test_all_skeletons_can_be_applied_side_by_side_and_their_example_loads() -> None:
    with open_instance() as instance:
        for words in (*CASES.values(), "direction=both partner=acme"):
            files = files_for(words)
            folder = memory_folder(files, "it")
            app, done = deploy(instance.records, SYSTEM, folder, dry_run=False)
            assert {each.kind for each in done} == {"insert"}, app.app.name
        content = io.BytesIO(files_for("direction=in trigger=once")["files/example.csv"].encode())
        runner = ImportRunner(instance.records, instance.clock)
        (run,) = runner.import_csv(content, "my_import_set")
        assert (run.totals.inserts, run.totals.total) == (2, 2)


def test_what_is_open_and_what_is_missing_is_in_the_readme() -> None:
    advice = advise(parse_facts(["direction=out", "protocol=soap"]))
    readme = skeleton(advice)["README.md"]
    assert all(text in readme for text in (*advice.why, *advice.not_yet))
    assert all(question.question in readme for question in advice.open_questions)
