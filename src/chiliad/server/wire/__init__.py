"""The shapes of OpenAI's HTTP contract. They never leave `chiliad.server`."""
