"""The same source builds and installs the same in a year: whatever is needed has one version."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_everything_that_is_installed_or_builds_has_one_version():
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines())
    pinned = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pins.items()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["dev"]]
    assert not [one for one in wanted if re.split(r"[][<>=]", one)[0] not in pinned]
    builders = dict(one.split("==") for one in project["build-system"]["requires"])
    assert builders == {name: pinned[name] for name in builders}
    assert {"cmake", "ninja"} <= pinned.keys(), "scikit-build-core fetches them where the machine has none"
