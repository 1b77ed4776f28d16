#!/usr/bin/env python3
"""Writes the seeds of the targets whose input is text, from the fixtures of the tests: `fuzz/seeds.py`.

It also writes seeds of `router`: calls that are encoded as `arbitrary` decodes them. `.ci/fuzz seeds` selects the
seeds of the other targets from the inputs that a long run has found.
"""

import base64, hashlib, hmac, json, pathlib, shutil

HERE = pathlib.Path(__file__).parent
FIXTURES = HERE.parent / "tests" / "fixtures"
SECRET = b"a secret of the fuzz targets, long enough for HMAC with SHA-512."
ISS_AUD = '"iss":"https://issuer.example","aud":"api://orders"'


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def hs256(header: str, claims: str) -> str:
    signed = f"{base64url(header.encode())}.{base64url(claims.encode())}"
    return f"{signed}.{base64url(hmac.digest(SECRET, signed.encode(), hashlib.sha256))}"


def write(target: str, seeds: dict[str, bytes]) -> None:
    room = HERE / "seeds" / target
    shutil.rmtree(room, ignore_errors=True)
    room.mkdir(parents=True)
    for name, seed in seeds.items():
        (room / name).write_bytes(seed)


HEADERS = {
    "plain": '{"alg":"HS256"}',
    "usual": '{"typ":"JWT","alg":"HS256","kid":"hs"}',
    "access": '{"typ":"application/at+jwt","alg":"HS256"}',
    "escaped": '{"\\u0061lg":"HS\\u0032\\u00356","x":"\\ud83d\\ude00"}',
    "critical": '{"alg":"HS256","crit":["exp"],"exp":1}',
    "unencoded": '{"alg":"HS256","b64":false,"crit":["b64"]}',
    "nested": '{"alg":"HS256","cty":"JWT"}',
    "own_key": '{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"},"jku":"https://a.example"}',
    "none": '{"alg":"none"}',
    "twice": '{"alg":"none","alg":"HS256"}',
    "other_key": '{"alg":"ES256","kid":"es"}',
    "spaces": ' {\t"alg"\r:\n"HS256" } ',
}

