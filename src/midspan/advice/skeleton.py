"""The files that start an integration: a folder for ``midspan apply`` made from an advice.

Every template of the file formats is in this module. ``${name}`` is filled in, ``$$`` is a dollar.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from string import Template

from midspan.advice.advise import Advice
from midspan.advice.mechanism import Mechanism

Files = Mapping[str, str]

_APP = """\
# One integration as files. Make it live: midspan apply ${folder}
name: ${app}
label: ${label}
version: 0.1.0
requires: [task]
"""

_README = """\
# ${label}

${title}. ${opens}

## Why

${why}

## Considered and not taken

${rejected}

## Open questions

${questions}

## Not in Midspan yet

${limits}

## Next

- Replace the names in these files by your own.
- `midspan apply ${folder}` shows the difference and makes it live.
${steps}
"""


_TRANSFORM = """\
map:
  name: ${app}
  target: sys_user
  fields:
    # coalesce: a row with this value updates the record that has it already
    - {source: u_email, target: email, coalesce: true}
    - {source: u_first_name, target: first_name}
    - {source: u_last_name, target: last_name}
    # a reference: look it up by name; if there is none: create, ignore or reject
    - {source: u_department, target: department, reference_field: name, choice_action: create}
"""

_CSV_SOURCE = """\
# Rows of a file to records. Load one: midspan import run ${folder}/files/example.csv
source:
  name: ${app}
  type: File
  format: CSV
  csv_delimiter: ","
staging: u_${app}_rows
columns: [u_email, u_first_name, u_last_name, u_department]
"""

_CSV = """\
email,first_name,last_name,department
ann@example.com,Ann,Lee,Sales
bob@example.com,Bob,Ray,Support
"""

_JDBC_SOURCE = """\
# Rows of a query to records. The MID server knows the database by the name under target;
# its address and password stay there.
source:
  name: ${app}
  type: JDBC
  target: ${app}
  query: Specific SQL
  sql_statement: SELECT email, first_name, last_name, department FROM people
staging: u_${app}_rows
columns: [u_email, u_first_name, u_last_name, u_department]
"""

_SCHEDULE = """\
schedule:
  # Run it now with: midspan import run ${app}
  name: ${app}
  ${rhythm}
  time_zone: Europe/Berlin
"""

_WAITING_SCHEDULE = """\
schedule:
  # Not active: Midspan does not fetch the rows by itself yet. Until then a job beside the other
  # system, with this rhythm, runs: midspan import run ${folder}/files/example.csv
  name: ${app}
  ${rhythm}
  time_zone: Europe/Berlin
  active: false
"""

_ACL = """\
# Who may do what. Access is denied unless a rule like this one grants it.
- name: incident
  operations: [read, write, create]
  roles: [${app}]
  description: The caller of ${label} works with incidents.
"""

_ROLES = """\
# The role of the caller; give it to the user that the other system signs in with.
${app}:
  description: May call Midspan for ${label}.
"""

_EXAMPLE_CALL = """\
# Create an incident, then read it back. Set MIDSPAN_URL, USER and PASSWORD first.
curl --user "$$USER:$$PASSWORD" --header "Content-Type: application/json" \\
  --data '{"short_description": "Disk almost full", "urgency": "2"}' \\
  "$$MIDSPAN_URL/api/now/table/incident"

curl --user "$$USER:$$PASSWORD" \\
  "$$MIDSPAN_URL/api/now/table/incident?sysparm_query=short_descriptionLIKEdisk&sysparm_limit=10"
"""

_REST = """\
# A service of your own: POST /api/x_${app}/${app}/messages
name: ${label}
service_id: ${app}
namespace: x_${app}
resources:
  - name: Take a message
    method: POST
    path: /messages
    script: messages.js
    requires_authentication: true
"""

_REST_SCRIPT = """\
// Opens one incident per message; a repeated message finds the one that is open.
(function process(request, response) {
    var message = request.body.data;
    var incident = new GlideRecord('incident');
    incident.addQuery('correlation_id', message.id);
    incident.query();
    if (!incident.next()) {
        incident.initialize();
        incident.setValue('correlation_id', message.id);
        incident.setValue('short_description', message.text);
        incident.insert();
    }
    response.setStatus(201);
    return {number: incident.getValue('number')};
})(request, response);
"""

_SOAP_SCRIPT = """\
// Takes a SOAP envelope as XML: {Body: {createIncident: {id: ..., text: ...}}}.
(function process(request, response) {
    var message = request.body.data.Body.createIncident;
    var incident = new GlideRecord('incident');
    incident.initialize();
    incident.setValue('correlation_id', message.id);
    incident.setValue('short_description', message.text);
    incident.insert();
    response.setStatus(200);
    return {number: incident.getValue('number')};
})(request, response);
"""

_CONNECTION = """\
# Where the calls go. Secrets belong into a credential record, not into this file.
- table: sys_alias
  records:
    - key: ${app}
      name: ${app}
      id: ${app}
      connection_type: http_connection
