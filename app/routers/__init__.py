"""HTTP in, HTTP out: no rule and no SQL here."""
