//! From a token's text to the witness that every check passed. Knows no HTTP: WebSockets, GraphQL
//! subscriptions and message queues use it as the layer does.

mod revoking;
#[cfg(feature = "jwks")]
mod unknown_key;

use std::{fmt, sync::Arc};

use crate::{
    Authenticated, BoxFuture, Rejection, RejectionKind, RevocationCache, VerifiedToken, Verifier,
    claims::UntypedClaims,
    revocation::{Check, Unavailable, Verdict},
    telemetry::Admissions,
    verifier::NotVerified,
};

/// Verifies tokens and asks whether they are revoked.
///
/// ```
/// # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use tower_bearer::{
///     Authenticator, Issuer, Key, RejectionKind, RevocationCache, VerifiedToken, Verifier,
///     claims::UntypedClaims, revocation::MemoryStore,
/// };
///
/// let issuer = Issuer::new("https://issuer.example", Key::hs256([7; 32])?).audience("api://orders");
/// let verifier = Verifier::<UntypedClaims>::builder().issuer(issuer).build()?;
/// let authenticator = Authenticator::new(verifier)
///     .with_revocation(RevocationCache::new(MemoryStore::new(), Duration::from_secs(30)));
///
/// let refused = authenticator.authenticate("no.such.token").await.unwrap_err();
/// assert_eq!(refused.kind(), RejectionKind::MalformedToken);
/// # Ok(()) }
/// # #[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))] fn main() {}
/// ```
pub struct Authenticator<C = UntypedClaims>(Arc<Shared<C>>);

struct Shared<C> {
    verifier: Verifier<C>,
    revocation: Option<RevocationCache>,
    admissions: Admissions,
}

/// How far a token came without waiting.
pub(crate) enum Progress<C> {
    Done(Result<Authenticated<C>, Rejection>),
    /// The token is verified, and something is asked about it.
    Pending(BoxFuture<'static, Result<Authenticated<C>, Rejection>>),
    /// Its key is not there yet: anybody may have made it.
    #[cfg(feature = "jwks")]
    Unverified(BoxFuture<'static, Result<Authenticated<C>, Rejection>>),
}

impl<C: Send + Sync + 'static> Authenticator<C> {
    /// An authenticator that knows no revocation: a token is good until it expires.
    #[must_use]
    pub fn new(verifier: Verifier<C>) -> Self {
        let admissions = Admissions::default();
        Self(Arc::new(Shared { verifier, revocation: None, admissions }))
    }

    /// Asks `cache` about every token, in place of whatever was asked before.
    #[must_use]
    pub fn with_revocation(self, cache: RevocationCache) -> Self {
        let Shared { verifier, admissions, .. } = &*self.0;
        let (verifier, admissions) = (verifier.clone(), admissions.clone());
        Self(Arc::new(Shared { verifier, revocation: Some(cache), admissions }))
    }

    /// Runs every check on a token.
    ///
    /// # Errors
    /// The first check that failed, in the order of [`Verifier`]'s list, then revocation, then asynchronous
    /// checks.
    pub async fn authenticate(&self, token: &str) -> Result<Authenticated<C>, Rejection> {
        match self.begin(token.as_bytes()) {
            Progress::Done(result) => result,
            Progress::Pending(rest) => rest.await,
            #[cfg(feature = "jwks")]
            Progress::Unverified(rest) => rest.await,
        }
    }

    /// Looks again at a token that was authenticated before, for streams and WebSockets that outlast it:
    /// expiry and maximum age, the service author's checks, and revocation. Keys are not looked at again.
    ///
    /// This authenticator, or another with a clone of the same [`Verifier`], must have authenticated the token. A
    /// token of another verifier is rejected, even if both verifiers trust an issuer of the same name: call
    /// [`authenticate`](Self::authenticate) with its text.
    ///
    /// # Errors
    /// [`RejectionKind::OtherVerifier`] for a token of another verifier, else as [`authenticate`](Self::authenticate).
    pub async fn recheck(&self, authenticated: &Authenticated<C>) -> Result<(), Rejection> {
        let token = authenticated.token().clone();
        self.0.verifier.recheck(&token)?;
        match self.look_up(token) {
            Progress::Done(result) => result,
            Progress::Pending(rest) => rest.await,
            #[cfg(feature = "jwks")]
            Progress::Unverified(rest) => rest.await,
        }
        .map(drop)
    }

    /// The longest token that is looked at, in bytes.
    pub(crate) fn max_token_length(&self) -> usize {
        self.0.verifier.max_token_length()
    }

    /// Where layers count what they let through.
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

    /// What can be decided at once, and a future for the rest.
    pub(crate) fn begin(&self, token: &[u8]) -> Progress<C> {
        match self.0.verifier.verify(token) {
            Ok(token) => self.look_up(token),
            Err(NotVerified::Refused(kind)) => Progress::Done(Err(kind.into())),
            #[cfg(feature = "jwks")]
            Err(NotVerified::UnknownKey(unknown)) => self.wait_for_key(token, unknown),
        }
    }

    fn look_up(&self, token: VerifiedToken<C>) -> Progress<C> {
        let check = match &self.0.revocation {
            Some(cache) => cache.check(&token.facts(), token.revocation()),
            None => Check::Done(Ok(Verdict::NotRevoked)),
        };
        match check {
            Check::Done(answer) => match not_revoked(answer) {
                Err(kind) => Progress::Done(Err(kind.into())),
                Ok(()) if self.0.verifier.has_async_checks() => {
                    let verifier = self.0.verifier.clone();
                    Progress::Pending(Box::pin(async move {
                        verifier.run_async_checks(&token).await?;
                        Ok(Authenticated::new(token))
                    }))
                }
                Ok(()) => Progress::Done(Ok(Authenticated::new(token))),
            },
            Check::Pending(answer) => {
                let verifier = self.0.verifier.clone();
                Progress::Pending(Box::pin(async move {
                    not_revoked(answer.await)?;
                    verifier.run_async_checks(&token).await?;
                    Ok(Authenticated::new(token))
                }))
            }
        }
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
