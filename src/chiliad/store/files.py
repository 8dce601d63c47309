"""Plain files that are either whole or absent, whoever is killed and however full the disk is."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chiliad.errors import ChiliadError, InUse, StoreError, VersionConflict

STAGE_PREFIX = ".staging-"
LOCK_NAME = ".lock"

_DISK_FULL_CODES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_ACCESS_CODES = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_WRONG_PLACE_CODES = frozenset({errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG})
# Native writers (safetensors, SQLite, numpy's "4096 requested and 1840 written") report a full disk without an errno.
_DISK_FULL_WORDS = (
    "no space left on device",
    "disk quota exceeded",
    "disk is full",
    "storagefull",
    "file too large",
    "requested and",
)


def write_atomic(path: Path, data: bytes | str) -> None:
    """Replace `path` by a file that holds `data`; a reader sees the old content or the new, never a part.

    Missing parent folders are created. Text is written as UTF-8. Raises StoreError (disk full, no access).
    """
    content = data.encode("utf-8") if isinstance(data, str) else data
    with explain_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        stage, handle = _open_stage(path, folder=False)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                stage.replace(path)
        except BaseException:
            stage.unlink(missing_ok=True)
            raise
        _sync(path.parent)


@contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """Give an empty folder beside `target` to fill; it becomes `target` when the block ends without an exception.

    After an exception, Ctrl-C included, nothing of it is left; after kill -9 an orphan is left that no listing
    shows and `orphaned_stages` finds. Raises VersionConflict when `target` exists by then, StoreError when the
    disk is full or cannot be written, or when somebody removed the parent folder meanwhile.
    """
    with explain_disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            raise _already_there(target)
        with _lost_if_removed(target):
            stage, lock = _open_stage(target, folder=True)
            try:
                yield stage
                _sync_tree(stage)
                _become(stage, target)
            except BaseException:
                shutil.rmtree(stage, ignore_errors=True)
                raise
            finally:
                os.close(lock)


@contextmanager
def working_folder(parent: Path) -> Iterator[Path]:
    """Give an empty folder in `parent`, on the same disk, that is gone when the block ends.

    After kill -9 an orphan is left, as `staged_folder` leaves one. Raises StoreError.
    """
    with explain_disk_errors(parent):
        parent.mkdir(parents=True, exist_ok=True)
        stage, lock = _open_stage(parent / "work", folder=True)
        try:
            yield stage
        finally:
            shutil.rmtree(stage, ignore_errors=True)
            os.close(lock)


@contextmanager
def folder_lock(path: Path, *, wait: bool = True, create: bool = True) -> Iterator[None]:
    """Hold the one lock of a folder, across processes; the system frees it when the holder dies.

    The folder is created if missing; with `create=False` StoreError is raised for a missing one, also for one that
    was removed while waiting. With `wait=False` a lock held by another process raises InUse.
    """
    with explain_disk_errors(path):
        lock = _locked(path, wait=wait, create=create)
    try:
        yield
    finally:
        os.close(lock)


def is_locked(path: Path) -> bool:
    """Tell whether some process holds a folder's lock at this moment."""
    try:
        handle = os.open(path / LOCK_NAME, os.O_RDWR)
    except FileNotFoundError:
        return False
    return not _released(handle)


def remove_folder(path: Path) -> None:
    """Remove a folder so that no reader sees half of it: it leaves its name first, then its content goes.

    That another process has removed it meanwhile is no error.
    """
    doomed = path.with_name(_stage_name(path))
    with explain_disk_errors(path):
        try:
            path.rename(doomed)
        except FileNotFoundError:
            return
        _sync(path.parent)
        remove_stage(doomed)


def remove_stage(stage: Path) -> None:
    """Remove an orphaned stage, file or folder; that another process removes it meanwhile is no error."""
    if stage.is_dir():
        shutil.rmtree(stage, ignore_errors=True)
    else:
        stage.unlink(missing_ok=True)


