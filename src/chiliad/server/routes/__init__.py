"""One file per resource. Each has a `router`; what a route needs of the server it takes from `chiliad.server.state`."""
