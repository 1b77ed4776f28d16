//! Attack by attack: the threat, the answer, and the test that shows it.
//!
//! The numbers are those of the project's list of attacks, which the tests carry in their names; numbers that are missing
//! do not apply to a layer like this. "401" is always the one documented answer, the same bytes whatever was wrong; the
//! reason beside it is the [`RejectionKind`](crate::RejectionKind) that logs and metrics see. Tests of
//! `tests/layer/attacks/` send the attack over HTTP to a real server, beside a twin that is the same request without the
//! attack and passes.
//!
//! # The algorithm
//!
//! The key decides, never the token: each [`Key`](crate::Key) is bound to one algorithm when it is loaded (RFC 8725 section
//! 3.1).
//!
//! | # | threat | answer | shown by |
//! |---|---|---|---|
//! | 1 | `alg` of `none` and no signature: the token vouches for itself | 401 `unsupported_algorithm`; there is no such algorithm here | `layer/attacks/algorithms.rs` `row_01` |
//! | 2 | `None`, `nOnE`, `rs256`: spellings that a lenient comparison takes for the real name | 401; names are compared byte by byte with those that are known | `layer/attacks/algorithms.rs` `row_02` |
//! | 3 | `alg` that is missing, a number, a list, empty, or has a NUL at its end | 401 `malformed_header` or `unsupported_algorithm`, without a panic | `layer/attacks/algorithms.rs` `row_03` |
//! | 4 | `HS256` with the public key as the secret (CVE-2015-9235 and many after it) | 401 `algorithm_mismatch`; and a text that is a public key is refused as a secret when it is loaded | `layer/attacks/algorithms.rs` `row_04` |
//! | 5 | an RSA key without `alg`, taken for an empty HMAC secret | 401; without `alg` an RSA key is one for RS256 | `layer/attacks/algorithms.rs` `row_05` |
//!
//! # Secrets and keys
//!
//! Weak keys are refused when they are loaded, so no request ever depends on one.
//!
//! | # | threat | answer | shown by |
//! |---|---|---|---|
//! | 6 | an empty HMAC secret: everybody knows it | [`ConfigError::SecretTooShort`](crate::ConfigError::SecretTooShort), even where short ones are allowed | `layer/attacks/keys.rs` `row_06` |
//! | 7 | a secret shorter than its hash (RFC 7518 section 3.2) | the same, unless [`allow_short_secret`](crate::Key::allow_short_secret) is called | `layer/attacks/keys.rs` `row_07` |
//! | 8 | a secret that is long and can still be guessed | **out of reach**: only the length can be checked. Make secrets with a random generator | `layer/attacks/keys.rs` `row_08` |
//! | 9 | the token brings its own key in `jwk` (CVE-2018-0114) | the member is ignored: 401 if nobody else vouches for the token, and a good token that has one passes | `layer/attacks/keys.rs` `row_09` |
//! | 10 | `jku`, `x5u`, `x5c` name a key, or make the server call an address | ignored likewise; no connection is made | `layer/attacks/keys.rs` `row_10` |
//! | 11 | a `kid` that is a path, SQL, a command, a megabyte | 401; a `kid` is compared with names in memory and used for nothing else | `layer/attacks/keys.rs` `row_11` |
//! | 12 | thousands of tokens with made-up `kid`s, each causing a fetch | one fetch in 30 seconds for each source; 64 requests wait, the others are answered at once | `keys/flood.rs` `ten_thousand` |
//! | 13 | two keys of one set with the same `kid` | each one that fits is tried, 4 at most | `layer/attacks/keys.rs` `row_13` |
//! | 14 | symmetric keys in a published set | left out, one by one; the rest of the set is used | `layer/attacks/keys.rs` `row_14` |
//! | 15 | a key for encryption, or without `verify` among its operations | left out likewise | `layer/attacks/keys.rs` `row_15` |
//! | 16 | a token whose `alg` is another than its key's | 401 `algorithm_mismatch` | `layer/attacks/algorithms.rs` `row_16` |
//! | 17 | a key on another curve, or a point that is on none | refused when it is loaded | `layer/attacks/keys.rs` `row_17` |
//!
//! # Signatures, and RSA
//!
//! | # | threat | answer | shown by |
//! |---|---|---|---|
//! | 18 | an ECDSA signature of zeros (CVE-2022-21449) | 401 `bad_signature` | `layer/attacks/signatures.rs` `row_18` |
//! | 19 | `r` and `s` at the edges of the group | 401 | `layer/attacks/signatures.rs` `row_19` |
//! | 20 | an ECDSA signature in DER, which is a second spelling | 401; the length is fixed (RFC 7518 section 3.4) | `layer/attacks/signatures.rs` `row_20` |
//! | 21 | one that is too long, too short, or filled up with zeros | 401 | `layer/attacks/signatures.rs` `row_21` |
//! | 22 | the other good ECDSA signature, which anybody can compute: a second text of one token | accepted, as it has to be; but a revocation names the token by its id or by the hash of header and claims, never by its signature, so both texts fall together | `layer/attacks/signatures.rs` `row_22` |
//! | 23 | Ed25519 with an `S` beyond the order, keys of small order or with a second encoding | 401; such keys are refused when they are loaded | `layer/attacks/signatures.rs` `row_23` |
//! | 24 | RSA padding with something in it (Bleichenbacher's forgery) | 401 | `layer/attacks/signatures.rs` `row_24` |
//! | 25 | RSA with an exponent of 1, or of 1024 bits | refused when it is loaded. Keys with the ROCA weakness are **not** recognised | `layer/attacks/keys.rs` `row_25` |
//! | 26 | PSS with another salt length, hash or mask | 401; the salt is as long as the hash | `layer/attacks/signatures.rs` `row_26` |
//!
//! # The token's text
//!
//! One token has one spelling. That is what makes it safe to remember tokens by their text.
//!
//! | # | threat | answer | shown by |
//! |---|---|---|---|
//! | 27 | parts that are missing, empty or too many | 401 `malformed_token` | `layer/attacks/text.rs` `row_27` |
//! | 28 | thousands of dots, each costing memory | 401; dots are counted, nothing is split | `layer/attacks/text.rs` `row_28` |
//! | 29 | the JSON serialisation of a JWS, or an encrypted token | 401, or 400 where the bytes are no Bearer credential | `layer/attacks/text.rs` `row_29` |
//! | 30 | `crit`, which says "do not accept me unless you know this" | 401 `unsupported_header`, whatever is in it | `layer/attacks/text.rs` `row_30` |
//! | 31 | `b64` of `false`: the payload is not what it seems (RFC 7797 section 7) | 401 `unsupported_header` | `layer/attacks/text.rs` `row_31` |
//! | 32 | a name that stands twice, so that two readers read two tokens | 401, at every level, in header and claims | `layer/attacks/json.rs` `row_32` |
//! | 33 | names in escapes, a byte order mark, UTF-16, half of a surrogate pair | an escaped name is the same name, and so may be a duplicate; the others are 401 | `layer/attacks/json.rs` `row_33` |
//! | 34 | header or claims that are no object, or go on after it | 401 | `layer/attacks/json.rs` `row_34` |
//! | 35 | deep nesting, numbers without end | 401; 32 levels at most, and no number that a `f64` cannot hold | `layer/attacks/json.rs` `row_35` |
//! | 36 | base64 with padding, other bits at its end, white space | 401; so are the tokens of AWS Application Load Balancers, which are padded | `layer/attacks/text.rs` `row_36` |
//! | 37 | a token of megabytes | 401 before anything else is done with it | `layer/attacks/text.rs` `row_37` |
//! | 38 | compressed or password-based encrypted tokens, which cost far more than they weigh (CVE-2024-28180) | 401: nothing is decompressed and no password stretched. `zip` is a member of encrypted tokens, and is ignored in a signed one (RFC 7515 section 4): a compressed payload is not JSON | `layer/attacks/text.rs` `row_38` |
//! | 39 | a token in a token, of which one is checked and the other used | 401 | `layer/attacks/text.rs` `row_39` |
//! | 75 | another crate of the build enables a feature of serde_json, such as `arbitrary_precision`, which changes what a number is to an untagged enum | the layer reads claims without serde_json: the same claims, the same variant. A claim of type `RawValue` keeps the text of the token | `unification/tests/row_75.rs` `a_number_gets_the_same_variant`, `unification/tests/row_75.rs` `a_nested_number_gets_the_same_variant` |
//!
//! # Times
//!
//! | # | threat | answer | shown by |
//! |---|---|---|---|
//! | 40 | an `exp` of another type, taken for none | 401 `invalid_claim` | `layer/attacks/claims.rs` `row_40` |
//! | 41 | an `exp` below zero, beyond 2^53, infinite | 401; no overflow | `layer/attacks/claims.rs` `row_41` |
//! | 42 | an `exp` with a fraction, which RFC 7519 allows | accepted; the fraction is cut off | `layer/attacks/claims.rs` `row_42` |
//! | 43 | no `exp` | 401 `missing_claim` | `layer/attacks/claims.rs` `row_43` |
//! | 44 | `nbf` or `iat` in the future, or of another type | 401 beyond the leeway | `layer/attacks/claims.rs` `row_44` |
//! | 45 | leeway that overflows at either end of time | sums stop at their limits | `layer/attacks/claims.rs` `row_45` |
//!
//! # Who it is from, and for whom
//!
//! | # | threat | answer | shown by |
//! |---|---|---|---|
//! | 46 | an `aud` that is empty, of another type, or only has the right text in it (CVE-2020-26160) | 401 unless one member is exactly the audience | `layer/attacks/claims.rs` `row_46` |
//! | 47 | an `aud` with another scheme, case or a slash more | 401; bytes are compared | `layer/attacks/claims.rs` `row_47` |
//! | 48 | an `iss` that is a part of the name, or looks like it | 401 `unknown_issuer` | `layer/attacks/claims.rs` `row_48` |
//! | 49 | an `iss` that makes the server fetch keys from the attacker | nothing is fetched but what is configured | `layer/attacks/claims.rs` `row_49`, `keys/flood.rs` `addresses_in_tokens` |
//! | 50 | a key of one issuer signs in the name of another | 401: `iss` selects whose keys are tried (RFC 8725 section 3.8) | `layer/attacks/claims.rs` `row_50` |
//! | 51 | `sub`, `jti`, `sid` that are no strings | 401 `invalid_claim` | `layer/attacks/claims.rs` `row_51` |
//! | 52 | an id token, a log-out token or a refresh token in place of an access token | 401 by `typ`, `token_type` or `aud`; [`require_typ("at+jwt")`](crate::Issuer::require_typ) tells all of them apart where the issuer follows RFC 9068 | `layer/attacks/claims.rs` `row_52` |
//! | 53 | a token that is bound to a key (DPoP, mTLS), sent without the proof | 401 `unverified_confirmation` | `layer/attacks/claims.rs` `row_53` |
//!
//! # The credential
//!
//! | # | threat | answer | shown by |
//! |---|---|---|---|
//! | 54 | two credentials, a folded line, no space, no token: two servers see two tokens | 400; which one was meant is not guessed | `layer/attacks/credentials.rs` `row_54` |
//! | 55 | bytes beyond ASCII, which some readers take for "no header" | refused, never taken for none | `layer/attacks/credentials.rs` `row_55` |
//! | 56 | a token in query, cookie or form, which another site can send | not looked at unless allowed; then a second one is 400 | `layer/attacks/credentials.rs` `row_56` |
//! | 73 | HTTP/2 carries white space around `Authorization`, which an HTTP/1 server behind the layer trims: `" Bearer x"` is no credential here and one there. The same with `Basic x, Bearer y`, `session =x` and `access%5Ftoken=x` | 400 if the scheme cannot be parsed; an optional layer also answers 400 if another reader could find a token; what looks like the credential is removed with it | `layer/attacks/credentials.rs` `row_73` |
//! | 74 | an `OPTIONS` request that looks like a CORS preflight and has content, so that a gRPC method runs without a token | a request is a preflight only if its body says that it has ended; others need a token | `layer/attacks/credentials.rs` `row_74`, `layer/hosts.rs` `tonic_runs_no_unary_method_on_options_with_content` |
//!
//! # What is remembered
//!
//! | # | threat | answer | shown by |
//! |---|---|---|---|
//! | 58 | two tokens with one key in the cache: one user becomes another | the whole text is the key, compared byte by byte | `layer/attacks/state.rs` `row_58` |
//! | 59 | a remembered token that has expired, lost its key or was revoked | all three are looked at on every hit | `layer/attacks/state.rs` `row_59` |
//! | 60 | random tokens that fill the memory | what failed is not remembered; what passed, within a bound in bytes | `layer/attacks/state.rs` `row_60` |
//! | 61 | a revocation store that is down, slow or lies | 503 by default; a known denial wins over whatever it says | `layer/attacks/state.rs` `row_61` |
//!
//! # Servers of keys
//!
//! | # | threat | answer | shown by |
//! |---|---|---|---|
//! | 62 | a server that is slow, endless, redirects inwards, or answers HTML | a failed attempt: the last good keys stay, and [`health`](crate::jwks::RemoteJwks::health) tells why | `keys/answers.rs` `no_bad_answer` |
//! | 63 | a set that is suddenly empty | likewise: it never replaces a good one | `keys/answers.rs` `no_bad_answer_replaces_good_keys` |
//!
//! # What an answer gives away
//!
//! | # | threat | answer | shown by |
//! |---|---|---|---|
//! | 64 | telling "unknown key", "bad signature" and "expired" apart, by bytes or by order | the same bytes, and no claim but `iss` counts before the signature has verified. Comparing in constant time is the cryptographic library's part, which no test here measures; that a malformed token is refused sooner than a forged one is not hidden | `layer/attacks/answers.rs` `row_64`, `telemetry/secrecy/refusals.rs` `every_bad_token_gets_the_same_bytes` |
//! | 65 | a log-in that tells unknown users from wrong passwords | one answer, and one hash for each; see [`Passwords`](crate::issuing::Passwords) | `token_api/login.rs` `wrong_password_and_unknown_user_are_one_answer` |
//! | 66 | tokens and claims in logs, `Debug`, errors | none of them; public types print nothing of a token | `layer/attacks/answers.rs` `row_66`, `telemetry/secrecy/printed.rs` `no_public_type_prints`, `telemetry/secrecy/logged.rs` `the_log_has_reasons` |
//! | 67 | a header of the answer that is written by the attacker | nothing of a request stands in a header | `layer/attacks/answers.rs` `row_67` |
//! | 68 | a refusal that a shared cache keeps and gives to others | `Cache-Control: no-store` | `layer/attacks/answers.rs` `row_68` |
//!
//! # Ways around
//!
//! | # | threat | answer | shown by |
//! |---|---|---|---|
//! | 71 | requests that go away while keys are fetched, or several that wait for one fetch | a fetch belongs to nobody: who goes away ends none, and holds no place of the service meanwhile | `keys/waiting.rs` `many_requests_that_go_away` |
//! | 72 | `HEAD`, `OPTIONS`, `CONNECT`, an upgrade, an odd path, a request that claims to be gRPC | every request needs a token, whatever it is | `layer/attacks/answers.rs` `row_72` |
//!
//! # Revocation and load
//!
//! | # | threat | answer | shown by |
//! |---|---|---|---|
//! | 76 | a log-in, refresh or token creation that is in progress while its subject is revoked | 401: a log-in counts from the moment its credentials were read, and nothing that it created is valid | `../src/issuing/tests/overtaken.rs` `with_the_memory_store_nothing_survives_a_revocation`, `../src/issuing/store/sql/tests/log_ins.rs` `nothing_survives_a_revocation` |
//! | 77 | a dead refresh token that is replayed thousands of times, dropped calls while the database stalls, half a million tokens of one owner | revocation still succeeds within its time limit | `../src/issuing/store/sql/tests/replays.rs` `replays_of_a_used_refresh_token_block_no_revocation`, `../src/issuing/store/sql/tests/connections.rs` `dropped_calls_never_exceed_the_pools`, `../src/issuing/store/sql/tests/many.rs` `postgres_revokes_half_a_million_rows_at_once` |
//! | 78 | issuer metadata that leads to loopback or link-local addresses, also over https | refused, unless the issuer itself is there; private networks stay allowed | `keys/discovery.rs` `an_issuer_elsewhere_does_not_send`, `../src/jwks/local.rs` `every_spelling_of_this_machine_and_its_link_is_local` |
//!
//! # What no layer can do
//!
//! * **A stolen token opens the door until it expires or is revoked.** Keep lifetimes short, and revoke. Tokens that are
//!   bound to a key (DPoP, mTLS) need a check of that proof in front of this layer.
//! * **A secret that can be guessed** (row 8), **an issuer that signs what it should not**, and **a private key that
//!   leaks** are not seen from here. Revoke the key:
//!   [`Authenticator::revoke_key`](crate::Authenticator::revoke_key).
//! * **Plain HTTP** shows every token to whoever is on the way: TLS is the server's.
//! * **Floods** of any kind cost CPU time: a forged RS256 token costs a signature check. Limits by address belong in front
//!   of this layer, limits by user behind it.
