//! DPoP (RFC 9449): accepts a token only from the client that has the key that the token is bound to.
//!
//! An authorization server binds a token to a key with `cnf.jkt`. The client signs a proof for each request with that
//! key. A thief of the token cannot make proofs.
//!
//! 1. Give the layer the public URL of your service, with
//!    [`BearerLayer::with_dpop`](crate::BearerLayer::with_dpop). Without it, the layer rejects every token with
//!    `cnf.jkt`.
//! 2. Clients send `Authorization: DPoP <token>` and the proof in the header `DPoP`.
//! 3. A bound token sent as `Bearer`, and a token without a binding sent as `DPoP`, get the same 401 as every invalid
//!    token. An invalid proof gets 401 with the code `dpop_proof_not_valid`. The answer never contains the reason.
//! 4. Each proof is accepted once. It is recorded after every other check of the proof and of the token has passed.
//!
//! ```
//! # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
//! # fn layer(authenticator: tower_bearer::Authenticator) -> Result<tower_bearer::BearerLayer, tower_bearer::ConfigError> {
//! use tower_bearer::{BearerLayer, dpop::Dpop};
//!
//! let layer = BearerLayer::new(authenticator).with_dpop(Dpop::new(["https://api.example"])?);
//! # Ok(layer) }
//! ```
//!
//! # Checks of a proof
//!
//! | what | rule | RFC 9449 |
//! |---|---|---|
//! | header `DPoP` | exactly one, a compact JWS of at most 8 KiB, as strict as a token | 4.3, checks 1 and 2 |
//! | `typ` | `dpop+jwt` | 4.3, check 4 |
//! | `alg` | one of [`with_algorithms`](Dpop::with_algorithms), and it fits the key | 4.3, check 5 |
//! | `jwk` | a public key that passes every check of [`Key`](crate::Key); its RFC 7638 thumbprint is `cnf.jkt` | 4.3, checks 7 and 12 |
//! | signature | by that key | 4.3, check 6 |
//! | `crit`, `b64`, `enc` | absent | 4.2 |
//! | `jti` | 1 to 256 characters, not used before with this key | 4.2, 11.1 |
//! | `htm` | the method of the request, with the same case | 4.3, check 8 |
//! | `htu` | the URL of the request, normalised, without query and fragment | 4.3, check 9 |
//! | `iat` | at most 60 s ago, and at most 30 s in the future | 4.3, check 11 |
//! | `ath` | the SHA-256 of the token | 4.3, check 12 |
//! | `nonce` | a recent nonce of this service, with [`with_nonces`](Dpop::with_nonces) | 4.3, check 10, and 9 |
//!
//! # The URL of the request
//!
//! Scheme, host and port come from [`Dpop::new`], never from the request. `Host`, `Forwarded` and `X-Forwarded-*` have
//! no effect. The path is the one of the request as it arrived. Behind axum's `nest` it is the path before the prefix
//! was removed, with the feature `axum`. If the public URL has a path, it comes before the path of the request.
//!
//! If a proxy changes the path, the layer cannot know the path that the client used. Give it a public URL whose path
//! is what the proxy removes.
//!
//! # Gateways
//!
//! A gateway that checks a proof and forwards the request must not use the proof up: the service behind it also checks
//! it. Set [`allow_unrecorded_proofs`](Dpop::allow_unrecorded_proofs) at the gateway, and nothing at the service.
//!
//! # Authorization servers
//!
//! An authorization server binds a token to the key of the client that asks for it. The request has a proof without
//! `ath`, because there is no token yet (RFC 9449 section 5). [`Dpop::check_token_request`] checks it.
//!
//! # What an attacker can fill
//!
//! A proof is recorded only for a valid token, so strangers fill nothing. [`ReplayLimits`] bound what one key, one
//! subject, and all together can fill. Above a limit the layer answers 503 and forgets nothing. The header of a key
//! that has signed a valid proof is remembered together with the parsed key, in at most 8 MiB.

