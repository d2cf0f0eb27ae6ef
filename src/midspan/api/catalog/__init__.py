"""The service catalogue: ``/api/sn_sc/servicecatalog``.

``answers`` reads what was answered to the questions of an item.
"""
