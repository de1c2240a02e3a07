"""Other providers with whom people sign in: how they are spoken to. Who people are here is decided by the accounts."""
