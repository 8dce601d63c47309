"""Where work under way keeps what it has reached: a folder each in a workspace's `runs/`."""

from __future__ import annotations

from pathlib import Path


def training_run(workspace: Path, name: str, dataset_hash: str, settings: str) -> Path:
    """The checkpoint of an expert's training on a dataset; `settings` tells it from those with other settings."""
    return workspace / "runs" / f"{name}-{dataset_hash[:12]}-{settings}"


def batch_run(workspace: Path, job_id: str) -> Path:
    """The answers of a batch so far."""
    return workspace / "runs" / f"batch-{job_id}"
