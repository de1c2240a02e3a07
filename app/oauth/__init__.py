"""The words that both roles speak: errors, scopes, URIs, credentials, PKCE and JWT."""
