"""Who may do what: actors, access controls, sign-in and secrets at rest."""

from midspan.security.access import Access, grouped
from midspan.security.accessrule import AccessControls, AccessRule
from midspan.security.actor import GUEST, SYSTEM, Actor
from midspan.security.dynamic import PROBE, SessionValues
from midspan.security.endpoints import Endpoint, endpoint
from midspan.security.identities import Identities, Rights, load_access, load_rights
from midspan.security.origins import OriginRule, OriginRules, load_origins
from midspan.security.passwords import Passwords
from midspan.security.policies import AccessPolicies, Sender, load_policies
from midspan.security.ratecounts import Limit, RateCounts
from midspan.security.ratelimits import Charge, RateRules, load_rate_rules
from midspan.security.throttle import SignInDelayed, Throttle
from midspan.security.vault import KeyVault, UnreadableSecret, Vault, master_key, unwrap, wrap

__all__ = [
    "GUEST",
    "PROBE",
    "SYSTEM",
    "Access",
    "AccessControls",
    "AccessPolicies",
    "AccessRule",
    "Actor",
    "Charge",
    "Endpoint",
    "Identities",
    "KeyVault",
    "Limit",
    "OriginRule",
    "OriginRules",
    "Passwords",
    "RateCounts",
    "RateRules",
    "Rights",
    "Sender",
    "SessionValues",
    "SignInDelayed",
    "Throttle",
    "UnreadableSecret",
    "Vault",
    "endpoint",
    "grouped",
    "load_access",
    "load_origins",
    "load_policies",
    "load_rate_rules",
    "load_rights",
    "master_key",
    "unwrap",
    "wrap",
]