mod nonce;
mod proof;
mod replay;
mod target;
mod token_request;

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use http::{Extensions, HeaderMap, HeaderName, Method, Request, Uri};

pub use self::nonce::NonceKey;
pub use self::replay::{ProofUse, Recorded, ReplayLimits, ReplayStore};
pub use self::token_request::TokenRequestProof;
use self::{
    proof::{BoundToken, Expected, ProofKeys},
    replay::{Holders, Replays},
    target::Base,
};
use crate::{
    Algorithm, BoxFuture, ConfigError, RejectionKind, UnixTime,
    claims::Clock,
    revocation::{OnUnavailable, StoreError},
    telemetry::{self, WarningLimit},
};

/// The header of a proof (RFC 9449 section 4.1).
pub(crate) const PROOF: HeaderName = HeaderName::from_static("dpop");

/// The header of a nonce (RFC 9449 section 8.1).
pub(crate) const NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

const DEFAULT_ALGORITHMS: [Algorithm; 5] =
    [Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA, Algorithm::RS256, Algorithm::PS256];

/// The largest value of [`Dpop::with_max_age`].
const LONGEST_AGE: Duration = Duration::from_secs(600);

/// How a layer accepts tokens that are bound to a key, for
/// [`BearerLayer::with_dpop`](crate::BearerLayer::with_dpop).
///
/// By default:
///
/// 1. Unbound tokens are accepted as `Bearer`, too.
/// 2. Proofs may use ES256, ES384, EdDSA (Ed25519), RS256 and PS256.
/// 3. A proof may be 60 seconds old. A clock of a client may be 30 seconds ahead.
/// 4. There are no nonces.
/// 5. Used proofs are remembered in this process.
///
/// Clones share the used proofs. A clone whose age, leeway or limits are then changed begins with none.
#[derive(Clone)]
#[must_use = "it is a setting of a layer"]
pub struct Dpop {
    bases: Vec<Base>,
    is_required: bool,
    algorithms: Vec<Algorithm>,
    max_age: Duration,
    leeway: Duration,
    nonces: Option<NonceKey>,
    replays: Arc<Replays>,
    store: Store,
    on_unavailable: OnUnavailable,
    warnings: Arc<WarningLimit>,
    keys: Arc<ProofKeys>,
}

#[derive(Clone)]
enum Store {
    Memory,
    Other(Arc<dyn ReplayStore>),
    /// Nothing is recorded.
    Unrecorded,
}

impl Dpop {
    /// Accepts bound tokens at a service with these public base URLs: the URLs that clients use, as far as all paths of
    /// the service begin with them. Example: `https://api.example`, or `https://api.example/orders` if a proxy removes
    /// `/orders`.
    ///
    /// # Errors
    /// [`ConfigError::InvalidDpop`] if there is no URL, or if one is not an absolute `https` or `http` URL without
    /// credentials, query and fragment.
    pub fn new<T>(public_urls: T) -> Result<Self, ConfigError>
    where
        T: IntoIterator,
        T::Item: AsRef<str>,
    {
        let bases: Result<Vec<Base>, _> =
            public_urls.into_iter().map(|url| Base::new(url.as_ref())).collect();
        let bases = bases?;
        if bases.is_empty() {
            return Err(ConfigError::InvalidDpop("at least one public URL"));
        }
        let (max_age, leeway) = (Duration::from_secs(60), Duration::from_secs(30));
        Ok(Self {
            bases,
            is_required: false,
            algorithms: DEFAULT_ALGORITHMS.to_vec(),
            max_age,
            leeway,
            nonces: None,
            replays: Arc::new(Replays::new(ReplayLimits::default(), window(max_age, leeway))),
            store: Store::Memory,
            on_unavailable: OnUnavailable::Deny,
            warnings: Arc::default(),
            keys: Arc::new(ProofKeys::new()),
        })
    }

