"""Built-in table apps: one folder each, YAML and JavaScript, no Python."""
