"""Records: the only way to read or write one. Access, rules, journal, audit and events included."""

from midspan.records.change import (
    Applied,
    Change,
    ChangeOptions,
    Draft,
    Operation,
    Refused,
    Result,
    delete,
    insert,
    update,
)
from midspan.records.hooks import ChangeFeed, Guard, PageCut, RecordHook
from midspan.records.inboundguard import InboundGuard
from midspan.records.masking import HIDDEN
from midspan.records.prepared import PreparedRead, prepare_read
from midspan.records.record import Record
from midspan.records.snapshot import (
    ACCESS,
    DICTIONARY,
    ORIGINS,
    POLICIES,
    PROPERTIES,
    RATE_LIMITS,
    RIGHTS,
    USERS,
    Snapshot,
    SnapshotHolder,
    SnapshotPart,
)
from midspan.records.states import START, SavedState, SavedStates
from midspan.records.store import LATER, Keepers, RecordStore, settled_access
from midspan.records.transaction import RecordTransaction

__all__ = [
    "ACCESS",
    "DICTIONARY",
    "HIDDEN",
    "LATER",
    "ORIGINS",
    "POLICIES",
    "PROPERTIES",
    "RATE_LIMITS",
    "RIGHTS",
    "START",
    "USERS",
    "Applied",
    "Change",
    "ChangeFeed",
    "ChangeOptions",
    "Draft",
    "Guard",
    "InboundGuard",
    "Keepers",
    "Operation",
    "PageCut",
    "PreparedRead",
    "Record",
    "RecordHook",
    "RecordStore",
    "RecordTransaction",
    "Refused",
    "Result",
    "SavedState",
    "SavedStates",
    "Snapshot",
    "SnapshotHolder",
    "SnapshotPart",
    "delete",
    "insert",
    "prepare_read",
    "settled_access",
    "update",
]
