"""A MID probe: one typed async function, and all that the agent offers it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol, TypeVar

import msgspec
from msgspec import Struct

from midspan_sdk.inputs import convert_inputs, declared_types, summary_of
from midspan_sdk.log import Log

R = TypeVar("R", bound=Struct)
T = TypeVar("T", bound=Struct)


class Secret:
    """Named values of one credential, such as ``user`` and ``password``; never printed.

    ``secret["password"]`` gives a value. ``repr`` and ``str`` show the names only; it can neither
    be pickled nor put into a message.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> str:
        """Return the value called ``name``; KeyError lists the names there are."""
        if name not in self._values:
            raise KeyError(f"the credential has no {name!r}, only {sorted(self._values)}")
        return self._values[name]

    def get(self, name: str, default: str = "") -> str:
        """Return the value called ``name``, or ``default``."""
        return self._values.get(name, default)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names, never the values."""
        return iter(self._values)

    def __repr__(self) -> str:
        """Return the names with their values hidden."""
        return f"Secret({', '.join(f'{name}=***' for name in self._values)})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied out of the process."""
        raise TypeError("a Secret does not leave the process it was given to")


@dataclass(frozen=True, slots=True)
class Target:
    """Something a probe may talk to, as the agent knows it.

    ``address`` is the URL or DSN without credentials (``postgresql://db.lan:5432/assets``,
    ``sqlite:////var/lib/assets.db``); ``host`` and ``port`` are what the allow list judges, empty
    and 0 for a local file. ``attributes`` are further typed-by-use settings of the connection.
    """

    name: str
    address: str
    host: str = ""
    port: int = 0
    attributes: Mapping[str, str] = field(default_factory=dict)
    secret: Secret | None = None


class Column(Struct, frozen=True):
    """One column of a row stream: its name and the type word its source uses for it."""

    name: str
    type: str = "text"
    nullable: bool = True


class BlockWriter(Protocol):
    """Where rows go: numbered blocks on their way to the instance, with back-pressure."""

    async def header(self, columns: Sequence[Column]) -> None:
        """Announce the columns; once, before the first block."""
        ...

    async def write(self, block: bytes, rows: int) -> None:
        """Hand over one encoded block of ``rows`` rows; returns when there is room for more."""
        ...


class ProbeContext(Protocol):
    """What the agent gives a probe; a probe reaches nothing else."""

    @property
    def key(self) -> str:
        """The job's id: the same when the job is offered again."""
        ...

    @property
    def log(self) -> Log:
        """Lines kept with the job."""
        ...

    @property
    def blocks(self) -> BlockWriter:
        """The job's row stream."""
        ...

    async def ping(self, host: str, timeout: float) -> float | None:  # noqa: ASYNC109
        """Return the round trip in seconds, or None without an answer in ``timeout`` seconds.

        Raises:
            TargetNotAllowed: the agent's allow list forbids the host.
        """
        ...

    def target(self, name: str) -> Target:
        """Return connection details that only the agent knows or that came sealed.

        Raises:
            TargetNotAllowed: there is no such target, or it is forbidden here.
        """
        ...

    def secret(self, alias: str) -> Secret:
        """Return the credential behind ``alias``, known locally or sealed for this job.

        Raises:
            SignInAgain: the agent has none under this name.
        """
        ...

    def allowed(self, host: str, port: int) -> list[str]:
        """Return the addresses of ``host:port`` that the agent's own allow list permits.

        At least one; connect to these and not to the name, which may lead elsewhere next time.
        It may ask the name service, so it blocks.

        Raises:
            TargetNotAllowed: it does not.
        """
        ...


@dataclass(frozen=True)
class Probe:
    """A probe as the agent runs it: answers jobs of ``topic``, needs ``capability``.

    ``repeatable`` means that a job whose lease ran out is offered again; otherwise a job runs at
    most once and may end "outcome unknown".
    """

    topic: str
    capability: str
    repeatable: bool
    description: str
    request: type[Struct]
    result: type[Struct]
    function: Callable[[Any, Any], Awaitable[Struct]]

    async def run(self, raw: Mapping[str, Any], ctx: ProbeContext) -> dict[str, Any]:
        """Check ``raw`` against the request type, run, return the result as plain JSON data.

        Raises:
            InvalidInputs: naming the field and what was expected.
            SdkError: whatever the probe raised.
        """
        result = await self.function(convert_inputs(self.topic, raw, self.request), ctx)
        plain: dict[str, Any] = msgspec.to_builtins(result)
        return plain


def probe(
    topic: str, *, repeatable: bool = False, capability: str = "", description: str = ""
) -> Callable[[Callable[[R, ProbeContext], Awaitable[T]]], Probe]:
    """Make ``async def f(request: Request, ctx: ProbeContext) -> Result`` the probe of ``topic``.

    ``capability`` is what an agent must offer to get such jobs: ``topic`` in capitals unless
    given; ``description`` is the first line of the function's docstring, or its module's.

    Raises:
        TypeError: the function has another shape.
    """

    def decorate(function: Callable[[R, ProbeContext], Awaitable[T]]) -> Probe:
        request, result = declared_types(function, "request", "probe")
        return Probe(
            topic=topic,
            capability=capability or topic.upper(),
            repeatable=repeatable,
            description=description or summary_of(function),
            request=request,
            result=result,
            function=function,
        )

    return decorate
