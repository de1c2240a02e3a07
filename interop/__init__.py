"""Real clients against a real server: what a user's tools see, on both databases."""
