"""How a payload is taken."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, structs

from midspan.kernel.errors import InvalidRequest


class Options(Struct, frozen=True, kw_only=True):
    """How a payload is taken.

    Without ``enhanced`` it is all or nothing, and equal items in it are an error.
    """

    enhanced: bool = False
    partial_payloads: bool = True
    """Keep what cannot be identified yet; needs, and brings, the next two."""
    partial_commits: bool = True
    """An error of one item does not keep the others from being written."""
    deduplicate_payloads: bool = True
    """Equal items of a payload are made one."""
    generate_summary: bool = False
    skip_updating_source_last_discovered_to_now: bool = False
    """An item whose payload does not say when it was seen keeps the time that is stored."""
    skip_updating_last_scan_to_now: bool = False
    """The same for the time at which a source scanned."""

    @property
    def keeps_partial(self) -> bool:
        """Whether partial items are stored and taken up."""
        return self.enhanced and self.partial_payloads

    @property
    def commits_partly(self) -> bool:
        """Whether items without errors are written beside others with errors."""
        return self.enhanced and (self.partial_commits or self.partial_payloads)

    @property
    def deduplicates(self) -> bool:
        """Whether equal items are made one."""
        return self.enhanced and (self.deduplicate_payloads or self.partial_payloads)


BASIC = Options()


def options_of(given: Mapping[str, str]) -> Options:
    """Return the options of an enhanced call.

    >>> options_of({"generate_summary": "true"}).generate_summary
    True

    Raises:
        InvalidRequest: a name that does not exist, or a value other than true or false.
    """
    names = [name for name in Options.__struct_fields__ if name != "enhanced"]
    chosen = {}
    for name, value in given.items():
        if name not in names or value.lower() not in ("true", "false"):
            raise InvalidRequest(
                f"Chunk [{name[:80]}:{value[:80]}] is not a valid entry",
                hint=f"Values are true or false; names are {', '.join(names)}.",
            )
        chosen[name] = value.lower() == "true"
    return structs.replace(BASIC, enhanced=True, **chosen)
