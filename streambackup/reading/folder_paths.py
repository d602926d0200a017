"""Where an item stood: the names of its folders at an instant, from the folders' own histories."""

from __future__ import annotations

from streambackup.domain.entry import ItemType
from streambackup.domain.history import AccountHistory, ItemState
from streambackup.targets.port import FolderPath


def container_of(state: ItemState) -> str | None:
    """The id of the folder that an item in *state* stands in; None at the top."""
    found = state.state.get("parent" if state.type == ItemType.FOLDER else "folder")
    return found if isinstance(found, str) else None


class FolderPaths:
    """Paths in one account, each at an instant (None: now).

    A folder that is deleted then, or not made yet, has the name nearest in time: its last one
    before, else its first. One that was never seen is called ``unknown-<id>``, and so is the point
    where folders contain each other.
    """

    def __init__(self, history: AccountHistory) -> None:
        self._items = history.items
        self._known: dict[tuple[str, int | None], FolderPath] = {}

    def of_item(self, item: str, state: ItemState, instant_ms: int | None) -> FolderPath:
        """Where *item*, in *state*, stands; for a folder its own path."""
        if state.type == ItemType.FOLDER:
            return self.of_folder(item, instant_ms)
        container = container_of(state)
        return FolderPath() if container is None else self.of_folder(container, instant_ms)

    def of_folder(self, folder: str, instant_ms: int | None) -> FolderPath:
        key = (folder, instant_ms)
        if key not in self._known:
            self._known[key] = self._walk(folder, instant_ms)
        return self._known[key]

    def _walk(self, folder: str, instant_ms: int | None) -> FolderPath:
        names: list[str] = []
        seen: set[str] = set()
        use: object = None
        above: str | None = folder
        while above is not None:
            state = None if above in seen else self._nearest(above, instant_ms)
            if state is None:
                names.append(f"unknown-{above}")
                break
            if above == folder:
                use = state.state.get("use")
            seen.add(above)
            names.append(_name(above, state))
            container = container_of(state)
            above = None if container == above else container
        return FolderPath(tuple(reversed(names)), use if isinstance(use, str) else None)

    def _nearest(self, folder: str, instant_ms: int | None) -> ItemState | None:
        history = self._items.get(folder)
        nearest = None
        for state in history.states if history else ():
            if state.type != ItemType.FOLDER or state.late or state.deleted:
                continue
            if nearest is not None and instant_ms is not None and state.start_ms > instant_ms:
                break
            nearest = state
        return nearest


def _name(folder: str, state: ItemState) -> str:
    name = state.state.get("name")
    return name if isinstance(name, str) else f"unknown-{folder}"
