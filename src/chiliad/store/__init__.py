"""What outlives a process: the database, and files that are either whole or absent."""

from chiliad.store.database import Document, PromotionRow, Store, VersionRow, sqlite_url

__all__ = ["Document", "PromotionRow", "Store", "VersionRow", "sqlite_url"]
