"""Accepting: somebody takes the current state of a file as its baseline, or takes that back.

Works beside a cataloguing process. What is accepted is exactly what was shown to somebody: a case that
became another one in the meantime stays open. Nothing here reads a share.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from catalog.errors import NotFound, UsageError
from catalog.record.batch import Batch, now_ms
from catalog.record.cases import Cases
from catalog.record.facts import Decoders
from catalog.record.rows import FileRow, Rows
from catalog.store.codes import EVENT_KIND
from catalog.terms import EventKind, Kind, Manner, Outcome, Presence

ONE_BY_ONE: Final = frozenset({Kind.BROKEN, Kind.MISSING})
"""Kinds that are accepted only by the name of the file, never by a folder, a glob or a kind."""
ONE_BY_ONE_MANNERS: Final = frozenset({Manner.ROT, Manner.STEALTH, Manner.UNEXPLAINED})
"""Manners of the same: nobody saved these files in the open."""

_ACCEPTED: Final = EVENT_KIND.number[EventKind.ACCEPTED]


def one_by_one(kind: Kind, manner: Manner) -> bool:
    """Whether a case is accepted only by the name of its file."""
    return kind in ONE_BY_ONE or manner in ONE_BY_ONE_MANNERS


@dataclass(frozen=True, slots=True)
class Choice:
    """An open case as somebody saw it before they said yes."""

    drift_id: int
    at_ms: int
    """When the case became what was seen."""
    kind: Kind
    manner: Manner


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What an acceptance, or its undoing, did to one file."""

    event_id: int
    file: FileRow
    """As it was before."""
    from_rev: int | None
    """The former baseline; None when a retired file came back."""
    to_rev: int | None
    """The new baseline; None when the file was retired."""
    retired: bool
    case_open: bool
    """Whether the file has an open case now."""


@dataclass(frozen=True, slots=True)
class _Accepted:
    """The event that is to be undone."""

    event_id: int
    file_id: int
    from_rev: int | None
    to_rev: int | None
    detail: dict[str, Any]