    /// Rejects tokens that are not bound. A certificate-bound token still passes with its certificate, if the layer has
    /// [client certificates](crate::BearerLayer::with_client_certificates). Default: unbound tokens are accepted as
    /// `Bearer`.
    pub fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    /// Sets the algorithms of proofs. Default: ES256, ES384, EdDSA, RS256 and PS256. The challenges list them.
    ///
    /// # Errors
    /// [`ConfigError::InvalidDpop`] for an empty list and for HMAC: a proof needs a key pair (RFC 9449 section 4.2).
    pub fn with_algorithms(
        mut self,
        algorithms: impl IntoIterator<Item = Algorithm>,
    ) -> Result<Self, ConfigError> {
        self.algorithms = algorithms.into_iter().collect();
        if self.algorithms.is_empty() || self.algorithms.iter().any(|one| one.is_hmac()) {
            return Err(ConfigError::InvalidDpop("at least one algorithm, and no HMAC"));
        }
        // A remembered header is not compared with the list again.
        self.keys = Arc::new(ProofKeys::new());
        Ok(self)
    }

    /// Sets how old a proof may be, by its `iat`. No leeway is added. Default: 60 seconds.
    ///
    /// # Errors
    /// [`ConfigError::InvalidDpop`] below one second and above ten minutes.
    pub fn with_max_age(mut self, max_age: Duration) -> Result<Self, ConfigError> {
        if !(Duration::from_secs(1)..=LONGEST_AGE).contains(&max_age) {
            return Err(ConfigError::InvalidDpop("a maximum age of 1 second to 10 minutes"));
        }
        self.max_age = max_age;
        self.forget_replays(self.replays.limits());
        Ok(self)
    }

    /// Sets how far in the future `iat` may be, and by how much the clocks of a fleet may differ. Default: 30 seconds.
    ///
    /// # Errors
    /// [`ConfigError::LeewayTooLong`] above [`MAX_LEEWAY`](crate::claims::MAX_LEEWAY).
    pub fn with_leeway(mut self, leeway: Duration) -> Result<Self, ConfigError> {
        if leeway > crate::claims::MAX_LEEWAY {
            return Err(ConfigError::LeewayTooLong(leeway));
        }
        self.leeway = leeway;
        self.forget_replays(self.replays.limits());
        Ok(self)
    }

    /// Requires a nonce of this service in every proof (RFC 9449 section 9). A client without one gets 401 with
    /// `error="use_dpop_nonce"` and the header `DPoP-Nonce`. Every response to a request with the scheme `DPoP` then has
    /// that header, and `Cache-Control: no-store` if your service sets no `Cache-Control` (RFC 9449 section 8.2).
    /// Default: no nonces.
    ///
    /// For pages of other origins, a CORS layer must expose `DPoP-Nonce` and `WWW-Authenticate`.
    pub fn with_nonces(mut self, key: NonceKey) -> Self {
        self.nonces = Some(key);
        self
    }

    /// Remembers used proofs in `store`, for a fleet. Default: in this process. The limits still count the proofs of
    /// this process.
    pub fn with_replay_store(mut self, store: impl ReplayStore) -> Self {
        self.store = Store::Other(Arc::new(store));
        self
    }

    /// Sets how many proofs are accepted. Default: [`ReplayLimits::default`].
    pub fn with_replay_limits(mut self, limits: ReplayLimits) -> Self {
        self.forget_replays(limits);
        self
    }

    /// Decides about a proof that passed every other check if the [store](Self::with_replay_store) failed. Default:
    /// [`OnUnavailable::Deny`], 503. [`OnUnavailable::Allow`] accepts it, so proofs can be used again while the store is
    /// down. [`OnUnavailable::ServeStale`] denies: there is no old answer about a new proof.
    pub fn with_on_unavailable(mut self, on_unavailable: OnUnavailable) -> Self {
        self.on_unavailable = on_unavailable;
        self
    }

