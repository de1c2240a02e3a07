"""The negative cases against a live server, harmlessly: what is wrong has to be refused, and nothing stays behind."""
