"""Ostiary, the doorkeeper for MCP servers: authorization server and protected MCP endpoint in one application."""

__version__ = "0.1.0"
