"""A client of part two of the token API, written from its documentation alone, with the standard library of Python.

    python3 part_two_client.py ROOT PREFIX ISSUER OTHER_ROOT RUN PASSWORD

* ROOT: the service, such as `http://127.0.0.1:3000`. PREFIX: the place of the token API, such as `/api/v1/auth`.
* ISSUER: the `iss` of the tokens, a URL whose origin is ROOT.
* OTHER_ROOT: another service with the same issuer, keys and accounts, whose tokens have another audience.
* RUN: a word. These accounts exist for it, with the password PASSWORD:
    RUN.owner@example.org     orders:read orders:write private_tokens
    RUN.robot@example.org     introspect
    RUN.operator@example.org  tokens:admin
    RUN.locked@example.org    none

The service lets private tokens with the scope `private_tokens` manage private tokens. The `client_id` of its tokens is
`shop`. It says what it has seen, and ends with an error at the first answer that is not the documented one.
"""

import sys
import time
import urllib.parse

from token_api_client import NO_ACCOUNT, REQUIRED, Api, claims, expect, header, in_days, not_valid

DENIED = b'{"code":"permission_denied","detail":"You do not have permission to perform this action."}'
NOT_FOUND = {"detail": "Not found."}
INVALID_REQUEST = {"error": "invalid_request"}
INACTIVE = b'{"active":false}'
OWN_SCOPES = ["orders:read", "orders:write"]
PRIVATE = "/private_tokens/"
# How long the client waits for something that the service does in the background.
PATIENCE_SECONDS = 60


class Service(Api):
    """The service under test, and the accounts of this run."""

    def __init__(self, root, prefix, issuer, other, run, password):
        super().__init__(root)
        self.auth = root + prefix
        self.issuer, self.run, self.password = issuer, run, password
        self.other = Api(other)

    def email(self, name):
        return f"{self.run}.{name}@example.org"

    def log_in(self, name, password=None, headers=None):
        return expect(self.try_to_log_in(name, password, headers), 200).json

    def try_to_log_in(self, name, password=None, headers=None):
        body = {"username": self.email(name), "password": password or self.password}
        return self.call("POST", "/login/", body=body, headers=headers)

    def access(self, name):
        return self.log_in(name)["access_token"]

    def refresh(self, token):
        return self.call("POST", "/refresh/", body={"refresh_token": token})

    def create(self, token, **members):
        body = {"name": "ci", "expiration_time": in_days(30), **members}
        return self.call("POST", PRIVATE, token, body)

    def created(self, token, **members):
        return expect(self.create(token, **members), 201).json

    def rotate(self, token, number, **members):
        body = {"expiration_time": in_days(30), **members}
        return self.call("POST", f"{PRIVATE}{number}/rotate/", token, body)

    def listed(self, token, query=""):
        return expect(self.call("GET", PRIVATE + query, token), 200).json

    def form(self, path, form, token=None):
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        raw = urllib.parse.urlencode(form).encode()
        return self.call("POST", path, token, raw=raw, headers=headers)

    def revoke(self, token, **more):
        return self.form("/revoke/", {"token": token, **more})


def denied(answer, scope):
    """Checks the documented answer to a valid token without a scope, byte for byte."""
    assert (answer.status, answer.body) == (403, DENIED), answer
    challenge = f'Bearer realm="api", error="insufficient_scope", scope="{scope}"'
    assert answer.headers["WWW-Authenticate"] == challenge, answer.headers["WWW-Authenticate"]
    assert answer.headers["Cache-Control"] == "no-store"


def scopes_of(token):
    return claims(token)["scope"].split(" ") if "scope" in claims(token) else []


