//! Checks a token and returns the witness that every check passed. It does not depend on HTTP: WebSockets, GraphQL
//! subscriptions and message queues use it in the same way as the layer.

mod builder;
mod revoking;

use std::{fmt, sync::Arc, time::Duration};

pub use self::builder::AuthenticatorBuilder;
use crate::{
    Authenticated, BoxFuture, Explanation, Issuer, Rejection, RejectionKind, RevocationCache,
    UnixTime, VerifiedToken,
    claims::{Clock, UntypedClaims},
    confirmation::{Confirmation, Proof},
    dpop::{CheckedProof, Recording},
    revocation::{RevocationCheck, Unavailable, Verdict},
    telemetry::Admissions,
    verifier::{NotVerified, Verifier},
};
#[cfg(feature = "jwks")]
use crate::{status_list::StatusCheck, verifier::UnknownKey};

/// Verifies tokens and looks up whether they are revoked. It does not depend on HTTP.
///
/// # Checks
///
/// An authenticator runs these checks in this order. The first check that fails decides the answer.
///
/// 1. The token is at most 8 KiB long.
/// 2. It is a compact JWS: three parts of canonical base64url and exactly two dots (RFC 7515 section 7.1).
/// 3. The protected header is a strict JSON object with a known `alg` and without `crit`, `b64` and `enc`. Keys and
///    addresses in it (`jwk`, `jku`, `x5c`, `x5u`) are ignored.
/// 4. The claims are a strict JSON object: UTF-8, no duplicate names at any level, at most 32 levels.
/// 5. `iss` is, byte by byte, the name of a configured issuer, or it matches the template of a
///    [multi-tenant issuer](crate::Issuer::multi_tenant). It selects the keys and the policy. It has no other effect
///    before the signature is verified.
/// 6. `typ` is absent, `JWT` or `at+jwt`. If the policy requires types, `typ` is one of them (RFC 8725 section 3.11).
/// 7. A key of that issuer verifies the signature. The key has exactly this `alg`. `kid` selects the keys to try, and
///    at most four are tried (RFC 8725 sections 3.1 and 3.8).
/// 8. Multi-tenant issuers only: the key may sign for this tenant, `tid` is the tenant in `iss`, and the tenant is
///    accepted.
/// 9. `exp` is present. `exp`, `nbf` and `iat` are numbers and hold now, with 30 seconds of leeway. The maximum age and
///    the maximum lifetime of the policy hold, if they are set.
/// 10. `sub`, `jti`, `sid`, `scope` and `scp` have the right types. `aud`, or the claim that the policy names instead,
///     contains a configured audience.
/// 11. The claims that the policy requires are present and have the required values. `token_type` is not `refresh`,
///     and `events` is absent (RFC 8417 section 2.2).
/// 12. If the token is bound (`cnf`), the request proves it: it has the client certificate whose thumbprint is in
///     `x5t#S256` (RFC 8705 section 3), and a [DPoP proof](crate::dpop) by the key whose thumbprint is in `jkt` (RFC
///     9449 section 7). `cnf` has no other member. A policy can leave out this check.
/// 13. The token has an id for revocation: the claim that the policy names, or `jti`, or a hash of header and claims.
///     If the policy has [status lists](crate::status_list), `status` names a list under one of their prefixes.
/// 14. The claims deserialize into your type `C`.
/// 15. Your synchronous checks pass: first the pure ones, then the others, each in the order in which you added them.
/// 16. The status of the token is 0 in the status list that it names, if the policy has
///     [status lists](crate::status_list). The token, its subject, its session and its key are not revoked.
/// 17. Your asynchronous checks pass.
/// 18. The DPoP proof was not used before (RFC 9449 section 11.1).
///
/// On a token-cache hit, only checks 1, 7, 8, 9, 12, 15, 16, 17 and 18 run. Check 7 then asks whether the issuer still
/// has the key, check 8 whether the tenant is still accepted, and check 15 skips the pure checks. The cache never changes
/// the outcome.
///
/// If keys come from the network, check 7 can wait for a key that is not loaded yet. Check 16 can wait for a status list.
/// [`AuthenticatorBuilder`] sets the limits, the cache and your own checks. The layer finds the
/// credential before these checks, and requires scopes after them.
///
/// ```
/// # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_bearer::{Authenticator, Issuer, Key, RejectionKind, RevocationCache};
///
/// let issuer = Issuer::new("https://issuer.example", Key::hs256([7; 32])?).audience("api://orders");
/// let authenticator = Authenticator::builder()
///     .issuer(issuer)
///     .revocation(RevocationCache::in_memory())
///     .build()?;
///
/// let rejected = authenticator.authenticate("no.such.token").await.unwrap_err();
/// assert_eq!(rejected.kind(), RejectionKind::MalformedToken);
/// # Ok(()) }
/// # #[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))] fn main() {}
/// ```
pub struct Authenticator<C = UntypedClaims>(Arc<Checks<C>>);

