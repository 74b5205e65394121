"""The names of all keys that afx uses in Redis."""

from __future__ import annotations

LEADER = "afx:leader"
TERM = "afx:term"
STANDBYS = "afx:standbys"
"""Sorted set of the coordinators that stand by, by when each has said so last; it expires."""
WORKERS = "afx:workers"
"""Set of the names of all known worker nodes."""
LOAD = "afx:workers:load"
"""Sorted set of READY nodes by load."""
REPORTS = "afx:reports"
"""Stream of what nodes report."""
REPORTS_REFUSED = "afx:reports:refused"
"""Stream of the reports that did not parse, the newest ones."""
REPORTS_REFUSED_COUNT = "afx:reports:refused:count"
"""How many reports were ever refused."""
JOBS_REFUSED = "afx:jobs:refused"
"""Stream of the jobs that nodes refused, the newest ones."""
JOBS_REFUSED_COUNT = "afx:jobs:refused:count"
"""How many jobs were ever refused."""
SPECS_REFUSED = "afx:specs:refused"
"""Stream of the specs that nodes refused, the newest ones."""
SPECS_REFUSED_COUNT = "afx:specs:refused:count"
"""How many specs were ever refused."""
TASK_CLOCK = "afx:tasks:clock"
"""Seconds by which the leader's clock is ahead of Redis's; the scripts of tasks use it."""
EVENTS = "afx:events"
"""Stream of what the coordinator did, for people and programs that watch."""
SCALING = "afx:scaling"
"""How many nodes the leader recommends, as JSON; it expires when no leader renews it."""
GENERATION = "afx:generation"
"""The highest generation of epochs that a leader has begun."""
GENERATION_PROOF = "afx:generation:proof"
"""The proof of it (``generation_proof.py``): SQL may be restored from before."""
UNSETTLED = "afx:unsettled"
"""Is there while nodes may run of which Redis, which has lost its data, knows nothing."""
CHAT_SOURCES = "afx:chats:sources"
"""Set of the channels that sessions read."""
CHAT_DESTINATIONS = "afx:chats:destinations"
"""Set of the channels that sessions post to."""
CHATS_GUARDED = "afx:chats:guarded"
"""Set of the channels in both: a message there may be a copy."""
LINKED_RULES = "afx:links"
"""Set of the rules that have links."""
LINKS_CHANGED = "afx:links:changed"
"""Set of the blocks of links that SQL has no copy of, each as the end of its key."""
LINKS_COMPLETE = "afx:links:complete"
"""Set once this Redis has all links of which SQL has a copy."""
CURSORS_COMPLETE = "afx:cursors:complete"
"""Set once this Redis has all cursors of which SQL has a copy."""
AUDIT_HEAD = "afx:audit:head"
"""``entries:digest:seal`` of the audit log, as far as the leader has checked it."""
AUDIT_FAULT = "afx:audit:fault"
"""What the leader found wrong with the audit log; empty: nothing."""


def cursors_restoring(term: int) -> str:
    """Key: set while the leader of a term restores cursors; a flush in between removes it."""
    return f"afx:cursors:restoring:{term}"


def jobs_refused_by(node: str) -> str:
    """Hash: reason → how many jobs a node has refused for it."""
    return f"afx:jobs:refused:by:{node}"


def worker(name: str) -> str:
    """Hash: a node's registration and latest heartbeat."""
    return f"afx:worker:{name}"


def reservations(name: str) -> str:
    """Hash: session → bytes reserved on a node, not yet included in its RSS."""
    return f"afx:worker:{name}:reserved"


def machine(boot_id: str) -> str:
    """Set of the nodes on one machine, which observe each other's deaths."""
    return f"afx:machine:{boot_id}"


def assignment(session: int) -> str:
    """Hash: node, incarnation and epoch that a session belongs to."""
    return f"afx:session:{session}:assignment"


def spec(session: int) -> str:
    """String: what a node needs to run a session, as JSON."""
    return f"afx:session:{session}:spec"


def cursor(session: int) -> str:
    """Hash: box → position in its updates."""
    return f"afx:session:{session}:cursor"


def entities(session: int) -> str:
    """Hash: marked chat id or @name → access hash."""
    return f"afx:session:{session}:entities"


def links(rule: int) -> str:
    """Hash: ``source:destination`` → ``first block:highest source id`` of a rule's links."""
    return f"afx:links:{rule}"


def link_block(rule: int, source: int, destination: int, block: int) -> str:
    """String: the copies of neighbouring source messages (see ``links``)."""
    return f"afx:links:{rule}:{source}:{destination}:{block}"


def copies(chat: int | str) -> str:
    """Hash: ``rule:source`` → its number in the way back of a destination's copies.

    The way back lies in strings whose names begin with this (see ``links``).
    """
    return f"afx:copies:{chat}"


def intents(chat: int) -> str:
    """Hash: session → the batch that it may have sent to a channel, until its links are stored."""
    return f"afx:intents:{chat}"


def pool(rule: int, destination: int) -> str:
    """Hash: who sends for a pool's lane, and what was asked for (see ``pools``)."""
    return f"afx:pool:{rule}:{destination}"


def pool_lanes(rule: int) -> str:
    """Set of the destinations to which a rule's senders post, or have posted."""
    return f"afx:pool:{rule}"


def posters(rule: int, destination: int) -> str:
    """Sorted set: ``copy:session`` → the copy from which on a pool's sender has made them.

    See ``pool_posters``.
    """
    return f"{pool(rule, destination)}:posters"


def post_claims(chat: int) -> str:
    """Hash: post of a destination → the random_id of the send whose copy it is."""
    return f"afx:posts:{chat}"


def inbox(incarnation: str) -> str:
    """List: lanes of pools at which a node is to look (see ``pools``)."""
    return f"afx:inbox:{incarnation}"
