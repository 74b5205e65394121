"""Sign-in by code, sign-out, and what a client asks on connecting."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from telethon.tl import functions, types

from afx.sandbox.mtproto.connection import RpcError
from afx.sandbox.mtproto.handshake import DH_PRIME
from afx.sandbox.telegram import views
from afx.sandbox.telegram.methods.call import Call, method
from afx.sandbox.telegram.srp import GENERATOR, Challenge
from afx.sandbox.telegram.world import Account


@method(functions.help.GetConfigRequest, login=False)
def get_config(call: Call, request: Any) -> Any:
    """The sandbox is the one data centre that it names."""
    now = datetime.now(UTC)
    option = types.DcOption(2, call.server.host, call.server.port)
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
        "edit_time_limit": 172_800,
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
        this_dc=2,
        dc_options=[option],
        dc_txt_domain_name="",
        me_url_prefix="https://t.me/",
        webfile_dc_id=2,
        **limits,
    )


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
    return _admit(call, call.world.phones[phone])


@method(functions.auth.ExportLoginTokenRequest, login=False)
def export_login_token(call: Call, request: Any) -> Any:
    """Give a token for a QR code; once it was scanned, the login."""
    logins = call.server.qr
    scanned_by = logins.scanned(call.key)
    if scanned_by:
        return types.auth.LoginTokenSuccess(_admit(call, call.world.accounts[scanned_by]))
    token, expires = logins.new(call.key, call.connection)
    return types.auth.LoginToken(expires, token)


@method(functions.account.GetPasswordRequest, login=False)
def get_password(call: Call, request: Any) -> Any:
    """Ask for the password of two-step verification, by SRP."""
    account = call.account or call.world.accounts.get(call.key.claims)
    algorithm = types.PasswordKdfAlgoUnknown()
    if account is None or account.password is None:
        return types.account.Password(algorithm, algorithm, b"", has_password=False)
    challenge = Challenge(account.password)
    call.server.challenges[challenge.id] = challenge
    held = account.password
    return types.account.Password(
        algorithm,
        algorithm,
        b"",
        has_password=True,
        srp_B=challenge.public,
        srp_id=challenge.id,
        current_algo=types.PasswordKdfAlgoSHA256SHA256PBKDF2HMACSHA512iter100000SHA256ModPow(
            held.salt1, held.salt2, GENERATOR, DH_PRIME.to_bytes(256, "big")
        ),
    )


@method(functions.auth.CheckPasswordRequest, login=False)
def check_password(call: Call, request: Any) -> Any:
    """Bind the key to the account whose password it knows."""
    account = call.world.accounts.get(call.key.claims)
    if account is None:
        raise RpcError(401, "AUTH_KEY_UNREGISTERED")
    held = request.password
    challenge = call.server.challenges.pop(getattr(held, "srp_id", 0), None)
    if challenge is None or challenge.verifier is not account.password:
        raise RpcError(400, "SRP_ID_INVALID")
    if not challenge.accepts(held.A, held.M1):
        raise RpcError(400, "PASSWORD_HASH_INVALID")
    return _bind(call, account)


def _admit(call: Call, account: Account) -> Any:
    """Bind the key to an account, unless that asks for a password first."""
    if account.password is not None:
        call.key.claims = account.id
        raise RpcError(401, "SESSION_PASSWORD_NEEDED")
    return _bind(call, account)


def _bind(call: Call, account: Account) -> Any:
    call.key.account_id, call.key.claims = account.id, 0
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
