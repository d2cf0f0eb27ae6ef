"""The actions of the Slack spoke, one per file."""
