"""Who may do what: actors, access controls, sign-in and secrets at rest."""

from midspan.security.access import Access, AccessControls, AccessRule
from midspan.security.actor import GUEST, SYSTEM, Actor
from midspan.security.dynamic import PROBE, SessionValues
from midspan.security.identities import Identities, Rights, load_access, load_rights
from midspan.security.passwords import Passwords
from midspan.security.throttle import SignInDelayed, Throttle
from midspan.security.vault import KeyVault, UnreadableSecret, Vault, master_key, unwrap, wrap

__all__ = [
    "GUEST",
    "PROBE",
    "SYSTEM",
    "Access",
    "AccessControls",
    "AccessRule",
    "Actor",
    "Identities",
    "KeyVault",
    "Passwords",
    "Rights",
    "SessionValues",
    "SignInDelayed",
    "Throttle",
    "UnreadableSecret",
    "Vault",
    "load_access",
    "load_rights",
    "master_key",
    "unwrap",
    "wrap",
]
