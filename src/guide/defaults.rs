//! Every setting: its default, and why.
//!
//! The rule behind all defaults: **the layer rejects everything that you did not allow**. A setting that gives up a
//! check is called `allow_*`, or `optional`. So `grep -rnE 'allow_|optional\(|OnUnavailable'` finds the places where a service accepts
//! more than this page says. The other settings do not accept more.
//!
//! # Which requests need a token
//!
//! | setting | default | why | changed by |
//! |---|---|---|---|
//! | requests without a token | rejected, for every method | lists of exceptions cause holes: `HEAD`, `OPTIONS`, upgrades | [`optional`](crate::BearerLayer::optional) |
//! | CORS preflights | rejected like other requests | put the CORS layer outside; behind this layer, every handler of `OPTIONS` would be open to all | [`allow_cors_preflight`](crate::BearerLayer::allow_cors_preflight) |
//! | the place of the token | `Authorization: Bearer` only | URLs are written to logs, and browsers send cookies without being asked | [`credential_header`](crate::BearerLayer::credential_header), [`allow_cookie`](crate::BearerLayer::allow_cookie), [`allow_query`](crate::BearerLayer::allow_query) |
//! | a cookie on unsafe methods and upgrades | same origin only | another site can cause a browser to send it | [`allow_cookie_without_csrf_check`](crate::BearerLayer::allow_cookie_without_csrf_check) |
//! | the credential behind the layer | it stays, marked as sensitive | a service may pass it on to other services; `Debug` of the headers does not show it | [`strip_credential`](crate::BearerLayer::strip_credential) |
//! | the longest token | 8 KiB | a longer token is rejected before any other work; many servers have the same limit for a header | [`with_max_token_length`](crate::AuthenticatorBuilder::with_max_token_length) |
//!
//! # Issuers and their tokens
//!
//! | setting | default | why | changed by |
//! |---|---|---|---|
//! | issuers | none: [`build`](crate::AuthenticatorBuilder::build) fails | | [`issuer`](crate::AuthenticatorBuilder::issuer) |
//! | tenants of a [multi-tenant issuer](crate::Issuer::multi_tenant) | no default: it does not compile without a decision; checked on every request | anyone can create a tenant of Microsoft Entra | [`tenants`](crate::IssuerWithoutTenants::tenants), [`tenants_by`](crate::IssuerWithoutTenants::tenants_by), [`allow_any_tenant`](crate::IssuerWithoutTenants::allow_any_tenant) |
//! | `iss` | required; the issuer's name, byte by byte | a key of one issuer must sign nothing for another (RFC 8725 section 3.8) | [`add_name`](crate::Issuer::add_name) |
//! | `aud` | required; it does not compile without a decision | without this check, a service accepts tokens for another service (RFC 8725 section 3.9) | [`audience`](crate::IssuerWithoutAudience::audience), [`add_audience`](crate::Issuer::add_audience), [`allow_any_audience`](crate::IssuerWithoutAudience::allow_any_audience), [`audience_from`](crate::Issuer::audience_from) |
//! | `exp` | required | a token without an end is valid forever | cannot be changed |
//! | `nbf`, `iat` | may be absent; if present, they must hold | both are optional in RFC 7519, and neither may be in the future | [`require_claim`](crate::Issuer::require_claim) |
//! | other claims | may be absent, and may have any value | only you know the claims of your issuer | [`require_claim`](crate::Issuer::require_claim), [`require_claim_value`](crate::Issuer::require_claim_value) |
//! | claims that are `null` | rejected as a wrong type | `null` is not a string, and not a time | [`allow_null_claims`](crate::Issuer::allow_null_claims), for `aud`, `nbf`, `jti`, `scope` and `scp` |
//! | `sub` | a string, if it is present | RFC 7519 section 4.1.2; 7 and "7" may be two users | [`with_integer_subject`](crate::Issuer::with_integer_subject) |
//! | the token's id, for revocation | `jti`; without one, the hash of header and claims | | [`token_id_claim`](crate::Issuer::token_id_claim) |
//! | leeway | 30 seconds on all three times, 5 minutes at most | clocks differ by seconds; a difference of minutes is a fault that should be repaired | [`with_leeway`](crate::Issuer::with_leeway), [`with_expiry_leeway`](crate::Issuer::with_expiry_leeway) |
//! | maximum age and lifetime | none | the issuer decides about `exp`; both need `iat`, which some issuers do not write | [`with_max_age`](crate::Issuer::with_max_age), [`with_max_lifetime`](crate::Issuer::with_max_lifetime) |
//! | `typ` | absent, `JWT` or `at+jwt` | large issuers write any of these; log-out and DPoP tokens have other types | [`require_typ`](crate::Issuer::require_typ) |
//! | `token_type` of `refresh` | rejected | a refresh token is not an access token | cannot be changed |
//! | `events`, with any value | rejected | a security event or a log-out token is not an access token | cannot be changed |
//! | issuers for which a transmitter of security events may speak | none, and [`EventReceiver::new`](crate::security_events::EventReceiver::new) fails without one | a transmitter must not revoke tokens of another issuer | [`Transmitter::add_issuer`](crate::security_events::Transmitter::add_issuer) |
//! | the secret of a stream of security events | none: the signature is enough | only you know the stream | [`Transmitter::with_secret`](crate::security_events::Transmitter::with_secret) |
//! | length of a security event | 64 KiB | it is read before its signature is verified | cannot be changed |
//! | `cnf` | rejected | a token that is bound to a key or a certificate must come with a proof of it (RFC 9449 section 7.2, RFC 8705 section 3) | [`with_client_certificates`](crate::BearerLayer::with_client_certificates), which checks the certificate; [`with_dpop`](crate::BearerLayer::with_dpop), which checks the proof; [`allow_unverified_cnf`](crate::Issuer::allow_unverified_cnf) |
//! | the client certificate of a request | none | only you know who ends TLS | [`with_client_certificates`](crate::BearerLayer::with_client_certificates) |
//! | the header of a client certificate | `Client-Cert`, from the peers that you list; the peer is a [`PeerAddress`](crate::client_certificate::PeerAddress) or axum's `ConnectInfo` in the extensions | a client must not send the certificate of someone else (RFC 9440 section 4) | [`with_header_name`](crate::client_certificate::CertificateSource::with_header_name), [`with_peer_address`](crate::client_certificate::CertificateSource::with_peer_address) |
//! | DPoP | off | the public URL of the service is needed, and only you know it | [`BearerLayer::with_dpop`](crate::BearerLayer::with_dpop) |
//! | tokens without a binding, with DPoP | accepted as `Bearer` | clients change one by one | [`Dpop::required`](crate::dpop::Dpop::required) |
//! | algorithms of proofs | ES256, ES384, EdDSA, RS256, PS256 | every client library has one of them | [`Dpop::with_algorithms`](crate::dpop::Dpop::with_algorithms) |
//! | age of a proof | 60 s, no leeway | a longer age costs memory, and a stolen proof lives longer | [`Dpop::with_max_age`](crate::dpop::Dpop::with_max_age) |
//! | clock of a client ahead | 30 s | as for tokens | [`Dpop::with_leeway`](crate::dpop::Dpop::with_leeway) |
//! | nonces | none | they cost a client one more request, and a fleet needs a common key | [`Dpop::with_nonces`](crate::dpop::Dpop::with_nonces) |
//! | used proofs | remembered in this process | a fleet needs a store that all its processes share | [`Dpop::with_replay_store`](crate::dpop::Dpop::with_replay_store); at a gateway [`Dpop::allow_unrecorded_proofs`](crate::dpop::Dpop::allow_unrecorded_proofs) |
//! | number of proofs | 20 000 per key, 40 000 per subject, 2 000 000 in total, in about two minutes | one account cannot fill the memory, and cannot deny service to others | [`Dpop::with_replay_limits`](crate::dpop::Dpop::with_replay_limits): [`ReplayLimits::with_per_key`](crate::dpop::ReplayLimits::with_per_key), [`ReplayLimits::with_per_subject`](crate::dpop::ReplayLimits::with_per_subject), [`ReplayLimits::with_total`](crate::dpop::ReplayLimits::with_total) |
//! | a store of used proofs that fails | 503 | a proof could be used again | [`Dpop::with_on_unavailable`](crate::dpop::Dpop::with_on_unavailable) |
//! | `kid` | selects keys; without it all keys that fit are tried, at most 4 | it is optional in RFC 7515; the limit bounds the cost of a forged token | cannot be changed |
//! | your checks | none | | [`add_check`](crate::AuthenticatorBuilder::add_check), [`add_async_check`](crate::AuthenticatorBuilder::add_async_check), [`add_pure_check`](crate::AuthenticatorBuilder::add_pure_check) |
//! | the clock | the clock of the system | tests use another | [`with_clock`](crate::AuthenticatorBuilder::with_clock) |
//! | your claims | any type, by serde; a token that does not fit is rejected | | the parameter `C` |
//!
//! # Keys
//!
//! | setting | default | why | changed by |
//! |---|---|---|---|
//! | HMAC secrets | as long as their hash: 32, 48 or 64 bytes | RFC 7518 section 3.2; a shorter secret can be guessed from one token, without the server | [`Key::allow_short_secret`](crate::Key::allow_short_secret) |
//! | RSA | 2048 to 8192 bits, an odd exponent from 3 to 33 bits | RFC 7518 section 3.3; larger keys make each forged token expensive | cannot be changed |
//! | RSA keys without `alg` | RS256 | large providers publish such keys | `alg` in the JWK; [`with_rsa_algorithms`](crate::jwks::RemoteJwks::with_rsa_algorithms) |
//! | the `kid` of a key | that of its JWK; none for other keys; a generated one for a signing key | | [`with_key_id`](crate::Key::with_key_id), [`with_key_id`](crate::jws::SigningKey::with_key_id) |
//! | `null` and empty arrays in a JWK | count as absent | .NET writes `"key_ops":[]` and `"d":null` into valid keys | cannot be changed |
//! | keys that are not for verification | left out: `use` other than `sig`, `key_ops` without `verify`, `oct` in a set, private keys | the other keys of the set are used; [`refused`](crate::KeySet::refused) lists the rejected ones | cannot be changed |
//!
//! # Token cache
//!
//! | setting | default | why | changed by |
//! |---|---|---|---|
//! | verified tokens | RSA, ECDSA and EdDSA tokens are cached, in up to 16 MiB | a signature costs many times more than a lookup in the cache. The decision is the same: key, times, checks and revocation are checked again | [`with_token_cache_capacity`](crate::AuthenticatorBuilder::with_token_cache_capacity) |
//! | tokens with HMAC | not cached | an HMAC is cheap; a cache helps only if few tokens make up most requests | [`cache_hmac_tokens`](crate::AuthenticatorBuilder::cache_hmac_tokens) |
//! | your checks | run on every request | only you know whether their outcome can change | [`add_pure_check`](crate::AuthenticatorBuilder::add_pure_check) |
//!
//! # Revocation
//!
//! [`guide::revocation`](super::revocation) has the whole contract.
//!
//! | setting | default | why | changed by |
//! |---|---|---|---|
//! | revocation at all | none: a token is valid until it expires | it needs a store, which only you can choose; a single process uses [`in_memory`](crate::RevocationCache::in_memory) | [`revocation`](crate::AuthenticatorBuilder::revocation); another cache for the same authenticator: [`with_revocation`](crate::Authenticator::with_revocation) |
//! | the staleness bound | no default: it is an argument | you decide how late a revocation may be seen | [`RevocationCache::new`](crate::RevocationCache::new) |
//! | a store that cannot answer | 503 | otherwise an attacker who disturbs the store could use a revoked token | [`with_on_unavailable`](crate::RevocationCache::with_on_unavailable) |
//! | the timeout of a lookup | 1 second | a request should fail before its client gives up | [`with_lookup_timeout`](crate::RevocationCache::with_lookup_timeout) |
//! | sources of revocations | the store of [`new`](crate::RevocationCache::new) | each further source can make requests unavailable | [`with_source`](crate::RevocationCache::with_source) |
//! | cached "not revoked" answers | 100 000 | an answer that was dropped costs one more lookup | [`with_capacity`](crate::RevocationCache::with_capacity) |
//! | revocation entries | all are kept, until 6 minutes after the latest `exp` of the tokens that they affect: for a token its own, for a subject or session the date of the revocation, the leeway and the longest lifetime (400 days, if the policy has no maximum), for a key at least 400 days. `TokenIssuer` keeps cut-offs 12 and sessions 6 minutes longer, because another clock may be ahead. SQL rows stay one more day | without its entry a revoked token would be accepted | cannot be changed |
//! | the clocks | the clock of the system | tests use others | [`with_clock`](crate::RevocationCache::with_clock), [`with_clock`](crate::revocation::MemoryStore::with_clock), `tower_bearer_redis::DenyList::with_clock`, `tower_bearer_sql::SqlDenyList::with_clock` |
//!
//! # Keys from the network (feature `jwks`)
//!
//! | setting | default | why | changed by |
//! |---|---|---|---|
//! | lifetime of a set | `max-age`, from 1 minute to 24 hours; 10 minutes if the server sends none; fetched again at 80% of it, and after 1 hour at the latest | a key that is replaced under its `kid` should not be missing for a day | the server; [`with_max_refresh_interval`](crate::jwks::RemoteJwks::with_max_refresh_interval) |
//! | fetches for unknown `kid`s | one in 30 seconds for each source; up to 64 requests wait for it | anyone can invent a `kid` | cannot be changed |
//! | fetches for bad signatures | none | a forged token looks like a token of a new key | [`refetch_on_bad_signature`](crate::jwks::RemoteJwks::refetch_on_bad_signature), within the same budget |
//! | a server that is down | the last good keys, up to 1 hour past their lifetime; then 503 | most outages are shorter; a stolen key must not be trusted forever | [`with_stale_limit`](crate::jwks::RemoteJwks::with_stale_limit) |
//! | how long a request waits for its key | 2 seconds | a request should fail before its client gives up | [`with_wait_timeout`](crate::jwks::RemoteJwks::with_wait_timeout) |
//! | one exchange with the server | 5 seconds, 1 MiB, no redirects | an attacker who can answer must not send the process elsewhere, or fill its memory | [`with_fetch_timeout`](crate::jwks::RemoteJwks::with_fetch_timeout), [`with_fetcher`](crate::jwks::RemoteJwks::with_fetcher) |
//! | trusted certificates | the bundled roots of Mozilla's programme | they are the same on every machine | [`with_system_roots`](crate::jwks::HttpFetcher::with_system_roots), [`with_root_pem`](crate::jwks::HttpFetcher::with_root_pem), [`add_root_pem`](crate::jwks::HttpFetcher::add_root_pem) |
//! | the clock | the clock of the system | tests use another | [`with_clock`](crate::jwks::RemoteJwks::with_clock) |
//! | plain `http` | to the same machine only | an attacker on the network could insert his own keys | [`allow_http`](crate::jwks::RemoteJwks::allow_http) |
//! | a `jwks_uri` at a loopback or link-local address | rejected, unless the issuer itself is there | an issuer elsewhere must not send this process to its own ports or to instance metadata | cannot be changed |
//!
//! # Status lists (feature `jwks`)
//!
//! | setting | default | why | changed by |
//! |---|---|---|---|
//! | status lists of an issuer | none, and `status` is ignored | a list needs a prefix that you trust | [`with_status_lists`](crate::Issuer::with_status_lists) with [`StatusLists::new`](crate::status_list::StatusLists::new), [`add_prefix`](crate::status_list::StatusLists::add_prefix) |
//! | a token without `status` | is not looked up | many issuers list only long-lived tokens | [`require_status`](crate::status_list::StatusLists::require_status) |
//! | keys that sign lists | the keys of the issuer | the issuer usually signs them itself | [`with_keys`](crate::status_list::StatusLists::with_keys) |
//! | lifetime of a list | `ttl`, or the time until `exp`, or `max-age`, from 1 minute to 24 hours; 10 minutes without all of them; fetched again at 80% of it, and after 1 hour at the latest | a change of a status should be seen soon, and the server must not be flooded | the issuer; [`with_max_refresh_interval`](crate::status_list::StatusLists::with_max_refresh_interval) |
//! | a server that is down | the last good list until its lifetime is over; then 503 | a revoked token must not pass because the list is blocked | [`with_on_unavailable`](crate::status_list::StatusLists::with_on_unavailable) |
//! | length of a list | 16 MiB, also while it is inflated | a short response could fill the memory | [`with_max_list_size`](crate::status_list::StatusLists::with_max_list_size) |
//! | lists in use at a time | 100 for each issuer; tokens of further lists get 503 | each list takes memory and a task | [`with_max_lists`](crate::status_list::StatusLists::with_max_lists) |
//! | a list that is not used | removed after 1 hour | issuers begin new lists again and again | cannot be changed |
//! | how long a request waits for its list | 2 seconds | a request should fail before its client gives up | [`with_wait_timeout`](crate::status_list::StatusLists::with_wait_timeout) |
//! | one exchange with the server | 5 seconds, no redirects | as for keys | [`with_fetch_timeout`](crate::status_list::StatusLists::with_fetch_timeout), [`with_fetcher`](crate::status_list::StatusLists::with_fetcher) |
//! | the clock | the clock of the system | tests use another | [`with_clock`](crate::status_list::StatusLists::with_clock) |
//! | plain `http` | to the same machine only | an attacker on the network could answer with an old list | [`allow_http`](crate::status_list::StatusLists::allow_http) |
//!
//! # Redis (crate `tower-bearer-redis`)
//!
//! | setting | default | why | changed by |
//! |---|---|---|---|
//! | an empty Redis | unavailable, until it is initialised or seeded | lost data must not count as "nothing is revoked" | `tower_bearer_redis::RedisStore::initialise`, `tower_bearer_redis::RedisStore::seed` |
//! | a server that evicts, or is a replica | rejected at start, unavailable later | both lose revocation entries silently | the settings of the server |
//! | a server whose `INFO` hides its policy or its evictions | rejected | the store could not notice lost entries | `tower_bearer_redis::RedisBuilder::allow_unknown_evictions` |
//! | the password for sentinels | none | they do not need the password of the data | `sentinel_password` in the URL |
//! | a Redis that cannot be reached at start | an error | a wrong address should be found at start | `tower_bearer_redis::RedisBuilder::allow_unreachable_at_start` |
//! | encryption | none with `redis://`; with `rediss://` certificates are always checked | the URL decides | `tower_bearer_redis::RedisBuilder::with_root_pem`, `tower_bearer_redis::RedisBuilder::add_root_pem`, `tower_bearer_redis::RedisBuilder::with_system_roots`, `tower_bearer_redis::RedisBuilder::with_client_certificate_pem` |
//! | connecting; one command | 1 second; 500 milliseconds | less than the timeout of the cache in front | `tower_bearer_redis::RedisBuilder::with_connect_timeout`, `tower_bearer_redis::RedisBuilder::with_command_timeout` |
//! | replicas that must have a revocation entry | none; the master is enough | each replica makes a revocation slower | `tower_bearer_redis::RedisBuilder::with_wait` |
//! | names of keys and channel | begin with `tower-bearer:`, in a cluster with `{tower-bearer:}` | all keys of a fleet must be in one slot | `tower_bearer_redis::RedisBuilder::with_prefix` |
//! | how often a relay looks for entries to copy | every 200 milliseconds | | `tower_bearer_redis::OutboxRelay::with_interval` |
//!
//! # Your own tokens (crate `tower-bearer-issuing`)
//!
//! | setting | default | why | changed by |
//! |---|---|---|---|
//! | access tokens | 1 hour | the contract of the API | cannot be changed |
//! | private tokens | no default: the owner chooses the expiry, within 366 days | a token without a chosen expiry is forgotten and stays valid | `tower_bearer_issuing::TokenIssuerBuilder::with_max_private_lifetime` |
//! | refresh tokens | 1 day from each refresh | | `tower_bearer_issuing::TokenIssuerBuilder::with_refresh_lifetime` |
//! | a second use of a refresh token | ends its whole session | the token or its successor was stolen | `tower_bearer_issuing::TokenIssuerBuilder::with_refresh_reuse_grace` |
//! | overlap at rotation | the caller chooses it, within 1 day | | `tower_bearer_issuing::TokenIssuerBuilder::with_max_overlap` |
//! | the staleness bound of its revocation | 30 seconds for other processes, none in the same process | | `tower_bearer_issuing::TokenIssuerBuilder::with_revocation_bound` |
//! | leeway on its own `exp` | none | its lifetime is exact, and issuer and verifier have the same clock | `tower_bearer_issuing::TokenIssuer::policy` for verifiers elsewhere |
//! | password hashes | Argon2id, 19 MiB, 2 passes; as many at once as there are processors, 4 at most, and 64 wait | OWASP recommends these; the limits keep log-ins from using all memory | `tower_bearer_issuing::Passwords::with_limits` |
//! | new passwords | 8 characters or more and 1024 bytes at most, neither the e-mail address nor the old password | NIST SP 800-63B; rules about kinds of characters make passwords easier to guess | cannot be changed |
//! | management of accounts, `POST password/` | off | the accounts may be elsewhere | `tower_bearer_issuing::TokenIssuerBuilder::with_managed_accounts` |
//! | failed log-ins | 5 at once for an account and then one in 10 seconds; 20 for an address and then one in 3 seconds | it slows down password guessing | cannot be changed |
//! | log-ins of one account at once | 5 run and 16 wait, as long as those before them may succeed; more are 429 | parallel jobs log in to one account | cannot be changed |
//! | refreshes of one session at once | 1 runs and 16 wait; more are 429 | replays of a stolen token must not keep the store busy | cannot be changed |
//! | networks from which an account was logged in to | kept for 90 days as keyed hashes | an attack on an account must not lock its owner out on any replica | `tower_bearer_issuing::TokenIssuerBuilder::with_known_device_retention` |
//! | the audit log | none; with the feature `tracing` the log of the process | only you can choose where events are kept | `tower_bearer_issuing::TokenIssuerBuilder::with_audit` |
//! | audit events in a sink | kept for 180 days | incidents are often found months later | `tower_bearer_issuing::TokenIssuerBuilder::with_audit_retention` |
//! | reading audit events with the operator API | not possible | the API cannot know where the events are | `tower_bearer_issuing::TokenApi::with_audit_log` |
//! | audit events of changes in a key directory | not recorded | the directory does not know the sink | `tower_bearer_issuing::KeyDirectory::with_audit` |
//! | private tokens of a subject | 1 000 that are valid at once; one more is 400 | a stolen log-in must not fill the database | `tower_bearer_issuing::TokenIssuerBuilder::with_max_private_tokens` |
//! | new private tokens | 30 at once for a subject, then one in 10 seconds | each writes a row that stays | `tower_bearer_issuing::TokenApi::with_private_token_rate` |
//! | scopes of a private token | those that its owner has, except `private_tokens`, `introspect` and `tokens:admin` | existing clients do not name scopes, and a token that can do more than its use requires must be asked for | `POST private_tokens/` with `scopes` |
//! | private tokens that manage private tokens | rejected | a leaked private token must not give others | `tower_bearer_issuing::TokenIssuerBuilder::allow_private_token_management` |
//! | `client_id` | the issuer's name | RFC 9068 section 2.2 requires it, and the client is the issuer's own log-in | `tower_bearer_issuing::TokenIssuerBuilder::with_client_id` |
//! | the answer to a log-in | has the field names of the API that the router replaces | | `tower_bearer_issuing::TokenApi::with_login_response` |
//! | the address of the client, by which log-ins are limited | that of the connection | a client can write any header itself | `tower_bearer_issuing::TokenApi::with_peer_address` |
//! | links | begin with `http` and the request's host | | `tower_bearer_issuing::TokenApi::with_public_url` |
//! | tokens that are bound to a key of the client (DPoP) | not issued, and rejected | the API must know its public URL | `tower_bearer_issuing::TokenApi::with_dpop` |
//! | scopes in the issuer's metadata | `introspect` and `tokens:admin` | the API requires these; only you know the others | `tower_bearer_issuing::TokenApi::with_supported_scopes` |
//! | realm, and bodies of rejections | the same as those of the layer | | `tower_bearer_issuing::TokenApi::with_realm`, `tower_bearer_issuing::TokenApi::with_responder` |
//! | texts and colours of the token management page | English, in the colours of its style sheet | | `tower_bearer_issuing::TokenPage::with_texts`, `tower_bearer_issuing::TokenPage::with_style` |
//! | connections to the database | PostgreSQL: 2 for everything, 1 for revocations, 1 for lookups; SQLite: 10 and 4 for lookups; a step waits up to 5 seconds for one | with 4 connections each, 20 replicas fit the default limit of PostgreSQL (97 of 100); lists and writes cannot use up the connections for revocations and lookups | `tower_bearer_sql::SqlStoreOptions::with_max_connections`, `tower_bearer_sql::SqlStoreOptions::with_revocation_connections`, `tower_bearer_sql::SqlStoreOptions::with_lookup_connections`, `tower_bearer_sql::SqlStoreOptions::with_wait_timeout` |
//! | polls of an `SqlDenyList` | four times in each bound, at least once a second | a poll is one read of an index | `tower_bearer_sql::SqlDenyList::with_poll_interval` |
//! | notifications of PostgreSQL for followers of the revocations | on | a revocation is seen at once; they need one connection for each follower | `tower_bearer_sql::SqlStoreOptions::with_notifications` |
//! | signing keys | those that you pass; or a key directory, whose first key is made at the first start | | `tower_bearer_issuing::KeyDirectory` |
//! | algorithm of new keys in a directory | ES256 | every library verifies it | `tower_bearer_issuing::KeyDirectory::with_algorithm` |
//! | how long a new key is published before it signs | 2 hours, and not less than twice the interval in which replicas read the directory; the very first key signs at once | `RemoteJwks` fetches keys after 1 hour at the latest | `tower_bearer_issuing::KeyDirectory::with_publication` |
//! | how often a replica reads the key directory | every 10 seconds | a replaced key should not sign for long | `tower_bearer_issuing::KeyDirectory::with_refresh_interval` |
//! | how long a key is published after its last use | 366 days and 6 minutes | the longest lifetime of a private token | `tower_bearer_issuing::KeyDirectory::with_longest_lifetime` |
//! | a key file from before the key directory | none; if the directory has another key and the store knows none, the start fails | only one of the two has signed until now | `tower_bearer_issuing::KeyDirectory::with_earlier_key_file` |
//! | key files that other users can read, and a directory that they or the group can write to | not used (Unix) | whoever can read a key can sign any token | `tower_bearer_issuing::KeyDirectory::allow_readable_by_others` |
//! | the clocks | the clock of the system | tests use others | `tower_bearer_issuing::TokenIssuerBuilder::with_clock`, `tower_bearer_issuing::KeyDirectory::with_clock`, `tower_bearer_issuing::store::MemoryTokenStore::with_clock`, `tower_bearer_sql::SqlStore::with_clock` |
//!
//! # How rejections look
//!
//! | setting | default | why | changed by |
//! |---|---|---|---|
//! | realm | `api` | | [`with_realm`](crate::BearerLayer::with_realm) |
//! | the address of the resource metadata | not in the challenge | RFC 9728 section 5.1 is optional | [`with_resource_metadata`](crate::BearerLayer::with_resource_metadata) |
//! | scopes that imply others | none: a token needs each required scope itself | only you know what your scopes mean | [`RequiredScopes::with_hierarchy`](crate::RequiredScopes::with_hierarchy) |
//! | the login that a route requires | any | step-up (RFC 9470) is for single routes | [`RequiredAuthentication::with_acr_values`](crate::require::RequiredAuthentication::with_acr_values), [`RequiredAuthentication::with_max_age`](crate::require::RequiredAuthentication::with_max_age) |
//! | the protected resource and its metadata document | none: no document, and no `resource_metadata` in the challenges | the crate cannot know the public URL, and must not take it from a request | [`with_resource`](crate::BearerLayer::with_resource) |
//! | name and documentation in that document | absent | RFC 9728 section 2: they are optional | [`ProtectedResource::with_name`](crate::ProtectedResource::with_name), [`ProtectedResource::with_documentation`](crate::ProtectedResource::with_documentation) |
//! | scopes in that document | absent | only you know which scopes clients need | [`ProtectedResource::with_scopes`](crate::ProtectedResource::with_scopes) |
//! | bodies | `{"code", "detail"}` as JSON; trailers-only answers to gRPC | | [`with_responder`](crate::BearerLayer::with_responder) |
//! | gRPC requests on a route without gRPC | trailers-only answers with status 200, chosen by the content type | the layer cannot know which routes are gRPC | [`with_grpc_answers`](crate::BearerLayer::with_grpc_answers) |
//! | the response to an invalid token | the same bytes for every reason | an attacker should learn nothing from it | your [`Responder`](crate::rejection::Responder); the reason is in [`Rejection::kind`](crate::Rejection::kind) |
//! | caching | `Cache-Control: no-store` | a shared cache must not give a rejection to another client | your `Responder` |
//! | caching of the service's responses | not changed | the service knows what may be cached; caches protect responses to `Authorization` (RFC 9111 section 3.5), not to cookies and other headers | [`with_private_responses`](crate::BearerLayer::with_private_responses) |
//!
//! # Telemetry
//!
//! | setting | default | why | changed by |
//! |---|---|---|---|
//! | the parts that a [`Collector`](crate::telemetry::Collector) reads | none until you add them | you own the parts | [`add_authenticator`](crate::telemetry::Collector::add_authenticator), [`add_revocation`](crate::telemetry::Collector::add_revocation), [`add_source`](crate::telemetry::Collector::add_source) for a `TokenIssuer`, `Pushes` or a `DenyList` |
//! | parts of a [health check](crate::health::HealthChecks) | none until you add them | you own the parts | [`add_task`](crate::health::HealthChecks::add_task), [`add_part`](crate::health::HealthChecks::add_part), [`add_shared_part`](crate::health::HealthChecks::add_shared_part) |
//! | a shared part that fails | reported, and the status of `/readyz` stays 200 | otherwise an outage of a database takes all replicas out of the load balancer, and clients get no answer | [`require_shared_parts`](crate::health::HealthChecks::require_shared_parts) |
//! | the clock of health checks | the clock of the system | tests use another | [`with_clock`](crate::health::HealthChecks::with_clock) |
//!
//! # Defaults in code
//!
//! ```
//! use std::time::Duration;
//!
//! use tower_bearer::{
//!     Authenticator, ConfigError, Issuer, Key, RevocationCache, claims,
//!     jwks::{self, RemoteJwks},
//!     revocation::{MemoryStore, OnUnavailable},
//! };
//! use tower_bearer_redis::RedisStore;
//!
//! assert_eq!(claims::DEFAULT_LEEWAY, Duration::from_secs(30));
//! assert_eq!(claims::MAX_LEEWAY, Duration::from_secs(5 * 60));
//! assert_eq!(jwks::MAX_LENGTH, 1024 * 1024);
//! assert_eq!(tower_bearer_issuing::MAX_PASSWORD, 1024);
//! assert_eq!(OnUnavailable::default(), OnUnavailable::Deny);
//!
//! /// Whether the settings that `Debug` shows are these.
//! fn shows(settings: impl std::fmt::Debug, expected: &[&str]) -> bool {
//!     let shown = format!("{settings:?}");
//!     expected.iter().all(|one| shown.contains(one))
//! }
//! let revocation = RevocationCache::new(MemoryStore::new(), Duration::from_secs(30));
//! assert!(shows(revocation, &["on_unavailable: Deny", "lookup_timeout: 1s", "capacity: 100000"]));
//! let keys = RemoteJwks::new("https://issuer.example/keys")?;
//! assert!(shows(keys, &[
//!     "allows_http: false",
//!     "stale_limit: 3600s",
//!     "wait_timeout: 2s",
//!     "fetch_timeout: 5s",
//!     "max_refresh_interval: 3600s",
//! ]));
//! let redis = RedisStore::builder("redis://redis.internal");
//! assert!(shows(redis, &["\"tower-bearer:\"", "connect_timeout: 1s", "command_timeout: 500ms", "wait: None"]));
//!
//! // No issuer is trusted by default,
//! let without_issuer = Authenticator::builder().build();
//! assert!(matches!(without_issuer, Err(ConfigError::NoIssuer)));
//!
//! // no secret is shorter than its hash,
//! assert!(matches!(Key::hs512([7; 63]), Err(ConfigError::SecretTooShort { minimum: 64, .. })));
//!
//! // and no leeway is longer than five minutes.
//! let issuer = Issuer::new("https://issuer.example", Key::hs256([7; 32])?)
//!     .audience("api://orders")
//!     .with_leeway(Duration::from_secs(301));
//! let too_lenient = Authenticator::builder().issuer(issuer).build();
//! assert!(matches!(too_lenient, Err(ConfigError::LeewayTooLong(_))));
//! # Ok::<(), ConfigError>(())
//! ```
//!
//! Without a decision on its audience, an issuer has another type:
//!
//! ```compile_fail,E0308
//! # fn main() -> Result<(), tower_bearer::ConfigError> {
//! use tower_bearer::{Authenticator, Issuer, Key};
//!
//! let issuer = Issuer::new("https://issuer.example", Key::hs256([7; 32])?);
//! Authenticator::builder().issuer(issuer).build()?;
//! # Ok(()) }
//! ```
