"""Events: what follows a committed change, and the queue of events that scripts fill."""

from midspan.events.dispatcher import Dispatcher
from midspan.events.event import Consumer, Event
from midspan.events.queue import REGISTER, EventHandler, EventQueue, QueuedEvent, queue_event
from midspan.events.registry import EventRegistry

__all__ = [
    "REGISTER",
    "Consumer",
    "Dispatcher",
    "Event",
    "EventHandler",
    "EventQueue",
    "EventRegistry",
    "QueuedEvent",
    "queue_event",
]
