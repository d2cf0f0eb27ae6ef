"""Table apps: folders of files that become records, built-in or a user's own."""