def metadata(service):
    url = urllib.parse.urlsplit(service.issuer)
    path = url.path.rstrip("/")
    documents = []
    for place in (
        f"/.well-known/oauth-authorization-server{path}", f"{path}/.well-known/openid-configuration",
    ):
        answer = expect(service.call("GET", service.root + place), 200)
        assert answer.headers["Content-Type"] == "application/json"
        documents.append(answer.json)
    document = documents[0]
    assert documents[1] == document
    assert set(document) == {
        "issuer", "jwks_uri", "revocation_endpoint", "revocation_endpoint_auth_methods_supported",
        "introspection_endpoint", "introspection_endpoint_auth_methods_supported",
        "scopes_supported", "response_types_supported", "grant_types_supported",
    }, document
    # Byte for byte: the setting, the document and the tokens.
    access = service.access("owner")
    assert document["issuer"] == service.issuer == claims(access)["iss"], document
    assert document["scopes_supported"] == OWN_SCOPES
    # There is no grant and no authorization endpoint of OAuth.
    assert document["response_types_supported"] == document["grant_types_supported"] == []
    keys = expect(service.call("GET", document["jwks_uri"]), 200).json["keys"]
    assert header(access)["kid"] in [key["kid"] for key in keys]
    # The endpoints are those that the document names, whatever the prefix of this client is.
    robot, form = service.access("robot"), {"token": access}
    asked = expect(service.form(document["introspection_endpoint"], form, robot), 200).json
    assert asked["active"] is True
    assert expect(service.form(document["revocation_endpoint"], form), 200).body == b""
    not_valid(service.me(access))


def standard_claims(service):
    begin = int(time.time())
    login = service.log_in("owner")
    end = int(time.time())
    access = claims(login["access_token"])
    assert access["client_id"] == "shop" and access["amr"] == ["pwd"], access
    # A second may begin while the log-in is checked.
    assert begin <= access["auth_time"] <= access["iat"] <= end, access
    assert access["scope"] == "orders:read orders:write private_tokens", access
    assert "scope" not in claims(service.access("locked"))
    # A refresh in a later second keeps the time of the log-in.
    while int(time.time()) <= access["iat"]:
        time.sleep(0.05)
    refreshed = expect(service.refresh(login["refresh_token"]), 200).json
    later = claims(refreshed["access_token"])
    assert later["iat"] > access["iat"] and later["auth_time"] == access["auth_time"], later
    assert (later["amr"], later["sid"], later["scope"]) == (["pwd"], access["sid"], access["scope"])
    private = claims(service.created(login["access_token"])["data"])
    assert private["client_id"] == "shop" and private["sub"] == access["sub"], private
    assert "auth_time" not in private and "amr" not in private, private


def scopes(service):
    access = service.access("owner")

    def check(created, expected):
        """The answer, the token and the list show these scopes. The member is left out if there are none."""
        shown = {"scopes": expected} if expected else {}
        assert {name: created[name] for name in created if name == "scopes"} == shown, created
        assert scopes_of(created["data"]) == expected, created
        [row] = [row for row in service.listed(access)["results"] if row["id"] == created["id"]]
        assert {name: row[name] for name in row if name == "scopes"} == shown, row

    subset = service.created(access, scopes=["orders:read"])
    check(subset, ["orders:read"])
    check(service.created(access, scopes=["orders:write", "orders:read", "orders:write"]), OWN_SCOPES)
    check(service.created(access, scopes=[]), [])
    # Without the member: all scopes of the owner, except the reserved ones.
    check(service.created(access), OWN_SCOPES)
    before = service.listed(access)["count"]
    foreign = {"scopes": ["Ensure this account has each of these scopes."]}
    for wanted in (["orders:delete"], ["orders:read", "tokens:admin"], ["ORDERS:READ"], ["a b"]):
        expect(service.create(access, scopes=wanted), 400, foreign)
    for wanted, message in (
        ("orders:read", "Expected a list of items."), (None, "This field may not be null."),
        ([1], "Not a valid string."), ([""], "This field may not be blank."),
    ):
        expect(service.create(access, scopes=wanted), 400, {"scopes": [message]})
    assert service.listed(access)["count"] == before, "something was written"
    # A rotation keeps the scopes, and cannot name others.
    rotated = expect(service.rotate(access, subset["id"], scopes=["orders:write"]), 201).json
    check(rotated, ["orders:read"])
    expect(service.me(rotated["data"]), 200)


