"""In which order add-ons are installed: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from infra.clients.errors import InvalidInput, Misconfigured


def waves(needs: Mapping[str, Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Group add-ons into waves: those of one wave need only those of earlier ones and can go side by side.

    Args:
        needs: for each add-on to be installed, the add-ons that have to work first.

    Returns:
        The waves, first to last, names sorted within each.

    Raises:
        InvalidInput: an add-on needs one that is not to be installed.
        Misconfigured: add-ons need each other in a circle.
    """
    for name, wanted in needs.items():
        for missing in (one for one in wanted if one not in needs):
            raise InvalidInput(
                f"The add-on {name} needs {missing}, which is not enabled.",
                hint=f"Enable {missing} in spec.addons, or disable {name}.",
            )
    result: list[tuple[str, ...]] = []
    done: set[str] = set()
    while len(done) < len(needs):
        wave = tuple(sorted(name for name in needs if name not in done and done.issuperset(needs[name])))
        if not wave:
            raise Misconfigured(f"Add-ons need each other in a circle: {' -> '.join(_circle(needs, done))}.")
        result.append(wave)
        done.update(wave)
    return tuple(result)


def _circle(needs: Mapping[str, Sequence[str]], done: set[str]) -> list[str]:
    """Walk from need to need among what is left until a name comes back."""
    path = [min(name for name in needs if name not in done)]
    while True:
        following = min(one for one in needs[path[-1]] if one not in done)
        if following in path:
            return [*path[path.index(following) :], following]
        path.append(following)
