"""Generic HTTP: call any API for which there is no spoke of its own."""
