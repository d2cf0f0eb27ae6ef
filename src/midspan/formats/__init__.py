"""What arrives from outside, read safely: lenient JSON, hardened XML, CSV, dates, names. Pure.

``lenient_json``, ``dates`` and ``xml`` are used by their module's name; the other public names are
here. ``xml`` is not imported here, so that lxml is loaded only where XML is met.
"""

from midspan.formats import dates, lenient_json
from midspan.formats.csv import BadCsvRow, CsvReader, CsvRow, read_csv
from midspan.formats.datepattern import DatePattern, compile_pattern
from midspan.formats.lenient_json import JsonValue
from midspan.formats.names import column_name, column_names, service_id
from midspan.formats.recurrence import (
    instant_of,
    next_daily,
    next_monthly,
    next_periodic,
    next_weekly,
)

__all__ = [
    "BadCsvRow",
    "CsvReader",
    "CsvRow",
    "DatePattern",
    "JsonValue",
    "column_name",
    "column_names",
    "compile_pattern",
    "dates",
    "instant_of",
    "lenient_json",
    "next_daily",
    "next_monthly",
    "next_periodic",
    "next_weekly",
    "read_csv",
    "service_id",
]
