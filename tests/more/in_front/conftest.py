"""Which tests there are in front: none of what a web server, or one name alone, can't do."""

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what can't be; a skip would look as if something were missing here."""
    impossible = [item for item in items if not _is_possible(item)]
    if impossible:
        config.hook.pytest_deselected(items=impossible)
        items[:] = [item for item in items if item not in impossible]


def _is_possible(item: pytest.Item) -> bool:
    if not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
        return True
    params = item.callspec.params
    found = params.get("street_")
    if not isinstance(found, tuple):
        return True
    kind, mode = found
    comes_to_apps = params.get("way") == "a stranger's" or "with_app_hosts" in item.fixturenames
    if comes_to_apps and mode != "app-hosts":
        return False
    return kind == "nginx" or not item.name.startswith("test_with_nginx_")
