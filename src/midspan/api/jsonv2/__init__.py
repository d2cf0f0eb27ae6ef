"""JSONv2: records of a table read and written as JSON, ``/{table}.do?JSONv2``.

``call`` reads a request, ``shown`` says what a record looks like, ``reading`` and ``writing`` carry
actions out, ``endpoint`` joins them to a route. Source: ``spec/rest-api.md`` 7.7.
"""

from midspan.api.jsonv2.endpoint import jsonv2_answer

__all__ = ["jsonv2_answer"]