def reserved_scope(service):
    login = service.log_in("owner")
    access = login["access_token"]
    strong = service.created(access, name="strong", scopes=["orders:read"])
    manager = service.created(access, scopes=["private_tokens"], expiration_time=in_days(10))["data"]
    # It creates tokens with its own scopes and until its own expiry at most.
    made = service.created(manager, name="made", scopes=[], expiration_time=in_days(9))
    assert scopes_of(made["data"]) == []
    foreign = {"scopes": ["Ensure this account has each of these scopes."]}
    short = in_days(9)
    expect(service.create(manager, scopes=["orders:read"], expiration_time=short), 400, foreign)
    late = {"expiration_time": ["Ensure this datetime is not later than the expiry of this token."]}
    expect(service.create(manager, scopes=[], expiration_time=in_days(11)), 400, late)
    expect(service.rotate(manager, made["id"], expiration_time=in_days(11)), 400, late)
    made = expect(service.rotate(manager, made["id"], expiration_time=short), 201).json
    answer = service.rotate(manager, strong["id"], expiration_time=short)
    assert (answer.status, answer.body) == (403, DENIED), answer
    names = [row["name"] for row in service.listed(manager, "?ordering=id")["results"]]
    assert names[-2:] == ["ci", "made"] and "strong" in names, names
    expect(service.call("DELETE", f"{PRIVATE}{made['id']}/", manager), 204)
    # Every other call needs an access token, and so does this one without the scope.
    body = {"refresh_token": login["refresh_token"]}
    for method, path in (
        ("POST", "/logout/"), ("POST", "/revoke_all/"), ("POST", "/password/"),
        ("GET", "/sessions/"), ("DELETE", "/sessions/1/"), ("GET", "/admin/private_tokens/"),
        ("POST", "/admin/revoke/"), ("GET", "/admin/audit/"),
    ):
        not_valid(service.call(method, path, manager, body if method == "POST" else None))
    not_valid(service.call("GET", PRIVATE, strong["data"]))


def sessions(service):
    agent = "integration test/" + "x" * 300
    mine = service.log_in("owner", headers={"User-Agent": agent})
    other = service.log_in("owner", headers={"User-Agent": "other"})
    access = mine["access_token"]

    def listed(query=""):
        return expect(service.call("GET", "/sessions/" + query, access), 200).json

    page = listed("?page_size=100&ordering=-id")
    assert list(page) == ["count", "next", "previous", "results"], page
    assert page["count"] == len(page["results"]) and page["next"] is page["previous"] is None
    for session in page["results"]:
        assert list(session) == [
            "id", "created_at", "last_used_at", "expires_at", "user_agent", "current",
        ], session
    newest, own = page["results"][:2]
    assert (newest["user_agent"], newest["current"]) == ("other", False), newest
    assert (own["user_agent"], own["current"]) == (agent[:200], True), own
    assert [session["current"] for session in page["results"]].count(True) == 1
    # Paged like private tokens.
    first = listed("?page_size=1&ordering=id")
    assert first["next"].startswith(service.auth + "/sessions/?") and first["previous"] is None
    assert "page_size=1" in first["next"] and "ordering=id" in first["next"], first
    assert expect(service.call("GET", first["next"], access), 200).json["previous"] is not None
    assert listed("?page=last&page_size=1&ordering=id")["results"] == [newest]
    expect(service.call("GET", "/sessions/?page=999", access), 404, {"detail": "Invalid page."})
    # The end of another log-in: its access and its refresh token.
    one = f"/sessions/{newest['id']}/"
    expect(service.call("DELETE", one, service.access("robot")), 404, NOT_FOUND)
    expect(service.me(other["access_token"]), 200)
    assert expect(service.call("DELETE", one, access), 204).body == b""
    not_valid(service.me(other["access_token"]))
    not_valid(service.refresh(other["refresh_token"]))
    expect(service.call("DELETE", one, access), 404, NOT_FOUND)
    assert newest["id"] not in [session["id"] for session in listed("?page_size=100")["results"]]
    # Its own: private tokens of the account stay.
    private = service.created(access)["data"]
    expect(service.call("DELETE", f"/sessions/{own['id']}/", access), 204)
    not_valid(service.me(access))
    not_valid(service.refresh(mine["refresh_token"]))
    expect(service.me(private), 200)


