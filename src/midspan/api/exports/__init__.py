"""Exports of a table: ``/{table}_list.do?CSV`` and the like.

``wanted`` reads the wire names, ``cells`` says what is in a sheet, ``csvfile``, ``xlsxfile`` and
``xmlfile`` write one format each, ``endpoint`` joins them to a route.
Source: ``spec/rest-api.md`` 7.8.
"""

from midspan.api.exports.endpoint import PROCESSORS

__all__ = ["PROCESSORS"]
