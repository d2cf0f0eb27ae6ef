"""The service catalogue: ``/api/sn_sc/servicecatalog``.

``browse`` answers what can be ordered, ``order`` takes orders, ``answers`` reads what was answered
to the questions of an item, ``routes`` joins them to paths.
"""
