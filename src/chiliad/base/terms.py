"""Licences that go with a base model and with everything that is made of it."""

from __future__ import annotations

from pathlib import Path

from chiliad.base.catalog import CATALOG, Terms
from chiliad.errors import LicenceNotAccepted

TERMS_FILE, NOTICE_FILE = "TERMS.html", "NOTICE.txt"


def terms_of(source: str) -> Terms | None:
    """The terms of what `chiliad base pull SOURCE` would fetch; None where nothing has to be accepted."""
    return CATALOG[source].terms if source in CATALOG else None


def require_accepted(source: str, *, accepted: bool) -> None:
    """Raises `LicenceNotAccepted` for a base with terms that nobody has agreed to."""
    terms = terms_of(source)
    if terms is not None and not accepted:
        raise LicenceNotAccepted(
            f"{source} may be used only under the {terms.name} ({terms.url}). {terms.asks}",
            fix=f"Read them. If you agree, run `chiliad base pull {source} --accept-licence`.",
        )


def terms_files(base_folder: Path) -> tuple[Path, ...]:
    """What has to go with every copy and export of a base; nothing for a base without terms."""
    return tuple(path for path in (base_folder / TERMS_FILE, base_folder / NOTICE_FILE) if path.is_file())
