"""Import sets: data source → staging table → transform map → target records."""

from midspan.importsets.load import LoadResult, StagingLoader
from midspan.importsets.maps import FieldMap, TransformMap, load_maps
from midspan.importsets.run import ImportRun, ImportRunner, Totals
from midspan.importsets.scripts import SandboxFieldScripts

__all__ = [
    "FieldMap",
    "ImportRun",
    "ImportRunner",
    "LoadResult",
    "SandboxFieldScripts",
    "StagingLoader",
    "Totals",
    "TransformMap",
    "load_maps",
]
