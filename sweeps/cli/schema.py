"""`sweeps schema`: the JSON schema of search-space files."""

import json

from sweeps.space.schema import json_schema


def schema() -> None:
    """Print the JSON schema of search-space files, for editors."""
    print(json.dumps(json_schema(), indent=2))
