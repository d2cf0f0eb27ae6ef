"""The start page: what the demo showed, which connections there are, and what runs."""

from __future__ import annotations

from midspan.api import html, running
from midspan.api.demonstration import demonstration
from midspan.api.description import Description, page
from midspan.api.request import Request
from midspan.api.response import Response
from midspan.api.router import Route, SignedIn
from midspan.api.traffic import traffic
from midspan.api.viewer import Viewer

INTRODUCTION = (
    "This instance takes calls from other systems, calls them from flows, and reads private"
    " networks through MID servers. All of this page comes from its records, as far as you may see"
    " them."
)


def home_routes() -> tuple[Route, ...]:
    """Return the route of the start page."""
    return (
        Route(
            name="home",
            methods=("GET",),
            path="/",
            handler=show_home,
            access=SignedIn(),
            page=True,
            description=_HOME,
        ),
    )


_HOME = Description(
    summary="Start page", tag="Pages", answers={200: page("The page.")}, refuses=(400,)
)


def show_home(request: Request) -> Response:
    """Show every section that holds something for whoever looks."""
    with request.parts.records.read(request.actor) as transaction:
        viewer = Viewer(request, transaction)
        parts = (
            html.paragraph(INTRODUCTION, soft=True),
            running.overview(viewer),
            demonstration(viewer),
            traffic(viewer),
            running.flows(viewer),
            running.imports(viewer),
            running.agents(viewer),
            running.tables(viewer),
        )
    return html.page(request, "What runs here", *parts)
