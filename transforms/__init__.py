"""The capabilities of newsbeam: one file each, the pure function on top and its PTransform beneath.

Imports go one way (checked by tests/test_imports.py):
``records, errors | http, lake | capabilities | commit | pipelines``.
"""
