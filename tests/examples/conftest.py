"""The scripts of `examples/thousand`, as they are run: their folder on the path."""

import importlib.util
import sys
from pathlib import Path

import pytest

THOUSAND = Path(__file__).parents[2] / "examples" / "thousand"
sys.path.append(str(THOUSAND))


@pytest.fixture(scope="session")
def scripts():
    """`build` and `demo`, under names of their own: other packages are called so too."""

    def load(name):
        spec = importlib.util.spec_from_file_location(f"thousand_{name}", THOUSAND / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module

    return load("build"), load("demo")
