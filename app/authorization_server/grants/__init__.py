"""One file a grant type: what it asks for, and its rules in the order in which they refuse."""