def orphaned_stages(parent: Path) -> list[Path]:
    """Return what killed writers left in `parent`; a stage whose writer is alive is not among them."""
    try:
        with _directory_lock(parent, fcntl.LOCK_EX):
            stages = sorted(p for p in parent.iterdir() if p.name.startswith(STAGE_PREFIX))
            return [stage for stage in stages if _is_orphan(stage)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def explain_disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk, missing rights or a wrong place, met while writing `path`, into a StoreError."""
    try:
        yield
    except ChiliadError:
        raise
    except Exception as error:
        if is_disk_full(error):
            raise StoreError(
                f"The disk is full: {path} was not written.",
                fix="Free some space (`chiliad gc` shows what Chiliad itself can give back) and run it again.",
            ) from error
        if isinstance(error, OSError) and error.errno in _NO_ACCESS_CODES:
            raise StoreError(
                f"{path} cannot be written: {error.strerror}.",
                fix="Give yourself write access to that folder, or choose another workspace or cache folder.",
            ) from error
        if isinstance(error, OSError) and error.errno in _WRONG_PLACE_CODES:
            raise StoreError(
                f"{path} cannot be written: {error.strerror}.",
                fix="A file stands where a folder belongs, or a folder where a file does: choose another place.",
            ) from error
        raise


def is_disk_full(error: BaseException) -> bool:
    """Tell whether an exception, from Python or from a native library, means that no more bytes fit."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _DISK_FULL_CODES
    return any(words in str(error).lower() for words in _DISK_FULL_WORDS)


def _open_stage(target: Path, *, folder: bool) -> tuple[Path, int]:
    """Make and lock the stage in one go: `orphaned_stages` waits for the same parent, so never meets it unlocked.

    Writers share their locks, so that files can be staged inside a folder that is itself a stage.
    """
    stage = target.with_name(_stage_name(target))
    with _directory_lock(target.parent, fcntl.LOCK_SH):
        if folder:
            stage.mkdir()
        handle = os.open(stage, os.O_RDONLY if folder else os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        fcntl.flock(handle, fcntl.LOCK_SH)
    return stage, handle


def _stage_name(target: Path) -> str:
    return f"{STAGE_PREFIX}{target.name}-{secrets.token_hex(6)}"


def _become(stage: Path, target: Path) -> None:
    try:
        stage.rename(target)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise _already_there(target) from error
        raise
    _sync(target.parent)


def _already_there(target: Path) -> VersionConflict:
    return VersionConflict(
        f"{target} exists already: another writer was first.",
        fix="Nothing was overwritten. Run it again to get the next free version.",
    )


@contextmanager
def _directory_lock(path: Path, kind: int) -> Iterator[None]:
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, kind)
        yield
    finally:
        os.close(handle)


@contextmanager
def _lost_if_removed(target: Path) -> Iterator[None]:
    """What fails because the folder that `target` is written into was removed meanwhile is told as that."""
    try:
        yield
    except Exception as error:
        if target.parent.exists():
            raise
        raise StoreError(
            f"{target.parent} was removed while {target.name} was being written.",
            fix="Nothing is half-written. Run it again if it is still wanted.",
        ) from error


def _locked(path: Path, *, wait: bool, create: bool) -> int:
    """The folder's lock file, open and locked. One that its folder took along when that was removed does not count."""
    while True:
        if create:
            path.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            if create:
                continue
            raise StoreError(f"{path} is not there (any more).", fix="Nothing is left to do there.") from None
        try:
            _lock(handle, path, wait=wait)
            if _is_open_at(handle, path / LOCK_NAME):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _lock(handle: int, path: Path, *, wait: bool) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InUse(
            f"{path} is in use by another process.", fix="Wait until it is done, or stop it, and run it again."
        ) from error


def _is_open_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _is_orphan(stage: Path) -> bool:
    try:
        handle = os.open(stage, os.O_RDONLY)
    except FileNotFoundError:
        return False
    return _released(handle)


def _released(handle: int) -> bool:
    """Nobody holds a lock on an open file or folder; closes it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


def _sync_tree(folder: Path) -> None:
    for root, _, names in os.walk(folder):
        for name in names:
            _sync(Path(root) / name)
        _sync(Path(root))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a few filesystems cannot sync a folder; the rename is atomic all the same
            raise
    finally:
        os.close(handle)
