//! Revokes subjects, sessions and keys through an authenticator. It knows its issuers, their keys, and how long their
//! tokens live.

use std::{sync::Arc, time::Duration};

use super::Authenticator;
use crate::{
    Issuer, KeySet, RevocationCache, UnixTime,
    revocation::{Revocable, RevocationEntry, RevokeError},
};

/// The minimum time for which a key revocation is kept. A thief with a stolen key can make new tokens with it, however
/// long they live.
const KEEP_KEYS: Duration = Duration::from_secs(400 * 24 * 60 * 60);

impl<C: Send + Sync + 'static> Authenticator<C> {
    /// Revokes every token of a subject that was issued until now. Use it after a changed password or a stolen device.
    ///
    /// The issuer's clock may be ahead of this one. The cut-off therefore includes the leeway that the issuer's policy
    /// accepts on `iat`: it is now plus 30 seconds by default. **A token of a new log-in within that time is rejected
    /// too.** If the issuer's clock is further ahead than the leeway, its newest tokens are rejected now and accepted
    /// later: the cut-off does not include them.
    ///
    /// The cut-off is kept for the policy's [maximum lifetime](Issuer::with_max_lifetime) plus the leeway. Without a
    /// maximum lifetime it is kept for 400 days plus the leeway. A token that lives longer is accepted again after
    /// that. Until then a token without `iat` is rejected, whenever it was issued.
    ///
    /// `issuer` is a name of an issuer of this authenticator. For a multi-tenant issuer, it is the name of one tenant,
    /// as in `iss`. For tokens of your own `TokenIssuer` (crate `tower-bearer-issuing`) call
    /// `TokenIssuer::revoke_subject`: its cut-off is exact, because the store's clock decides both dates.
    ///
    /// ```
    /// # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use tower_bearer::{
    ///     Authenticator, Issuer, Key, RevocationCache, revocation::RevokeError,
    /// };
    ///
    /// let issuer = Issuer::new("https://issuer.example", Key::hs256([7; 32])?)
    ///     .audience("api://orders")
    ///     .with_max_lifetime(Duration::from_secs(3600));
    /// let authenticator = Authenticator::builder()
    ///     .issuer(issuer)
    ///     .revocation(RevocationCache::in_memory())
    ///     .build()?;
    ///
    /// authenticator.revoke_subject("https://issuer.example", "ada").await?;
    ///
    /// let misspelt = authenticator.revoke_subject("https://issuer.example/", "ada").await;
    /// assert!(matches!(misspelt, Err(RevokeError::UnknownIssuer { .. })));
    /// # Ok(()) }
    /// # #[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))] fn main() {}
    /// ```
    ///
    /// # Errors
    /// [`RevokeError::NoRevocation`], [`RevokeError::UnknownIssuer`], and as [`RevocationCache::revoke`].
    pub async fn revoke_subject(&self, issuer: &str, subject: &str) -> Result<(), RevokeError> {
        self.revoke_subject_until(issuer, subject, self.0.verifier.now()).await
    }

    /// Like [`revoke_subject`](Self::revoke_subject), for tokens that were issued until `cut_off`, plus the leeway.
    pub(crate) async fn revoke_subject_until(
        &self,
        issuer: &str,
        subject: &str,
        cut_off: UnixTime,
    ) -> Result<(), RevokeError> {
        let (cache, issuer, name) = self.revoking(issuer)?;
        let subject = Revocable::subject(name, subject);
        let entry = RevocationEntry::new(subject, issuer.tokens_expire_by(self.0.verifier.now()));
        cache.revoke(&entry.with_cut_off(issuer.latest_issued_at(cut_off))).await
    }

    /// Whether this can revoke tokens of the issuer of this name.
    pub(crate) fn can_revoke(&self, issuer: &str) -> bool {
        self.revoking(issuer).is_ok()
    }

    /// Revokes every token of a session, by its `sid`. Use it for a log-out.
    ///
    /// The revocation is kept as long as that of [`revoke_subject`](Self::revoke_subject). End the session at its
    /// issuer first. Otherwise the issuer can give the session new tokens, and they are accepted when the revocation
    /// ends.
    ///
    /// # Errors
    /// As [`revoke_subject`](Self::revoke_subject).
    pub async fn revoke_session(&self, issuer: &str, session_id: &str) -> Result<(), RevokeError> {
        let (cache, issuer, name) = self.revoking(issuer)?;
        let tokens_expire_by = issuer.tokens_expire_by(self.0.verifier.now());
        let session = Revocable::session(name, session_id);
        cache.revoke(&RevocationEntry::new(session, tokens_expire_by)).await
    }

    /// Revokes every token that a key of an issuer verifies, by the key's id or [thumbprint](crate::Key::thumbprint).
    /// Use it for a stolen key.
    ///
    /// The id is the one that the key was configured with. The `kid` of a token's header does not count: a key without
    /// an id verifies tokens with any `kid`. [`Authenticated`](crate::Authenticated) has the id and the thumbprint of
    /// the key that verified a token. An id also revokes the tokens of a later key with the same id. A thumbprint
    /// revokes the tokens of one key only.
    ///
    /// The revocation is kept for 400 days, or for the policy's maximum lifetime plus the leeway if that is longer.
    /// Remove the key from the issuer's key set within that time: after it, new tokens of the thief are accepted. If
    /// you have already removed the key, other processes may still have it. To revoke it there, pass its thumbprint to
    /// [`RevocationCache::revoke`].
    ///
    /// # Errors
    /// [`RevokeError::UnknownKey`] if the issuer has no such key now, and as [`revoke_subject`](Self::revoke_subject).
    pub async fn revoke_key(&self, issuer: &str, key: &str) -> Result<(), RevokeError> {
        let (cache, issuer, name) = self.revoking(issuer)?;
        let verifier = &self.0.verifier;
        let is_known = {
            let keys = issuer.current_keys(&**verifier.clock());
            let is_meant =
                keys.iter().any(|known| known.key_id() == Some(key) || known.thumbprint() == key);
            if is_meant { Ok(()) } else { Err(RevokeError::UnknownKey { known: names_of(&keys) }) }
        };
        is_known?;
        let now = verifier.now();
        let tokens_expire_by = issuer.tokens_expire_by(now).max(now + KEEP_KEYS);
        cache.revoke(&RevocationEntry::new(Revocable::key(name, key), tokens_expire_by)).await
    }

    /// The cache, the issuer of this name, and the issuer name that its tokens have for revocation.
    fn revoking(&self, name: &str) -> Result<(&RevocationCache, &Issuer, Arc<str>), RevokeError> {
        let cache = self.0.revocation.as_ref().ok_or(RevokeError::NoRevocation)?;
        let verifier = &self.0.verifier;
        let issuer = verifier.issuer_named(name).ok_or_else(|| {
            let issuers = verifier.issuers().iter();
            RevokeError::UnknownIssuer {
                known: issuers.map(|it| Arc::clone(it.own_name())).collect(),
            }
        })?;
        let known_as =
            if issuer.tenants().is_some() { name.into() } else { Arc::clone(issuer.own_name()) };
        Ok((cache, issuer, known_as))
    }
}

/// All ids and thumbprints, without the thumbprints of HMAC secrets.
fn names_of(keys: &KeySet) -> Vec<Arc<str>> {
    let names = keys.iter().flat_map(|key| {
        let thumbprint = (!key.algorithm().is_hmac()).then(|| key.thumbprint_arc());
        key.key_id_arc().into_iter().chain(thumbprint)
    });
    let mut names: Vec<Arc<str>> = names.cloned().collect();
    names.dedup();
    names
}
