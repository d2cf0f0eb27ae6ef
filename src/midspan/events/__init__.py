"""Events: what follows a committed change, from the outbox to its consumers."""

from midspan.events.dispatcher import Dispatcher
from midspan.events.event import Consumer, Event
from midspan.events.registry import EventRegistry

__all__ = ["Consumer", "Dispatcher", "Event", "EventRegistry"]
