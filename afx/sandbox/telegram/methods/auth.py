"""Sign-in by code, password or QR code, and sign-out.

Source: core.telegram.org/api/auth, /api/srp and /api/qr-login.
"""

from __future__ import annotations

from typing import Any

from telethon.tl import functions, types

from afx.sandbox import dh
from afx.sandbox.errors import RpcError
from afx.sandbox.telegram import views
from afx.sandbox.telegram.methods.call import Call, method
from afx.sandbox.telegram.peers import Account


@method(functions.auth.SendCodeRequest, functions.auth.ResendCodeRequest, login=False)
def send_code(call: Call, request: Any) -> Any:
    """Make a code, which the control channel returns; a new phone gets an account."""
    phone = request.phone_number.lstrip("+")
    if not phone.isdigit() or len(phone) < 5:
        raise RpcError(406, "PHONE_NUMBER_INVALID")
    account = call.world.phones.get(phone) or call.world.add_account(phone)
    if account.data_centre != call.client.data_centre:
        raise RpcError(303, f"PHONE_MIGRATE_{account.data_centre}")
    token = call.telegram.sign_ins.send_code(phone)
    return types.auth.SentCode(types.auth.SentCodeTypeApp(5), token)


@method(functions.auth.SignInRequest, login=False)
def sign_in(call: Call, request: Any) -> Any:
    """Bind the connection's key to the phone's account."""
    phone = request.phone_number.lstrip("+")
    call.telegram.sign_ins.take_code(phone, request.phone_code_hash, request.phone_code)
    return _admit(call, call.world.phones[phone])


@method(functions.auth.ExportAuthorizationRequest)
def export_authorization(call: Call, request: Any) -> Any:
    """Give what signs the account in at another data centre (api/datacenter)."""
    if request.dc_id not in call.telegram.addresses():
        raise RpcError(400, "DC_ID_INVALID")
    token = call.telegram.sign_ins.export(call.me.id)
    return types.auth.ExportedAuthorization(call.me.id, token)


@method(functions.auth.ImportAuthorizationRequest, login=False)
def import_authorization(call: Call, request: Any) -> Any:
    """Sign in by what another data centre has given, once."""
    account = call.telegram.sign_ins.take_export(request.bytes)
    if account == 0 or account != request.id:
        raise RpcError(400, "AUTH_BYTES_INVALID")
    return _bind(call, call.world.accounts[account])


@method(functions.auth.ImportBotAuthorizationRequest, login=False)
def import_bot_authorization(call: Call, request: Any) -> Any:
    """Sign in as a bot, by its token.

    Source: core.telegram.org/method/auth.importBotAuthorization.
    """
    account = call.world.bots.get(request.bot_auth_token)
    if account is None:
        raise RpcError(400, "ACCESS_TOKEN_INVALID")
    if account.data_centre != call.client.data_centre:
        raise RpcError(303, f"USER_MIGRATE_{account.data_centre}")
    return _bind(call, account)


@method(functions.auth.ExportLoginTokenRequest, login=False)
def export_login_token(call: Call, request: Any) -> Any:
    """Give a token for a QR code; once it was scanned, the login."""
    logins = call.telegram.sign_ins.qr
    scanned_by = logins.scanned(call.key.key_id)
    if scanned_by:
        return types.auth.LoginTokenSuccess(_admit(call, call.world.accounts[scanned_by]))
    token, expires = logins.new(call.key.key_id, call.client)
    return types.auth.LoginToken(expires, token)


@method(functions.account.GetPasswordRequest, login=False)
def get_password(call: Call, request: Any) -> Any:
    """Ask for the password of two-step verification, by SRP."""
    account = call.account or call.world.accounts.get(call.key.claims)
    algorithm = types.PasswordKdfAlgoUnknown()
    if account is None or account.password is None:
        return types.account.Password(algorithm, algorithm, b"", has_password=False)
    verifier = account.password
    challenge = call.telegram.sign_ins.challenge(verifier)
    return types.account.Password(
        algorithm,
        algorithm,
        b"",
        has_password=True,
        srp_B=challenge.public,
        srp_id=challenge.id,
        current_algo=types.PasswordKdfAlgoSHA256SHA256PBKDF2HMACSHA512iter100000SHA256ModPow(
            verifier.salt1, verifier.salt2, dh.GENERATOR, dh.PRIME.to_bytes(256, "big")
        ),
    )


@method(functions.auth.CheckPasswordRequest, login=False)
def check_password(call: Call, request: Any) -> Any:
    """Bind the key to the account whose password it knows."""
    account = call.world.accounts.get(call.key.claims)
    if account is None:
        raise RpcError(401, "AUTH_KEY_UNREGISTERED")
    proof = request.password
    challenge = call.telegram.sign_ins.take_challenge(getattr(proof, "srp_id", 0))
    if challenge is None or challenge.verifier is not account.password:
        raise RpcError(400, "SRP_ID_INVALID")
    if not challenge.accepts(proof.A, proof.M1):
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
    call.telegram.presence.log_out(call.key.key_id)
    call.key.account_id = 0
    return types.auth.LoggedOut()
