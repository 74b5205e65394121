"""Sign-in by code, sign-out, and what a client asks on connecting."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from telethon.tl import functions, types

from afx.sandbox import views
from afx.sandbox.connection import RpcError
from afx.sandbox.methods.call import Call, method


@method(functions.help.GetConfigRequest, login=False)
def get_config(call: Call, request: Any) -> Any:
    """The sandbox is the one data centre that it names."""
    now = datetime.now(UTC)
    option = types.DcOption(2, call.server.host, call.server.port)
    limits = {
        "chat_size_max": 200, "megagroup_size_max": 200_000, "forwarded_count_max": 100,
        "online_update_period_ms": 210_000, "offline_blur_timeout_ms": 5_000,
        "offline_idle_timeout_ms": 30_000, "online_cloud_timeout_ms": 300_000,
        "notify_cloud_delay_ms": 30_000, "notify_default_delay_ms": 1_500,
        "push_chat_period_ms": 60_000, "push_chat_limit": 2, "edit_time_limit": 172_800,
        "revoke_time_limit": 2**31 - 1, "revoke_pm_time_limit": 2**31 - 1,
        "rating_e_decay": 2_419_200, "stickers_recent_limit": 200,
        "channels_read_media_period": 604_800, "call_receive_timeout_ms": 20_000,
        "call_ring_timeout_ms": 90_000, "call_connect_timeout_ms": 30_000,
        "call_packet_timeout_ms": 10_000, "caption_length_max": 1_024,
        "message_length_max": 4_096,
    }  # fmt: skip
    return types.Config(
        date=now, expires=now + timedelta(hours=1), test_mode=False, this_dc=2,
        dc_options=[option], dc_txt_domain_name="", me_url_prefix="https://t.me/",
        webfile_dc_id=2, **limits,
    )  # fmt: skip


@method(functions.help.GetNearestDcRequest, login=False)
def get_nearest_dc(call: Call, request: Any) -> Any:
    """There is one data centre."""
    return types.NearestDc("XX", 2, 2)


@method(functions.auth.SendCodeRequest, functions.auth.ResendCodeRequest, login=False)
def send_code(call: Call, request: Any) -> Any:
    """Make a code, which the control channel tells; a new phone gets an account."""
    phone = request.phone_number.lstrip("+")
    if not phone.isdigit() or len(phone) < 5:
        raise RpcError(406, "PHONE_NUMBER_INVALID")
    if phone not in call.world.phones:
        call.world.add_account(phone)
    token, code = secrets.token_hex(9), f"{secrets.randbelow(100_000):05d}"
    call.server.codes[phone] = (token, code)
    return types.auth.SentCode(types.auth.SentCodeTypeApp(5), token)


@method(functions.auth.SignInRequest, login=False)
def sign_in(call: Call, request: Any) -> Any:
    """Bind the connection's key to the phone's account."""
    phone = request.phone_number.lstrip("+")
    token, code = call.server.codes.get(phone, ("", ""))
    if not token or token != request.phone_code_hash:
        raise RpcError(400, "PHONE_CODE_EXPIRED")
    if code != request.phone_code:
        raise RpcError(400, "PHONE_CODE_INVALID")
    del call.server.codes[phone]
    account = call.world.phones[phone]
    call.key.account_id = account.id
    return types.auth.Authorization(views.user(account, account.id))


@method(functions.auth.LogOutRequest)
def log_out(call: Call, request: Any) -> Any:
    """Forget the login of this key."""
    call.server.forget(call.connection)
    call.connection.subscribed = False
    call.key.account_id = 0
    return types.auth.LoggedOut()


@method(functions.account.UpdateStatusRequest, functions.messages.SetTypingRequest)
def accept(call: Call, request: Any) -> Any:
    """Say yes to what changes nothing here."""
    return types.BoolTrue()
