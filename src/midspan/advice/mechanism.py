"""The integration mechanisms that can be advised, and what is true of each."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct


class Mechanism(StrEnum):
    """A way to join another system to Midspan."""

    IMPORT_SET = "import_set"
    IMPORT_SET_THROUGH_MID = "import_set_through_mid"
    SCHEDULED_IMPORT = "scheduled_import"
    SCHEDULED_IMPORT_THROUGH_MID = "scheduled_import_through_mid"
    INBOUND_TABLE_API = "inbound_table_api"
    SCRIPTED_REST = "scripted_rest"
    SOAP_INBOUND = "soap_inbound"
    FLOW_WITH_SPOKE = "flow_with_spoke"
    FLOW_WITH_SPOKE_THROUGH_MID = "flow_with_spoke_through_mid"
    OUTBOUND_REST_MESSAGE = "outbound_rest_message"
    OUTBOUND_REST_MESSAGE_THROUGH_MID = "outbound_rest_message_through_mid"
    SOAP_OUTBOUND = "soap_outbound"
    SOAP_OUTBOUND_THROUGH_MID = "soap_outbound_through_mid"


class Card(Struct, frozen=True):
    """What is true of a mechanism wherever it is used."""

    title: str
    opens: str
    """Who opens the connection: ``midspan``, ``partner``, ``mid`` or ``person``."""
    through_mid: Mechanism | None = None
    """The same through a MID server, for systems that Midspan cannot reach."""


CARDS: Mapping[Mechanism, Card] = {
    Mechanism.IMPORT_SET: Card(
        "Import set: load rows into a staging table, transform them, once", "person"
    ),
    Mechanism.IMPORT_SET_THROUGH_MID: Card(
        "Import set loaded through a MID server, run by hand", "mid"
    ),
    Mechanism.SCHEDULED_IMPORT: Card(
        "Scheduled import: data source, staging table and transform map on a schedule",
        "midspan",
        Mechanism.SCHEDULED_IMPORT_THROUGH_MID,
    ),
    Mechanism.SCHEDULED_IMPORT_THROUGH_MID: Card(
        "Scheduled import that a MID server carries out of the private network", "mid"
    ),
    Mechanism.INBOUND_TABLE_API: Card(
        "Table API: the other system reads and writes records over REST", "partner"
    ),
    Mechanism.SCRIPTED_REST: Card(
        "Scripted REST service: the other system calls an interface made for it", "partner"
    ),
    Mechanism.SOAP_INBOUND: Card(
        "SOAP web service: the other system sends SOAP envelopes", "partner"
    ),
    Mechanism.FLOW_WITH_SPOKE: Card(
        "Flow with a spoke action: Midspan tells the other system",
        "midspan",
        Mechanism.FLOW_WITH_SPOKE_THROUGH_MID,
    ),
    Mechanism.FLOW_WITH_SPOKE_THROUGH_MID: Card(
        "Flow with a spoke action that a MID server carries into the private network", "mid"
    ),
    Mechanism.OUTBOUND_REST_MESSAGE: Card(
        "Outbound REST message: Midspan asks and uses the answer at once",
        "midspan",
        Mechanism.OUTBOUND_REST_MESSAGE_THROUGH_MID,
    ),
    Mechanism.OUTBOUND_REST_MESSAGE_THROUGH_MID: Card(
        "Outbound REST message that a MID server carries into the private network", "mid"
    ),
    Mechanism.SOAP_OUTBOUND: Card(
        "Outbound SOAP: Midspan sends SOAP envelopes",
        "midspan",
        Mechanism.SOAP_OUTBOUND_THROUGH_MID,
    ),
    Mechanism.SOAP_OUTBOUND_THROUGH_MID: Card(
        "Outbound SOAP that a MID server carries into the private network", "mid"
    ),
}

OPENS: Mapping[str, str] = {
    "midspan": "Midspan opens the connection.",
    "partner": "The other system opens the connection.",
    "mid": "The MID server dials out to Midspan; nothing is opened towards the private network.",
    "person": "A person or job sends the rows to Midspan.",
}
