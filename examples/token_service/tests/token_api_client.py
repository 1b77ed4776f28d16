"""A client of the token API, written from its documentation alone, with the standard library of Python.

    python3 token_api_client.py http://127.0.0.1:3000 ada@example.org password

Goes through the whole API and says what it has seen. Ends with an error at the first answer that is not the documented
one.
"""

import base64
import concurrent.futures
import datetime
import json
import sys
import urllib.error
import urllib.parse
import urllib.request

NOT_VALID = b'{"code":"token_not_valid","detail":"Token is invalid or expired"}'
NOT_VALID_CHALLENGE = (
    'Bearer realm="api", error="invalid_token", error_description="Token is invalid or expired"'
)
NOT_AUTHENTICATED = (
    b'{"code":"not_authenticated","detail":"Authentication credentials were not provided."}'
)
NO_ACCOUNT = {
    "detail": "No active account found with the given credentials",
    "code": "no_active_account",
}
REQUIRED = ["This field is required."]
HOUR = 3600


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        raise AssertionError("the API never redirects")


opener = urllib.request.build_opener(NoRedirect, urllib.request.ProxyHandler({}))


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:300]!r}"


class Api:
    def __init__(self, root):
        self.root = root
        self.auth = root + "/api/v1/auth"

    def call(self, method, path, token=None, body=None, raw=None, headers=None):
        url = path if path.startswith("http") else self.auth + path
        request = urllib.request.Request(url, method=method)
        if token is not None:
            request.add_header("Authorization", "Bearer " + token)
        if body is not None:
            raw = json.dumps(body).encode()
        if raw is not None:
            request.data = raw
            request.add_header("Content-Type", "application/json")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with opener.open(request, timeout=120) as response:
                return Answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def me(self, token):
        return self.call("GET", self.root + "/api/v1/me", token)


def expect(answer, status, body=None):
    assert answer.status == status, (status, answer)
    if body is not None:
        assert answer.json == body, (body, answer)
    return answer


def not_valid(answer):
    """Checks the documented answer to every invalid token, byte for byte."""
    assert (answer.status, answer.body) == (401, NOT_VALID), answer
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["WWW-Authenticate"] == NOT_VALID_CHALLENGE


def claims(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def header(token):
    head = token.split(".")[0]
    return json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))


