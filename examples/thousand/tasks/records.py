"""Fields out of records and records into other forms: CSV, TSV, JSON, key=value, query strings, paths and addresses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import PurePosixPath
from random import Random
from urllib.parse import urlencode, urlsplit

from tasks.task import Pair, Task
from tasks.vocabulary import ADJECTIVES, FIRST_NAMES, NOUNS, VERBS

Record = dict[str, str]
FIELDS = ("id", "name", "item", "note")
FORMS: dict[str, Callable[[Record], str]] = {
    "csv": lambda record: ",".join(record.values()),
    "semicolons": lambda record: ";".join(record.values()),
    "pipes": lambda record: " | ".join(record.values()),
    "tsv": lambda record: "\t".join(record.values()),
    "json": lambda record: json.dumps(record),
    "pairs": lambda record: " ".join(f"{key}={value}" for key, value in record.items()),
    "lines": lambda record: "\n".join(f"{key}: {value}" for key, value in record.items()),
    "query": lambda record: "?" + urlencode(record),
    "xml": lambda record: "".join(f"<{key}>{value}</{key}>" for key, value in record.items()),
    "array": lambda record: json.dumps(list(record.values())),
    "headers": lambda record: "; ".join(f"{key.title()}: {value}" for key, value in record.items()),
}
INTO = ("csv", "pipes", "json", "pairs", "query", "array")
URLS: dict[str, tuple[str, Callable[[str], str]]] = {
    "host": ("Give the host of this address.", lambda url: urlsplit(url).hostname or ""),
    "scheme": ("Give the scheme of this address.", lambda url: urlsplit(url).scheme),
    "path": ("Give the path of this address.", lambda url: urlsplit(url).path),
    "last": ("Give the last part of the path.", lambda url: urlsplit(url).path.rsplit("/", 1)[1]),
    "query": ("Give the query of this address.", lambda url: urlsplit(url).query),
    "origin": ("Give scheme and host.", lambda url: "{0.scheme}://{0.netloc}".format(urlsplit(url))),
    "plain": ("Leave out the query.", lambda url: url.split("?")[0]),
    "secure": ("Make this address https.", lambda url: "https" + url[url.index(":") :]),
}
PATHS: dict[str, tuple[str, Callable[[PurePosixPath], str]]] = {
    "file": ("Give the file's name.", lambda path: path.name),
    "stem": ("Give the file's name without its ending.", lambda path: path.stem),
    "ending": ("Give the file's ending.", lambda path: path.suffix),
    "folder": ("Give the folder.", lambda path: str(path.parent)),
    "first": ("Give the first folder.", lambda path: path.parts[1]),
    "backup": ("Name the backup file.", lambda path: f"{path}.bak"),
    "text": ("Give the file the ending .txt.", lambda path: str(path.with_suffix(".txt"))),
    "depth": ("Count the folders.", lambda path: str(len(path.parts) - 2)),
}
MAILS: dict[str, tuple[str, Callable[[str], str]]] = {
    "user": ("Give what stands before the @.", lambda mail: mail.split("@")[0]),
    "domain": ("Give the domain.", lambda mail: mail.split("@")[1]),
    "hidden": ("Hide the user.", lambda mail: f"{mail[0]}***@{mail.split('@')[1]}"),
    "link": ("Make a link.", lambda mail: f"mailto:{mail}"),
    "company": ("Give the domain's name without its ending.", lambda mail: mail.split("@")[1].split(".")[0]),
}


def tasks() -> Iterator[Task]:
    for form in FORMS:
        for field in FIELDS:
            said = f"Give the field {field} of this record."
            yield Task(f"pick-{form}-{field}", "pick", "en", said, ("python",), partial(_pick, form, field))
    for given in FORMS:
        for wanted in INTO:
            if given != wanted:
                said = f"Turn this record from {given} into {wanted}."
                yield Task(f"form-{given}-{wanted}", "form", "en", said, ("python",), partial(_form, given, wanted))
    for family, draw, table in (("url", _url, URLS), ("path", _path, PATHS), ("mail", _mail, MAILS)):
        for name, (said, of) in table.items():
            yield Task(f"{family}-{name}", family, "en", said, ("python",), partial(_of, draw, of))


def _pick(form: str, field: str, random: Random) -> Pair:
    record = _record(random)
    return FORMS[form](record), record[field]


def _form(given: str, wanted: str, random: Random) -> Pair:
    record = {key: value for key, value in _record(random).items() if key in ("name", "item", "note")}
    return FORMS[given](record), FORMS[wanted](record)


def _record(random: Random) -> Record:
    values = (str(random.randint(10, 999)), random.choice(FIRST_NAMES), random.choice(NOUNS), random.choice(ADJECTIVES))
    return dict(zip(FIELDS, values, strict=True))


def _of(draw: Callable[[Random], object], of: Callable[[object], str], random: Random) -> Pair:
    thing = draw(random)
    return str(thing), of(thing)


def _url(random: Random) -> str:
    folders = "/".join(random.sample(NOUNS, random.choice((1, 2))))
    query = f"?{random.choice(NOUNS)}={random.randint(1, 99)}" if random.random() < 0.7 else "?a=1"
    host = (
        f"{random.choice(('www', 'shop', 'api'))}.{random.choice(NOUNS)}.{random.choice(('com', 'org', 'id', 'net'))}"
    )
    return f"{random.choice(('http', 'https', 'ftp'))}://{host}/{folders}{query}"


def _path(random: Random) -> PurePosixPath:
    folders = random.sample(NOUNS, random.choice((1, 2, 3)))
    ending = random.choice(("csv", "pdf", "md", "py", "jpg", "xlsx"))
    return PurePosixPath("/", *folders, f"{random.choice(VERBS)}_{random.choice(NOUNS)}.{ending}")


def _mail(random: Random) -> str:
    user = f"{random.choice(FIRST_NAMES).lower()}{random.choice(('', str(random.randint(1, 99))))}"
    return f"{user}@{random.choice(NOUNS)}.{random.choice(('com', 'org', 'co.id', 'net'))}"
