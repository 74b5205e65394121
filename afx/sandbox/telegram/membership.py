"""Who is in a chat, and what becomes of it: removal, silence, migration, names.

Source: core.telegram.org/api/channel, /api/rights and /api/updates (updateChannel).
"""

from __future__ import annotations

from telethon.tl import types

from afx.sandbox.telegram.peers import Account, Channel, Group
from afx.sandbox.telegram.pushes import Pushes
from afx.sandbox.telegram.world import World


def remove(pushes: Pushes, channel: Channel, account: Account, *, ban: bool) -> None:
    """Take an account out of a channel; with ``ban`` it cannot read it any more."""
    channel.members.discard(account.id)
    channel.posters.discard(account.id)
    account.dialogs.pop(channel.marked, None)
    account.missed_channels.discard(channel.id)
    if ban:
        channel.banned.add(account.id)
    pushes.update(account, types.UpdateChannel(channel.id), channel)


def readmit(world: World, pushes: Pushes, channel: Channel, account: Account) -> None:
    """Let an account in again, with all its rights."""
    channel.banned.discard(account.id)
    channel.muted.discard(account.id)
    world.join(channel, account)
    pushes.update(account, types.UpdateChannel(channel.id), channel)


def mute(pushes: Pushes, channel: Channel, account: Account, *, on: bool = True) -> None:
    """Forbid a member to send, or allow it again."""
    if on:
        channel.muted.add(account.id)
    else:
        channel.muted.discard(account.id)
    pushes.update(account, types.UpdateChannel(channel.id), channel)


def migrate(world: World, pushes: Pushes, group: Group) -> Channel:
    """Make a supergroup of a basic group; service messages in both say so.

    Source: core.telegram.org/api/channel, "Migration".
    """
    channel = world.add_channel(
        group.title, creator=group.creator, megagroup=True, members=group.members
    )
    channel.migrated_from = group.id
    creator = world.accounts[group.creator]
    action = types.MessageActionChatMigrateTo(channel.id)
    copies = world.deliver(group, creator, "", action=action)
    group.migrated_to = channel.id
    for account, message, event in copies:
        pushes.account_event(account, event, message)
    action = types.MessageActionChannelMigrateFrom(group.title, group.id)
    message, event = world.post(channel, creator.id, "", action=action)
    pushes.channel_event(channel, event, message)
    for member in channel.members:
        pushes.update(world.accounts[member], types.UpdateChannel(channel.id), channel)
    return channel


def rename(world: World, peer: Account | Channel, names: list[str]) -> None:
    """Give a peer these usernames, the first of which can be edited."""
    for old in (peer.username, *peer.usernames):
        world.usernames.pop(old.lower(), None)
    peer.username, peer.usernames = (names[0] if names else ""), names[1:]
    for name in names:
        world.usernames[name.lower()] = peer
