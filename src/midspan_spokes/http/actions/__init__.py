"""The actions of the HTTP spoke, one per file."""
