"""One file a tool group."""