    /// Checks proofs and does not record them, for a gateway in front of a service that checks and records them. **At
    /// this layer a proof can be used again until it is too old.** By default each proof is accepted once.
    pub fn allow_unrecorded_proofs(mut self) -> Self {
        self.store = Store::Unrecorded;
        self
    }

    pub(crate) fn is_required(&self) -> bool {
        self.is_required
    }

    /// The names of the algorithms, for challenges and metadata.
    pub(crate) fn algorithm_names(&self) -> Vec<&'static str> {
        self.algorithms.iter().map(|algorithm| algorithm.name()).collect()
    }

    pub(crate) fn nonces(&self) -> Option<&NonceKey> {
        self.nonces.as_ref()
    }

    fn forget_replays(&mut self, limits: ReplayLimits) {
        self.replays = Arc::new(Replays::new(limits, window(self.max_age, self.leeway)));
    }
}

/// How long a proof must be remembered. A proof from the future is acceptable for its age and the leeway. Another
/// process may have a clock that is late by the leeway. Dates have whole seconds, so a proof can be accepted for up to a
/// second longer.
fn window(max_age: Duration, leeway: Duration) -> Duration {
    max_age + 2 * leeway + Duration::from_secs(1)
}

impl fmt::Debug for Dpop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dpop")
            .field("public_urls", &self.bases)
            .field("is_required", &self.is_required)
            .field("algorithms", &self.algorithms)
            .field("max_age", &self.max_age)
            .field("leeway", &self.leeway)
            .field("nonces", &self.nonces)
            .field("replay_limits", &self.replays.limits())
            .field("on_unavailable", &self.on_unavailable)
            .finish_non_exhaustive()
    }
}

/// The proof of a request with the scheme `DPoP`. Nothing is checked yet.
#[derive(Clone)]
pub(crate) struct PresentedProof<'r> {
    dpop: Arc<Dpop>,
    /// An error if the request does not have exactly one.
    proof: Result<Cow<'r, [u8]>, RejectionKind>,
    method: Method,
    path: Cow<'r, str>,
}

impl<'r> PresentedProof<'r> {
    pub(crate) fn of<B>(dpop: &Arc<Dpop>, request: &'r Request<B>) -> Self {
        Self {
            dpop: Arc::clone(dpop),
            proof: only_proof(request.headers()).map(Cow::Borrowed),
            method: request.method().clone(),
            path: Cow::Borrowed(original_path(request.uri(), request.extensions())),
        }
    }

    /// A copy that outlives the request. It is made only if the request must wait for the key of its token.
    #[cfg(feature = "jwks")]
    pub(crate) fn into_owned(self) -> PresentedProof<'static> {
        PresentedProof {
            dpop: self.dpop,
            proof: self.proof.map(|proof| Cow::Owned(proof.into_owned())),
            method: self.method,
            path: Cow::Owned(self.path.into_owned()),
        }
    }

    /// Checks the proof for a token that is bound to the key with this thumbprint. Only whether it was used before is
    /// left.
    pub(crate) fn check(
        &self,
        token: &[u8],
        thumbprint: &str,
        now: UnixTime,
    ) -> Result<CheckedProof, RejectionKind> {
        let proof = self.proof.as_ref().map_err(|kind| *kind)?;
        let expected = Expected {
            bound: Some(BoundToken { token, key: thumbprint }),
            method: self.method.as_str(),
            path: &self.path,
            now,
        };
        let checked = proof::check(&self.dpop, proof, &expected)?;
        Ok(CheckedProof::new(Arc::clone(&self.dpop), &checked))
    }
}

impl fmt::Debug for PresentedProof<'_> {
    /// Does not show the proof.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresentedProof(..)")
    }
}