def passwords(service):
    old, new = service.password, "a new password, which is longer"
    mine, other = service.log_in("owner"), service.log_in("owner")
    access = mine["access_token"]
    private = service.created(access)["data"]

    def change(password, new_password, token=access):
        body = {"password": password, "new_password": new_password}
        return service.call("POST", "/password/", token, body)

    missing = service.call("POST", "/password/", access, {})
    expect(missing, 400, {"password": REQUIRED, "new_password": REQUIRED})
    for field, answer, message in (
        ("password", change("wrong", new), "Invalid password."),
        ("password", change("", new), "This field may not be blank."),
        ("new_password", change(old, 5), "Not a valid string."),
        (
            "new_password", change(old, "short"),
            "This password is too short. It must contain at least 8 characters.",
        ),
        (
            "new_password", change(old, service.email("owner")),
            "The password is too similar to the email address.",
        ),
        ("new_password", change(old, old), "The new password must differ from the old one."),
    ):
        expect(answer, 400, {field: [message]})
    not_valid(change(old, new, private))
    expect(service.me(access), 200)
    assert expect(change(old, new), 204).body == b""
    # Every log-in and every private token has ended, also the caller's own.
    for token in (access, other["access_token"], private):
        not_valid(service.me(token))
    for login in (mine, other):
        not_valid(service.refresh(login["refresh_token"]))
    expect(service.try_to_log_in("owner"), 401, NO_ACCOUNT)
    again = service.log_in("owner", password=new)["access_token"]
    assert service.listed(again)["count"] == 0
    expect(change(new, old, again), 204)
    service.access("owner")


def revocation(service):
    login = service.log_in("owner")
    # An access token alone: its session goes on.
    assert expect(service.revoke(login["access_token"]), 200).body == b""
    not_valid(service.me(login["access_token"]))
    pair = expect(service.refresh(login["refresh_token"]), 200).json
    expect(service.me(pair["access_token"]), 200)
    # A refresh token: its whole family. The hint may be wrong.
    hint = {"token_type_hint": "access_token"}
    expect(service.revoke(pair["refresh_token"], **hint), 200)
    not_valid(service.me(pair["access_token"]))
    not_valid(service.refresh(pair["refresh_token"]))
    # A private token: it is not listed any more.
    access = service.access("owner")
    private = service.created(access)
    expect(service.revoke(private["data"], token_type_hint="unknown"), 200)
    not_valid(service.me(private["data"]))
    assert private["id"] not in [row["id"] for row in service.listed(access)["results"]]
    expect(service.call("DELETE", f"{PRIVATE}{private['id']}/", access), 404, NOT_FOUND)
    # Other strings are not an error, and revoke nothing.
    head, payload, signature = access.split(".")
    for text in ("garbage", "a.b.c", f"{head}.{payload}.{'A' * len(signature)}", private["data"]):
        answer = service.revoke(text)
        if answer.status == 429:
            time.sleep(int(answer.headers["Retry-After"]))
            answer = service.revoke(text)
        assert expect(answer, 200).body == b""
    expect(service.me(access), 200)
    for form in ({}, {"token": ""}, {"token_type_hint": "x"}, [("token", access)] * 2):
        expect(service.form("/revoke/", form), 400, INVALID_REQUEST)
    expect(service.call("POST", "/revoke/", body={"token": access}), 415)
    expect(service.me(access), 200)
    # Only strings that are not valid tokens are throttled.
    for _ in range(60):
        answer = service.revoke("garbage")
        if answer.status == 429:
            break
        expect(answer, 200)
    assert int(expect(answer, 429).headers["Retry-After"]) > 0
    expect(service.revoke(access), 200)
    not_valid(service.me(access))