- table: http_connection
  records:
    - key: ${app}
      name: ${app}
      connection_alias: ref:sys_alias/${app}
      connection_url: https://example.com
"""

_FLOW = """\
# Runs once for each change request that becomes approved.
name: ${label}
active: true
trigger:
  table: change_request
  when: updated
  condition: approvalCHANGESTOapproved
steps:
  - id: tell
    action:
      spoke: ${spoke}
      action: ${action}
      connection: ${app}
      inputs:
${inputs}
  - id: note
    log: "Told ${label} about {{trigger.record.number}}"
"""

_CHAT_INPUTS = """\
        text: "{{trigger.record.number}} is approved: {{trigger.record.short_description}}"
"""

_HTTP_INPUTS = """\
        method: POST
        path: /changes
        json:
          number: "{{trigger.record.number}}"
          text: "{{trigger.record.short_description}}"
"""

_ASK_INPUTS = """\
        path: "/changes/{{trigger.record.number}}"
"""

_SOAP_INPUTS = """\
        method: POST
        path: /soap
        headers: {Content-Type: text/xml; charset=utf-8, SOAPAction: createChange}
        body: |
          <soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">
            <soap:Body>
              <createChange><number>{{trigger.record.number}}</number></createChange>
            </soap:Body>
          </soap:Envelope>
"""

_MID_STEPS = """\
- `midspan mid code` gives a one-time code; enrol a MID server in the private network with it.
- `midspan mid validate NAME` lets it work; `midspan mid list` shows that it is up.
- Allow the target in the MID server's own settings; Midspan cannot do that for you."""

_STEPS: Mapping[Mechanism, str] = {
    Mechanism.IMPORT_SET: "- `midspan import run ${folder}/files/example.csv` loads the file.",
    Mechanism.IMPORT_SET_THROUGH_MID: f"{_MID_STEPS}\n- `midspan import run ${{app}}` loads it.",
    Mechanism.SCHEDULED_IMPORT: "- `midspan import run ${app}` runs it now; the schedule repeats.",
    Mechanism.SCHEDULED_IMPORT_THROUGH_MID: (
        f"{_MID_STEPS}\n- `midspan import run ${{app}}` runs it now; the schedule repeats."
    ),
    Mechanism.INBOUND_TABLE_API: (
        "- `midspan user add NAME --role ${app}` makes a user for the caller.\n"
        "- `files/example.sh` shows the calls."
    ),
    Mechanism.SCRIPTED_REST: (
        "- `midspan user add NAME` makes a user for the caller.\n"
        '- POST `{"id": "1", "text": "hello"}` to `/api/x_${app}/${app}/messages`.'
    ),
    Mechanism.SOAP_INBOUND: (
        "- `midspan user add NAME` makes a user for the caller.\n"
        "- POST an envelope as `text/xml` to `/api/x_${app}/${app}/messages`."
    ),
}
_RHYTHMS: Mapping[str, str] = {
    "hourly": 'run: periodically\n  every: "1970-01-01 01:00:00"',
    "daily": 'run: daily\n  at: "02:00"',
    "weekly": 'run: weekly\n  day_of_week: "1"  # Monday\n  at: "02:00"',
    "monthly": 'run: monthly\n  day_of_month: 1\n  at: "02:00"',
}
_SHORT_RHYTHM = 'run: periodically\n  every: "1970-01-01 00:05:00"'
_FILE_STEPS = (
    "- `midspan import run ${folder}/files/example.csv` loads the file; let a job on the machine\n"
    "  that has the data write it and run this by the clock. The schedule in the folder waits."
)
_CHAT_STEPS = (
    "- Make a credential of the type `webhook` (`api_key_credentials`, the webhook's address in\n"
    "  `api_key`) and choose it in the connection `${app}`; that is the only setting.\n"
)
_FLOW_STEPS = (
    "- `midspan flow test ${app} NUMBER` shows what it would do with a change request.\n"
    "- `midspan flow runs` lists what ran; `midspan flow show RUN` shows every step."
)


def skeleton(advice: Advice) -> dict[str, str]:
    """Return the files of the advised integration, relative path to text, in a fixed order.

    The folder is the one that ``advice.next_command`` names. Secrets are never in it.

    >>> from midspan.advice.advise import advise
    >>> sorted(skeleton(advise({"direction": "in", "format": "own"})))
    ['README.md', 'app.yaml', 'rest/messages/messages.js', 'rest/messages/service.yaml']
    """
    names = _names(advice)
    files = {"README.md": _README, "app.yaml": _APP, **_templates(advice.mechanism, advice)}
    if advice.companion is not None:
        files |= _templates(advice.companion, advice)
    return {
        Template(path).substitute(names): Template(text).substitute(names)
        for path, text in files.items()
    }