/// The proof of a request that has exactly one.
fn only_proof(headers: &HeaderMap) -> Result<&[u8], RejectionKind> {
    let mut lines = headers.get_all(PROOF).iter();
    match (lines.next(), lines.next()) {
        (Some(proof), None) => Ok(proof.as_bytes()),
        (None, _) => Err(RejectionKind::MissingProof),
        (Some(_), Some(_)) => Err(RejectionKind::MalformedProof),
    }
}

/// The path of the request as it arrived. axum removes the prefix of a nested router from the URI, and keeps the
/// original.
#[cfg_attr(not(feature = "axum"), allow(unused_variables, reason = "only axum changes the URI"))]
fn original_path<'r>(uri: &'r Uri, extensions: &'r Extensions) -> &'r str {
    #[cfg(feature = "axum")]
    if let Some(original) = extensions.get::<axum::extract::OriginalUri>() {
        return original.0.path();
    }
    uri.path()
}

/// A proof that passed every check except whether it was used before.
#[derive(Clone)]
pub(crate) struct CheckedProof {
    dpop: Arc<Dpop>,
    id: proof::ProofId,
    accepted_until: UnixTime,
}

/// The outcome of recording a proof, or a future for it.
pub(crate) enum Recording {
    Done(Result<(), RejectionKind>),
    Pending(BoxFuture<'static, Result<(), RejectionKind>>),
}

impl CheckedProof {
    fn new(dpop: Arc<Dpop>, checked: &proof::Checked) -> Self {
        Self { dpop, id: checked.id, accepted_until: checked.accepted_until }
    }

    /// Uses the proof. Call it after every other check. `subject`: the issuer and the subject of the token.
    pub(crate) fn record(
        self,
        key: &str,
        subject: Option<(&str, &str)>,
        clock: Arc<dyn Clock>,
    ) -> Recording {
        let Self { dpop, id, accepted_until } = self;
        if let Store::Unrecorded = dpop.store {
            return Recording::Done(Ok(()));
        }
        let holders = dpop.replays.holders(key, subject);
        let now = clock.monotonic();
        if !dpop.replays.has_room(&holders, now) {
            return Recording::Done(Err(RejectionKind::ReplayUnavailable));
        }
        match &dpop.store {
            Store::Other(store) => {
                let proof = ProofUse { id, keep_for: window(dpop.max_age, dpop.leeway) };
                let answer = store.record(proof);
                Recording::Pending(Box::pin(async move {
                    let answer = answer.await;
                    check_age(accepted_until, &*clock)?;
                    dpop.decide(answer, &holders, clock.monotonic())
                }))
            }
            Store::Memory | Store::Unrecorded => {
                let recorded = Ok(dpop.replays.record(id, now));
                let decided = check_age(accepted_until, &*clock)
                    .and_then(|()| dpop.decide(recorded, &holders, now));
                Recording::Done(decided)
            }
        }
    }
}

/// Rejects a proof that became too old while the request waited, for example for a revocation lookup. An earlier record
/// of the same proof may have expired meanwhile.
fn check_age(accepted_until: UnixTime, clock: &dyn Clock) -> Result<(), RejectionKind> {
    if clock.now() > accepted_until {
        return Err(RejectionKind::ProofNotCurrent);
    }
    Ok(())
}

impl Dpop {
    fn decide(
        &self,
        answer: Result<Recorded, StoreError>,
        holders: &Holders,
        now: Duration,
    ) -> Result<(), RejectionKind> {
        match answer {
            Ok(Recorded::FirstUse) => {
                // Replays do not count: a thief of a proof must not use up the places of its owner.
                self.replays.count(holders, now);
                Ok(())
            }
            Ok(Recorded::Replay) => Err(RejectionKind::ReplayedProof),
            Err(error) => {
                let is_allowed = self.on_unavailable == OnUnavailable::Allow;
                telemetry::replay_store_failed(error.kind(), is_allowed, &self.warnings, now);
                if is_allowed { Ok(()) } else { Err(RejectionKind::ReplayUnavailable) }
            }
        }
    }
}
