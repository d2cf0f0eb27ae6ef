"""The spokes that come with Midspan: one folder each, written only against ``midspan_sdk``."""
