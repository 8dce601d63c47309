"""Pages of rows in the order in which they were made."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, Select, Table, and_, or_

PAGE_MAX = 100


def page(
    query: Select[Any], table: Table, *, after: Row[Any] | None, limit: int, newest_first: bool = True
) -> Select[Any]:
    """The next `limit` rows of `table` beyond the row `after`; rows of one moment are ordered by their ids."""
    created, row_id = table.c.created_s, table.c.id
    if after is not None:
        beyond = created < after.created_s if newest_first else created > after.created_s
        beside = row_id < after.id if newest_first else row_id > after.id
        query = query.where(or_(beyond, and_(created == after.created_s, beside)))
    order = (created.desc(), row_id.desc()) if newest_first else (created.asc(), row_id.asc())
    return query.order_by(*order).limit(limit)
