"""The advice itself, as data: what follows from the facts, and why.

The table is read from the top; the first rule whose conditions all hold decides. Rules speak of the
facts of ``vocabulary`` and of ``rows``, which is ``many`` from 1,000 rows a time and else ``few``.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from midspan.advice.mechanism import Mechanism

Conditions = Mapping[str, tuple[str, ...]]


class Rejected(Struct, frozen=True):
    """A mechanism that was considered, and why it is worse here."""

    mechanism: Mechanism
    because: str


class Rule(Struct, frozen=True):
    """One line of the advice."""

    name: str
    when: Conditions
    mechanism: Mechanism
    why: str
    rejected: tuple[Rejected, ...]


class Inference(Struct, frozen=True):
    """What a fact that was not given must be, or very likely is, because of the others."""

    when: Conditions
    fact: str
    value: str
    because: str
    firm: bool = True
    """False: it is only likely, so the question is still asked."""


class Limit(Struct, frozen=True):
    """A part of an advised mechanism that Midspan does not have yet, and what to do meanwhile."""

    mechanisms: tuple[Mechanism, ...]
    when: Conditions
    text: str


M = Mechanism

INFERENCES: tuple[Inference, ...] = (
    Inference({"partner": ("slack",)}, "source", "chat", "Slack is a chat tool."),
    Inference(
        {"partner": ("alertmanager",)},
        "source",
        "webhook",
        "Alertmanager posts its own body to a URL.",
    ),
    Inference(
        {"source": ("chat",)}, "direction", "out", "People in a chat are told things.", firm=False
    ),
    Inference({"source": ("webhook",)}, "direction", "in", "A webhook calls Midspan."),
    Inference({"source": ("webhook",)}, "trigger", "event", "A webhook is sent when it happens."),
    Inference({"source": ("webhook",)}, "format", "own", "A webhook's body cannot be chosen."),
    Inference({"format": ("csv", "excel")}, "source", "file", "That is a file format."),
    Inference({"protocol": ("jdbc",)}, "source", "database", "JDBC reads databases."),
    Inference({"protocol": ("file",)}, "source", "file", "The data is in files."),
    Inference({"source": ("database",)}, "protocol", "jdbc", "A database is read with SQL."),
    Inference({"source": ("file",)}, "protocol", "file", "A file is read as a file."),
    Inference({"frequency": ("once",)}, "trigger", "once", "It happens a single time."),
    Inference(
        {"frequency": ("hourly", "daily", "weekly", "monthly")},
        "trigger",
        "schedule",
        "A fixed rhythm is a schedule.",
    ),
    Inference({"frequency": ("continuous",)}, "trigger", "event", "It has to happen at once."),
    Inference({"need": ("action",)}, "trigger", "event", "Actions follow events.", firm=False),
    Inference(
        {"need": ("copy",)}, "trigger", "schedule", "Copies are refreshed by the clock.", firm=False
    ),
    Inference(
        {"source": ("database", "file")},
        "direction",
        "in",
        "Databases and files are mostly read.",
        firm=False,
    ),
    Inference(
        {"source": ("database", "file"), "direction": ("in",)},
        "trigger",
        "schedule",
        "Databases and files do not call; they are read by the clock.",
        firm=False,
    ),
    Inference(
        {"trigger": ("schedule", "once")}, "need", "copy", "That is how data is copied.", firm=False
    ),
    Inference(
        {"source": ("database",)},
        "location",
        "behind_firewall",
        "Databases are seldom open to the internet.",
        firm=False,
    ),
)

RULES: tuple[Rule, ...] = (
    Rule(
        "soap_caller",
        {"direction": ("in",), "protocol": ("soap",), "trigger": ("event", "request")},
        M.SOAP_INBOUND,
        "A partner that speaks only SOAP is met with SOAP: it reads a WSDL and sends envelopes.",
        (
            Rejected(M.INBOUND_TABLE_API, "the partner cannot send JSON or read it"),
            Rejected(M.SCHEDULED_IMPORT, "the partner calls when it happens; nobody has to poll"),
        ),
    ),
    Rule(
        "soap_source",
        {"direction": ("in",), "protocol": ("soap",)},
        M.SOAP_OUTBOUND,
        "The data lies behind a SOAP interface, so Midspan asks for it with SOAP envelopes.",
        (
            Rejected(M.SOAP_INBOUND, "the partner does not call; Midspan has to ask"),
            Rejected(M.SCHEDULED_IMPORT, "imports read files and databases, not SOAP operations"),
        ),
    ),
    Rule(
        "bulk_once",
        {"direction": ("in",), "trigger": ("once",)},
        M.IMPORT_SET,
        "A bulk load that happens once is an import set: every row is staged, transformed and "
        "reported, and the file can be loaded again without making duplicates.",
        (
            Rejected(M.SCHEDULED_IMPORT, "there is nothing to repeat, so a schedule only lingers"),
            Rejected(M.INBOUND_TABLE_API, "one request per record, and no report of bad rows"),
        ),
    ),
    Rule(
        "copy_on_schedule",
        {"direction": ("in",), "trigger": ("schedule",)},
        M.SCHEDULED_IMPORT,
        "A copy that stays in sync on a schedule is an import: only rows that changed are "
        "written, and each run reports what it did.",
        (
            Rejected(M.IMPORT_SET, "somebody would have to remember to load it every time"),
            Rejected(M.SCRIPTED_REST, "the other system would have to learn to call Midspan"),
        ),
    ),
    Rule(
        "file_when_it_happens",
        {"direction": ("in",), "protocol": ("file",)},
        M.IMPORT_SET,
        "A file that arrives when something happens is loaded as an import set by whoever "
        "writes it, right after writing it.",
        (
            Rejected(M.SCHEDULED_IMPORT, "it would wait for the clock while the file is there"),
            Rejected(M.INBOUND_TABLE_API, "the sender has a file, not requests"),
        ),
    ),
    Rule(
        "database_when_it_happens",
        {"direction": ("in",), "protocol": ("jdbc",)},
        M.SCHEDULED_IMPORT,
        "A database does not call anybody, so it is read on a short schedule with a query for "
        "what changed since the last run.",
        (
            Rejected(M.INBOUND_TABLE_API, "the database cannot send requests"),
            Rejected(M.SCRIPTED_REST, "the database cannot send requests"),
        ),
    ),
    Rule(
        "bulk_push",
        {
            "direction": ("in",),
            "trigger": ("event", "request"),
            "need": ("copy",),
            "rows": ("many",),
        },
        M.IMPORT_SET,
        "So many rows at a time go through a staging table: they are taken in bulk, transformed "
        "together and reported row by row.",
        (
            Rejected(M.INBOUND_TABLE_API, "one request and one transaction for every record"),
            Rejected(M.SCRIPTED_REST, "a script would have to do what a transform map does"),
        ),
    ),
    Rule(
        "own_format_caller",
        {"direction": ("in",), "format": ("own",)},
        M.SCRIPTED_REST,
        "The caller has a form of its own, so a Scripted REST service takes it as it is, acts at "
        "once and answers what the caller expects.",
        (
            Rejected(M.INBOUND_TABLE_API, "the caller cannot send the fields of a table"),
            Rejected(M.SCHEDULED_IMPORT, "the clock would add its interval to every reaction"),
        ),
    ),
    Rule(
        "caller",
        {"direction": ("in",)},
        M.INBOUND_TABLE_API,
        "An external system that creates, changes or reads records uses the Table API: it is "
        "there for every table, with access control, and needs no code.",
        (
            Rejected(M.SCRIPTED_REST, "a script to write and keep, without need for its freedom"),
            Rejected(M.SCHEDULED_IMPORT, "the clock would add its interval to every reaction"),
        ),
    ),
    Rule(
        "out_to_storage",
        {"direction": ("out",), "protocol": ("jdbc", "file")},
        M.INBOUND_TABLE_API,
        "A database or file cannot be called, so a job beside it reads the records page by page "
        "through the Table API and writes them there.",
        (
            Rejected(M.FLOW_WITH_SPOKE, "a spoke calls an application; there is none to call"),
            Rejected(M.OUTBOUND_REST_MESSAGE, "there is nothing at the other end that answers"),
        ),
    ),
    Rule(
        "soap_partner",
        {"direction": ("out",), "protocol": ("soap",)},
        M.SOAP_OUTBOUND,
        "A partner that speaks only SOAP is called with SOAP envelopes.",
        (
            Rejected(M.OUTBOUND_REST_MESSAGE, "the partner understands envelopes only"),
            Rejected(M.SOAP_INBOUND, "the partner would have to call; here Midspan does"),
        ),
    ),
    Rule(
        "ask_now",
        {"direction": ("out",), "trigger": ("request",)},
        M.OUTBOUND_REST_MESSAGE,
        "Somebody waits for the answer, so Midspan asks the other system at once and uses what "
        "it says.",
        (
            Rejected(M.FLOW_WITH_SPOKE, "a flow runs after the fact; the asker would not get it"),
            Rejected(M.SCHEDULED_IMPORT, "a copy may be older than the question"),
        ),
    ),
    Rule(
        "bulk_out",
        {
            "direction": ("out",),
            "need": ("copy",),
            "trigger": ("schedule", "once"),
            "rows": ("many",),
        },
        M.INBOUND_TABLE_API,
        "Many records leave best when the other system fetches them at its own pace, page by "
        "page, through the Table API.",
        (
            Rejected(M.FLOW_WITH_SPOKE, "a flow step per record, for thousands of records"),
            Rejected(M.OUTBOUND_REST_MESSAGE, "Midspan would have to know how much it can take"),
        ),
    ),
    Rule(
        "tell",
        {"direction": ("out",)},
        M.FLOW_WITH_SPOKE,
        "Acting at the moment something happens is an integration: a flow starts with the change "
        "or the clock, and a spoke action tells the other system, once, with a record of it.",
        (
            Rejected(M.OUTBOUND_REST_MESSAGE, "retries, history and secrets would be yours"),
            Rejected(M.SCHEDULED_IMPORT, "imports bring data in; this goes out"),
        ),
    ),
)

_IMPORTS = (
    M.IMPORT_SET,
    M.IMPORT_SET_THROUGH_MID,
    M.SCHEDULED_IMPORT,
    M.SCHEDULED_IMPORT_THROUGH_MID,
)

LIMITS: tuple[Limit, ...] = (
    Limit(
        (M.SOAP_INBOUND,),
        {},
        "Tables answer SOAP with a WSDL of their own; services with operations of your own are "
        "not built yet. Until then a Scripted REST service can take the envelope; the skeleton "
        "does that.",
    ),
    Limit(
        (M.SOAP_OUTBOUND, M.SOAP_OUTBOUND_THROUGH_MID),
        {},
        "SOAP messages made from a WSDL are not built yet. Until then a script sends an envelope "
        "with SOAPMessageV2, or a flow with the HTTP spoke; the skeleton does that.",
    ),
    Limit(
        (M.OUTBOUND_REST_MESSAGE, M.OUTBOUND_REST_MESSAGE_THROUGH_MID),
        {},
        "The skeleton is a flow, which calls with the HTTP spoke and uses the answer in its next "
        "steps; for a call in the middle of a script use RESTMessageV2.",
    ),
    Limit(
        (
            M.FLOW_WITH_SPOKE_THROUGH_MID,
            M.OUTBOUND_REST_MESSAGE_THROUGH_MID,
            M.SOAP_OUTBOUND_THROUGH_MID,
        ),
        {},
        "Steps of flows do not go through a MID server yet. Until then a script calls with "
        "RESTMessageV2 or SOAPMessageV2 and setMIDServer.",
    ),
    Limit(
        (M.SCHEDULED_IMPORT, M.SCHEDULED_IMPORT_THROUGH_MID),
        {"protocol": ("rest",)},
        "Data sources that call a REST interface are not built yet. Until then a job beside the "
        "other system writes CSV and runs 'midspan import run FILE'.",
    ),
    Limit(
        (M.SCHEDULED_IMPORT, M.SCHEDULED_IMPORT_THROUGH_MID),
        {"protocol": ("file",)},
        "Fetching files on a schedule is not built yet. Until then the job that writes the file "
        "runs 'midspan import run FILE' after it.",
    ),
    Limit(
        (M.IMPORT_SET, M.SCHEDULED_IMPORT),
        {"protocol": ("jdbc",)},
        "Databases are read through a MID server only. Until that changes, run one beside the "
        "instance; the import is the same.",
    ),
    Limit(
        _IMPORTS,
        {"format": ("excel", "xml", "json")},
        "Files are read as CSV only so far; save the data as CSV.",
    ),
)


def holds(conditions: Conditions, facts: Mapping[str, str]) -> bool:
    """Return whether every condition names the value that the facts have.

    >>> holds({"trigger": ("once", "schedule")}, {"trigger": "once", "direction": "in"})
    True
    """
    return all(facts.get(name) in values for name, values in conditions.items())