def introspection(service):
    login, robot = service.log_in("owner"), service.access("robot")
    access = login["access_token"]
    private = service.created(access, scopes=["orders:read"])
    # A private token may ask, too.
    helper = service.created(robot, scopes=["introspect"])["data"]
    for caller in (robot, helper):
        for token in (access, private["data"]):
            answer = expect(service.form("/introspect/", {"token": token}, caller), 200)
            expected = {**claims(token), "active": True, "token_type": "Bearer"}
            # The service issues no tokens that are bound to a key.
            assert answer.json == expected and "cnf" not in expected, answer
            assert answer.headers["Cache-Control"] == "no-store"
    # The same bytes for every token that is not valid now, or is for another audience.
    body = {"username": service.email("owner"), "password": service.password}
    foreign = service.other.call("POST", "/login/", body=body)
    foreign = expect(foreign, 200).json["access_token"]
    assert claims(foreign)["iss"] == service.issuer and claims(foreign)["aud"] != claims(access)["aud"]
    expect(service.other.me(foreign), 200)
    not_valid(service.me(foreign))
    expect(service.call("DELETE", f"{PRIVATE}{private['id']}/", access), 204)
    for token in (foreign, login["refresh_token"], private["data"], "garbage", access + "A"):
        answer = service.form("/introspect/", {"token": token}, robot)
        assert (answer.status, answer.body) == (200, INACTIVE), answer
    # The caller.
    denied(service.form("/introspect/", {"token": access}, access), "introspect")
    without_scope = service.created(robot)["data"]
    denied(service.form("/introspect/", {"token": access}, without_scope), "introspect")
    assert expect(service.form("/introspect/", {"token": access}), 401).json["code"] == "not_authenticated"
    not_valid(service.form("/introspect/", {"token": access}, private["data"]))
    expect(service.form("/introspect/", {}, robot), 400, INVALID_REQUEST)


def operators(service):
    operator, owner = service.access("operator"), service.log_in("owner")
    access, subject = owner["access_token"], claims(owner["access_token"])["sub"]
    session = service.log_in("owner")
    one, two = service.created(access, name="one"), service.created(access, name="two")
    of_owner = "/admin/private_tokens/?" + urllib.parse.urlencode({"subject": subject})

    # As the owner sees them.
    query = "ordering=-name&page_size=1"
    listed = expect(service.call("GET", f"{of_owner}&{query}", operator), 200).json
    assert listed["results"] == service.listed(access, "?" + query)["results"], listed
    assert listed["next"].startswith(service.auth + "/admin/private_tokens/?"), listed
    expect(service.call("GET", listed["next"], operator), 200)
    expect(service.call("GET", "/admin/private_tokens/", operator), 400, {"subject": REQUIRED})
    path = f"/admin/private_tokens/{one['id']}/"
    assert expect(service.call("DELETE", path, operator), 204).body == b""
    not_valid(service.me(one["data"]))
    expect(service.call("DELETE", path, operator), 404, NOT_FOUND)

    def revoke(token=operator, **target):
        return service.call("POST", "/admin/revoke/", token, target)

    exactly_one = {"non_field_errors": ["Name exactly one of subject, session and key."]}
    expect(revoke(), 400, exactly_one)
    expect(revoke(subject=subject, session="x"), 400, exactly_one)
    expect(revoke(key="unknown"), 400, {"key": ["This issuer has no such key."]})
    expect(revoke(session=claims(session["access_token"])["sid"]), 204)
    not_valid(service.me(session["access_token"]))
    not_valid(service.refresh(session["refresh_token"]))
    expect(service.me(two["data"]), 200)

    # Only access tokens with the scope, and never private tokens.
    private = service.created(operator, scopes=["tokens:admin"])["data"]
    for method, path in (
        ("GET", of_owner), ("DELETE", f"/admin/private_tokens/{two['id']}/"),
        ("POST", "/admin/revoke/"), ("GET", "/admin/audit/"),
    ):
        body = {"subject": subject} if method == "POST" else None
        denied(service.call(method, path, access, body), "tokens:admin")
        not_valid(service.call(method, path, private, body))
    expect(service.me(two["data"]), 200)
    expect(revoke(subject=subject), 204)
    for token in (access, two["data"]):
        not_valid(service.me(token))
    not_valid(service.refresh(owner["refresh_token"]))
    audit_log(service, operator, subject, [one, two])


