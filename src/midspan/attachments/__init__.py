"""Files of records: streamed in pieces, hashed, limited; metadata and bytes appear together."""

from midspan.attachments.attributes import Attributes
from midspan.attachments.file import NewFile, StoredFile
from midspan.attachments.guard import AttachmentGuard
from midspan.attachments.store import AttachmentStore
from midspan.attachments.sweeper import AttachmentSweeper
from midspan.attachments.upload import Upload

__all__ = [
    "AttachmentGuard",
    "AttachmentStore",
    "AttachmentSweeper",
    "Attributes",
    "NewFile",
    "StoredFile",
    "Upload",
]
