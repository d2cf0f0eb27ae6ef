"""Why a file is refused."""

from __future__ import annotations

from midspan.kernel.errors import Conflict, InvalidRequest, NotAuthorized


class FileRefused(InvalidRequest):
    """A name, type or extension that an attachment may not have."""

    code = "MS140"


class FileTooLarge(InvalidRequest):
    """The file is larger than ``com.glide.attachment.max_size`` allows."""

    code = "MS141"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The file is larger than {limit} bytes",
            hint="The property com.glide.attachment.max_size is the limit in megabytes.",
        )


class AttachmentProtected(NotAuthorized):
    """A write to sys_attachment that would make metadata and bytes disagree."""

    code = "MS340"

    def __init__(self, detail: str) -> None:
        super().__init__("Operation Failed", detail=detail)


class UploadExpired(Conflict):
    """Nothing came for so long that the pieces were taken away."""

    code = "MS440"

    def __init__(self) -> None:
        super().__init__("The upload expired", hint="Send the file again.")
