"""SOAP for tables: a WSDL and an endpoint for each, ``/{table}.do?WSDL`` and ``?SOAP``.

``envelope`` reads and writes messages, ``schema`` says what messages of a table look like,
``wsdl`` writes that down, ``reading`` and ``writing`` carry operations out, ``endpoint`` joins
them to a route. Source: ``spec/soap.md`` and ``spec/clients.md`` 26 to 34.
"""

from midspan.api.soap.endpoint import soap_answer
from midspan.api.soap.wsdl import wsdl_answer

__all__ = ["soap_answer", "wsdl_answer"]