class _Recorded:
    """The decoders that worked last, as they were recorded: beside a daemon, nobody else is needed to judge
    contents that were all analysed before."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    @property
    def decoders(self) -> Decoders:
        rows = self._batch.rows(
            "SELECT e.epoch_id, t.toolchain_id, e.digest FROM epoch AS e JOIN toolchain AS t USING (epoch_id)"
            " ORDER BY e.epoch_id DESC, t.toolchain_id DESC LIMIT 1"
        )
        return Decoders(*rows[0]) if rows else Decoders(0, 0, b"")


class Accepting:
    """Moves baselines inside the batch's transactions; each acceptance is whole or did not happen.

    ``actor`` and ``reason`` may hold any text. Raises CatalogError.
    """

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._rows = Rows(batch)
        self._cases = Cases(batch, _Recorded(batch))

    # ------------------------------------------------------------------------------------------ accept

    def accept(self, choice: Choice, actor: str, reason: str | None = None) -> Acceptance | None:
        """The current state of a file becomes its baseline; a missing file is retired.

        None, and nothing is changed, when the case is not what was seen any more. A file that cannot be read
        has no state to accept: the caller leaves it out.
        """
        assert choice.kind is not Kind.UNREADABLE
        found = self._batch.rows(
            "SELECT file_id, updated_ms, kind, manner FROM drift WHERE drift_id = ? AND closed_ms IS NULL",
            (choice.drift_id,),
        )
        if not found or found[0][1:] != (choice.at_ms, choice.kind.value, choice.manner.value):
            return None
        row = self._rows.by_id(found[0][0])
        actor, reason = _text(actor), _text(reason) if reason else None
        if choice.kind is Kind.MISSING:
            return self._retire(row, actor, reason) if row.presence is Presence.MISSING else None
        assert row.rev_id is not None, "a case of a content has one"
        event_id = self._cases.accept(row, row.rev_id, actor, reason)
        return Acceptance(event_id, row, row.baseline_rev_id, row.rev_id, False, False)

    def accept_loss(self, file_id: int, actor: str, reason: str | None = None) -> Acceptance | None:
        """Retire a missing file that was never read, and so has no case. None when it is not such a file."""
        unread = self._batch.rows(
            "SELECT 1 FROM file WHERE file_id = ? AND presence = 3 AND retired_ms IS NULL AND rev_id IS NULL",
            (file_id,),
        )
        if not unread:
            return None
        return self._retire(self._rows.by_id(file_id), _text(actor), _text(reason) if reason else None)

    def _retire(self, row: FileRow, actor: str, reason: str | None) -> Acceptance:
        """The loss is accepted: the file leaves every answer but that to its own name; its history stays."""
        detail = self._cases.close_accepted(row.file_id, actor, reason)
        self._batch.execute("UPDATE file SET retired_ms = ? WHERE file_id = ?", (now_ms(), row.file_id))
        event_id = self._event(row, row.baseline_rev_id, None, actor, {**detail, "retired": True})
        self._batch.event(
            EventKind.RETIRED,
            at_ms=now_ms(),
            root_id=row.root_id,
            file_id=row.file_id,
            from_rev=row.baseline_rev_id,
            actor=actor,
            detail={"accepted": event_id, **({"reason": reason} if reason else {})},
        )
        return Acceptance(event_id, row, row.baseline_rev_id, None, True, False)

    # -------------------------------------------------------------------------------------------- undo

    def undo(self, event_id: int, actor: str, reason: str | None = None) -> Acceptance:
        """The former baseline is the baseline again, and the case is open again if the content differs from it.

        Only the newest acceptance of a file that stands can be undone, so that the order of baselines stays
        that of the events. Raises NotFound for an unknown event, UsageError for one that cannot be undone.
        """
        accepted = self._standing(event_id)
        actor, reason = _text(actor), _text(reason) if reason else None
        retired = bool(accepted.detail.get("retired"))
        self._refuse_removed(accepted)
        if retired:
            self._batch.execute(
                "UPDATE file SET retired_ms = NULL WHERE file_id = ? AND presence = 3", (accepted.file_id,)
            )
        else:
            self._batch.execute(
                "UPDATE file SET baseline_rev_id = ? WHERE file_id = ?", (accepted.from_rev, accepted.file_id)
            )
        row = self._rows.by_id(accepted.file_id)
        detail: dict[str, Any] = {"undo": event_id, **({"reason": reason} if reason else {})}
        detail |= {
            name: value for name, value in accepted.detail.items() if name in ("case", "kind", "manner")
        }
        undone = self._event(row, accepted.to_rev, accepted.from_rev, actor, detail)
        self._judge(row, accepted.detail.get("case"))
        still = "SELECT 1 FROM drift WHERE file_id = ? AND closed_ms IS NULL"
        is_open = bool(self._batch.rows(still, (row.file_id,)))
        return Acceptance(undone, row, accepted.to_rev, accepted.from_rev, False, is_open)

    def _standing(self, event_id: int) -> _Accepted:
        """The acceptance of this number, which nobody undid and no later one followed."""
        rows = self._batch.rows(
            "SELECT kind, file_id, from_rev_id, to_rev_id, detail FROM event WHERE event_id = ?", (event_id,)
        )
        hint = "find it with: catalog query events --kind accepted"
        if not rows:
            raise NotFound(f"there is no event {event_id}", hint=hint)
        kind, file_id, from_rev, to_rev, text = rows[0]
        if kind != _ACCEPTED:
            raise UsageError(f"event {event_id} is no acceptance ({EVENT_KIND.word[kind].value})", hint=hint)
        accepted = _Accepted(event_id, file_id, from_rev, to_rev, json.loads(text or "{}"))
        if "undo" in accepted.detail:
            raise UsageError(f"event {event_id} undid another one", hint="accept the file again instead")
        undone: dict[int, int] = {}
        for other, words in self._batch.rows(
            "SELECT event_id, detail FROM event WHERE file_id = ? AND kind = ? AND event_id > ?"
            " ORDER BY event_id DESC",
            (file_id, _ACCEPTED, event_id),
        ):
            detail = json.loads(words or "{}")
            if "undo" in detail:
                undone[int(detail["undo"])] = other
            elif other not in undone:
                raise UsageError(
                    f"event {event_id} is not the file's last acceptance", hint=f"undo event {other} first"
                )
        if event_id in undone:
            raise UsageError(f"event {event_id} was undone already, by event {undone[event_id]}")
        return accepted

    def _refuse_removed(self, accepted: _Accepted) -> None:
        removed = self._batch.rows(
            "SELECT r.name FROM file AS f JOIN root AS r ON r.root_id = f.root_id"
            " WHERE f.file_id = ? AND r.state = 3",
            (accepted.file_id,),
        )
        if removed:
            raise UsageError(
                f"the file of event {accepted.event_id} was in the share {removed[0][0]}, which was removed",
                hint="its history can be read, and nothing of it is judged any more",
            )

    def _judge(self, row: FileRow, drift_id: int | None) -> None:
        """What the restored baseline makes of the file as it is recorded now."""
        gone = row.presence is Presence.MISSING
        differs = (
            gone or row.outcome is Outcome.UNREADABLE or self._content(row.baseline_rev_id) != row.content_id
        )
        if differs and drift_id is not None:
            self._cases.reopen(drift_id, row.file_id)
        if gone or row.outcome is Outcome.UNREADABLE:
            words = self._batch.rows("SELECT reason FROM file WHERE file_id = ?", (row.file_id,))
            self._cases.gone(row, Kind.MISSING if gone else Kind.UNREADABLE, words[0][0] or "")
        else:
            self._cases.judge_again(row)

    def _content(self, rev_id: int | None) -> int | None:
        rows = self._batch.rows("SELECT content_id FROM revision WHERE rev_id = ?", (rev_id,))
        return int(rows[0][0]) if rows else None

    def _event(
        self, row: FileRow, from_rev: int | None, to_rev: int | None, actor: str, detail: dict[str, Any]
    ) -> int:
        return self._batch.event(
            EventKind.ACCEPTED,
            at_ms=now_ms(),
            root_id=row.root_id,
            file_id=row.file_id,
            from_rev=from_rev,
            to_rev=to_rev,
            actor=actor,
            detail=detail,
        )


def _text(words: str) -> str:
    """Words from the command line or the environment, which may hold any bytes, as text of the database."""
    return words.encode("utf-8", "backslashreplace").decode()