def audit_log(service, operator, subject, tokens):
    url = "/admin/audit/?" + urllib.parse.urlencode({"subject": subject, "page_size": 5})
    expected = {"login_succeeded", "token_created", "token_revoked", "operator_read", "all_revoked"}

    def read():
        """All events of the subject, by following the links."""
        events, page = [], url
        while page is not None:
            answer = expect(service.call("GET", page, operator), 200)
            assert list(answer.json) == ["next", "results"] and len(answer.json["results"]) <= 5
            for secret in [service.password, "eyJ"] + [token["data"] for token in tokens]:
                assert secret not in answer.body.decode(), "a secret"
            events += answer.json["results"]
            page = answer.json["next"]
            assert page is None or page.startswith(service.auth + "/admin/audit/?before="), page
        return events

    # Events are written in the background.
    end, events = time.monotonic() + PATIENCE_SECONDS, []
    while not expected <= {event["kind"] for event in events}:
        assert time.monotonic() < end, events
        events = read()
    numbers = [event["id"] for event in events]
    assert numbers == sorted(set(numbers), reverse=True), numbers
    assert {event["subject"] for event in events} == {subject}
    by_operator = claims(operator)["sub"]
    actors = {event["kind"]: event["actor"] for event in events if event["actor"] == by_operator}
    assert {"token_revoked", "operator_read", "all_revoked"} <= set(actors), actors
    # The log has events about others, too.
    everything = expect(service.call("GET", "/admin/audit/?page_size=100", operator), 200).json
    assert {event["subject"] for event in everything["results"]} > {subject}


def slashes(service):
    """Each path answers without the slash at its end, too, and never by a redirect."""
    for method, path in (
        ("POST", "/password/"), ("GET", "/sessions/"), ("DELETE", "/sessions/1/"),
        ("POST", "/revoke/"), ("POST", "/introspect/"), ("GET", "/admin/private_tokens/"),
        ("DELETE", "/admin/private_tokens/1/"), ("POST", "/admin/revoke/"), ("GET", "/admin/audit/"),
    ):
        with_slash, without = service.call(method, path), service.call(method, path.rstrip("/"))
        status = 400 if path == "/revoke/" else 401
        assert with_slash.status == without.status == status, (path, with_slash, without)
        assert with_slash.body == without.body


def health(service):
    live = expect(service.call("GET", service.root + "/healthz"), 200, {"status": "ok"})
    ready = expect(service.call("GET", service.root + "/readyz"), 200)
    assert ready.json["status"] == "ok", ready
    assert {part["status"] for part in ready.json["parts"].values()} == {"ok"}, ready
    for answer in (live, ready):
        assert answer.headers["Cache-Control"] == "no-store"


def throttling(service):
    """Wrong passwords count for the limit of log-ins."""
    access = service.access("locked")
    body = {"password": "wrong", "new_password": "a new password"}
    for _ in range(30):
        answer = service.call("POST", "/password/", access, body)
        if answer.status == 429:
            assert int(answer.headers["Retry-After"]) > 0
            # The right password does not help before that time, and the token stays valid.
            expect(service.try_to_log_in("locked"), 429)
            expect(service.me(access), 200)
            return
        expect(answer, 400, {"password": ["Invalid password."]})
    raise AssertionError("never throttled")


def main(*arguments):
    service = Service(*arguments)
    for step in (
        metadata, standard_claims, scopes, reserved_scope, sessions, passwords, revocation,
        introspection, operators, slashes, health, throttling,
    ):
        step(service)
        print("ok:", step.__name__.replace("_", " "))


if __name__ == "__main__":
    main(*sys.argv[1:])
