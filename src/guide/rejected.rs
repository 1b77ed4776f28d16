//! Why was this token rejected? For the person who is on call.
//!
//! The client sees only a status and a `code`: every invalid token gets the same bytes. The reason is a
//! [`RejectionKind`](crate::RejectionKind). Find it in one of three places, and then in the table below.
//!
//! # Find the reason
//!
//! 1. **The log** (feature `tracing`). Set the filter of the subscriber to `tower_bearer=debug`, for example
//!    `RUST_LOG=tower_bearer=debug` with an `EnvFilter`. Each rejection is one event `request refused` with the field
//!    `reason`. It is at DEBUG because clients can cause it. It is inside the span of your own request tracing, if that
//!    layer is outside this one, and so has the path and the request id. Tokens and claims are never in it.
//! 2. **The response** inside your service: the layer puts the [`Rejection`](crate::Rejection) into the extensions of
//!    the response. A layer outside this one reads it, as below. It is not sent to the client.
//! 3. **The metrics** (feature `metrics`): `tower_bearer_decisions_total` with `decision="rejected"` or
//!    `decision="unavailable"`, and `reason`. A sudden increase of one reason often shows the cause:
//!    `unknown_key` after a rotation, `expired` or `not_yet_valid` after a clock change, `wrong_audience` after a
//!    deployment.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use http::{Request, Response, header::AUTHORIZATION};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//! use tower_bearer::{BearerLayer, Rejection, RejectionKind, claims::UntypedClaims, test_util::TestIssuer};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let issuer = TestIssuer::new();
//! let layer: BearerLayer<UntypedClaims> = issuer.layer();
//! let mut service = ServiceBuilder::new()
//!     .layer(layer)
//!     .service(service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(String::new()))));
//!
//! let request = Request::get("/orders").header(AUTHORIZATION, issuer.token().expired().bearer());
//! let response = service.ready().await.unwrap().call(request.body(String::new()).unwrap()).await.unwrap();
//! let reason = response.extensions().get().map(Rejection::kind);
//! assert_eq!(reason, Some(RejectionKind::Expired));
//! assert_eq!(RejectionKind::Expired.as_str(), "expired"); // in the log and in the metrics
//! # }
//! ```
//!
//! # Explain one token
//!
//! [`Authenticator::explain`](crate::Authenticator::explain) runs the same checks as a request, and lists them: passed,
//! failed, skipped or not reached, with what was expected and what was found. The example `explain_token` does it on the
//! command line. It prints no secret part of the token. Do not paste a live token into a web site.
//!
//! ```text
//! $ ISSUER=https://issuer.example AUDIENCE=api://orders cargo run --example explain_token < token
//!  ...
//!  8  skipped      tenant
//!  9  FAILED       times
//!       expected  `exp` in the future, with 30 s of leeway; `nbf` and `iat` in the past, with 30 s
//!       found     exp: 2027-01-15T07:48:00Z (12 minutes ago)
//!  ...
//! rejected: expired
//! ```
//!
//! # If you do not find an event
//!
//! * The feature `tracing` is off, or the filter hides DEBUG.
//! * The request did not reach the layer: a proxy, another layer or the router answered. Compare the body with the
//!   codes below.
//! * The body is a text `no layer in front of this service provides Authenticated<..>` with status 500: the route has
//!   no layer, or one for another claims type. This is a mistake in your code and has no kind.
//! * The API of the issuer (crate `tower-bearer-issuing`) answered: a log-in or a refresh has its own errors.
//! * An [`Authenticator`](crate::Authenticator) without a layer returns the [`Rejection`](crate::Rejection) to its
//!   caller, and writes no event.
//!
//! # Every reason
//!
//! Status and `code` are those of the default [`Responder`](crate::rejection::Responder). A gRPC request gets, instead
//! of 401, 400, 403 and 503, the `grpc-status` 16 (`UNAUTHENTICATED`), 3 (`INVALID_ARGUMENT`), 7 (`PERMISSION_DENIED`)
//! and 14 (`UNAVAILABLE`). The rows are in the order of the [checks](crate::Authenticator#checks), roughly.
//!
//! | kind | `reason` | answer | typical cause | what to do |
//! |---|---|---|---|---|
//! | [`MissingCredential`](crate::RejectionKind::MissingCredential) | `missing_credential` | 401 `not_authenticated` | The request has no `Authorization` header, or one of another scheme such as `Basic`. A proxy removed the header. The client sends the token in a cookie, a query parameter or another header, which is not allowed by default. A CORS preflight reached the layer. | Send `Authorization: Bearer <token>`. Allow another place with [`credential_header`](crate::BearerLayer::credential_header), [`allow_cookie`](crate::BearerLayer::allow_cookie) or [`allow_query`](crate::BearerLayer::allow_query). Put the CORS layer outside. For public routes use [`optional`](crate::BearerLayer::optional) or no layer. |
//! | [`MultipleCredentials`](crate::RejectionKind::MultipleCredentials) | `multiple_credentials` | 400 `bad_authorization_header` | The request has two `Authorization` headers, two cookies with the name of the credential, or a token in two places. Often a proxy adds a header to the one of the client. | Remove one of them. A header and a cookie together are accepted: the header counts. |
//! | [`MalformedCredential`](crate::RejectionKind::MalformedCredential) | `malformed_credential` | 400 `bad_authorization_header` | `Bearer` without a token, without a space behind it, or followed by characters that a token cannot have, such as quotes or a second word. The value begins or ends with white space. At an optional layer: `Basic x, Bearer y`, or a cookie or parameter that another server could read as the credential. | Look at the raw header that the client sends. Remove quotes, line breaks and white space around the token. |
//! | [`CrossSite`](crate::RejectionKind::CrossSite) | `cross_site` | 403 `permission_denied` | The token is in a cookie, the method is unsafe or the request is a WebSocket upgrade, and the browser did not say that the request is same-origin (`Sec-Fetch-Site`, or else `Origin`). Often the page and the API have different hosts, or a proxy changes `Host`. | Serve page and API from one origin, or send the token in a header. Keep `Host` and `Origin` in the proxy. If another defence against cross-site requests is in place: [`allow_cookie_without_csrf_check`](crate::BearerLayer::allow_cookie_without_csrf_check). |
//! | [`TokenTooLong`](crate::RejectionKind::TokenTooLong) | `token_too_long` | 401 `token_not_valid` | The token is longer than 8 KiB, or than your limit. Often the issuer writes many groups into it. | Have the issuer write fewer claims, or raise the limit: [`with_max_token_length`](crate::AuthenticatorBuilder::with_max_token_length). The header limit of the server must allow it too. |
//! | [`MalformedToken`](crate::RejectionKind::MalformedToken) | `malformed_token` | 401 `token_not_valid` | The token is not a compact JWS: an opaque token, an encrypted token (five parts), a part of a token, or base64 with padding, as AWS Application Load Balancers write it. | Ask the issuer for a signed JWT (JWS) access token. Often a setting such as the audience of the token request decides this. |
//! | [`MalformedHeader`](crate::RejectionKind::MalformedHeader) | `malformed_header` | 401 `token_not_valid` | The protected header is not a strict JSON object, a member has the wrong type, or `kid` is longer than 1024 bytes. | Decode the first part of the token, and report it to the issuer. |
//! | [`UnsupportedAlgorithm`](crate::RejectionKind::UnsupportedAlgorithm) | `unsupported_algorithm` | 401 `token_not_valid` | `alg` is `none`, or an algorithm that [`Algorithm`](crate::Algorithm) does not have, such as `ES256K`. | Have the issuer sign with an algorithm of the list. There is no setting that allows others. |
//! | [`UnsupportedHeader`](crate::RejectionKind::UnsupportedHeader) | `unsupported_header` | 401 `token_not_valid` | The header has `crit`, `b64` or `enc`, or `cty` says that a token is inside the token. | Have the issuer make a plain signed JWT. There is no setting that allows these. |
//! | [`MalformedClaims`](crate::RejectionKind::MalformedClaims) | `malformed_claims` | 401 `token_not_valid` | The claims are not a strict JSON object: a name twice, text that is not UTF-8, more than 32 levels, or a number that is too large. | Decode the second part of the token, look for names that occur twice, and report it to the issuer. |
//! | [`UnknownIssuer`](crate::RejectionKind::UnknownIssuer) | `unknown_issuer` | 401 `token_not_valid` | `iss` is not, byte by byte, the name of a configured issuer. Often a slash at the end, `http` in place of `https`, or the token of another environment. Under a multi-tenant issuer: the tenant is not accepted, or `tid` is not the tenant in `iss`. | Compare `iss` with [`Issuer::new`](crate::Issuer::new). Add another spelling with [`add_name`](crate::Issuer::add_name), another tenant with [`tenants`](crate::IssuerWithoutTenants::tenants). |
//! | [`WrongType`](crate::RejectionKind::WrongType) | `wrong_type` | 401 `token_not_valid` | `typ` is not `JWT` or `at+jwt`, or not what the policy requires. Often an ID token or a log-out token is sent in place of an access token. | Send the access token. If the issuer writes another type into access tokens: [`require_typ`](crate::Issuer::require_typ). |
//! | [`UnknownKey`](crate::RejectionKind::UnknownKey) | `unknown_key` | 401 `token_not_valid` | No key of the issuer has the `kid` of the token, or there is no key at all. Often the token is from another environment, or the issuer has rotated its keys and the file or secret here is old. With keys from the network, the last fetch succeeded and did not have the key. | Compare the `kid` of the token with the key set of the issuer. Replace keys with [`KeySetHandle::replace`](crate::KeySetHandle::replace). [`KeySet::refused`](crate::KeySet::refused) and the event `keys refused` name keys of the set that cannot be used. |
//! | [`AlgorithmMismatch`](crate::RejectionKind::AlgorithmMismatch) | `algorithm_mismatch` | 401 `token_not_valid` | The keys that the token can mean are for another algorithm than its `alg`. Often an RSA key without `alg`, which counts as RS256, and a token with PS256. | Give the key the algorithm that the issuer uses: the argument of [`Key::from_pem`](crate::Key::from_pem), `alg` in the JWK, or [`with_rsa_algorithms`](crate::jwks::RemoteJwks::with_rsa_algorithms). If nothing is wrong there, the token is an attack. |
//! | [`BadSignature`](crate::RejectionKind::BadSignature) | `bad_signature` | 401 `token_not_valid` | No key verifies the signature. Often the secret or key is that of another environment, the issuer has replaced the key under the same `kid`, or the token was changed on its way. Under a multi-tenant issuer: the key does not sign for this tenant. | Compare the key here with that of the issuer. If the issuer replaces keys under one `kid`: [`refetch_on_bad_signature`](crate::jwks::RemoteJwks::refetch_on_bad_signature). If the keys are right, the token is forged. |
//! | [`MissingClaim`](crate::RejectionKind::MissingClaim) | `missing_claim` | 401 `token_not_valid` | `iss`, `exp` or the audience is absent; or `iat`, if the policy has a maximum age or lifetime; or `tid`, under a multi-tenant issuer; or a claim that the policy requires, or that names the token for revocation. | Have the issuer write the claim. If it writes the audience under another name: [`audience_from`](crate::Issuer::audience_from). Else look at [`require_claim`](crate::Issuer::require_claim) and [`token_id_claim`](crate::Issuer::token_id_claim) in your policy. |
//! | [`InvalidClaim`](crate::RejectionKind::InvalidClaim) | `invalid_claim` | 401 `token_not_valid` | A claim has the wrong JSON type: a time that is a string or negative, `sub`, `jti` or `sid` that is a number or empty, `null`, or an `aud` that is neither a string nor a list of strings. | Have the issuer write the type of RFC 7519. For `null`: [`allow_null_claims`](crate::Issuer::allow_null_claims). For a number in `sub`: [`with_integer_subject`](crate::Issuer::with_integer_subject). |
//! | [`Expired`](crate::RejectionKind::Expired) | `expired` | 401 `token_not_valid` | `exp` has passed, and the leeway too. This is the usual 401 of a client that does not refresh in time. Tokens that are expired from the start: the clocks differ. | Have the client get a new token and try again. If new tokens are rejected, compare the clocks of the issuer and of this machine. The leeway is [`with_leeway`](crate::Issuer::with_leeway). |
//! | [`NotYetValid`](crate::RejectionKind::NotYetValid) | `not_yet_valid` | 401 `token_not_valid` | `nbf` is in the future by more than the leeway. The clock of the issuer is ahead, or this clock is behind. | Synchronise the clocks. If that is not possible, raise the leeway, to 5 minutes at most: [`with_leeway`](crate::Issuer::with_leeway). |
//! | [`IssuedInFuture`](crate::RejectionKind::IssuedInFuture) | `issued_in_future` | 401 `token_not_valid` | `iat` is in the future by more than the leeway. The clock of the issuer is ahead, or this clock is behind. | As for `not_yet_valid`: synchronise the clocks, or raise the leeway. |
//! | [`TooOld`](crate::RejectionKind::TooOld) | `too_old` | 401 `token_not_valid` | The token was issued longer ago than [`with_max_age`](crate::Issuer::with_max_age) allows. It may not be expired yet. | Have the client log in again. If the limit is too short for the route, change it. |
//! | [`LifetimeTooLong`](crate::RejectionKind::LifetimeTooLong) | `lifetime_too_long` | 401 `token_not_valid` | `exp - iat` is above [`with_max_lifetime`](crate::Issuer::with_max_lifetime). Often the issuer was configured for longer tokens. | Shorten the tokens at the issuer, or raise the limit here. A longer limit also keeps cut-offs longer. |
//! | [`WrongAudience`](crate::RejectionKind::WrongAudience) | `wrong_audience` | 401 `token_not_valid` | `aud` does not contain a configured audience, byte by byte. Often the client asked for a token for another API, or an ID token was sent, whose audience is the client. | Request the token for this API. Compare `aud` with [`audience`](crate::IssuerWithoutAudience::audience); add another spelling with [`add_audience`](crate::Issuer::add_audience). |
//! | [`WrongTokenUse`](crate::RejectionKind::WrongTokenUse) | `wrong_token_use` | 401 `token_not_valid` | `token_type` is `refresh`, or the token has `events`: it is a security event (RFC 8417) or a log-out token. Or a claim does not have the value that [`require_claim_value`](crate::Issuer::require_claim_value) requires. Often the client sends the refresh token. | Send the access token. Else compare the claim with the policy. |
//! | [`UnverifiedConfirmation`](crate::RejectionKind::UnverifiedConfirmation) | `unverified_confirmation` | 401 `token_not_valid` | The token has `cnf`: it is bound to a client certificate or a key, and the request did not prove it. Often no source of client certificates is set, the proxy sends no `Client-Cert` or its address is not in the list, or the client has a new certificate or key and an old token. Or the layer has no DPoP, or a bound token was sent as `Bearer`, or the proof is by another key. Or the token is not bound, and it was sent as `DPoP` or the layer requires a binding. | Set [`with_client_certificates`](crate::BearerLayer::with_client_certificates) or [`with_dpop`](crate::BearerLayer::with_dpop). Compare the thumbprint of the certificate with `x5t#S256`, or that of the key with `jkt`. After a change of its certificate or key, a client needs a new token. If something in front of the layer checks the proof: [`allow_unverified_cnf`](crate::Issuer::allow_unverified_cnf). |
//! | [`MissingProof`](crate::RejectionKind::MissingProof) | `missing_proof` | 401 `dpop_proof_not_valid` | The scheme is `DPoP`, and there is no header `DPoP`. Often a proxy removes it, or a CORS layer does not allow it. | Let the header `DPoP` through. |
//! | [`MalformedProof`](crate::RejectionKind::MalformedProof) | `malformed_proof` | 401 `dpop_proof_not_valid` | Two headers `DPoP`, or one that is not a proof: not a compact JWS, `typ` is not `dpop+jwt`, an `alg` that [`Dpop`](crate::dpop::Dpop) does not list, no `jwk`, or a claim that is absent or has the wrong type. Often `ath` is absent, because the client sends a proof that it made for the authorization server. | Decode both parts of the proof and compare them with the [table](crate::dpop#checks-of-a-proof). |
//! | [`UnusableProofKey`](crate::RejectionKind::UnusableProofKey) | `unusable_proof_key` | 401 `dpop_proof_not_valid` | The `jwk` of the proof is private, weak, not on its curve, a secret, or not for `alg`. | Send the public key only. |
//! | [`BadProofSignature`](crate::RejectionKind::BadProofSignature) | `bad_proof_signature` | 401 `dpop_proof_not_valid` | The key in the proof does not verify it. Often the client signs with another key than the one that it sends, or with a DER signature for ES256. | Correct the client. |
//! | [`WrongProofTarget`](crate::RejectionKind::WrongProofTarget) | `wrong_proof_target` | 401 `dpop_proof_not_valid` | `htm` is not the method, or `htu` not the URL of the request. Often the public URL is not the one that clients use, or a proxy changes the path. | Compare `htu` with the [public URL](crate::dpop::Dpop::new) and the path that the service sees. |
//! | [`WrongProofToken`](crate::RejectionKind::WrongProofToken) | `wrong_proof_token` | 401 `dpop_proof_not_valid` | `ath` is the hash of another token. Often the client made the proof before it refreshed its token. | Make the proof with the token that is sent. |
//! | [`ProofNotCurrent`](crate::RejectionKind::ProofNotCurrent) | `proof_not_current` | 401 `dpop_proof_not_valid` | The proof was made longer ago than the [maximum age](crate::dpop::Dpop::with_max_age), or its `iat` is in the future. Often the clock of the client is wrong. | Synchronise the clocks. For clients whose clocks are wrong, a longer [leeway](crate::dpop::Dpop::with_leeway) helps if they are ahead. |
//! | [`ReplayedProof`](crate::RejectionKind::ReplayedProof) | `replayed_proof` | 401 `dpop_proof_not_valid` | The proof was used before. Often the client repeats a request with the same proof, or a gateway in front of the service has recorded it. | Make a new proof for each request, also for a repeated one. At a gateway: [`allow_unrecorded_proofs`](crate::dpop::Dpop::allow_unrecorded_proofs). |
//! | [`UseDpopNonce`](crate::RejectionKind::UseDpopNonce) | `use_dpop_nonce` | 401 `dpop_proof_not_valid` | [Nonces](crate::dpop::Dpop::with_nonces) are required, and the proof has none, or one that is old or of another process. This is the usual first answer to a client. | Nothing: a client repeats the request with the nonce of the header `DPoP-Nonce`. If all requests get this answer, the processes have different keys, or a CORS layer does not expose the header. |
//! | [`ClaimsMismatch`](crate::RejectionKind::ClaimsMismatch) | `claims_mismatch` | 401 `token_not_valid` | The claims do not deserialize into your type `C`. Often a field is missing in the tokens of some clients. | Decode the claims and compare them with the type. Use `Option` or `#[serde(default)]` for claims that can be absent. |
//! | [`OtherVerifier`](crate::RejectionKind::OtherVerifier) | `other_verifier` | 401 `token_not_valid` | [`recheck`](crate::Authenticator::recheck) was called with a token that another [`Authenticator`](crate::Authenticator) has verified. Clones of one authenticator count as the same. This is a mistake in your code. | Keep one authenticator and clone it, or call [`authenticate`](crate::Authenticator::authenticate) with the text of the token. |
//! | [`CheckFailed`](crate::RejectionKind::CheckFailed) | `check_failed` | 401 `token_not_valid` | One of your checks, [`add_check`](crate::AuthenticatorBuilder::add_check) or a sibling, returned [`CheckError::Rejected`](crate::CheckError::Rejected). | Log the reason in your check: the layer does not know it. |
//! | [`Revoked`](crate::RejectionKind::Revoked) | `revoked` | 401 `token_not_valid` | The token, its subject, its session or its key is revoked. A new log-in is rejected too if it is dated before the cut-off: a cut-off "as of now" includes the leeway, 30 seconds by default. A token without `iat` is rejected by every cut-off of its subject. | Have the user log in again, after the leeway. Only time removes a revocation entry. See [`guide::revocation`](super::revocation). |
//! | [`ForeignStatusList`](crate::RejectionKind::ForeignStatusList) | `foreign_status_list` | 401 `token_not_valid` | `status` of the token names a list whose URL is not under a configured prefix. Often the issuer serves its lists at another host or path. | Compare the URL with [`StatusLists::new`](crate::status_list::StatusLists::new). If it is right, [`add_prefix`](crate::status_list::StatusLists::add_prefix). |
//! | [`StatusInvalid`](crate::RejectionKind::StatusInvalid) | `status_invalid` | 401 `token_not_valid` | The issuer has revoked the token in its status list. | Have the user log in again. |
//! | [`StatusSuspended`](crate::RejectionKind::StatusSuspended) | `status_suspended` | 401 `token_not_valid` | The issuer has suspended the token in its status list. The suspension can end. | Ask the issuer why the token is suspended. |
//! | [`StatusOther`](crate::RejectionKind::StatusOther) | `status_other` | 401 `token_not_valid` | The status list has a value other than 0, 1 and 2 for the token. Only 0 is valid. | Ask the issuer what the value means. |
//! | [`StatusIndexOutOfRange`](crate::RejectionKind::StatusIndexOutOfRange) | `status_index_out_of_range` | 401 `token_not_valid` | The index of the token is beyond the end of its status list. Often the list was made anew, with fewer entries. | Report it to the issuer. |
//! | [`InsufficientScope`](crate::RejectionKind::InsufficientScope) | `insufficient_scope` | 403 `permission_denied` | The token is valid and lacks a scope that [`require_scopes`](crate::BearerLayer::require_scopes) requires. `WWW-Authenticate` and [`Rejection::required_scopes`](crate::Rejection::required_scopes) name the scopes. | Have the client request the scope. Scopes are read from `scope` and `scp`; roles in other claims need [`require`](crate::BearerLayer::require). |
//! | [`PermissionDenied`](crate::RejectionKind::PermissionDenied) | `permission_denied` | 403 `permission_denied` | The token is valid, and your function in [`require`](crate::BearerLayer::require) returned `false`. | Log the reason in your function: the layer does not know it. |
//! | [`InsufficientUserAuthentication`](crate::RejectionKind::InsufficientUserAuthentication) | `insufficient_user_authentication` | 401 `insufficient_user_authentication` | The token is valid. Its `acr` or `auth_time` does not satisfy [`require_authentication`](crate::BearerLayer::require_authentication): the login of the user was too weak or is too long ago, or the token does not have the claim. | Have the client send the user to log in again, with the `acr_values` and `max_age` of the challenge. If the authorization server never sets these claims, configure it to. |
//! | [`KeysUnavailable`](crate::RejectionKind::KeysUnavailable) | `keys_unavailable` | 503 `authentication_unavailable` | The keys of the issuer come from the network and there are none that may be used: they were never fetched, or the outage is longer than the stale limit. Or the `kid` is unknown and the last fetch failed, or a fetch did not end within the time of the request. | Look at the event `keys not fetched`, at `tower_bearer_keys_usable` and `tower_bearer_keys_age_seconds`, and at [`RemoteJwks::health`](crate::jwks::RemoteJwks::health), which has the last error. Test the address from this machine with `curl`: DNS, proxy, TLS. You do not have to restart anything. |
//! | [`CheckUnavailable`](crate::RejectionKind::CheckUnavailable) | `check_unavailable` | 503 `authentication_unavailable` | One of your checks returned [`CheckError::Unavailable`](crate::CheckError::Unavailable). Often its database is down. | Look at the system that your check asks. Log the reason in your check. |
//! | [`RevocationUnavailable`](crate::RejectionKind::RevocationUnavailable) | `revocation_unavailable` | 503 `authentication_unavailable` | The revocation store failed, did not answer within its timeout (1 second by default), or is a Redis without a generation: it was never initialised, was emptied, or lost data. A `DenyList` is older than its bound. | Look at the event `revocation store failed` with its `kind`, and at `tower_bearer_revocation_errors_total`. For Redis, `RedisStore::is_seeded` tells whether it has to be seeded or initialised. You do not have to restart anything. [`with_on_unavailable`](crate::RevocationCache::with_on_unavailable) has weaker answers. |
//! | [`StatusUnavailable`](crate::RejectionKind::StatusUnavailable) | `status_unavailable` | 503 `authentication_unavailable` | The status list of the token was never fetched, or the last good list is older than its lifetime; or the issuer uses more lists than [`with_max_lists`](crate::status_list::StatusLists::with_max_lists). | Look at the event `status list not fetched`, at `tower_bearer_status_lists_unusable`, and at [`StatusLists::health`](crate::status_list::StatusLists::health), which has the last error. Test the URL of the list from this machine with `curl`. You do not have to restart anything. [`with_on_unavailable`](crate::status_list::StatusLists::with_on_unavailable) has weaker answers. |
//! | [`ReplayUnavailable`](crate::RejectionKind::ReplayUnavailable) | `replay_unavailable` | 503 `authentication_unavailable` | The store of used proofs failed, or it may have lost data a short time ago. Or the key, the subject or all clients together have used more proofs than the [limits](crate::dpop::ReplayLimits) allow. | Look at the store. If it works, look for a client that sends very many requests, and raise the limits if that is right. |
//!
//! # Kinds of store failures
//!
//! The event `revocation store failed` has a `kind`. The metric `tower_bearer_revocation_errors_total` has a label of the
//! same name with two values only: `timed_out` if a request waited for its whole timeout, and `failed` for all others.
//!
//! | `kind` | store | what to do |
//! |---|---|---|
//! | `timed_out` | any | look at the load of the store and at the network |
//! | `failed` | any | the store is your own: look at its log |
//! | `panicked` | any | a defect of the store: the panic hook has its text |
//! | `not_seeded` | Redis | Redis is empty: see [`deployments`](super::deployments) |
//! | `went_backwards`, `evicted` | Redis | Redis has lost entries: a relay seeds it by itself; without a relay, seed it again. After an eviction set `noeviction` and run `CONFIG RESETSTAT` first; if the server forbids `CONFIG`, restart it or fail over to a replica |
//! | `evicting` | Redis | set `maxmemory-policy` to `noeviction`. A relay then seeds Redis by itself; without a relay, seed it again |
//! | `replica` | Redis | connect to the master |
//! | `no_master` | Redis | no sentinel, or no node of the cluster, has named the master: look at their addresses, their password and the name of the master |
//! | `replaced` | Redis | there was a failover. The process connects to the new master by itself |
//! | `migrating` | Redis Cluster | the slot of the fleet moves to another node: end the move |
//! | `down`, `dial`, `wire`, `tls` | Redis | Redis cannot be reached, or its certificate is not trusted. The process reconnects by itself |
//! | `stopped` | Redis | your code has stopped the task of the `RedisStore`: connect a new store |
//! | `redis` | Redis | Redis answered with an error: look at the rights of the user (ACL). In a cluster it may also be a slot that moves: end the move |
//! | `too_few_replicas`, `unconfirmed` | Redis | the entry is in force. Call again until enough replicas confirm it |
//! | `out_of_date` | deny-list | the deny-list has not been up to date for longer than its bound: look at Redis, or at the database of an `SqlDenyList` |
//! | `overtaken`, `seed_interrupted` | Redis | another process seeded Redis at the same time: the next attempt succeeds |
//! | `unreadable` | any | another program wrote below the prefix or into the tables |
//! | `no_randomness` | Redis | allow the process to call `getrandom` |
//! | `refused`, `rejected` | SQL | the database rejected the values of a statement; or a statement for another reason, such as a full disk, a missing right or a timeout |
//! | `broken`, `no_connection`, `owner_busy`, `over` | SQL | a connection was lost or not available in time, or other calls of the same account took too long |
