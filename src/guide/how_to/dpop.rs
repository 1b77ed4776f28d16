//! Tokens that are bound to a key of the client (DPoP, RFC 9449).
//!
//! Give the layer the public URL of your service. It then accepts tokens with `cnf.jkt` from the client that has the
//! key:
//!
//! ```
//! # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
//! # fn layer(authenticator: tower_bearer::Authenticator) -> Result<tower_bearer::BearerLayer, tower_bearer::ConfigError> {
//! use tower_bearer::{BearerLayer, dpop::Dpop};
//!
//! // Unbound tokens still pass as `Bearer`, until every client has changed.
//! let dpop = Dpop::new(["https://api.example"])?;
//! let layer = BearerLayer::new(authenticator).with_dpop(dpop);
//! # Ok(layer) }
//! ```
//!
//! When every client has changed, add [`required`](crate::dpop::Dpop::required). Unbound tokens then get 401.
//!
//! # What a client does
//!
//! 1. It makes a key pair, and sends a proof by that key when it asks the authorization server for a token (RFC 9449
//!    section 5). The token then has the thumbprint of the key in `cnf.jkt`.
//! 2. It makes a new proof for each request, also when it repeats a request:
//!
//! ```text
//! GET /orders?page=2 HTTP/1.1
//! Host: api.example
//! Authorization: DPoP <token>
//! DPoP: <proof>
//!
//! header of the proof: {"typ":"dpop+jwt","alg":"ES256","jwk":{"kty":"EC","crv":"P-256","x":"...","y":"..."}}
//! claims of the proof: {"jti":"<random>","htm":"GET","htu":"https://api.example/orders","iat":1800000000,
//!                       "ath":"<base64url of SHA-256 of the token>"}
//! ```
//!
//! | answer | what the client does |
//! |---|---|
//! | 401 with `error="use_dpop_nonce"` | it puts the value of the header `DPoP-Nonce` into the claim `nonce` of a new proof, and repeats the request once |
//! | 401 with `error="invalid_dpop_proof"` | it repairs its proof or its clock. The answer does not contain the reason; the [event](crate::telemetry) does |
//! | 401 with `error="invalid_token"` | it gets a new token. The token may also be bound to another key |
//! | 503 | it waits for the time in `Retry-After` and repeats the request with a new proof |
//!
//! A proof that was sent with a rejected token is not used up. A client that got no answer still makes a new proof.
//!
//! # Nonces
//!
//! Without nonces, a thief who can use the key for a moment can make proofs for later. With
//! [`with_nonces`](crate::dpop::Dpop::with_nonces), a proof must contain a value that this service gave out in the last
//! five minutes. All processes behind one URL need the same [`NonceKey`](crate::dpop::NonceKey).
//!
//! # Several processes
//!
//! By default each process remembers the proofs that it has accepted. A proof can then be used once at each process.
//! Give all processes one store with [`with_replay_store`](crate::dpop::Dpop::with_replay_store). If the store fails,
//! the layer answers 503. [`with_on_unavailable`](crate::dpop::Dpop::with_on_unavailable) can change that.
//!
//! # Limits
//!
//! A client that exceeds [`ReplayLimits`](crate::dpop::ReplayLimits) gets 503. With the default settings one key can
//! send about 130 requests per second at each process. Raise the limit for clients that are services themselves.
//!
//! # Proxies
//!
//! The layer compares `htu` with the public URL that you set, followed by the path of the request. It does not read
//! `Host`, `Forwarded` and `X-Forwarded-*`, so a proxy may set or change them.
//!
//! | the proxy | the public URL |
//! |---|---|
//! | ends TLS, and keeps the path | `https://api.example` |
//! | removes `/shop` from the path | `https://api.example/shop` |
//! | serves the same service under two names | both: `Dpop::new(["https://api.example", "https://www.example"])` |
//! | adds something to the path, or rewrites it | not possible: the layer cannot know the path that the client used |
//!
//! Query and fragment do not count. Upper and lower case of the path, a slash at its end and two slashes do count:
//! `/orders` and `/orders/` are two URLs. So a proxy must not merge slashes or decode `%2F`.
//!
//! A prefix that axum's `nest` removes stays in the URL. A prefix that another middleware removes before this layer
//! must be in the public URL. [What nginx does](super::client_certificates#proxies-and-dpop) is on another page.
//!
//! # Browsers
//!
//! For pages of other origins, the CORS layer is outside of this layer. It must allow the request headers
//! `Authorization` and `DPoP`, and expose the response headers `WWW-Authenticate` and `DPoP-Nonce`.
//!
//! # gRPC
//!
//! The proof is in the metadata `dpop`, and the token in `authorization`. `htm` is `POST`, and `htu` is the public URL
//! followed by `/package.Service/Method`. A rejection has the status `UNAUTHENTICATED` and the same headers as over
//! HTTP. One proof is for one call, also for a call that streams.
