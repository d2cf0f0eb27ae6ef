"""Every command that README and docs show is run, in order, and prints what is shown."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from midspan.cli.commands import app

from .comparison import Meanings
from .pages import BadPage, Command, read_page
from .player import NotAsShown, Player
from .terminals import environment

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DATABASE = "postgresql://midspan:secret@127.0.0.1:5432/midspan"
"""What pages call a PostgreSQL database; a real and empty one takes its place."""
PROGRAMS = ("curl", "openssl", "zstd")


def named(pages: list[Path]) -> list[object]:
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in pages]


def commands(page: Path) -> list[Command]:
    return [step for step in read_page(page) if isinstance(step, Command)]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.skipif(
    not all(map(shutil.which, PROGRAMS)),
    reason=f"needs {', '.join(PROGRAMS)}: apt-get install them, or make test-system",
)
@pytest.mark.parametrize(
    "page", named([page for page in PAGES if "```console" in page.read_text()])
)
def test_the_page_says_what_happens(
    page: Path, tmp_path: Path, cache: Path, request: pytest.FixtureRequest
) -> None:
    folder, home = tmp_path / "work", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    (folder / ".venv").symlink_to(sys.prefix)  # where `make setup` puts it
    replaced = {}
    if DATABASE in page.read_text():
        replaced[DATABASE] = str(request.getfixturevalue("postgres_database"))
    Player(folder, environment(home, cache), replaced).play(read_page(page))


@pytest.mark.parametrize("page", named(PAGES))
def test_every_block_is_run_or_says_why_not(page: Path) -> None:
    read_page(page)


@pytest.mark.parametrize("page", named(PAGES))
def test_whatever_asks_shows_the_answer(page: Path) -> None:
    silent = [
        f"line {command.line}: {command.text}"
        for command in commands(page)
        if command.text.startswith(("curl ", "midspan ")) and not command.shown
        if not command.keeps_running
    ]
    assert silent == []


@pytest.mark.parametrize("page", named(PAGES))
def test_prose_names_commands_that_exist(page: Path) -> None:
    """`midspan flow runs` in a sentence, with placeholders, is a verb that the command has."""
    named_in_prose = re.findall(r"(?<!`)`midspan ((?:[a-z][a-z-]* ?)+)", page.read_text())
    unknown = [text for text in named_in_prose if not _is_verb(text.split())]
    assert unknown == []


def _is_verb(words: list[str]) -> bool:
    command = get_command(app)
    for word in words:
        known = getattr(command, "commands", None)
        if known is None:
            return True  # what follows a verb is its own business
        if word not in known:
            return False
        command = known[word]
    return True


def test_every_scenario_has_a_tutorial() -> None:
    found = {page.parent.name: 0 for page in PAGES} | {
        page.stem[0]: len(commands(page)) for page in PAGES if page.parent.name == "tutorials"
    }
    assert all(found.get(number, 0) > 5 for number in "01234")


def test_every_word_is_explained_with_a_command() -> None:
    text = (ROOT / "docs" / "explanation" / "words.md").read_text()
    sections = dict(re.findall(r"^## (.+?)$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    words = "Inbound,Outbound,REST,SOAP,WSDL,IntegrationHub,Spoke,Action,Flow,Scripted REST"
    expected = [*words.split(","), "MID server", "Import set", "Transform map"]
    assert [word for word in expected if "\n$ " not in sections.get(word, "")] == []


def page_of(folder: Path, text: str) -> Path:
    page = folder / "page.md"
    page.write_text(text)
    return page


@pytest.mark.parametrize(
    "text",
    [
        "    midspan tables\n",
        "```\nmidspan tables\n```\n",
        "```bash\nmidspan tables\n```\n",
        "```text\ncurl http://127.0.0.1:8080/\n```\n",
        "<!-- not run: no -->\n\n```bash\nmidspan tables\n```\n",
        "```console\nout of nowhere\n```\n",
    ],
)
def test_a_block_that_would_not_be_run_is_an_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(BadPage):
        read_page(page_of(tmp_path, text))


@pytest.mark.parametrize(
    "block",
    [
        "$ echo one\ntwo\n",
        "$ false\n",
        "$ echo one; false\none\n",
        "# first terminal (keeps running)\n$ echo one; false\ntwo\n",
        "$ echo 0123456789abcdef0123456789abcdef\n00000000000000000000000000000000\n"
        "$ echo 1123456789abcdef0123456789abcdef\n00000000000000000000000000000000\n",
    ],
)
def test_a_page_that_is_wrong_is_found_out(block: str, tmp_path: Path) -> None:
    page = page_of(tmp_path, f"```console\n{block}```\n")
    with pytest.raises(NotAsShown):
        Player(tmp_path, environment(tmp_path, tmp_path)).play(read_page(page))


def test_a_page_that_is_right_is_played(tmp_path: Path) -> None:
    text = (
        "Write `notes/a.txt`:\n\n```text\nport 8080\n```\n\n"
        "```console\n# first terminal (keeps running)\n$ echo ready; sleep 600\nready\n```\n\n"
        "```console\n# second terminal\n$ export WHO=you\n$ cat notes/a.txt\nport 8080\n"
        "$ echo $WHO \\\n  there\nyou there\n$ false\n$ echo $?\n1\n"
        "$ printf 'a\\nb\\nc\\n'\na\n...\n```\n\n"
        "```console\n# first terminal\n^C\n$ echo after\nafter\n```\n"
    )
    seen: list[str] = []
    player = Player(
        tmp_path,
        environment(tmp_path, tmp_path),
        watch=lambda command, printed: seen.append(printed.strip()),
    )
    player.play(read_page(page_of(tmp_path, text)))
    assert seen[0] == "ready"
    assert seen[-1] == "after"


def test_ids_are_learned_and_used_in_later_commands() -> None:
    meanings = Meanings()
    shown, real = "0" * 31 + "1", "ab" * 16
    assert meanings.agrees([f'{{"sys_id":"{shown}", ...}}'], f'{{"sys_id":"{real}", "number":1}}')
    assert meanings.fill_in(f"midspan flow show {shown}") == f"midspan flow show {real}"
    assert not meanings.agrees([shown], "cd" * 16)
    assert meanings.agrees(["at 2026-01-31 10:00:00 UTC"], "at 2027-02-01 11:11:11 UTC")
    assert not meanings.agrees(["at 2026-01-31 10:00:00 UTC"], "at noon UTC")
