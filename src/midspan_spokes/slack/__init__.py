"""Slack: post messages through an app's token or an incoming webhook."""
