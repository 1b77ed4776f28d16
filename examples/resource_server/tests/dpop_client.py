"""A client that makes its proofs with the Python library `requests_oauth2client`: dpop_client.py URL SECRET ISSUER AUDIENCE.

It prints one line for each algorithm: the status of a request. The library repeats a request that needs a nonce.
"""

import sys
import time

import jwt
import requests
from requests_oauth2client import DPoPKey, DPoPToken

url, secret, issuer, audience = sys.argv[1:]

for alg in ["ES256", "ES384", "RS256", "PS256", "EdDSA"]:
    key = DPoPKey.generate(alg=alg)
    claims = {
        "iss": issuer,
        "aud": audience,
        "sub": "alice",
        "exp": int(time.time()) + 300,
        "cnf": {"jkt": key.dpop_jkt},
    }
    token = DPoPToken(access_token=jwt.encode(claims, secret, algorithm="HS256"), _dpop_key=key)
    response = requests.get(url, auth=token, timeout=30)
    print(alg, response.status_code, response.json().get("sub"))
    as_bearer = {"Authorization": f"Bearer {token.access_token}"}
    print(alg, requests.get(url, headers=as_bearer, timeout=30).json()["code"])
