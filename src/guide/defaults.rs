//! Every setting: what it is if you say nothing, and why.
//!
//! The rule behind all of them: **what is not said is refused**. A setting that gives up a check is called `allow_*`, so
//! that `grep -rnE 'allow_|optional\(|OnUnavailable'` finds where a service is more open than this page; what is left are
//! lengths and limits.
//!
//! # Which requests need a token
//!
//! | setting | default | why | changed by |
//! |---|---|---|---|
//! | requests without a token | refused, whatever the method | a list of exceptions is where holes come from: `HEAD`, `OPTIONS`, upgrades | [`optional`](crate::BearerLayer::optional) |
//! | CORS preflights | refused like all others | put the CORS layer outside; behind this one, whatever answers `OPTIONS` would be open to all | [`allow_cors_preflight`](crate::BearerLayer::allow_cors_preflight) |
//! | where the token stands | `Authorization: Bearer`, nowhere else | URLs end up in logs, and browsers send cookies unasked | [`credential_header`](crate::BearerLayer::credential_header), [`allow_cookie`](crate::BearerLayer::allow_cookie), [`allow_query`](crate::BearerLayer::allow_query) |
//! | a cookie on unsafe methods and upgrades | same origin only | another site can make a browser send it | [`allow_cookie_without_csrf_check`](crate::BearerLayer::allow_cookie_without_csrf_check) |
//! | the credential behind the layer | stays, marked as sensitive | services that call others pass it on; `Debug` of the headers does not show it | [`strip_credential`](crate::BearerLayer::strip_credential) |
//! | the longest token | 8 KiB | what is longer is refused before anything else is done with it; many servers allow no longer header | [`with_max_token_length`](crate::AuthenticatorBuilder::with_max_token_length) |
//!
//! # Whose tokens, and which
//!
//! | setting | default | why | changed by |
//! |---|---|---|---|
//! | issuers | none: [`build`](crate::AuthenticatorBuilder::build) fails | | [`issuer`](crate::AuthenticatorBuilder::issuer) |
//! | tenants of a [multi-tenant issuer](crate::Issuer::multi_tenant) | must be named, or it does not compile; looked at on every request | anyone can have a tenant of Microsoft Entra | [`tenants`](crate::IssuerWithoutTenants::tenants), [`tenants_by`](crate::IssuerWithoutTenants::tenants_by), [`allow_any_tenant`](crate::IssuerWithoutTenants::allow_any_tenant) |
//! | `iss` | required; the issuer's name, byte by byte | a key of one issuer must sign nothing for another (RFC 8725 section 3.8) | [`add_name`](crate::Issuer::add_name) |
//! | `aud` | required; must be named, or it does not compile | who does not look at it accepts what was written for somebody else (RFC 8725 section 3.9) | [`audience`](crate::IssuerWithoutAudience::audience), [`add_audience`](crate::Issuer::add_audience), [`allow_any_audience`](crate::IssuerWithoutAudience::allow_any_audience), [`audience_from`](crate::Issuer::audience_from) |
//! | `exp` | required | a token without an end cannot be waited out | not at all |
//! | `nbf`, `iat` | may be absent; if there, must hold | both are optional in RFC 7519, and neither may lie in the future | [`require_claim`](crate::Issuer::require_claim) |
//! | other claims | may be absent, and have any value | only you know what your issuer writes | [`require_claim`](crate::Issuer::require_claim), [`require_claim_value`](crate::Issuer::require_claim_value) |
//! | claims that are `null` | rejected: a wrong type | `null` is not a string, and not a time | [`allow_null_claims`](crate::Issuer::allow_null_claims), for `aud`, `nbf`, `jti`, `scope` and `scp` |
//! | `sub` | a string, where there is one | RFC 7519 section 4.1.2; 7 and "7" may be two users | [`with_integer_subject`](crate::Issuer::with_integer_subject) |
//! | the token's id, for revocation | `jti`, or else the hash of header and claims | | [`token_id_claim`](crate::Issuer::token_id_claim) |
//! | leeway | 30 seconds on all three times, 5 minutes at most | clocks differ by seconds; more than minutes is a fault to be mended | [`with_leeway`](crate::Issuer::with_leeway), [`with_expiry_leeway`](crate::Issuer::with_expiry_leeway) |
//! | maximum age and lifetime | none | the issuer decides on `exp`; both need `iat`, which not everyone writes | [`with_max_age`](crate::Issuer::with_max_age), [`with_max_lifetime`](crate::Issuer::with_max_lifetime) |
//! | `typ` | absent, `JWT` or `at+jwt` | large issuers write any of them; log-out and DPoP tokens have others | [`require_typ`](crate::Issuer::require_typ) |
//! | `token_type` of `refresh` | refused | a refresh token opens no door | not at all |
//! | `cnf` | refused | a token that is bound to a key is stolen goods without that key (RFC 9449 section 7.2) | [`allow_unverified_cnf`](crate::Issuer::allow_unverified_cnf) |
//! | `kid` | selects keys; without it all that fit are tried, 4 at most | RFC 7515 leaves it optional; four bounds what a forged token costs | not at all |
//! | your checks | none | | [`add_check`](crate::AuthenticatorBuilder::add_check), [`add_async_check`](crate::AuthenticatorBuilder::add_async_check), [`add_pure_check`](crate::AuthenticatorBuilder::add_pure_check) |
//! | the clock | the system's | tests move another | [`with_clock`](crate::AuthenticatorBuilder::with_clock) |
//! | your claims | any type, by serde; a token that does not fit is refused | | the parameter `C` |
//!
//! # Keys
//!
//! | setting | default | why | changed by |
//! |---|---|---|---|
//! | HMAC secrets | as long as their hash: 32, 48 or 64 bytes | RFC 7518 section 3.2; shorter ones can be guessed from one token, without asking the server | [`Key::allow_short_secret`](crate::Key::allow_short_secret) |
//! | RSA | 2048 to 8192 bits, an odd exponent from 3 to 33 bits | RFC 7518 section 3.3; larger keys make each forged token expensive | not at all |
//! | RSA keys without `alg` | RS256 | large providers publish them so | `alg` in the JWK; [`with_rsa_algorithms`](crate::jwks::RemoteJwks::with_rsa_algorithms) |
//! | the `kid` of a key | that of its JWK; none for others; a made one for a signing key | | [`with_key_id`](crate::Key::with_key_id), [`with_key_id`](crate::jws::SigningKey::with_key_id) |
//! | `null` and empty arrays in a JWK | count as absent | .NET writes `"key_ops":[]` and `"d":null` into good keys | not at all |
//! | keys that are not for verifying | left out: `use` other than `sig`, `key_ops` without `verify`, `oct` in a set, private keys | one such key does not lose the rest of the set; [`refused`](crate::KeySet::refused) lists them | not at all |
//!
//! # What is remembered
//!
//! | setting | default | why | changed by |
//! |---|---|---|---|
//! | verified tokens | RSA, ECDSA and EdDSA tokens, in up to 16 MiB | their signatures cost many times what a look-up does, and nothing else changes: keys, times, checks and revocation are looked at again | [`with_token_cache_capacity`](crate::AuthenticatorBuilder::with_token_cache_capacity) |
//! | tokens with HMAC | not remembered | an HMAC is cheap; remembering pays only where few tokens make up most of the requests | [`cache_hmac_tokens`](crate::AuthenticatorBuilder::cache_hmac_tokens) |
//! | your checks | run on every request | only you know whether the answer can change | [`add_pure_check`](crate::AuthenticatorBuilder::add_pure_check) |
//!
//! # Revocation
//!
//! [`guide::revocation`](super::revocation) has the whole contract.
//!
//! | setting | default | why | changed by |
//! |---|---|---|---|
//! | revocation at all | none: a token is good until it expires | it needs a store, which only you can choose; a single process takes [`in_memory`](crate::RevocationCache::in_memory) | [`revocation`](crate::AuthenticatorBuilder::revocation); another cache for the same authenticator: [`with_revocation`](crate::Authenticator::with_revocation) |
//! | the bound | no default: it is an argument | how late a revocation may be seen is your decision | [`RevocationCache::new`](crate::RevocationCache::new) |
//! | a store that cannot answer | 503 | a pass would open the door to whoever can disturb the store | [`with_on_unavailable`](crate::RevocationCache::with_on_unavailable) |
//! | its timeout | 1 second | a request should fail before its client gives up | [`with_lookup_timeout`](crate::RevocationCache::with_lookup_timeout) |
//! | remembered "not revoked" | 100 000 answers | what is forgotten costs a question, no more | [`with_capacity`](crate::RevocationCache::with_capacity) |
//! | remembered denials | all of them, until 6 minutes after the token's `exp` | a denial that is evicted is a door that opens | not at all |
//! | the clocks | the system's | tests move others | [`with_clock`](crate::RevocationCache::with_clock), [`with_clock`](crate::revocation::MemoryStore::with_clock), [`with_clock`](crate::revocation::redis::DenyList::with_clock) |
//!
//! # Keys from the network (feature `jwks`)
//!
//! | setting | default | why | changed by |
//! |---|---|---|---|
//! | lifetime of a set | `max-age`, from 1 minute to 24 hours; 10 minutes if the server says nothing; fetched again at 80%, and after 1 hour at the latest | a key that is replaced under its `kid` should not be missing for a day | the server; [`with_max_refresh_interval`](crate::jwks::RemoteJwks::with_max_refresh_interval) |
//! | fetches for unknown `kid`s | one in 30 seconds for each source; up to 64 requests wait for it | anybody can make up a `kid` | not at all |
//! | fetches for bad signatures | none | a forged token looks like one of a new key | [`refetch_on_bad_signature`](crate::jwks::RemoteJwks::refetch_on_bad_signature), within the same budget |
//! | a server that is down | the last good keys, up to 1 hour past their lifetime; then 503 | most outages are shorter; a stolen key must not be trusted for ever | [`with_stale_limit`](crate::jwks::RemoteJwks::with_stale_limit) |
//! | how long a request waits for its key | 2 seconds | | [`with_time_box`](crate::jwks::RemoteJwks::with_time_box) |
//! | one exchange with the server | 5 seconds, 1 MiB, no redirects | whoever can answer must not send us elsewhere, or fill the memory | [`with_time_limit`](crate::jwks::RemoteJwks::with_time_limit), [`with_fetcher`](crate::jwks::RemoteJwks::with_fetcher) |
//! | whose certificates | the bundled roots of Mozilla's programme | the same everywhere | [`with_system_roots`](crate::jwks::HttpFetcher::with_system_roots), [`with_root_pem`](crate::jwks::HttpFetcher::with_root_pem), [`add_root_pem`](crate::jwks::HttpFetcher::add_root_pem) |
//! | the clock | the system's | | [`with_clock`](crate::jwks::RemoteJwks::with_clock) |
//! | plain `http` | to the own machine only | whoever is on the way could put in keys of their own | [`allow_http`](crate::jwks::RemoteJwks::allow_http) |
//! | a `jwks_uri` at a loopback or link-local address | rejected, unless the issuer itself is there | an issuer elsewhere must not send this process to its own ports or to instance metadata | not at all |
//!
//! # Redis (feature `redis`)
//!
//! | setting | default | why | changed by |
//! |---|---|---|---|
//! | an empty Redis | unavailable, until it is seeded | lost data must not be taken for "nothing is revoked" | [`initialise`](crate::revocation::redis::RedisStore::initialise), [`seed`](crate::revocation::redis::RedisStore::seed) |
//! | a server that evicts, or is a replica | refused at start, unavailable later | either loses revocations in silence | the server's settings |
//! | a Redis that cannot be reached at start | an error | a wrong address should not wait for its first user | [`allow_unreachable_at_start`](crate::revocation::redis::RedisBuilder::allow_unreachable_at_start) |
//! | encryption | none with `redis://`; with `rediss://` certificates are checked, always | what the URL says | [`with_root_pem`](crate::revocation::redis::RedisBuilder::with_root_pem), [`add_root_pem`](crate::revocation::redis::RedisBuilder::add_root_pem), [`with_system_roots`](crate::revocation::redis::RedisBuilder::with_system_roots), [`with_client_certificate_pem`](crate::revocation::redis::RedisBuilder::with_client_certificate_pem) |
//! | connecting; one command | 1 second; 500 milliseconds | less than the timeout of the cache in front | [`with_connect_timeout`](crate::revocation::redis::RedisBuilder::with_connect_timeout), [`with_command_timeout`](crate::revocation::redis::RedisBuilder::with_command_timeout) |
//! | replicas that must have a revocation | none but the master | each one waited for makes revoking slower | [`with_wait`](crate::revocation::redis::RedisBuilder::with_wait) |
//! | names of keys and channel | begin with `tower-bearer:` | | [`with_prefix`](crate::revocation::redis::RedisBuilder::with_prefix) |
//! | how often a relay looks for revocations to carry | every 200 milliseconds | | [`with_interval`](crate::revocation::redis::OutboxRelay::with_interval) |
//!
//! # Tokens of your own (feature `issuing`)
//!
//! | setting | default | why | changed by |
//! |---|---|---|---|
//! | access tokens | 1 hour | the contract of the API | not at all |
//! | private tokens | no default: who makes one says when it ends; within 366 days | a token whose end nobody chose is never ended | [`with_max_private_lifetime`](crate::issuing::TokenIssuerBuilder::with_max_private_lifetime) |
//! | refresh tokens | 1 day from each refresh | | [`with_refresh_lifetime`](crate::issuing::TokenIssuerBuilder::with_refresh_lifetime) |
//! | a refresh token that comes again | ends its whole session | it was stolen, or its successor was | [`with_refresh_reuse_grace`](crate::issuing::TokenIssuerBuilder::with_refresh_reuse_grace) |
//! | overlap at rotation | what the caller asks for, within 1 day | | [`with_max_overlap`](crate::issuing::TokenIssuerBuilder::with_max_overlap) |
//! | the bound of its revocation | 30 seconds for other processes, none in the same | | [`with_revocation_bound`](crate::issuing::TokenIssuerBuilder::with_revocation_bound) |
//! | leeway on its own `exp` | none | its lifetime is a promise, and the clock is the same | [`policy`](crate::issuing::TokenIssuer::policy) for verifiers elsewhere |
//! | password hashes | Argon2id, 19 MiB, 2 passes; as many at once as there are processors, 4 at most, and 64 wait | what OWASP recommends; bounded, so that log-ins cannot take all memory | [`with_limits`](crate::issuing::Passwords::with_limits) |
//! | failed log-ins | 5 at once for an account and then one in 10 seconds; 20 for an address and then one in 3 seconds | | not at all |
//! | log-ins of one account at once | 5 run and 16 wait, as long as those before them may succeed; more are 429 | parallel jobs log in to one account | not at all |
//! | refreshes of one session at once | 1 runs and 16 wait; more are 429 | replays of a stolen token must not keep the store busy | not at all |
//! | networks from which an account was logged in to | kept for 90 days as keyed hashes | an attack on an account does not lock its owner out on any replica | [`with_known_device_retention`](crate::issuing::TokenIssuerBuilder::with_known_device_retention) |
//! | private tokens of a subject | 1 000 that are valid at once; one more is 400 | a stolen log-in must not fill the database | [`with_max_private_tokens`](crate::issuing::TokenIssuerBuilder::with_max_private_tokens) |
//! | new private tokens | 30 at once for a subject, then one in 10 seconds | they write, and what they write stays | [`with_private_token_rate`](crate::issuing::TokenApi::with_private_token_rate) |
//! | the client's address, by which log-ins are limited | the connection's | what a client can write itself is not believed | [`with_peer_address`](crate::issuing::TokenApi::with_peer_address) |
//! | links | begin with `http` and the request's host | | [`with_public_url`](crate::issuing::TokenApi::with_public_url) |
//! | realm, and bodies of refusals | as those of the layer | | [`with_realm`](crate::issuing::TokenApi::with_realm), [`with_responder`](crate::issuing::TokenApi::with_responder) |
//! | connections to the database | 10; a step waits 5 seconds for one | | [`with_max_connections`](crate::issuing::store::sql::SqlStoreOptions::with_max_connections), [`with_patience`](crate::issuing::store::sql::SqlStoreOptions::with_patience) |
//! | the clocks | the system's | tests move others | [`with_clock`](crate::issuing::TokenIssuerBuilder::with_clock), [`with_clock`](crate::issuing::store::MemoryTokenStore::with_clock), [`with_clock`](crate::issuing::store::sql::SqlStore::with_clock) |
//!
//! # How refusals look
//!
//! | setting | default | why | changed by |
//! |---|---|---|---|
//! | realm | `api` | | [`with_realm`](crate::BearerLayer::with_realm) |
//! | the address of the resource's metadata | none is named | RFC 9728 section 5.1 is optional | [`with_resource_metadata`](crate::BearerLayer::with_resource_metadata) |
//! | bodies | `{"code", "detail"}` as JSON; trailers-only answers to gRPC | | [`with_responder`](crate::BearerLayer::with_responder) |
//! | gRPC requests on a route without gRPC | trailers-only answers with status 200, chosen by the content type | a layer cannot know which routes are gRPC | [`with_grpc_answers`](crate::BearerLayer::with_grpc_answers) |
//! | what a bad token is told | the same bytes, whatever was wrong | who forges tokens should learn nothing from it | your [`Responder`](crate::rejection::Responder); the reason is in [`Rejection::kind`](crate::Rejection::kind) |
//! | caching | `Cache-Control: no-store` | a shared cache must not hand a refusal to somebody else | your `Responder` |
//! | caching of the service's responses | not changed | the service knows what may be cached; caches protect responses to `Authorization` (RFC 9111 section 3.5), not to cookies and other headers | [`with_private_responses`](crate::BearerLayer::with_private_responses) |
//!
//! # Telemetry
//!
//! | setting | default | why | changed by |
//! |---|---|---|---|
//! | what a [`Collector`](crate::telemetry::Collector) collects | nothing until it is added | the parts are yours | [`add_authenticator`](crate::telemetry::Collector::add_authenticator), [`add_revocation`](crate::telemetry::Collector::add_revocation), [`add_pushes`](crate::telemetry::Collector::add_pushes), [`add_deny_list`](crate::telemetry::Collector::add_deny_list), [`add_token_issuer`](crate::telemetry::Collector::add_token_issuer) |
//!
//! # Seen in code
//!
//! ```
//! use std::time::Duration;
//!
//! use tower_bearer::{
//!     Authenticator, ConfigError, Issuer, Key, RevocationCache, claims, issuing,
//!     jwks::{self, RemoteJwks},
//!     revocation::{MemoryStore, OnUnavailable, redis::RedisStore},
//! };
//!
//! assert_eq!(claims::DEFAULT_LEEWAY, Duration::from_secs(30));
//! assert_eq!(claims::MAX_LEEWAY, Duration::from_secs(5 * 60));
//! assert_eq!(jwks::MAX_LENGTH, 1024 * 1024);
//! assert_eq!(issuing::MAX_PASSWORD, 1024);
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
//!     "time_box: 2s",
//!     "max_refresh_interval: 3600s",
//! ]));
//! let redis = RedisStore::builder("redis://redis.internal");
//! assert!(shows(redis, &["\"tower-bearer:\"", "connect_timeout: 1s", "command_timeout: 500ms", "wait: None"]));
//!
//! // Nobody is trusted by default,
//! let nobody = Authenticator::builder().build();
//! assert!(matches!(nobody, Err(ConfigError::NoIssuer)));
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
//! An issuer without a word on its audience is no issuer yet:
//!
//! ```compile_fail,E0308
//! # fn main() -> Result<(), tower_bearer::ConfigError> {
//! use tower_bearer::{Authenticator, Issuer, Key};
//!
//! let issuer = Issuer::new("https://issuer.example", Key::hs256([7; 32])?);
//! Authenticator::builder().issuer(issuer).build()?;
//! # Ok(()) }
//! ```