def _templates(mechanism: Mechanism, advice: Advice) -> Files:
    match mechanism:
        case Mechanism.IMPORT_SET | Mechanism.SCHEDULED_IMPORT:
            return _import_files(_is_jdbc(advice), mechanism is Mechanism.SCHEDULED_IMPORT)
        case Mechanism.IMPORT_SET_THROUGH_MID | Mechanism.SCHEDULED_IMPORT_THROUGH_MID:
            scheduled = mechanism is Mechanism.SCHEDULED_IMPORT_THROUGH_MID
            return _import_files(_is_jdbc(advice), scheduled)
        case Mechanism.INBOUND_TABLE_API:
            return {"roles.yaml": _ROLES, "acls.yaml": _ACL, "files/example.sh": _EXAMPLE_CALL}
        case Mechanism.SCRIPTED_REST:
            return {"rest/messages/service.yaml": _REST, "rest/messages/messages.js": _REST_SCRIPT}
        case Mechanism.SOAP_INBOUND:
            return {"rest/messages/service.yaml": _REST, "rest/messages/messages.js": _SOAP_SCRIPT}
        case _:
            return {"data/connection.yaml": _connection(advice), "flows/${app}.yaml": _FLOW}


def _import_files(jdbc: bool, scheduled: bool) -> Files:
    source = _JDBC_SOURCE if jdbc else _CSV_SOURCE
    schedule = _SCHEDULE if jdbc else _WAITING_SCHEDULE
    files = {"imports/people.yaml": source + _TRANSFORM + (schedule if scheduled else "")}
    return files if jdbc else {**files, "files/example.csv": _CSV}


def _connection(advice: Advice) -> str:
    """Return the connection's file; a webhook's address is a secret and stays out of it."""
    if _fact(advice, "source") != "chat":
        return _CONNECTION
    return _CONNECTION.replace("      connection_url: https://example.com\n", "")


def _steps(mechanism: Mechanism, advice: Advice) -> str:
    """Return the lines about what to do after the folder was applied."""
    scheduled = (Mechanism.SCHEDULED_IMPORT, Mechanism.SCHEDULED_IMPORT_THROUGH_MID)
    if mechanism in scheduled and not _is_jdbc(advice):
        return _FILE_STEPS
    if mechanism in _STEPS:
        return _STEPS[mechanism]
    return (_CHAT_STEPS if _fact(advice, "source") == "chat" else "") + _FLOW_STEPS


def _is_jdbc(advice: Advice) -> bool:
    return _fact(advice, "protocol") == "jdbc"


def _fact(advice: Advice, name: str) -> str:
    return advice.facts.get(name) or advice.assumed.get(name, "")


def _names(advice: Advice) -> dict[str, str]:
    """Return what the templates are filled with."""
    folder = advice.mechanism.value.replace("_", "-")
    partner = _fact(advice, "partner")
    app = f"{partner or 'my'}_{advice.mechanism.value}".replace(".", "_")
    names = {
        "app": app,
        "folder": folder,
        "label": f"{partner.capitalize() or 'My'} {advice.mechanism.value.replace('_', ' ')}",
        "title": advice.title,
        "opens": advice.opens,
        "rhythm": _rhythm(advice),
        **_call(advice),
    }
    names["why"] = _bullets(advice.why)
    names["rejected"] = _bullets(f"`{each.mechanism}`: {each.because}." for each in advice.rejected)
    names["questions"] = _bullets(
        f"{each.question} Assumed `{each.fact}={each.assumed}`; another answer may lead to "
        f"{', '.join(dict.fromkeys(each.changes.values()))}."
        for each in advice.open_questions
    )
    names["limits"] = _bullets(advice.not_yet)
    steps = [
        _steps(mechanism, advice)
        for mechanism in (advice.mechanism, advice.companion)
        if mechanism is not None
    ]
    names["steps"] = Template("\n\n".join(steps)).substitute(names)
    return names


def _rhythm(advice: Advice) -> str:
    """Return the schedule's lines: short where the clock stands in for an event."""
    if _fact(advice, "trigger") != "schedule":
        return _SHORT_RHYTHM
    return _RHYTHMS.get(_fact(advice, "frequency"), _RHYTHMS["daily"])


def _call(advice: Advice) -> dict[str, str]:
    """Return which spoke action a flow calls and with what."""
    if advice.mechanism in (Mechanism.SOAP_OUTBOUND, Mechanism.SOAP_OUTBOUND_THROUGH_MID):
        action, inputs = "http.send_request", _SOAP_INPUTS
    elif advice.mechanism.value.startswith("outbound_rest_message"):
        action, inputs = "http.get", _ASK_INPUTS
    elif _fact(advice, "source") == "chat":
        action, inputs = "slack.post_webhook", _CHAT_INPUTS
    else:
        action, inputs = "http.send_request", _HTTP_INPUTS
    spoke, _, name = action.partition(".")
    return {"spoke": spoke, "action": name, "inputs": inputs.rstrip("\n")}


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines) or "None."