# RFC 7515 appendix A.1: a token from another implementation, with white space inside.
RFC7515 = (
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
    "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)

TIMES = f'{{{ISS_AUD},"exp":1800000060}}'
GOOD = hs256(HEADERS["usual"], TIMES)
TOKENS = {f"token_{name}": hs256(header, TIMES) for name, header in HEADERS.items()} | {
    "token_rfc7515": RFC7515,
    "token_unsigned": GOOD.rsplit(".", 1)[0] + ".",
    "token_padded": GOOD + "=",
    "token_four_parts": GOOD + ".AAAA",
    "token_without_payload": "AA..AA",
    "token_dots": "...",
}

write(
    "compact",
    {name: b"t" + token.encode()[:600] for name, token in TOKENS.items()}
    | {f"header_{name}": b"s" + header.encode() + b"\0{}" for name, header in HEADERS.items()},
)

MEMBERS = {
    "names": '"sub":"a","jti":"b","sid":"c"',
    "scopes": '"scope":"read  write","scp":["admin","x"]',
    "spaced_scope": '"scp":["read admin"]',
    "times": '"nbf":1799999999.75,"iat":1.8e9',
    "far_times": '"iat":1800000031,"nbf":9007199254740993',
    "null": '"sub":null',
    "cnf": '"cnf":{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}',
    "refresh": '"token_type":"refresh"',
    "tagged": '"token_type":"private","jti":"1","small":3',
    "types": '"flag":true,"small":-128,"large":18446744073709551615,"real":1.5,"letter":"\\u00e9"',
    "more_types": '"role":{"owner":{"of":"a"}},"pair":[1,"b"],"unit":null,"other_name":"c"',
    "maps": '"nested":{"list":[1,null],"nested":{}},"numbers":{"1":-2,"65535":3}',
    "twice": '"x":{"y":1,"\\u0079":2}',
    "deep": '"x":' + "[" * 31 + "]" * 31,
    "too_deep": '"x":' + "[" * 32 + "]" * 32,
    "many": ",".join(f'"m{n}":{n}' for n in range(20)),
    "numbers_": '"x":[-0,0.5e-300,1e308,1e-999,123456789012345678901234567890]',
    "overflow": '"x":1e309',
    "escapes": '"\\u0073ub":"\\"\\\\\\/\\b\\f\\n\\r\\t\\ud83d\\ude00"',
    "surrogate": '"x":"\\ud800"',
    "raw_value": '"$serde_json::private::RawValue":"1"',
}
OTHERS = {
    "audiences": '"aud":["a","api://orders"],"exp":1800000060',
    "fraction": '"aud":"api://orders","exp":1799999970.999999999999999999999',
    "exponent": '"aud":"api://orders","exp":18000000600e-1',
    "zeros": '"aud":"api://orders","exp":0.0000000018e18',
    "edge": '"aud":"api://orders","exp":1799999971',
    "text": '"aud":"api://orders","exp":"1800000060"',
    "nobody": '"aud":[],"exp":1800000060',
}
write(
    "claims",
    {f"members_{name}": b"1" + members.encode() for name, members in MEMBERS.items()}
    | {f"beside_iss_{name}": b"2" + members.encode() for name, members in OTHERS.items()}
    | {"whole": b"0" + TIMES.encode(), "whole_spaces": b"0 {\r\n} ", "whole_array": b"0[1]"},
)

PROOF_HEADERS = {
    "plain": '{"typ":"dpop+jwt","alg":"ES256","jwk":{jwk}}',
    "long_type": '{"typ":"application/DPoP+jwt","alg":"ES256","jwk":{jwk}}',
    "other_type": '{"typ":"JWT","alg":"ES256","jwk":{jwk}}',
    "critical": '{"typ":"dpop+jwt","alg":"ES256","jwk":{jwk},"crit":["b64"]}',
    "none": '{"typ":"dpop+jwt","alg":"none","jwk":{jwk}}',
    "other_alg": '{"typ":"dpop+jwt","alg":"EdDSA","jwk":{jwk}}',
    "without_key": '{"typ":"dpop+jwt","alg":"ES256"}',
    "secret": '{"typ":"dpop+jwt","alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}',
    "private": (
        '{"typ":"dpop+jwt","alg":"ES256","jwk":{"kty":"EC","crv":"P-256","d":"AA",'
        '"x":"tvhQf3MwXw7wskGbPDk2g__wc1xhc4bgiwX2W_pwMm4",'
        '"y":"4k-_rAC69e5JsyK5LvoXGhjsGf0zoxBwTlZxa5ykuU8","use":"sig","key_ops":["verify"],"ext":true}}'
    ),
}
PROOF_HEADERS["with_purpose"] = PROOF_HEADERS["private"].replace('"d":"AA",', '"d":null,"alg":"ES256",')
PROOF_CLAIMS = {
    name: f'{{"jti":"a","htm":"{method}","htu":"{url}","iat":{date},"ath":"{{ath}}"{more}}}'
    for name, method, url, date, more in [
        ("plain", "GET", "https://api.example/v1/orders", 1800000000, ""),
        ("query", "GET", "HTTPS://API.Example:443/v1/./orders?x=1#y", "1.8e9", ',"nonce":"x"'),
        ("encoded", "GET", "https://api.example/v1/%6frders", 1799999940, ""),
        ("dots", "GET", "https://api.example/v1/../v1/orders", 1800000030, ""),
        ("old", "GET", "https://api.example/v1/orders", 1799999939, ""),
        ("future", "GET", "https://api.example/v1/orders", 1800000031, ""),
        ("method", "get", "https://api.example/v1/orders", 1800000000, ""),
        ("host", "GET", "https://api.example.evil/v1/orders", 1800000000, ""),
        ("base", "GET", "https://api.example/orders", 1800000000, ""),
        ("twice", "GET", "https://api.example/v1/orders", 1800000000, ',"\\u0068tm":"GET"'),
        ("number", "GET", "https://api.example/v1/orders", 1800000000, ',"nonce":1'),
    ]
}
write(
    "proof",
    {
        f"header_{name}": b"\0\1" + header.encode() + b"\0" + PROOF_CLAIMS["plain"].encode()
        for name, header in PROOF_HEADERS.items()
    }
    | {
        f"claims_{name}": b"\0\1" + PROOF_HEADERS["plain"].encode() + b"\0" + claims.encode()
        for name, claims in PROOF_CLAIMS.items()
    }
    | {f"text_{name}": b"\0\0" + token.encode()[:600] for name, token in TOKENS.items()},
)

KEYS = {key["kid"]: key for key in json.loads((FIXTURES / "jwks.json").read_text())["keys"]}


def key_set(*keys: dict) -> bytes:
    return json.dumps({"keys": keys}, separators=(",", ":")).encode()


METADATA = '{"issuer":"https://issuer.example","jwks_uri":"https://keys.example/a"}'
SMALL = {name: key for name, key in KEYS.items() if key["kty"] != "RSA"}
FIRST = next(iter(SMALL.values()))
write(
    "jwks",
    {f"key_{name}": b"0" + key_set(key) for name, key in KEYS.items()}
    | {
        "all_curves": b"0" + key_set(*SMALL.values()),
        "use_enc": b"0" + key_set(FIRST | {"use": "enc"}, FIRST),
        "key_ops": b"0" + key_set(FIRST | {"key_ops": ["verify", "sign"]}),
        "private": b"0" + key_set(FIRST | {"d": "AA"}, FIRST),
        "other_alg": b"0" + key_set(FIRST | {"alg": "RS256"}, FIRST),
        "secret": b"0" + key_set({"kty": "oct", "k": base64url(SECRET)}, FIRST),
        "no_json_inside": b'0{"keys":[{"a":nul},' + json.dumps(FIRST).encode() + b"]}",
        "twice": b'0{"keys":[],"keys":[]}',
        "metadata": b"1" + METADATA.encode() + b"\0" + key_set(FIRST),
        "metadata_http": b"1" + METADATA.replace("https://keys", "http://127.0.0.1").encode() + b"\0",
        "metadata_other": b"1" + METADATA.replace("issuer.ex", "other.ex").encode() + b"\0",
        "metadata_user": b"1" + METADATA.replace("keys.", "a:b@keys.").encode() + b"\0",
    },
)


class Calls:
    """A `Vec<Step>` of the target `router`: bytes that are read from the front, and lengths of texts at the end."""

    def __init__(self) -> None:
        self.front, self.lengths = b"", []

    @staticmethod
    def variant(index: int, count: int) -> bytes:
        return (-(-index * 2**32 // count)).to_bytes(4, "little")

    def step(self, call: int, fields: bytes, bearer: int, minutes: int = 0) -> "Calls":
        advance = self.variant(2, 3) + bytes([minutes]) if minutes else self.variant(0, 3)
        plain = self.variant(0, 5)
        self.front += b"\1" + self.variant(call, 10) + fields + bytes([bearer]) + advance + plain
        return self

    def log_in(self, who: int = 0) -> "Calls":
        return self.step(0, self.variant(who, 3) + self.variant(0, 4), 255)

    def refresh(self, token: int) -> "Calls":
        return self.step(1, bytes([token]), 255)

    def log_out(self, token: int, bearer: int) -> "Calls":
        return self.step(2, bytes([token]), bearer)

    def create(self, bearer: int, name: bytes = b"a") -> "Calls":
        self.lengths.append(len(name))
        return self.step(3, name + self.variant(0, 3), bearer)

    def list(self, bearer: int) -> "Calls":
        return self.step(4, b"\0", bearer)

    def rotate(self, token: int, bearer: int) -> "Calls":
        return self.step(5, bytes([token]) + self.variant(0, 3) + b"\0", bearer)

    def delete(self, token: int, bearer: int) -> "Calls":
        return self.step(6, bytes([token]), bearer)

    def revoke_all(self, bearer: int, minutes: int = 0) -> "Calls":
        return self.step(7, b"", bearer, minutes)

    def seed(self) -> bytes:
        return self.front + b"\0" + bytes(reversed(self.lengths))


# A log-in makes tokens 0 (access) and 1 (refresh). Later tokens have the next numbers.
write(
    "router",
    {
        "create_and_list": Calls().log_in().create(0).list(0).seed(),
        "create_and_delete": Calls().log_in().create(0).delete(2, 0).seed(),
        "delete_with_a_private_token": Calls().log_in().create(0).delete(2, 2).seed(),
        "rotate": Calls().log_in().create(0).rotate(2, 0).list(0).seed(),
        "two_people": Calls().log_in(0).log_in(1).create(0).delete(4, 2).rotate(4, 2).seed(),
        "refresh": Calls().log_in().refresh(1).refresh(3).seed(),
        "refresh_twice": Calls().log_in().refresh(1).refresh(1).seed(),
        "log_out": Calls().log_in().log_out(1, 0).refresh(1).seed(),
        "revoke_all": Calls().log_in().create(0).revoke_all(0).log_in().create(3).seed(),
        "expired": Calls().log_in().create(0).revoke_all(0, 61).seed(),
    },
)
