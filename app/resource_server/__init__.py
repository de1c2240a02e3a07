"""The resource server: who may call, decided from the bearer token alone; usable without our authorization server."""
