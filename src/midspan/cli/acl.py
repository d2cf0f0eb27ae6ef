"""``midspan acl``: why a user may or may not do something."""

from __future__ import annotations

from typing import Annotated

import typer

from midspan.cli import status
from midspan.cli.options import DEFAULT_URL, AsJson, Connection, Url, User

group = typer.Typer(help="Look at access controls.", no_args_is_help=True)


@group.command("explain")
def explain(  # noqa: PLR0913 - one parameter for each option
    who: Annotated[str, typer.Argument(metavar="USER", help="Name the user signs in with.")],
    table: Annotated[str, typer.Argument(help="Name of a table.")],
    record: Annotated[str, typer.Argument(metavar="[RECORD]", help="sys_id of a record.")] = "",
    field: Annotated[str, typer.Option(help="Name of a field.")] = "",
    operation: Annotated[str, typer.Option(help="read, write, create or delete.")] = "read",
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    user: User = "admin",
) -> None:
    """Show rule by rule why a user may or may not do something; status 1 when he may not."""
    from midspan.cli.client import Client
    from midspan.cli.output import say, show_json, show_table

    with Client(Connection(url, user)) as client:
        found = client.get(
            "/acl/explain", user=who, table=table, record=record, field=field, operation=operation
        )
    if as_json:
        show_json(found)
    else:
        say(
            f"{found['decision']}: {operation} of {'.'.join(filter(None, (found['table'], field)))}"
        )
        say(f"{who} has the roles {', '.join(found['roles']) or '(none)'}")
        for step in found["steps"]:
            say(f"{step['level']}, {step['operation']}: {step['outcome']}. {step['reason']}.")
            rules = [{**rule, "tests": _tests(rule["tests"])} for rule in step["rules"]]
            if rules:
                show_table(rules, ("outcome", "name", "condition", "reason", "tests"))
    if found["decision"] == "refused":
        raise typer.Exit(status.FAILED)


def _tests(tests: list[dict[str, object]]) -> str:
    return "; ".join(
        f"{test['test']}: {'yes' if test['holds'] else 'no'}, it is {test['value'] or 'empty'}"
        for test in tests
    )
