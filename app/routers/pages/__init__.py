"""Pages for people, rendered with Jinja."""
