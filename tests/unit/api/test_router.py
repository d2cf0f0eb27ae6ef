"""Finding routes, and paths that must not reach any."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midspan.api.errors import MethodNotSupported, UnknownPath
from midspan.api.request import Request
from midspan.api.response import Response
from midspan.api.router import Public, Route, Router, _matches, normal_path, versioned
from midspan.kernel.errors import InvalidDefinition


def answer(request: Request) -> Response:
    return Response()


def route(path: str, *methods: str) -> Route:
    return Route(
        name=path,
        methods=methods or ("GET",),
        path=path,
        handler=answer,
        access=Public("a test of the router"),
    )


def test_the_most_specific_template_wins() -> None:
    router = Router(
        [route("/x/{a}"), route("/x/{a}.do"), route("/x/fixed"), route("/x/{rest:path}")]
    )
    assert router.find("GET", "/x/fixed").route.path == "/x/fixed"
    assert router.find("GET", "/x/incident.do").arguments == {"a": "incident"}
    assert router.find("GET", "/x/other").route.path == "/x/{a}"
    assert router.find("GET", "/x/a/b/c").arguments == {"rest": "a/b/c"}


def test_a_method_is_looked_for_in_every_template() -> None:
    router = Router([route("/x/fixed", "POST"), route("/x/{a}", "GET")])
    assert router.find("GET", "/x/fixed").route.path == "/x/{a}"
    with pytest.raises(MethodNotSupported) as caught:
        router.find("DELETE", "/x/fixed")
    assert caught.value.allowed == ("GET", "HEAD", "POST")


@given(
    st.lists(st.sampled_from(["x", "fixed", "one", "one.do", "deep"]), min_size=1, max_size=4),
    st.sampled_from(["GET", "POST", "DELETE"]),
)
def test_the_short_way_leads_where_the_long_one_does(segments: list[str], method: str) -> None:
    templates = ("/x", "/x/{a}", "/x/{a}.do", "/x/{a}/deep", "/{b}/fixed/{a}", "/x/{rest:path}")
    posts = ("/x/fixed", "/x/fixed/deep", "/{b}/{a}")
    router = Router([route(one) for one in templates] + [route(one, "POST") for one in posts])
    expected = next(
        (
            (node.routes[method][0], dict(zip(node.routes[method][1], values, strict=True)))
            for node, values in _matches(router._root, segments, ())
            if method in node.routes
        ),
        None,
    )
    try:
        found = tuple(router.find(method, "/" + "/".join(segments)))
    except (UnknownPath, MethodNotSupported):
        found = None
    assert found == expected


def test_two_routes_for_one_path_are_refused() -> None:
    with pytest.raises(InvalidDefinition, match="both want GET"):
        Router([route("/x/{a}"), route("/x/{b}")])


def test_a_template_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(InvalidDefinition, match="cannot read"):
        Router([route("/x/{a}{b}")])


def test_versions() -> None:
    found = [r.path for r in versioned(route("/api/now/table/{t}"))]
    assert found == [
        "/api/now/table/{t}",
        "/api/now/v1/table/{t}",
        "/api/now/v2/table/{t}",
    ]
    with pytest.raises(InvalidDefinition):
        versioned(route("/elsewhere"))


@pytest.mark.parametrize(
    "raw",
    [
        b"/healthz/../api",
        b"/healthz/%2e%2e/api",
        b"/healthz/%2E./api",
        b"/healthz/%252e%252e/api",
        b"/api//now",
        b"//evil.example/api",
        b"//api",
        b"///api/now",
        b"//api//now",
        b"/%2fapi/now",
        b"/api/now;x.css",
        b"/api/now/%3bx.css",
        b"/api\\now",
        b"/api/%5cnow",
        b"/api/now%2ftable",
        b"/api/%00now",
        b"/api/now%0d%0aX: y",
        b"/api/%ff",
        b"api",
        b"*",
        b"",
        b"/./api",
    ],
)
def test_paths_that_could_mean_another_are_refused(raw: bytes) -> None:
    with pytest.raises(UnknownPath):
        normal_path(raw)


@given(st.binary(max_size=40))
def test_a_normal_path_means_one_thing(tail: bytes) -> None:
    try:
        path = normal_path(b"/" + tail)
    except UnknownPath:
        return
    assert path == "/" or not path.endswith("/")
    assert not {"", ".", ".."} & set(path.split("/")[1:]) or path == "/"
    assert not set(path) & set(";\\\x00\r\n")