def in_days(days):
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    return (now + datetime.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def second(date):
    return int(datetime.datetime.fromisoformat(date.replace("Z", "+00:00")).timestamp())


def log_in(api, email, password, path="/login/", name="username"):
    answer = expect(api.call("POST", path, body={name: email, "password": password}), 200)
    return answer.json


def logging_in(api, email, password):
    for path in ("/login/", "/login"):
        for name in ("username", "email"):
            login = log_in(api, email, password, path, name)
            assert list(login) == [
                "id", "email", "username", "company_id", "token_access", "access_token",
                "refresh_token", "is_verified", "profile",
            ], login
            assert login["token_access"] == login["access_token"]
            access, refresh = claims(login["access_token"]), claims(login["refresh_token"])
            assert access["exp"] - access["iat"] == HOUR
            assert (access["token_type"], refresh["token_type"]) == ("access", "refresh")
            assert header(login["access_token"])["typ"] == "at+jwt"
            assert header(login["refresh_token"])["typ"] != "at+jwt"
            for claim in ("jti", "sub", "sid", "iat", "exp", "iss", "aud"):
                assert claim in access and claim in refresh
            assert access["sid"] == refresh["sid"]
            expect(api.me(login["access_token"]), 200)
    wrong = api.call("POST", "/login/", body={"username": email, "password": password + "x"})
    unknown = api.call("POST", "/login/", body={"username": "nobody@example.org", "password": "x"})
    expect(wrong, 401, NO_ACCOUNT)
    assert unknown.body == wrong.body and unknown.status == wrong.status
    expect(api.call("POST", "/login/", body={}), 400, {"username": REQUIRED, "password": REQUIRED})


def refreshing(api, email, password):
    login = log_in(api, email, password)
    first = login["refresh_token"]
    second_pair = expect(api.call("POST", "/refresh/", body={"refresh_token": first}), 200).json
    assert sorted(second_pair) == ["access_token", "refresh_token", "token_access"]
    expect(api.me(second_pair["access_token"]), 200)
    not_valid(api.me(second_pair["refresh_token"]))
    # A second use ends the session.
    not_valid(api.call("POST", "/refresh", body={"refresh_token": first}))
    not_valid(api.call("POST", "/refresh/", body={"refresh_token": second_pair["refresh_token"]}))
    not_valid(api.me(login["access_token"]))
    not_valid(api.me(second_pair["access_token"]))
    # Of many simultaneous uses, at most one succeeds.
    token = log_in(api, email, password)["refresh_token"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        refresh = lambda _: api.call("POST", "/refresh/", body={"refresh_token": token})
        statuses = [answer.status for answer in pool.map(refresh, range(8))]
    assert statuses.count(200) <= 1 and set(statuses) <= {200, 401}, statuses


def logging_out(api, email, password):
    login = log_in(api, email, password)
    body = {"refresh_token": login["refresh_token"]}
    expect(api.call("POST", "/logout/", login["access_token"], {}), 400, {"refresh_token": REQUIRED})
    answer = expect(api.call("POST", "/logout/", login["access_token"], body), 204)
    assert answer.body == b""
    not_valid(api.me(login["access_token"]))
    not_valid(api.call("POST", "/refresh/", body=body))


def create(api, access, name, expires=None, path="/private_tokens/"):
    expires = expires or in_days(30)
    body = {"name": name, "expiration_time": expires}
    created = expect(api.call("POST", path, access, body), 201).json
    assert list(created) == ["id", "name", "expiration_time", "data"], created
    assert isinstance(created["id"], int) and created["name"] == name
    assert second(created["expiration_time"]) == second(expires)
    private = claims(created["data"])
    assert private["token_type"] == "private" and private["exp"] == second(expires)
    return created


def private_tokens(api, email, password):
    access = log_in(api, email, password)["access_token"]
    one = create(api, access, "ci ä 100%")
    two = create(api, access, "Deploy", in_days(366), path="/private_tokens")
    create(api, access, "zz_last", in_days(1))
    expect(api.me(one["data"]), 200)

    listed = expect(api.call("GET", "/private_tokens/", access), 200).json
    assert list(listed) == ["count", "next", "previous", "results"]
    assert listed["count"] == 3 and listed["next"] is None and listed["previous"] is None
    for token in listed["results"]:
        keys = ["id", "name", "expiration_time", "created_at", "last_used_at"]
        assert list(token) == keys, token
    assert one["data"] not in json.dumps(listed)

    def names(query):
        listed = expect(api.call("GET", "/private_tokens" + query, access), 200).json
        return [token["name"] for token in listed["results"]]

    assert names("/?ordering=-id") == ["zz_last", "Deploy", "ci ä 100%"]
    assert names("?ordering=expiration_time") == ["zz_last", "ci ä 100%", "Deploy"]
    assert names("/?ordering=-name") == ["zz_last", "ci ä 100%", "Deploy"]
    assert names("/?ordering=nonsense,id") == ["ci ä 100%", "Deploy", "zz_last"]
    assert names("/?q=" + urllib.parse.quote("CI Ä")) == ["ci ä 100%"]
    assert names("/?q=%25") == ["ci ä 100%"]
    assert names("/?q=_") == ["zz_last"]
    assert names("/?page_size=nonsense") == ["ci ä 100%", "Deploy", "zz_last"]

    # Follows the links through all pages.
    url, seen = api.auth + "/private_tokens/?page_size=1&ordering=-id&q=", []
    while url:
        page = expect(api.call("GET", url, access), 200).json
        seen += [token["id"] for token in page["results"]]
        url = page["next"]
    assert seen == sorted(seen, reverse=True) and len(seen) == 3, seen
    back = page["previous"]
    assert back.startswith(api.root) and "page_size=1" in back and "ordering=-id" in back, back
    last = expect(api.call("GET", "/private_tokens/?page=last&page_size=2", access), 200).json
    assert len(last["results"]) == 1 and last["next"] is None
    gone = api.call("GET", "/private_tokens/?page=9", access)
    expect(gone, 404, {"detail": "Invalid page."})

    # Rotation: immediately, and with an overlap.
    body = {"expiration_time": in_days(60)}
    rotated = expect(api.call("POST", f"/private_tokens/{one['id']}/rotate/", access, body), 201).json
    assert rotated["name"] == one["name"] and rotated["id"] != one["id"]
    not_valid(api.me(one["data"]))
    expect(api.me(rotated["data"]), 200)
    body["overlap_seconds"] = 600
    newer = expect(api.call("POST", f"/private_tokens/{two['id']}/rotate", access, body), 201).json
    expect(api.me(two["data"]), 200)
    expect(api.me(newer["data"]), 200)

    # Revocation: the next request is rejected.
    assert expect(api.call("DELETE", f"/private_tokens/{newer['id']}/", access), 204).body == b""
    not_valid(api.me(newer["data"]))
    again = api.call("DELETE", f"/private_tokens/{newer['id']}/", access)
    expect(again, 404, {"detail": "Not found."})

    # A private token cannot manage tokens.
    for method, path in (
        ("GET", "/private_tokens/"), ("POST", "/private_tokens/"), ("POST", "/revoke_all/"),
        ("POST", "/logout/"), ("DELETE", f"/private_tokens/{rotated['id']}/"),
        ("POST", f"/private_tokens/{rotated['id']}/rotate/"),
    ):
        not_valid(api.call(method, path, rotated["data"]))


def bad_input(api, email, password):
    access = log_in(api, email, password)["access_token"]
    count = expect(api.call("GET", "/private_tokens/", access), 200).json["count"]
    good = {"name": "x", "expiration_time": in_days(1)}
    for field, value in (
        ("name", None), ("name", ""), ("name", "  "), ("name", ["x"]), ("name", True),
        ("name", "x" * 256), ("expiration_time", None), ("expiration_time", ""),
        ("expiration_time", "tomorrow"), ("expiration_time", 5), ("expiration_time", in_days(-1)),
        ("expiration_time", in_days(367)), ("expiration_time", in_days(1).rstrip("Z")),
    ):
        answer = expect(api.call("POST", "/private_tokens/", access, {**good, field: value}), 400)
        assert list(answer.json) == [field] and len(answer.json[field]) == 1, answer
    missing = api.call("POST", "/private_tokens/", access, {"name": "x"})
    expect(missing, 400, {"expiration_time": REQUIRED})
    for raw in (b"{", b'{"name":"\xff"}', b""):
        expect(api.call("POST", "/private_tokens/", access, raw=raw), 400)
    malformed = api.call("POST", "/login/", raw=b"{")
    assert expect(malformed, 400).json["detail"].startswith("JSON parse error - ")
    text = api.call("POST", "/login/", raw=b"x", headers={"Content-Type": "text/plain"})
    expect(text, 415, {"detail": 'Unsupported media type "text/plain" in request.'})
    large = api.call("POST", "/private_tokens/", access, {**good, "name": "x" * 1024 * 1024})
    assert expect(large, 413).json["detail"]
    method = api.call("GET", "/login/")
    expect(method, 405, {"detail": 'Method "GET" not allowed.'})
    assert "POST" in method.headers["Allow"]
    expect(api.call("GET", "/nothing/"), 404, {"detail": "Not found."})
    after = expect(api.call("GET", "/private_tokens/", access), 200).json["count"]
    assert after == count, "something was written"


def credentials(api, email, password):
    access = log_in(api, email, password)["access_token"]
    for headers in ({}, {"Authorization": "Basic YTpi"}):
        answer = api.call("GET", "/private_tokens/", headers=headers)
        assert (answer.status, answer.body) == (401, NOT_AUTHENTICATED), answer
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'
    head, payload, signature = access.split(".")
    for token in ("x", f"{head}.{payload}.", f"{head}.{payload}.{'A' * len(signature)}"):
        not_valid(api.me(token))
    for value in ("Bearer", "Bearer a b"):
        answer = api.call("GET", "/private_tokens/", headers={"Authorization": value})
        assert expect(answer, 400).json["code"] == "bad_authorization_header"
    keys = expect(api.call("GET", api.root + "/.well-known/jwks.json"), 200)
    assert header(access)["kid"] in [key["kid"] for key in keys.json["keys"]]
    assert not any("d" in key for key in keys.json["keys"])
    assert "max-age" in keys.headers["Cache-Control"]


def revoking_all(api, email, password):
    one, two = log_in(api, email, password), log_in(api, email, password)
    private = create(api, one["access_token"], "x")
    expect(api.call("POST", "/revoke_all/", one["access_token"]), 204)
    for token in (one["access_token"], two["access_token"], private["data"]):
        not_valid(api.me(token))
    not_valid(api.call("POST", "/refresh/", body={"refresh_token": two["refresh_token"]}))
    access = log_in(api, email, password)["access_token"]
    assert expect(api.call("GET", "/private_tokens/", access), 200).json["count"] == 0


def throttling(api, *_):
    for _ in range(30):
        answer = api.call("POST", "/login/", body={"username": "storm@example.org", "password": "x"})
        if answer.status == 429:
            wait = int(answer.headers["Retry-After"])
            unit = "second" if wait == 1 else "seconds"
            text = f"Request was throttled. Expected available in {wait} {unit}."
            expect(answer, 429, {"detail": text})
            return
        expect(answer, 401, NO_ACCOUNT)
    raise AssertionError("never throttled")


def main(root, email, password):
    api = Api(root)
    for step in (
        logging_in, refreshing, logging_out, private_tokens, bad_input, credentials, revoking_all,
        throttling,
    ):
        step(api, email, password)
        print("ok:", step.__name__.replace("_", " "))


if __name__ == "__main__":
    main(*sys.argv[1:])
