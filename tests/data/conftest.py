"""Small phantom collections, drawn once for all tests of the data."""

import pytest
from phantom_writers import WRITERS


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """`drawn(name)`: the folder of the small collection of a writer."""
    folders = {}

    def drawn(name):
        if name not in folders:
            folders[name] = WRITERS[name].write(tmp_path_factory.mktemp("phantoms") / name)
        return folders[name]
    return drawn
