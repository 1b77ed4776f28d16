"""Mints tokens with PyJWT, and publishes the keys as a JWK set: one JSON object on standard output.

{"jwks": {...}, "good": {name: token}, "bad": {name: token}}
"""

import base64
import hashlib
import hmac
import json
import sys
import time

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER, AUDIENCE, SECRET = "https://pyjwt.example", "api://interop", sys.argv[1]

rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
other_rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
keys = {}
for alg in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]:
    keys[alg] = (rsa_key, RSAAlgorithm.to_jwk(rsa_key.public_key(), as_dict=True))
for alg, curve in [("ES256", ec.SECP256R1()), ("ES384", ec.SECP384R1()), ("ES512", ec.SECP521R1())]:
    key = ec.generate_private_key(curve)
    keys[alg] = (key, ECAlgorithm.to_jwk(key.public_key(), as_dict=True))
key = ed25519.Ed25519PrivateKey.generate()
keys["EdDSA"] = (key, OKPAlgorithm.to_jwk(key.public_key(), as_dict=True))

jwks = []
for alg, (_, jwk) in keys.items():
    jwks.append({**{name: value for name, value in jwk.items() if name != "key_ops"}, "kid": f"key-{alg}", "alg": alg, "use": "sig"})

now = int(time.time())


def claims(**changes):
    all_claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "pyjwt-user", "iat": now, "exp": now + 600, "jti": "j1", "scope": "orders:read"}
    all_claims.update(changes)
    return {name: value for name, value in all_claims.items() if value is not None}


def mint(alg, key=None, kid=None, **changes):
    return jwt.encode(claims(**changes), key or keys[alg][0], algorithm=alg, headers={"kid": kid or f"key-{alg}"})


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def public_key_as_secret():
    """The classic confusion: HS256 with the text of the public key."""
    pem = rsa_key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    unsigned = b64(json.dumps({"alg": "HS256", "kid": "key-RS256"}).encode()) + "." + b64(json.dumps(claims()).encode())
    return unsigned + "." + b64(hmac.new(pem, unsigned.encode(), hashlib.sha256).digest())


def with_other_claims(token):
    header, _, signature = token.split(".")
    return ".".join([header, b64(json.dumps(claims(sub="root")).encode()), signature])


good = {alg: mint(alg) for alg in keys}
good["admin"] = mint("RS256", scope="orders:read admin")
good["audience list"] = mint("ES256", aud=["x", AUDIENCE])
bad = {
    "expired": mint("RS256", exp=now - 60),
    "no exp": mint("RS256", exp=None),
    "not yet valid": mint("RS256", nbf=now + 600),
    "wrong audience": mint("RS256", aud="api://other"),
    "no audience": mint("RS256", aud=None),
    "wrong issuer": mint("RS256", iss="https://other.example"),
    "another key under a known kid": mint("RS256", key=other_rsa_key),
    "unknown kid": mint("RS256", kid="unknown"),
    "kid of another algorithm": mint("PS256", kid="key-RS256"),
    "alg none": jwt.encode(claims(), None, algorithm="none", headers={"kid": "key-RS256"}),
    "public key as secret": public_key_as_secret(),
    "claims exchanged": with_other_claims(good["RS256"]),
    "shared secret": jwt.encode(claims(), SECRET, algorithm="HS256"),
}
hmac_good = {alg: jwt.encode(claims(), SECRET, algorithm=alg) for alg in ["HS256"]}
json.dump({"jwks": {"keys": jwks}, "good": good, "bad": bad, "hmac_good": hmac_good}, sys.stdout)
