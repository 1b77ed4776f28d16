//! Attack by attack: the threat, the answer, and the test that shows it.
//!
//! * The numbers are those of the project's list of attacks. The tests have the same numbers in their names. Numbers
//!   that are missing here do not apply to this layer.
//! * "401" is always the same documented response, with the same bytes for every invalid token. The reason next to it
//!   is the [`RejectionKind`](crate::RejectionKind), which only logs, metrics and your own code see.
//! * Tests of `tests/layer/attacks/` send the attack over HTTP to a real server. Next to it they send a twin: the same
//!   request without the attack, which passes.
//!
//! # The algorithm
//!
//! The key decides about the algorithm, never the token. Each [`Key`](crate::Key) is bound to one algorithm when it is
//! loaded (RFC 8725 section 3.1).
//!
//! | # | threat | answer | test |
//! |---|---|---|---|
//! | 1 | `alg` is `none`, and there is no signature | 401 `unsupported_algorithm`; `none` is not an algorithm here | `tests/layer/attacks/algorithms.rs` `row_01` |
//! | 2 | `None`, `nOnE`, `rs256`: spellings that a lenient comparison accepts as the real name | 401; names are compared byte by byte | `tests/layer/attacks/algorithms.rs` `row_02` |
//! | 3 | `alg` is missing, a number, a list, empty, or ends with a NUL | 401 `malformed_header` or `unsupported_algorithm`, without a panic | `tests/layer/attacks/algorithms.rs` `row_03` |
//! | 4 | `HS256` with the public key as the secret (CVE-2015-9235 and many after it) | 401 `algorithm_mismatch`; also, the text of a public key is rejected as a secret when it is loaded | `tests/layer/attacks/algorithms.rs` `row_04` |
//! | 5 | an RSA key without `alg` is used as an empty HMAC secret | 401; an RSA key without `alg` is for RS256 | `tests/layer/attacks/algorithms.rs` `row_05` |
//!
//! # Secrets and keys
//!
//! Weak keys are rejected when they are loaded, so no request depends on one.
//!
//! | # | threat | answer | test |
//! |---|---|---|---|
//! | 6 | an empty HMAC secret, which every attacker knows | [`ConfigError::SecretTooShort`](crate::ConfigError::SecretTooShort), even if short secrets are allowed | `tests/layer/attacks/keys.rs` `row_06` |
//! | 7 | a secret shorter than its hash (RFC 7518 section 3.2) | the same, unless [`allow_short_secret`](crate::Key::allow_short_secret) is called | `tests/layer/attacks/keys.rs` `row_07` |
//! | 8 | a secret that is long enough and can still be guessed | **not covered**: only the length can be checked. Make secrets with a random generator | `tests/layer/attacks/keys.rs` `row_08` |
//! | 9 | the token brings its own key in `jwk` (CVE-2018-0114) | the member is ignored. The token gets 401 unless a configured key verifies it. A valid token with such a member passes | `tests/layer/attacks/keys.rs` `row_09` |
//! | 10 | `jku`, `x5u`, `x5c` name a key, or make the server connect to an address | they are ignored too; no connection is made | `tests/layer/attacks/keys.rs` `row_10` |
//! | 11 | `kid` is a path, SQL, a command, or a megabyte long | 401; a `kid` is only compared with names in memory | `tests/layer/attacks/keys.rs` `row_11` |
//! | 12 | thousands of tokens with invented `kid`s, to cause a fetch each | one fetch in 30 seconds for each source; 64 requests wait, the others are answered at once | `tests/keys/flood.rs` `ten_thousand` |
//! | 13 | two keys of one set with the same `kid` | each key that fits is tried, at most 4 | `tests/layer/attacks/keys.rs` `row_13` |
//! | 14 | symmetric keys in a published key set | each is left out; the other keys are used | `tests/layer/attacks/keys.rs` `row_14` |
//! | 15 | a key for encryption, or without `verify` in `key_ops` | left out; the other keys are used | `tests/layer/attacks/keys.rs` `row_15` |
//! | 16 | the `alg` of the token is not that of its key | 401 `algorithm_mismatch` | `tests/layer/attacks/algorithms.rs` `row_16` |
//! | 17 | a key on another curve, or a point that is not on a curve | rejected when it is loaded | `tests/layer/attacks/keys.rs` `row_17` |
//!
//! # Signatures, and RSA
//!
//! | # | threat | answer | test |
//! |---|---|---|---|
//! | 18 | an ECDSA signature of zeros (CVE-2022-21449) | 401 `bad_signature` | `tests/layer/attacks/signatures.rs` `row_18` |
//! | 19 | `r` and `s` at the edges of the group | 401 | `tests/layer/attacks/signatures.rs` `row_19` |
//! | 20 | an ECDSA signature in DER, a second spelling | 401; the length is fixed (RFC 7518 section 3.4) | `tests/layer/attacks/signatures.rs` `row_20` |
//! | 21 | a signature that is too long, too short, or padded with zeros | 401 | `tests/layer/attacks/signatures.rs` `row_21` |
//! | 22 | the second valid ECDSA signature, which anyone can compute: a second text of one token | accepted, because it is valid. A revocation names the token by its id or by the hash of header and claims, never by its signature, so it covers both texts | `tests/layer/attacks/signatures.rs` `row_22` |
//! | 23 | Ed25519 with an `S` that is too large, keys of small order or with a second encoding | 401; such keys are rejected when they are loaded | `tests/layer/attacks/signatures.rs` `row_23` |
//! | 24 | RSA padding with hidden bytes (Bleichenbacher's forgery) | 401 | `tests/layer/attacks/signatures.rs` `row_24` |
//! | 25 | RSA with an exponent of 1, or with 1024 bits | rejected when it is loaded. Keys with the ROCA weakness are **not** recognised | `tests/layer/attacks/keys.rs` `row_25` |
//! | 26 | PSS with another salt length, hash or mask | 401; the salt is as long as the hash | `tests/layer/attacks/signatures.rs` `row_26` |
//!
//! # The token's text
//!
//! Each token has exactly one spelling. Therefore the token cache can use the text as its key.
//!
//! | # | threat | answer | test |
//! |---|---|---|---|
//! | 27 | a part is missing or empty, or there are too many parts | 401 `malformed_token` | `tests/layer/attacks/text.rs` `row_27` |
//! | 28 | thousands of dots, to use memory for each | 401; dots are counted, and the text is not split | `tests/layer/attacks/text.rs` `row_28` |
//! | 29 | the JSON serialisation of a JWS, or an encrypted token | 401, or 400 if the bytes are not a Bearer credential | `tests/layer/attacks/text.rs` `row_29` |
//! | 30 | `crit`, which lists extensions that the reader must know | 401 `unsupported_header`, for every value | `tests/layer/attacks/text.rs` `row_30` |
//! | 31 | `b64` is `false`: the payload has another encoding (RFC 7797 section 7) | 401 `unsupported_header` | `tests/layer/attacks/text.rs` `row_31` |
//! | 32 | a duplicate name, so that two readers see two tokens | 401, at every level, in header and claims | `tests/layer/attacks/json.rs` `row_32` |
//! | 33 | names with escapes, a byte order mark, UTF-16, half of a surrogate pair | an escaped name is the same name, so it can be a duplicate; the others are 401 | `tests/layer/attacks/json.rs` `row_33` |
//! | 34 | header or claims are not an object, or have more text behind it | 401 | `tests/layer/attacks/json.rs` `row_34` |
//! | 35 | deep nesting, very long numbers | 401; at most 32 levels, and no number that an `f64` cannot hold | `tests/layer/attacks/json.rs` `row_35` |
//! | 36 | base64 with padding, other bits at its end, or white space | 401; this includes the tokens of AWS Application Load Balancers, which are padded | `tests/layer/attacks/text.rs` `row_36` |
//! | 37 | a token of megabytes | 401 before any other work | `tests/layer/attacks/text.rs` `row_37` |
//! | 38 | compressed or password-based encrypted tokens, which cost much more time than their size suggests (CVE-2024-28180) | 401: the layer does not decompress, and derives no key from a password. `zip` belongs to encrypted tokens, and is ignored in a signed one (RFC 7515 section 4): a compressed payload is not JSON | `tests/layer/attacks/text.rs` `row_38` |
//! | 39 | a token inside a token: one is checked and the other is used | 401 | `tests/layer/attacks/text.rs` `row_39` |
//! | 75 | another crate of the build enables a feature of serde_json, such as `arbitrary_precision`, which changes how an untagged enum reads a number | the layer reads claims without serde_json: the same claims give the same variant. A claim of type `RawValue` keeps the text of the token | `tests/unification/tests/row_75.rs` `a_number_gets_the_same_variant`, `tests/unification/tests/row_75.rs` `a_nested_number_gets_the_same_variant` |
//!
//! # Times
//!
//! | # | threat | answer | test |
//! |---|---|---|---|
//! | 40 | `exp` has another type, and is taken for absent | 401 `invalid_claim` | `tests/layer/attacks/claims.rs` `row_40` |
//! | 41 | `exp` is negative, above 2^53, or infinite | 401; no overflow | `tests/layer/attacks/claims.rs` `row_41` |
//! | 42 | `exp` has a fraction, which RFC 7519 allows | accepted; the fraction is cut off | `tests/layer/attacks/claims.rs` `row_42` |
//! | 43 | `exp` is absent | 401 `missing_claim` | `tests/layer/attacks/claims.rs` `row_43` |
//! | 44 | `nbf` or `iat` is in the future, or has another type | 401 if it is beyond the leeway | `tests/layer/attacks/claims.rs` `row_44` |
//! | 45 | times at the limits, so that the leeway overflows | sums saturate at their limits | `tests/layer/attacks/claims.rs` `row_45` |
//!
//! # Issuer and audience
//!
//! | # | threat | answer | test |
//! |---|---|---|---|
//! | 46 | `aud` is empty, has another type, or only contains the right text (CVE-2020-26160) | 401 unless one member is exactly the audience | `tests/layer/attacks/claims.rs` `row_46` |
//! | 47 | `aud` has another scheme, another case, or a slash at the end | 401; bytes are compared | `tests/layer/attacks/claims.rs` `row_47` |
//! | 48 | `iss` is a part of the name, or looks like it | 401 `unknown_issuer` | `tests/layer/attacks/claims.rs` `row_48` |
//! | 49 | `iss` makes the server fetch keys from the attacker | only configured addresses are fetched | `tests/layer/attacks/claims.rs` `row_49`, `tests/keys/flood.rs` `addresses_in_tokens` |
//! | 50 | a key of one issuer signs in the name of another | 401: `iss` selects whose keys are tried (RFC 8725 section 3.8) | `tests/layer/attacks/claims.rs` `row_50` |
//! | 51 | `sub`, `jti` or `sid` is not a string | 401 `invalid_claim` | `tests/layer/attacks/claims.rs` `row_51` |
//! | 52 | an ID token, a log-out token or a refresh token instead of an access token | 401 by `typ`, `token_type`, `events` or `aud`; [`require_typ("at+jwt")`](crate::Issuer::require_typ) tells all of them apart if the issuer follows RFC 9068. A log-out token or security event (RFC 8417) is also rejected by its claim `events`, whatever its `typ`, its `aud` and the policy | `tests/layer/attacks/claims.rs` `row_52`, `tests/layer/attacks/claims.rs` `a_token_with_events_is_never_an_access_token` |
//!
//! # Security events
//!
//! | threat | answer | test |
//! |---|---|---|
//! | a transmitter names a subject of an issuer for which it may not speak | 400, and nothing is revoked | `tests/revocation/security_events.rs` `a_set_that_breaks_a_rule_is_refused_and_revokes_nothing` |
//! | a forged event, one for another audience, one without `typ`, with `alg` `none`, with duplicate members, from the future or too long | 400 or 413, and nothing is revoked | `tests/revocation/security_events.rs` `a_set_that_breaks_a_rule_is_refused_and_revokes_nothing`, `tests/revocation/security_events.rs` `the_endpoint_answers_as_rfc_8935_demands` |
//! | an event is used as an access token, or an access token as an event | 401; 400 | `tests/revocation/security_events.rs` `a_set_is_not_an_access_token`, `tests/revocation/security_events.rs` `a_set_that_breaks_a_rule_is_refused_and_revokes_nothing` |
//! | events are repeated or arrive in another order | the same state: the dates in the events decide | `tests/revocation/security_events.rs` `the_order_of_events_does_not_matter` |
//! | an event arrives while the store is not available | 503, so that the transmitter sends it again | `tests/revocation/security_events.rs` `a_store_that_fails_gets_503_and_the_repetition_is_stored` |
//!
//! # Tokens that are bound to a certificate or key
//!
//! See [`client_certificate`](crate::client_certificate) and [`dpop`](crate::dpop).
//!
//! | # | threat | answer | test |
//! |---|---|---|---|
//! | 53 | a token that is bound to a key (DPoP) or to a client certificate, sent without the proof | 401 `unverified_confirmation`. A certificate-bound token passes if [`with_client_certificates`](crate::BearerLayer::with_client_certificates) is set and the request has the certificate; this is also checked on a cache hit | `tests/layer/attacks/claims.rs` `row_53`, `tests/layer/attacks/bound.rs` `row_53_a_bound_token_needs_the_certificate`, `tests/layer/attacks/bound.rs` `row_53_a_cached_token_needs` |
//! | 53 | `cnf` has a second member that nobody checks, another type, or another spelling of the thumbprint | 401 `unverified_confirmation`: every member must be known and proved | `tests/layer/attacks/bound.rs` `row_53_a_binding_that_is_only_partly_proved` |
//! | 80 | a client sends the header `Client-Cert` itself, with the certificate of someone else (RFC 9440 section 4) | the header counts only from the address of a configured proxy, and only once; the layer removes it from every other request. `Forwarded` and `X-Forwarded-For` have no influence | `tests/layer/attacks/bound.rs` `row_80_a_certificate_header`, `tests/layer/attacks/bound.rs` `row_80_a_header_that_is_not_one`, `tests/layer/attacks/bound.rs` `row_80_only_the_configured` |
//! | 53 | a token that is bound to a key, sent as `Bearer`; a token without a binding, sent as `DPoP` or where a binding is required | 401 `unverified_confirmation` | `tests/layer/attacks/dpop.rs` `row_53_a_token_bound_to_a_key`, `tests/layer/attacks/dpop.rs` `row_53_an_unbound_token` |
//! | 79 | a proof that is not exactly one strict JWS: two headers, other text, padding, more than 8 KiB | 401 `malformed_proof` | `tests/layer/attacks/dpop.rs` `row_79_exactly_one_proof`, `tests/layer/attacks/dpop.rs` `row_79_a_proof_is_read_as_strictly` |
//! | 79 | another `typ`, an `alg` that is not listed, `crit`; a claim that is absent or of another type | 401 `malformed_proof` | `tests/layer/attacks/dpop.rs` `row_79_header_type_algorithm`, `tests/layer/attacks/dpop.rs` `row_79_each_claim_is_needed`, `tests/layer/attacks/dpop.rs` `row_79_a_remembered_key` |
//! | 79 | a private, weak or secret key in the proof, or one that is not on its curve | 401 `unusable_proof_key` | `tests/layer/attacks/dpop.rs` `row_79_the_key_of_a_proof`, `tests/layer/attacks/proof_keys.rs` `row_79_weak_and_private_keys` |
//! | 79 | an unsigned proof, the public key as the secret of an HMAC, a signature of zeros, two members of one name | 401 `malformed_proof`, 401 `bad_proof_signature` | `tests/layer/attacks/proof_keys.rs` `row_79_a_forged_signature`, `tests/layer/attacks/proof_keys.rs` `row_79_two_members` |
//! | 79 | the answer shows an attacker what is wrong with a proof | one answer for every reason | `tests/layer/dpop.rs` `every_reason_against_a_proof` |
//! | 79 | a request that waits for the key of its token is not checked for its proof | the proof is checked after the wait | `tests/keys/waiting.rs` `a_request_that_waits_for_a_key_keeps_its_dpop_proof` |
//! | 79 | a proof by another key, or a signature of another key | 401 `unverified_confirmation`, 401 `bad_proof_signature` | `tests/layer/attacks/dpop.rs` `row_79_a_proof_by_another_key` |
//! | 79 | a proof for another method, URL or token | 401 `wrong_proof_target`, 401 `wrong_proof_token` | `tests/layer/attacks/dpop.rs` `row_79_method_and_url`, `tests/layer/attacks/dpop.rs` `row_79_the_path_is_the_one`, `tests/layer/attacks/dpop.rs` `row_79_a_proof_belongs_to_one_token` |
//! | 79 | a proof for a path that only looks the same: `%2F`, `;`, a slash at the end, two slashes, another case | 401 `wrong_proof_target`. Only the spellings that RFC 3986 calls equivalent are one URL | `tests/layer/attacks/proof_targets.rs` `row_79_equivalent_spellings`, `tests/layer/attacks/proof_targets.rs` `row_79_paths_of_public_urls` |
//! | 79 | `Host`, `Forwarded` or `X-Forwarded-*` make a proof for another service valid | no influence: the URL comes from the settings | `tests/layer/attacks/dpop.rs` `row_79_headers_of_the_request` |
//! | 79 | an old proof, one from the future, or one that was used before | 401 `proof_not_current`, 401 `replayed_proof` | `tests/layer/attacks/dpop.rs` `row_79_a_proof_is_accepted_for_a_minute`, `tests/layer/attacks/dpop.rs` `row_79_each_proof_is_accepted_once` |
//! | 79 | one proof at several processes at the same time | accepted once in the fleet, with a store that all its processes share | `redis/tests/redis/replays.rs` `one_proof_sent_1000_times_in_two_processes_is_accepted_once` |
//! | 79 | the store of used proofs loses data: emptied, restarted with old data, failover, eviction | 503 for one proof window, and no proof is accepted twice | `redis/tests/redis/replays.rs` `a_failing_redis_never_accepts_one_of_1000_sends_twice`, `redis/tests/redis/replays.rs` `a_promoted_replica_without_the_record_does_not_accept_it_twice` |
//! | 79 | a stranger fills the memory of used proofs, or uses up the proof of someone else | a proof is recorded after every other check of proof and token | `tests/layer/attacks/dpop.rs` `row_79_a_rejected_request_does_not_use` |
//! | 79 | one account with many keys fills the memory of used proofs | limits per key and per subject come before the limit in total; above them 503 | `src/dpop/replay.rs` `limits_of_a_key_and_of_a_subject` |
//! | 79 | a token in the cache makes the proof unnecessary | each request needs a new proof | `tests/layer/attacks/dpop.rs` `row_79_a_cached_token_needs`, `tests/tokens/token_cache.rs` `the_cache_never_changes_an_outcome_of_a_token` |
//! | 79 | a forged, old or foreign nonce | 401 `use_dpop_nonce` | `tests/layer/attacks/dpop.rs` `row_79_a_nonce_must_be_current` |
//! | 79 | a token with two bindings, of which only one is proved | 401: every member must be proved | `tests/layer/attacks/dpop.rs` `row_79_a_binding_to_key_and_certificate` |
//!
//! # The credential
//!
//! | # | threat | answer | test |
//! |---|---|---|---|
//! | 54 | two credentials, a folded line, no space, no token: two servers see two tokens | 400; the layer does not guess which one was meant | `tests/layer/attacks/credentials.rs` `row_54` |
//! | 55 | bytes outside ASCII, which some readers treat as "no header" | rejected, never treated as absent | `tests/layer/attacks/credentials.rs` `row_55` |
//! | 56 | a token in query, cookie or form, which another site can send | ignored unless allowed; then a second credential is 400 | `tests/layer/attacks/credentials.rs` `row_56` |
//! | 73 | HTTP/2 keeps white space around `Authorization`, and an HTTP/1 server behind the layer trims it: `" Bearer x"` is not a credential here and is one there. The same with `Basic x, Bearer y`, `session =x` and `access%5Ftoken=x` | 400 if the scheme cannot be parsed; an optional layer also answers 400 if another reader could find a token; text that looks like the credential is removed with it | `tests/layer/attacks/credentials.rs` `row_73` |
//! | 74 | an `OPTIONS` request looks like a CORS preflight and has content, so that a gRPC method runs without a token | a request is a preflight only if its body reports its end; all others need a token | `tests/layer/attacks/credentials.rs` `row_74`, `tests/layer/hosts.rs` `tonic_runs_no_unary_method_on_options_with_content` |
//!
//! # Caches
//!
//! | # | threat | answer | test |
//! |---|---|---|---|
//! | 58 | two tokens have one key in the cache: one user becomes another | the whole text is the key, compared byte by byte | `tests/layer/attacks/state.rs` `row_58` |
//! | 59 | a cached token has expired, lost its key or was revoked | all three are checked on every cache hit | `tests/layer/attacks/state.rs` `row_59` |
//! | 60 | random tokens fill the memory | a rejected token is not cached; the cache has a limit in bytes | `tests/layer/attacks/state.rs` `row_60` |
//! | 61 | a failover of Redis leads back to an old master, or a slot of a cluster moves | the highest configuration epoch decides; an entry that may be at another node is an error, and never "not revoked" | `redis/tests/redis/sentinel.rs` `a_stale_sentinel_does_not_lead_back_to_the_old_master`, `redis/tests/redis/sentinel.rs` `a_master_that_most_sentinels_replaced_is_left`, `redis/tests/redis/cluster.rs` `a_cluster_never_answers_wrongly_while_slots_move_and_masters_fail` |
//! | 61 | a revocation store is down, is slow, or gives wrong answers | 503 by default; a known revocation entry wins over every answer of the store | `tests/layer/attacks/state.rs` `row_61` |
//!
//! # Key servers
//!
//! | # | threat | answer | test |
//! |---|---|---|---|
//! | 62 | a server is slow, never ends its answer, redirects to an internal address, or answers HTML | a failed attempt: the last good keys stay, and [`health`](crate::jwks::RemoteJwks::health) has the reason | `tests/keys/answers.rs` `no_bad_answer` |
//! | 63 | a key set is suddenly empty | also a failed attempt: it never replaces good keys | `tests/keys/answers.rs` `no_bad_answer_replaces_good_keys` |
//!
//! # Status lists
//!
//! The list of attacks has no numbers for these.
//!
//! | threat | answer | test |
//! |---|---|---|
//! | a token names a list at another host, under another path, or under an address that only looks like the prefix: `..`, escapes, a user name, a longer host name | 401 `foreign_status_list`; nothing is fetched | `tests/layer/attacks/status.rs` `a_token_cannot_choose_where_its_list_is_fetched`, `src/status_list/prefix.rs` `other_urls_are_not` |
//! | a token that is not valid causes a fetch | only a token that has passed the checks before is looked up | `tests/layer/attacks/status.rs` `a_token_that_is_not_valid_causes_no_fetch` |
//! | a small response inflates to gigabytes | inflating stops at the limit, 16 MiB by default | `tests/layer/attacks/status.rs` `a_decompression_bomb_is_not_inflated`, `src/status_list/statuses.rs` `inflating_stops_at_the_limit` |
//! | a list by another issuer, for another URL, without `iat`, expired, with two members of one name, with other `bits` | it is not used: the last good list, then 503 | `tests/layer/attacks/status.rs` `a_list_that_breaks_a_rule_is_not_used`, `tests/layer/attacks/status.rs` `a_list_of_another_issuer_is_not_used` |
//! | a list is sent as a token, or a token is served as a list | 401 `wrong_type`; the list is not used | `tests/layer/attacks/status.rs` `a_list_is_not_a_token_and_a_token_is_not_a_list` |
//! | an old list is played back, in which the token is not revoked | it never replaces a newer list in a running process. A process that starts has nothing to compare with: the `exp` of the list is the limit | `tests/keys/status_lists.rs` `a_bad_answer_never_replaces_a_good_list` |
//! | the index is huge, negative, a fraction or a string | 401 `invalid_claim`, or `status_index_out_of_range` beyond the end of the list | `tests/layer/attacks/status.rs` `a_status_must_have_one_index_and_one_url` |
//! | the server of the lists is blocked, so that a revoked token passes | 503 after the lifetime of the last good list | `tests/keys/status_lists.rs` `in_an_outage_the_last_list_is_used_for_its_lifetime_only` |
//! | thousands of lists fill the memory | at most 100 lists for each issuer; only tokens that it has signed can name one | `tests/keys/status_lists.rs` `at_most_so_many_lists_are_used_and_an_idle_one_makes_room` |
//! | a revoked token passes because it is cached | the status is checked on every cache hit | `tests/keys/status_lists.rs` `a_change_is_seen_at_80_percent_of_the_ttl_also_by_cached_tokens` |
//!
//! # Information in responses
//!
//! | # | threat | answer | test |
//! |---|---|---|---|
//! | 64 | a client tells "unknown key", "bad signature" and "expired" apart, by bytes or by order | the same bytes, and only `iss` and `typ` have an effect before the signature is verified. The cryptographic library is responsible for comparisons in constant time; no test here measures them. A malformed token is rejected sooner than a forged one, and this is not hidden | `tests/layer/attacks/answers.rs` `row_64`, `tests/telemetry/secrecy/refusals.rs` `every_bad_token_gets_the_same_bytes` |
//! | 65 | a log-in shows whether a user exists | one answer, and one password hash for each attempt; see `tower_bearer_issuing::Passwords` | `issuing/tests/token_api/login.rs` `wrong_password_and_unknown_user_are_one_answer` |
//! | 66 | tokens and claims in logs, `Debug` output or errors | no log, `Debug` output or error has a part of a token | `tests/layer/attacks/answers.rs` `row_66`, `tests/telemetry/secrecy/printed.rs` `no_public_type_prints`, `tests/telemetry/secrecy/logged.rs` `the_log_has_reasons` |
//! | 67 | the attacker writes a header of the response | no header has a part of the request | `tests/layer/attacks/answers.rs` `row_67` |
//! | 68 | a shared cache keeps a rejection and gives it to others | `Cache-Control: no-store` | `tests/layer/attacks/answers.rs` `row_68` |
//!
//! # Bypasses
//!
//! | # | threat | answer | test |
//! |---|---|---|---|
//! | 71 | clients disconnect while keys are fetched, or several requests wait for one fetch | a fetch does not belong to a request: a dropped request does not end it, and a waiting request reserves nothing in the service | `tests/keys/waiting.rs` `many_requests_that_go_away` |
//! | 72 | `HEAD`, `OPTIONS`, `CONNECT`, an upgrade, an unusual path, a request that claims to be gRPC | every request needs a token | `tests/layer/attacks/answers.rs` `row_72` |
//!
//! # Revocation and load
//!
//! | # | threat | answer | test |
//! |---|---|---|---|
//! | 76 | a log-in, refresh or token creation is in progress while its subject is revoked | 401: a log-in counts from the moment its credentials were read, and nothing that it created is valid | `issuing/src/tests/mod.rs` `with_the_memory_store_nothing_survives_a_revocation`, `sql/src/tests/log_ins.rs` `nothing_survives_a_revocation`, `a_changed_account_ends_its_tokens` |
//! | 77 | a dead refresh token is replayed thousands of times, dropped calls while the database stalls, half a million tokens of one owner | revocation still succeeds within its time limit | `sql/src/tests/replays.rs` `replays_of_a_used_refresh_token_block_no_revocation`, `sql/src/tests/connections.rs` `dropped_calls_never_exceed_the_pools`, `sql/src/tests/many.rs` `postgres_revokes_half_a_million_rows_at_once` |
//! | 86 | transactions of several processes commit in a different order than they began, or a server comes back with transaction ids that it has used before, so that a process misses a revocation | each poll begins at the lowest id that can still be committed, and a server that was started again is read completely | `sql/src/tests/followers.rs` `a_row_that_commits_late_is_not_missed`, `a_process_forgets_nothing_when_an_old_backup_is_restored` |
//! | 78 | issuer metadata leads to loopback or link-local addresses, also over https | rejected, unless the issuer itself is there; private networks stay allowed | `tests/keys/discovery.rs` `an_issuer_elsewhere_does_not_send`, `src/jwks/local_address.rs` `every_spelling_of_this_machine_and_its_link_is_local` |
//! | 85 | a leaked private token mints tokens: with more scopes, with a longer life, by rotating a stronger token, after its revocation | 401 unless operator and owner allow it; then it gives no scope that it lacks and no expiry later than its own, and the store checks in the step that it is not revoked | `issuing/src/tests/managing.rs` `a_manager_gives_no_scope_that_it_lacks`, `issuing/src/tests/managing.rs` `a_manager_gives_no_expiry_later_than_its_own`, `issuing/src/tests/managing.rs` `a_manager_does_not_rotate_a_token_with_more_scopes` |
//!
//! # Tokens of your own issuer that are bound to a key
//!
//! With `tower_bearer_issuing::TokenApi::with_dpop`.
//!
//! | threat | answer | test |
//! |---|---|---|
//! | a thief has a refresh token of a bound session: without a proof, with a proof by another key, with a proof that the client used at another call | 400 `invalid_dpop_proof`. The token is not used up and its session does not end | `issuing/tests/token_api/dpop_api.rs` `a_stolen_refresh_token_is_useless_without_its_key` |
//! | the thief waits until the client has refreshed, and repeats the used token within the grace | the same: the grace needs the key, too | `issuing/tests/token_api/dpop_api.rs` `within_the_grace_a_repeat_needs_the_key_too` |
//! | a proof is replayed, at the log-in, at a refresh, for a new private token | 400; no session begins, and the refresh token is not used up | `issuing/tests/token_api/dpop_api.rs` `a_replayed_log_in_gets_no_tokens_and_no_session`, `issuing/tests/token_api/dpop_api.rs` `a_replayed_proof_does_not_use_the_refresh_token_up`, `issuing/tests/token_api/dpop_api.rs` `the_wanted_type_of_a_private_token_is_checked` |
//! | a downgrade: the proof is left out, the setting is turned off, a session without a key gets the key of a thief | a session keeps its key, or stays without one; the store checks this again in its step | `issuing/tests/token_api/dpop_api.rs` `a_bound_session_is_not_refreshed_when_the_setting_is_off`, `issuing/tests/token_api/dpop_api.rs` `a_session_without_a_key_does_not_get_one`, `issuing/src/store/conformance/session_steps.rs` `a_session_keeps_its_key` |
//! | a bound private token is used with another key, or is rotated to get rid of the key | 401; a rotation keeps the key | `issuing/tests/token_api/dpop_api.rs` `a_private_token_is_bound_to_the_key_of_the_proof` |
//! | a bound access token is sent to the token API as `Bearer`, or with the proof of another call | 401 | `issuing/tests/token_api/dpop_api.rs` `calls_with_a_bound_token_need_its_proof` |
//! | strangers send log-ins with proofs, to fill the memory of used proofs | a proof is recorded after the password was right | `issuing/tests/token_api/dpop_api.rs` `a_failed_log_in_does_not_use_the_proof_up` |
//!
//! # The token management page
//!
//! | threat | answer | test |
//! |---|---|---|
//! | a token's name contains markup or a script (XSS) | names are only shown as text; the policy of the page allows no inline code, and Trusted Types reject strings that would become markup | `issuing/src/page/tests.rs` `the_files_keep_nothing_and_load_nothing_from_elsewhere`, `examples/token_service/tests/page/run.rs` `the_page_does_what_its_contract_says_in_chromium` |
//! | another site shows the page in a frame, so that users click on it unknowingly | `frame-ancestors 'none'` | `issuing/src/page/tests.rs` `every_answer_has_the_headers_of_the_page` |
//! | a thief reads tokens from the storage, the history or the disk of the browser | the page keeps tokens in memory only, and a reload asks for the password again | `issuing/src/page/tests.rs` `the_files_keep_nothing_and_load_nothing_from_elsewhere` |
//!
//! # The issuer's own keys
//!
//! | threat | answer | test |
//! |---|---|---|
//! | a thief has a signing key | `keys retire --compromised`: one step of the store ends the key and revokes it. Every replica rejects its tokens within the staleness bound, and no replica uses it again, even if the file comes back | `issuing/src/tests/any_store/keys.rs` `no_token_of_a_compromised_key_is_accepted_after_the_bound` |
//! | a directory that is empty or not mounted makes a replica create its own key, and the fleet splits | a replica does not start without a key with which the database was used, and creates none | `issuing/src/tests/any_store/keys.rs` `a_replica_does_not_start_without_a_key_that_was_used`, `issuing/src/tests/any_store/keys.rs` `no_first_key_is_created_for_a_database_with_tokens` |
//! | other users of the machine can read a key file, or replace files | such a file is not used, and a directory that others can write to is an error. The group may read: Kubernetes mounts secrets so | `issuing/src/key_directory/tests.rs` `files_that_others_can_read_or_write_are_not_used` |
//! | somebody puts a key file or a symbolic link into the directory | the store has no record of that key, so it neither signs nor verifies. A link to a known key is followed | `issuing/src/key_directory/tests.rs` `a_key_without_a_record_neither_signs_nor_verifies` |
//! | the key file of the version before and the directory have different keys, and one would be forgotten | the first start fails and names both | `issuing/src/key_directory/tests.rs` `the_earlier_key_file_and_the_directory_must_have_one_key` |
//! | an operator revokes the key that signs, and every new token is rejected | the operator API rejects keys of a directory that can sign, and names the command for a stolen key | `issuing/src/key_directory/tests.rs` `an_operator_does_not_revoke_a_key_that_can_sign` |
//! | a file is half written, huge, or a pipe | it is not used, and the last good keys stay | `issuing/src/key_directory/tests.rs` `a_bad_file_keeps_the_last_good_keys` |
//!
//! # Metadata and challenges
//!
//! | # | threat | answer | shown by |
//! |---|---|---|---|
//! | 83 | `Host`, `Forwarded`, `X-Forwarded-*` or the URL of a request change the metadata document or a challenge | no influence: both contain only settings. The document is served at its exact path only | `tests/layer/resource.rs` `nothing_of_a_request_is_in_the_document`, `tests/layer/resource.rs` `the_document_is_served_at_its_exact_path` |
//! | 84 | a rejected client learns from `scope` or `acr_values` what other routes or other users need | it learns the configured list of the route that it asked for, whatever its token has | `tests/layer/resource.rs` `the_scope_of_a_challenge_does_not_depend` |
//!
//! # Limits of every layer
//!
//! * **A stolen token is valid until it expires or is revoked.** Use short lifetimes, and revoke. Or bind tokens to
//!   client certificates or keys: see [`client_certificate`](crate::client_certificate) and [`dpop`](crate::dpop).
//! * **A thief who can make proofs on the machine of the client** (a script in its page, for example) can use its tokens
//!   until the key is gone. Proofs that are made in advance are stopped by nonces only.
//! * **A secret that can be guessed** (row 8), **an issuer that signs what it should not**, and **a private key that
//!   leaks** cannot be detected here. Revoke the key:
//!   [`Authenticator::revoke_key`](crate::Authenticator::revoke_key), or
//!   `tower_bearer_issuing::KeyDirectory::retire_compromised` for keys of your own issuer.
//! * **Plain HTTP** shows every token to the network. TLS is the responsibility of the server.
//! * **Slow clients** can keep connections open without sending a request, so the layer never sees them. The server needs
//!   timeouts and a limit of connections. `axum::serve` has none; the example `http_server` has them.
//! * **Floods** of any kind use CPU time: a forged RS256 token costs a signature check. Put limits by address in front
//!   of this layer, and limits by user behind it.
