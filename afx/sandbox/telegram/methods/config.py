"""What a client asks of the data centre on connecting."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from telethon.tl import functions, types

from afx.sandbox.telegram.methods.call import Call, method

EDIT_SECONDS = 172_800
"""How long a message may be edited after it was sent."""


@method(functions.help.GetConfigRequest, login=False)
def get_config(call: Call, request: Any) -> Any:
    """The two data centres are one sandbox."""
    now = datetime.now(UTC)
    options = [types.DcOption(dc, *address) for dc, address in call.telegram.addresses().items()]
    limits = {
        "chat_size_max": 200,
        "megagroup_size_max": 200_000,
        "forwarded_count_max": 100,
        "online_update_period_ms": 210_000,
        "offline_blur_timeout_ms": 5_000,
        "offline_idle_timeout_ms": 30_000,
        "online_cloud_timeout_ms": 300_000,
        "notify_cloud_delay_ms": 30_000,
        "notify_default_delay_ms": 1_500,
        "push_chat_period_ms": 60_000,
        "push_chat_limit": 2,
        "edit_time_limit": EDIT_SECONDS,
        "revoke_time_limit": 2**31 - 1,
        "revoke_pm_time_limit": 2**31 - 1,
        "rating_e_decay": 2_419_200,
        "stickers_recent_limit": 200,
        "channels_read_media_period": 604_800,
        "call_receive_timeout_ms": 20_000,
        "call_ring_timeout_ms": 90_000,
        "call_connect_timeout_ms": 30_000,
        "call_packet_timeout_ms": 10_000,
        "caption_length_max": 1_024,
        "message_length_max": 4_096,
    }
    return types.Config(
        date=now,
        expires=now + timedelta(hours=1),
        test_mode=False,
        this_dc=call.client.data_centre,
        dc_options=options,
        dc_txt_domain_name="",
        me_url_prefix="https://t.me/",
        webfile_dc_id=2,
        **limits,
    )


@method(functions.help.GetNearestDcRequest, login=False)
def get_nearest_dc(call: Call, request: Any) -> Any:
    """The one that was connected to is as near as any."""
    here = call.client.data_centre
    return types.NearestDc("XX", here, here)