struct Checks<C> {
    verifier: Verifier<C>,
    revocation: Option<RevocationCache>,
    admissions: Admissions,
}

/// How far the check of a token got without waiting.
pub(crate) enum Progress<C> {
    Done(Result<Authenticated<C>, Rejection>),
    /// The token is verified. A lookup or an asynchronous check is running.
    Pending(BoxFuture<'static, Result<Authenticated<C>, Rejection>>),
    /// The key of the token is not loaded yet. Anyone may have made the token.
    #[cfg(feature = "jwks")]
    Unverified(BoxFuture<'static, Result<Authenticated<C>, Rejection>>),
}

impl<C> Progress<C> {
    async fn outcome(self) -> Result<Authenticated<C>, Rejection> {
        match self {
            Self::Done(result) => result,
            Self::Pending(rest) => rest.await,
            #[cfg(feature = "jwks")]
            Self::Unverified(rest) => rest.await,
        }
    }
}

impl<C: Send + Sync + 'static> Authenticator<C> {
    fn new(verifier: Verifier<C>, revocation: Option<RevocationCache>) -> Self {
        let admissions = Admissions::default();
        Self(Arc::new(Checks { verifier, revocation, admissions }))
    }

    /// The same authenticator with another revocation cache. Use it for a second layer with other revocation settings,
    /// or in a test. Both share the token cache, and each can [recheck](Self::recheck) tokens of the other.
    ///
    /// Most services pass the cache to [`AuthenticatorBuilder::revocation`].
    #[must_use]
    pub fn with_revocation(self, cache: RevocationCache) -> Self {
        let Checks { verifier, admissions, .. } = &*self.0;
        let (verifier, admissions) = (verifier.clone(), admissions.clone());
        Self(Arc::new(Checks { verifier, revocation: Some(cache), admissions }))
    }

    /// Runs every [check](Self#checks) on a token. There is no request that proves something, so check 12 rejects
    /// every bound token.
    ///
    /// # Errors
    /// The first check that failed.
    pub async fn authenticate(&self, token: &str) -> Result<Authenticated<C>, Rejection> {
        self.begin(token.as_bytes(), Proof::default()).outcome().await
    }

    /// Runs every [check](Self#checks) on a token, and explains the outcome: which checks passed, which one failed,
    /// what was expected and what was found. For operators and tests. Clients must not see it.
    ///
    /// It runs the same code as [`authenticate`](Self::authenticate), without the token cache. So it fetches keys and
    /// looks up revocation as a request would. It also rejects every bound token, because there is no request.
    ///
    /// ```
    /// # #[cfg(all(feature = "test-util", any(feature = "aws-lc-rs", feature = "rust-crypto")))]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use tower_bearer::{Authenticator, test_util::TestIssuer};
    ///
    /// let issuer = TestIssuer::new();
    /// let authenticator: Authenticator = issuer.authenticator();
    /// let token = issuer.token().for_audience("api://other").issue();
    ///
    /// let explanation = authenticator.explain(&token).await;
    /// let failed = explanation.failed().expect("the audience is another one");
    /// assert_eq!((failed.number, failed.name), (10, "audience"));
    /// assert!(explanation.to_string().contains("api://other"));
    /// # }
    /// # #[cfg(not(all(feature = "test-util", any(feature = "aws-lc-rs", feature = "rust-crypto"))))] fn main() {}
    /// ```
    pub async fn explain(&self, token: &str) -> Explanation {
        let mut reached = 0;
        let outcome = match self.verify_traced(token.as_bytes(), &mut reached).await {
            Ok(verified) => {
                let outcome = self.look_up(verified, None).outcome().await.map(drop);
                reached = match &outcome {
                    Err(rejection) if rejection.kind().is_of_revocation() => 16,
                    _ => 17,
                };
                outcome.map_err(|rejection| rejection.kind())
            }
            Err(kind) => {
                // The base64url of the header is decoded with check 3, and belongs to check 2.
                if kind == RejectionKind::MalformedToken {
                    reached = 2;
                }
                Err(kind)
            }
        };
        let has_lists = |issuer: &Issuer| issuer.describe_status_lists().is_some();
        let has_revocation =
            self.0.revocation.is_some() || self.0.verifier.issuers().iter().any(has_lists);
        Explanation::new(&self.0.verifier, token, reached, outcome, has_revocation)
    }

    /// Verifies the token as [`begin`](Self::begin) does, without the token cache. It waits for a key if it must.
    async fn verify_traced(
        &self,
        token: &[u8],
        reached: &mut u8,
    ) -> Result<VerifiedToken<C>, RejectionKind> {
        match self.0.verifier.verify_traced(token, reached) {
            Ok(token) => Ok(token),
            Err(NotVerified::Rejected(kind)) => Err(kind),
            #[cfg(feature = "jwks")]
            Err(NotVerified::UnknownKey(unknown)) => {
                let waited = self.0.verifier.ask_for_key(unknown)?.until_answered().await;
                match self.0.verifier.verify_traced(token, reached) {
                    Ok(token) => Ok(token),
                    Err(NotVerified::Rejected(kind)) => Err(kind),
                    Err(NotVerified::UnknownKey(unknown)) => {
                        Err(waited.verdict(unknown.kind, unknown.key_set))
                    }
                }
            }
        }
    }

    /// Checks an authenticated token again, for streams and WebSockets that stay open longer than the token is valid.
    /// Of the [checks](Self#checks) it runs 8 (whether the tenant is still accepted), 9 (expiry and maximum age), 15,
    /// 16 and 17. It does not check the key and the proof again.
    ///
    /// The token must have been authenticated by this authenticator, a clone, or one that
    /// [`with_revocation`](Self::with_revocation) made from it. A token of another authenticator is rejected, even if
    /// both trust an issuer of the same name. In that case, call [`authenticate`](Self::authenticate) with the token's
    /// text.
    ///
    /// # Errors
    /// [`RejectionKind::OtherVerifier`] for a token of another authenticator. Otherwise as
    /// [`authenticate`](Self::authenticate).
    pub async fn recheck(&self, authenticated: &Authenticated<C>) -> Result<(), Rejection> {
        let token = authenticated.token().clone();
        self.0.verifier.recheck(&token)?;
        self.look_up(token, None).outcome().await.map(drop)
    }

    /// The maximum length of a token, in bytes.
    pub(crate) fn max_token_length(&self) -> usize {
        self.0.verifier.max_token_length()
    }

    /// The names of the issuers, for the metadata of a resource. A multi-tenant issuer has the names of its tenants.
    pub(crate) fn authorization_servers(&self) -> Vec<Arc<str>> {
        self.0.verifier.authorization_servers()
    }

    /// The time, and the leeway of the issuer of this name.
    pub(crate) fn now_and_leeway(&self, issuer: &str) -> (UnixTime, Duration) {
        let issuer = self.0.verifier.issuer_named(issuer);
        (self.0.verifier.now(), issuer.map_or(Duration::ZERO, Issuer::leeway))
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        self.0.verifier.clock()
    }

    /// The counters of the requests that layers let through.
    pub(crate) fn admissions(&self) -> &Admissions {
        &self.0.admissions
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn verifier(&self) -> &Verifier<C> {
        &self.0.verifier
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn revocation(&self) -> Option<&RevocationCache> {
        self.0.revocation.as_ref()
    }

    /// Decides about the token of a request that proves `proof`, as far as possible without waiting. Returns a future
    /// for the rest.
    pub(crate) fn begin(&self, token: &[u8], proof: Proof<'_>) -> Progress<C> {
        match self.0.verifier.verify(token, &proof) {
            Ok((token, proof)) => self.look_up(token, proof),
            Err(NotVerified::Rejected(kind)) => Progress::Done(Err(kind.into())),
            #[cfg(feature = "jwks")]
            Err(NotVerified::UnknownKey(unknown)) => self.wait_for_key(token, proof, unknown),
        }
    }

    /// Verifies the token again after its issuer was asked for the key. Rejects the token at once if a question cannot
    /// help.
    #[cfg(feature = "jwks")]
    fn wait_for_key(&self, token: &[u8], proof: Proof<'_>, unknown: UnknownKey) -> Progress<C> {
        let wait = match self.0.verifier.ask_for_key(unknown) {
            Ok(wait) => wait,
            Err(kind) => return Progress::Done(Err(kind.into())),
        };
        let (authenticator, token) = (self.clone(), Box::<[u8]>::from(token));
        let proof = proof.into_owned();
        Progress::Unverified(Box::pin(async move {
            let waited = wait.until_answered().await;
            match authenticator.0.verifier.verify(&token, &proof) {
                Ok((token, proof)) => match authenticator.look_up(token, proof) {
                    Progress::Done(result) => result,
                    Progress::Pending(rest) | Progress::Unverified(rest) => rest.await,
                },
                Err(NotVerified::Rejected(kind)) => Err(kind.into()),
                Err(NotVerified::UnknownKey(unknown)) => {
                    Err(waited.verdict(unknown.kind, unknown.key_set).into())
                }
            }
        }))
    }

    /// Checks 16 to 18. `proof` is the DPoP proof of the request.
    fn look_up(&self, token: VerifiedToken<C>, proof: Option<CheckedProof>) -> Progress<C> {
        // A part of check 16, also on a cache hit: the status list.
        #[cfg(feature = "jwks")]
        if let Some(status) = token.status() {
            match status.check(self.clock()) {
                StatusCheck::Done(Ok(())) => {}
                StatusCheck::Done(Err(kind)) => return Progress::Done(Err(kind.into())),
                StatusCheck::Pending(answer) => {
                    let authenticator = self.clone();
                    return Progress::Pending(Box::pin(async move {
                        answer.await?;
                        authenticator.look_up_revocation(token, proof).outcome().await
                    }));
                }
            }
        }
        self.look_up_revocation(token, proof)
    }

    fn look_up_revocation(
        &self,
        token: VerifiedToken<C>,
        proof: Option<CheckedProof>,
    ) -> Progress<C> {
        // Check 16, also on a cache hit: revocation.
        let check = match &self.0.revocation {
            Some(cache) => cache.checker.check(&token.facts(), token.revocation()),
            None => RevocationCheck::Done(Ok(Verdict::NotRevoked)),
        };
        match check {
            RevocationCheck::Done(answer) => match not_revoked(answer) {
                Err(kind) => Progress::Done(Err(kind.into())),
                Ok(()) if self.0.verifier.has_async_checks() => {
                    let verifier = self.0.verifier.clone();
                    Progress::Pending(Box::pin(async move {
                        verifier.run_async_checks(&token).await?;
                        record(&verifier, token, proof).outcome().await
                    }))
                }
                Ok(()) => record(&self.0.verifier, token, proof),
            },
            RevocationCheck::Pending(answer) => {
                let verifier = self.0.verifier.clone();
                Progress::Pending(Box::pin(async move {
                    not_revoked(answer.await)?;
                    verifier.run_async_checks(&token).await?;
                    record(&verifier, token, proof).outcome().await
                }))
            }
        }
    }
}

/// The last check: uses the DPoP proof of the request, if its token is bound to a key.
fn record<C: Send + Sync + 'static>(
    verifier: &Verifier<C>,
    token: VerifiedToken<C>,
    proof: Option<CheckedProof>,
) -> Progress<C> {
    let key = token.confirmation().and_then(Confirmation::key);
    let (Some(proof), Some(key)) = (proof, key) else {
        return Progress::Done(Ok(Authenticated::new(token)));
    };
    // Check 18, also on a cache hit: the proof was not used before.
    let registered = token.registered();
    let subject = registered.subject().map(|subject| (registered.issuer(), subject));
    match proof.record(key, subject, Arc::clone(verifier.clock())) {
        Recording::Done(Ok(())) => Progress::Done(Ok(Authenticated::new(token))),
        Recording::Done(Err(kind)) => Progress::Done(Err(kind.into())),
        Recording::Pending(recording) => Progress::Pending(Box::pin(async move {
            recording.await?;
            Ok(Authenticated::new(token))
        })),
    }
}

fn not_revoked(answer: Result<Verdict, Unavailable>) -> Result<(), RejectionKind> {
    match answer {
        Ok(Verdict::NotRevoked) => Ok(()),
        Ok(Verdict::Revoked | Verdict::RevokedFrom(_)) => Err(RejectionKind::Revoked),
        Err(Unavailable) => Err(RejectionKind::RevocationUnavailable),
    }
}

impl<C> Clone for Authenticator<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C> fmt::Debug for Authenticator<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("verifier", &self.0.verifier)
            .field("revocation", &self.0.revocation)
            .finish()
    }
}
