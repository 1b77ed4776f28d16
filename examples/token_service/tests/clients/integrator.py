"""A client as a typical integrator writes it: it logs in, keeps its token for an hour, and manages private tokens.

    python3 integrator.py http://127.0.0.1:3000/api/v1/auth ada@example.org PASSWORD COMPANY_ID

COMPANY_ID is the expected `company_id` of the account: a text, or `null`. It ignores all fields that it does not know.
`integrator.php` does the same in PHP.
"""

import datetime
import json
import sys
import time
import urllib.error
import urllib.request

# The client keeps a token for this long. The documentation promises it: `expires_in` does not exist.
KEEP_SECONDS = 3600


class ApiError(Exception):
    def __init__(self, status, body):
        super().__init__(f"{status} {body}")
        self.status, self.body = status, body

    @property
    def code(self):
        return self.body.get("code") if isinstance(self.body, dict) else None


class Client:
    def __init__(self, base, username, password, clock=time.time):
        self.base, self.clock = base.rstrip("/"), clock
        self.username, self.password = username, password
        self.access_token = self.refresh_token = self.company_id = None
        self.kept_until = 0
        # The calls that the client has sent, such as "POST /login/".
        self.sent = []

    def log_in(self):
        body = {"username": self.username, "password": self.password}
        answer = self.send("POST", "/login/", body)
        company_id = answer["company_id"]
        self.company_id = None if company_id is None else str(company_id)
        self.keep(answer)

    def refresh(self):
        self.keep(self.send("POST", "/refresh/", {"refresh_token": self.refresh_token}))

    def keep(self, answer):
        self.access_token, self.refresh_token = answer["access_token"], answer["refresh_token"]
        self.kept_until = self.clock() + KEEP_SECONDS

    def token(self):
        """A token for the next request: the kept one, a refreshed one, or that of a new log-in."""
        if self.access_token is not None and self.clock() < self.kept_until:
            return self.access_token
        self.renew()
        return self.access_token

    def renew(self):
        if self.refresh_token is None:
            return self.log_in()
        try:
            self.refresh()
        except ApiError as error:
            if error.code != "token_not_valid":
                raise
            self.log_in()

    def request(self, method, path, body=None):
        """A request with a token. It is sent once more if the service says that the token is not valid."""
        try:
            return self.send(method, path, body, self.token())
        except ApiError as error:
            if error.status != 401 or error.code != "token_not_valid":
                raise
        self.renew()
        return self.send(method, path, body, self.access_token)

    def create_private_token(self, name, days):
        at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
        expires = at.strftime("%Y-%m-%dT%H:%M:%SZ")
        return self.request("POST", "/private_tokens/", {"name": name, "expiration_time": expires})

    def list_private_tokens(self, page_size=2):
        """All private tokens, page by page. It follows `next` as it is."""
        url, found = f"/private_tokens/?page_size={page_size}&ordering=id", []
        while url is not None:
            page = self.request("GET", url)
            found += page["results"]
            url = page["next"]
        return found

    def revoke_private_token(self, token_id):
        self.request("DELETE", f"/private_tokens/{token_id}/")

    def send(self, method, path, body=None, token=None):
        url = path if path.startswith("http") else self.base + path
        self.sent.append(f"{method} {path}")
        request = urllib.request.Request(url, method=method)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        if token is not None:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                text = response.read()
        except urllib.error.HTTPError as error:
            with error:
                raise ApiError(error.code, read(error.read())) from None
        return read(text)


def read(text):
    return json.loads(text) if text else None


def calls_since(client, start):
    return [call.split("?")[0] for call in client.sent[start:]]


def use(base, username, password, company_id):
    now = [time.time()]
    client = Client(base, username, password, clock=lambda: now[0])
    created = [client.create_private_token(f"integrator {number}", 30) for number in range(3)]
    assert client.company_id == (None if company_id == "null" else company_id), client.company_id
    assert all(isinstance(token["id"], int) and token["data"] for token in created), created
    # One log-in was enough.
    assert client.sent.count("POST /login/") == 1, client.sent
    print("ok: log in and create")

    listed = client.list_private_tokens()
    ids = [token["id"] for token in created]
    assert [token["id"] for token in listed if token["id"] in ids] == ids, listed
    links = [call.split(" ")[1] for call in client.sent if call.startswith("GET http")]
    assert links and all(link.startswith(base + "/private_tokens/?") for link in links), links
    print("ok: list, and every link has the prefix of the client")

    # The token is kept for an hour by the client's clock. Then it is refreshed.
    first, start = client.access_token, len(client.sent)
    now[0] += KEEP_SECONDS - 1
    client.list_private_tokens(page_size=100)
    assert calls_since(client, start) == ["GET /private_tokens/"] and client.access_token == first
    now[0] += 1
    client.list_private_tokens(page_size=100)
    assert calls_since(client, start)[1:] == ["POST /refresh/", "GET /private_tokens/"], client.sent
    assert client.access_token != first
    print("ok: keep for an hour, then refresh")

    client.revoke_private_token(ids[0])
    left = [token["id"] for token in client.list_private_tokens() if token["id"] in ids]
    assert left == ids[1:], left
    try:
        client.revoke_private_token(ids[0])
    except ApiError as error:
        assert error.status == 404, error
    else:
        raise AssertionError("revoked twice")
    print("ok: revoke")

    # Somebody revokes everything of the account. The client has to log in again, with one retry.
    client.request("POST", "/revoke_all/")
    start = len(client.sent)
    assert client.list_private_tokens() == []
    tried = ["GET /private_tokens/", "POST /refresh/", "POST /login/", "GET /private_tokens/"]
    assert calls_since(client, start) == tried, client.sent
    print("ok: one retry after token_not_valid")

    wrong = Client(base, username, password + "x")
    try:
        wrong.list_private_tokens()
    except ApiError as error:
        assert (error.status, error.code) == (401, "no_active_account"), error
        assert wrong.sent == ["POST /login/"], wrong.sent
    else:
        raise AssertionError("a wrong password was accepted")
    print("ok: no retry after a wrong password")


if __name__ == "__main__":
    use(*sys.argv[1:])
