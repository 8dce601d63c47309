"""What stands between the socket and the routes. Plain ASGI, one file per concern."""
