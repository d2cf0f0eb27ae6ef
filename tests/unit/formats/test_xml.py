"""XML: what is refused, and the translation to objects and back."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midspan.formats import xml
from midspan.kernel.errors import InvalidValue, LimitExceeded, MalformedBody

LAUGHS = (
    '<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    + "]>"
)
NAMES = st.from_regex(r"[a-z_][a-z0-9_.-]{0,8}", fullmatch=True)
LEAVES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8).map(
    lambda text: xml.clean_text(text)
)
OBJECTS = st.recursive(
    LEAVES,
    lambda inner: st.dictionaries(
        NAMES, inner | st.lists(inner, min_size=2, max_size=3), min_size=1, max_size=3
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    "document",
    [
        "<!DOCTYPE r><r/>",
        '<!DOCTYPE r SYSTEM "http://127.0.0.1:9/x.dtd"><r/>',
        '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r>&x;</r>',
        '<!DOCTYPE r [<!ENTITY % x SYSTEM "file:///etc/passwd">%x;]><r/>',
        LAUGHS + "<r>&j;</r>",
        LAUGHS + '<r a="&j;"/>',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_doctype_is_refused_quickly_and_nothing_is_expanded(document: str, encoding: str) -> None:
    started = time.perf_counter()
    with pytest.raises(MalformedBody) as caught:
        xml.parse(document.encode(encoding))
    assert time.perf_counter() - started < 2
    assert "root:" not in caught.value.explain()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"", "Document is empty"),
        (b"<a>\n<b></a>", "line 2, column"),
        (b"<a>&undefined;</a>", "Entity 'undefined' not defined"),
        (b"<a>\xff</a>", "Not valid XML"),
        (b"<a/><b/>", "Extra content"),
        (b"<a>\x01</a>", "Not valid XML"),
        (b'<?xml version="1.0" encoding="no-such"?><a/>', "Not valid XML"),
    ],
)
def test_broken_xml_says_where(document: bytes, message: str) -> None:
    with pytest.raises(xml.XmlError) as caught:
        xml.parse(document)
    assert message in caught.value.message


@pytest.mark.parametrize("depth", [101, 300, 100_000])
def test_deep_nesting_is_an_error_not_a_crash(depth: int) -> None:
    with pytest.raises(xml.XmlError):
        xml.parse(b"<a>" * depth + b"</a>" * depth)


def test_the_depth_limit_itself_is_fine() -> None:
    assert xml.parse(b"<a>" * 100 + b"</a>" * 100).tag == "a"


def test_size_is_limited_before_parsing() -> None:
    with pytest.raises(LimitExceeded):
        xml.parse(b"<a/>" * 10, max_bytes=20)


def test_utf_16_with_a_byte_order_mark_is_read() -> None:
    assert xml.to_object(xml.parse("<a><b>é</b></a>".encode("utf-16"))) == {"b": "é"}


@pytest.mark.parametrize(
    ("document", "value"),
    [
        ("<request><entry><a>1</a></entry></request>", {"a": "1"}),
        ("<request><entry><a>1</a></entry><entry/></request>", [{"a": "1"}, ""]),
        ("<request><a>1</a></request>", {"a": "1"}),
        ("<x><entry>1</entry></x>", {"entry": "1"}),
        ("<x/>", ""),
        ("<x> two words </x>", " two words "),
        ("<x><a/><a>2</a><a>3</a></x>", {"a": ["", "2", "3"]}),
        ("<x><a><b>1</b></a><a><b>2</b><b>3</b></a></x>", {"a": [{"b": "1"}, {"b": ["2", "3"]}]}),
        ('<x xmlns="urn:n" xmlns:p="urn:p"><p:a p:k="v">t</p:a></x>',
         {"a": {"@k": "v", "#text": "t"}}),
        ("<x>one<a>2</a>three</x>", {"a": "2", "#text": "onethree"}),
        ("<x><!-- no --><a><![CDATA[<&>]]></a><?pi no?></x>", {"a": "<&>"}),
        ("<x><caller_id.name>Ann</caller_id.name></x>", {"caller_id.name": "Ann"}),
    ],
)  # fmt: skip
def test_to_object(document: str, value: object) -> None:
    assert xml.to_object(xml.parse(document.encode())) == value


@pytest.mark.parametrize(
    ("value", "document"),
    [
        ({"result": [{"a": "1"}, {"a": ""}]},
         "<response><result><a>1</a></result><result><a/></result></response>"),
        ({"result": {"caller_id": {"link": "h/x", "value": "x"}}},
         "<response><result><caller_id><link>h/x</link><value>x</value></caller_id></result></response>"),
        ({"result": []}, "<response/>"),
        ({"error": {"message": "m", "detail": None}, "status": "failure"},
         "<response><error><message>m</message><detail/></error><status>failure</status></response>"),
        ([1, [True, 2.5]],
         "<response><entry>1</entry><entry><entry>true</entry><entry>2.5</entry></entry></response>"),
        ({"a b": 1, "2nd": 2, "x:y": 3, "": 4},
         "<response><a_b>1</a_b><_2nd>2</_2nd><x_y>3</x_y><_>4</_></response>"),
        ({"t": "a\x00b\x0b<&\ud800\uffffc"}, "<response><t>ab&lt;&amp;c</t></response>"),
        ({"a": {"@k": "v", "#text": "t"}}, '<response><a k="v">t</a></response>'),
    ],
)  # fmt: skip
def test_from_object(value: object, document: str) -> None:
    written = xml.to_bytes(xml.from_object("response", value))
    assert written.decode() == '<?xml version="1.0" encoding="UTF-8"?>' + document


@given(OBJECTS)
def test_what_is_written_reads_back(value: object) -> None:
    root = {"root": value} if isinstance(value, str) else value
    written = xml.to_bytes(xml.from_object("response", root))
    assert xml.to_object(xml.parse(written)) == root


@given(st.dictionaries(st.text(max_size=6), st.text(max_size=6), max_size=4))
def test_anything_written_is_well_formed(value: dict[str, str]) -> None:
    assert xml.parse(xml.to_bytes(xml.from_object("response", value))).tag == "response"


def test_an_object_that_holds_itself_is_refused() -> None:
    value: dict[str, object] = {}
    value["me"] = value
    with pytest.raises(InvalidValue):
        xml.from_object("response", value)


@pytest.mark.parametrize(
    "document",
    [
        b"<r>" + b"<a/>" * 200_000 + b"</r>",
        b'<r a=">"' + b' b="1"' * 200_000 + b"/>",
        b"<r " + b"".join(b"a%d='' " % n for n in range(200_000)) + b'b="',
        b'<?x " ?><r>' + b"<a/>" * 200_000 + b'</r><!-- " -->',
        b"<r><!-- ' -->" + b"<a b='1'/>" * 100_000 + b"</r>",
        ("<r>" + "<a/>" * 200_000 + "</r>").encode("utf-16"),
        ("<r>" + "<a/>" * 200_000 + "</r>").encode("utf-16-be"),
    ],
)
def test_more_elements_than_memory_is_given_for_are_not_read(
    document: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midspan.formats.xml.etree.fromstring", None)
    with pytest.raises(MalformedBody, match="too many elements or attributes"):
        xml.parse(document)


@pytest.mark.parametrize(
    "document",
    [
        b"<r><a>" + b"x=1;" * 200_000 + b"</a></r>",
        b"<r><![CDATA[" + b"<a b='1'/>" * 100_000 + b"]]></r>",
        b"<r><!--" + b"<a/>" * 200_000 + b"--><b/></r>",
        b"<r>" + b"<a/>" * 50_000 + b"</r>",
        b"<r><![CDATA[<!DOCTYPE html><html/>]]></r>",
    ],
)
def test_what_is_text_only_does_not_weigh(document: bytes) -> None:
    assert xml.parse(document).tag == "r"


def test_attributes_of_one_element_are_bounded() -> None:
    """Reading them takes time with the square of their number: 40,000 took four seconds."""
    many = b"<r " + b" ".join(b'a%d="x"' % n for n in range(5_000)) + b"/>"
    with pytest.raises(MalformedBody, match="more than 1000 attributes"):
        xml.parse(many)


@pytest.mark.parametrize("encoding", ["utf-7", "UTF-7", "cp037", "ebcdic-us", "iso-2022-jp", "hz"])
def test_an_encoding_that_hides_the_signs_of_xml_is_refused(encoding: str) -> None:
    with pytest.raises(MalformedBody, match="not text in a known encoding"):
        xml.parse(f'<?xml version="1.0" encoding="{encoding}"?><r>+ADw-a/+AD4-</r>'.encode())
    with pytest.raises(MalformedBody):
        xml.parse("<r><a/></r>".encode("cp037"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1", "windows-1252", "us-ascii"])
def test_usual_encodings_are_read(encoding: str) -> None:
    text = "e" if encoding == "us-ascii" else "é"
    document = f'<?xml version="1.0" encoding="{encoding}"?><r><a>{text}</a></r>'.encode(encoding)
    assert xml.to_object(xml.parse(document)) == {"a": text}
