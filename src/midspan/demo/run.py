"""Starts everything the demo needs, runs its scenarios, shows the results."""

from __future__ import annotations

import secrets
import signal
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import httpx
from rich.console import Console
from rich.markup import escape

from midspan.demo import alerts, approval, assets, chat, people
from midspan.demo.display import results_table, running, show
from midspan.demo.keeping import keep
from midspan.demo.processes import Process
from midspan.demo.scenario import Client, NotAsPromised, Result, Say, Scenario, Stage, expect

SCENARIOS = (alerts.SCENARIO, approval.SCENARIO, assets.SCENARIO, people.SCENARIO)


def demo(
    *,
    data: Path | None = None,
    port: int = 0,
    exit_after: bool = False,
    console: Console,
    scenarios: Sequence[Scenario] = SCENARIOS,
) -> int:
    """Run the demonstration; return 0 only if every scenario held.

    ``data`` keeps what was made; without it everything is thrown away at the end. Unless
    ``exit_after`` is set the instance keeps running until it is interrupted.
    """
    with _ended_like_ctrl_c(), ExitStack() as stack:
        folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="midspan-")))
        try:
            with console.status("Starting an instance, a chat receiver and a private network"):
                stage = stack.enter_context(staged(folder, port))
        except (NotAsPromised, httpx.HTTPError, OSError) as error:
            console.print(f"[bold red]The demo could not start:[/] {escape(str(error))}")
            return 1
        console.print(f"Midspan runs at [bold]{stage.url}/[/]\n")
        results = [
            play(scenario, number, stage, console) for number, scenario in enumerate(scenarios, 1)
        ]
        console.print(results_table(results, stage.url))
        held = all(result.held for result in results)
        if held:
            console.print(f"[bold green]All {len(results)} integrations held.[/]")
        if not exit_after:
            _keep_running(stage, console)
    return 0 if held else 1


@contextmanager
def staged(folder: Path, port: int = 0) -> Iterator[Stage]:
    """Start the processes, install the demo's app and make its users; end them afterwards.

    Raises:
        NotAsPromised: the folder holds an earlier demo, or something did not start.
    """
    expect(
        not (folder / "instance").exists(),
        f"{folder} holds an earlier demo. Look at it with `midspan serve --data"
        f" {folder / 'instance'}`, or choose another directory.",
    )
    folder.mkdir(parents=True, exist_ok=True)
    password, monitoring = secrets.token_urlsafe(12), secrets.token_urlsafe(12)
    with ExitStack() as stack:

        def start(module: str, arguments: list[str], log: Path, **environment: str) -> Process:
            process = Process(module, arguments, log, environment)
            stack.callback(process.stop)
            return process

        place = ["--data", str(folder / "instance"), "--port", str(port)]
        log = folder / "instance.log"
        instance = start("midspan", ["serve", *place], log, MIDSPAN_ADMIN_PASSWORD=password)
        receiver = start("midspan_spokes.slack.receiver", ["--port", "0"], folder / "receiver.log")
        database = start(
            "midspan.demo.privatedb", [str(folder / "private-database")], folder / "database.log"
        )
        url = instance.ready()["url"]
        admin = Client(url, "admin", password)
        stack.callback(admin.close)
        receiving, private = receiver.ready(), database.ready()
        _prepare(admin, receiving["webhook"], monitoring)
        assets.enrol(admin, private, folder, start)
        sender = Client(url, "alertmanager", monitoring)
        stack.callback(sender.close)
        yield Stage(folder, url, admin, sender, password, receiving["url"], private)


def _prepare(admin: Client, webhook: str, monitoring: str) -> None:
    """Connect the chat, install the demo's app and make the user that Alertmanager signs in as."""
    chat.connect(admin, webhook)
    admin.send("POST", "/api/midspan/v1/apply", json={"files": app_files()})
    user = {"user_name": "alertmanager", "first_name": "Alertmanager", "password": monitoring}
    admin.send("POST", "/api/midspan/v1/users", json=user)


def app_files() -> dict[str, str]:
    """Return the files of the demo's app by their paths."""
    found: dict[str, str] = {}

    def walk(folder: Traversable, prefix: str) -> None:
        for entry in sorted(folder.iterdir(), key=lambda item: item.name):
            if entry.is_dir():
                walk(entry, f"{prefix}{entry.name}/")
            else:
                found[prefix + entry.name] = entry.read_text(encoding="utf-8")

    walk(resources.files("midspan.demo").joinpath("app"), "")
    return found


def play(scenario: Scenario, number: int, stage: Stage, console: Console) -> Result:
    """Run one scenario, keep its result as records and show it."""
    with running(console, scenario) as say:
        result = _result(scenario, stage, say)
        try:
            keep(stage.admin, number, result)
        except (NotAsPromised, httpx.HTTPError) as error:
            result = Result(scenario, None, f"{result.problem} The result was not kept: {error}")
    show(console, result, stage.url)
    return result


def _result(scenario: Scenario, stage: Stage, say: Say) -> Result:
    try:
        return Result(scenario, scenario.run(stage, say))
    except NotAsPromised as error:
        return Result(scenario, None, str(error))
    except Exception as error:  # whatever broke, the table has to tell of all scenarios
        return Result(scenario, None, f"{type(error).__name__}: {error}")


def _keep_running(stage: Stage, console: Console) -> None:
    console.print(f"\nThe instance keeps running at [bold]{stage.url}/[/]; stop it with Ctrl-C.")
    console.print(f"Sign in as [bold]admin[/] with the password [bold]{stage.password}[/]")
    console.print(f"What reached the chat: {stage.chat}/messages")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        console.print("Stopping.")


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM unwind the demo, so that the processes it started end with it."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
