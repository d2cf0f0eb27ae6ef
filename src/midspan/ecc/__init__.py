"""Agents in private networks: who they are, the queue they work from, what comes back."""

from midspan.ecc.enrolment import Enrolments, IssuedCode, MidServer
from midspan.ecc.hook import QueueHook
from midspan.ecc.message import CREDENTIAL, Answer, EccMessage, Secrets, Sensor
from midspan.ecc.queue import EccOptions, EccQueue, Offer
from midspan.ecc.selection import Choice, select

__all__ = [
    "CREDENTIAL",
    "Answer",
    "Choice",
    "EccMessage",
    "EccOptions",
    "EccQueue",
    "Enrolments",
    "IssuedCode",
    "MidServer",
    "Offer",
    "QueueHook",
    "Secrets",
    "Sensor",
    "select",
]
