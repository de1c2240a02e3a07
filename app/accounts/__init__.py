"""The resource owner: people, their passwords and their browser sessions."""
