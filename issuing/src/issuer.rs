//! The issuer of a service's own tokens: its parts, and the authenticators and layers that verify its tokens.

mod builder;
mod verifying;

use std::{fmt, sync::Arc, time::Duration};

use serde::de::DeserializeOwned;

pub use self::builder::TokenIssuerBuilder;
use self::verifying::Verifying;
use super::{
    Accounts, ClientInfo, SigningKeys, TokenStore,
    audit::{AuditEvent, AuditKind, Origin, Recorder},
    binding::ClientKey,
    claims::{ACCESS_LIFETIME, Claims, ClaimsText, Confirmation, Purpose, TokenType, token_type},
    known_devices::KnownDevices,
    last_used::LastUsed,
    maintenance::over_by,
    managed_accounts::ManagedAccounts,
    new_passwords::NewHashes,
    refreshes::Refreshes,
    revoking_by_holder::RevocationsByHolders,
    store::{Caller, Owner},
    throttle::Throttle,
};
use tower_bearer::{
    Authenticated, Authenticator, AuthenticatorBuilder, BackgroundTask, BearerLayer, Issuer,
    RevocationCache, UnixTime,
    claims::{Clock, Moment},
    jws::{SigningFailed, SigningKey},
    revocation::{KEEP_AFTER_EXPIRY, StoreError},
};

/// Issues, renews, lists and revokes the tokens of a service, and gives the layers that verify them. Clones share
/// everything.
///
/// The rules are in the list of the [module](super).
#[derive(Clone)]
pub struct TokenIssuer(pub(super) Arc<IssuerParts>, pub(super) Origin, pub(super) ClientKey);

pub(super) struct IssuerParts {
    /// The time at which the issuer was built.
    start: Moment,
    verifying: Verifying,
    store: Arc<dyn TokenStore>,
    accounts: Arc<dyn Accounts>,
    managed_accounts: Option<Arc<dyn ManagedAccounts>>,
    new_hashes: NewHashes,
    settings: Settings,
    throttle: Throttle,
    known_devices: KnownDevices,
    refreshes: Refreshes,
    by_holders: RevocationsByHolders,
    maintenance: BackgroundTask,
    /// For access and private tokens.
    authenticator: Authenticator,
    /// The same, whether the request proves the key of a bound token or not. For tokens that do not come as the
    /// credential of a request.
    unproved_authenticator: Authenticator,
    /// For access tokens only.
    access_authenticator: Authenticator,
    /// For access tokens, and for private tokens that may manage private tokens. `None` if the operator does not allow
    /// such tokens.
    manager_authenticator: Option<Authenticator>,
    audit: Recorder,
}

/// The task does not keep the issuer alive, so it ends with the last clone.
impl Drop for IssuerParts {
    fn drop(&mut self) {
        self.maintenance.stop();
    }
}

/// The operator's settings.
struct Settings {
    refresh_lifetime: Duration,
    max_private_lifetime: Duration,
    max_overlap: Duration,
    max_private_tokens: u32,
    reuse_grace: Duration,
    known_device_retention: Duration,
    allows_private_token_management: bool,
}

impl TokenIssuer {
    /// Builds an issuer with the name `name` (`iss`), whose tokens are for `audience` (`aud`). The setters of
    /// [`TokenIssuerBuilder`] name the defaults.
    pub fn builder(
        name: impl Into<Arc<str>>,
        audience: impl Into<Arc<str>>,
        keys: impl Into<SigningKeys>,
        store: impl TokenStore,
        accounts: impl Accounts,
    ) -> TokenIssuerBuilder {
        TokenIssuerBuilder::new(
            name.into(),
            audience.into(),
            keys.into(),
            Arc::new(store),
            Arc::new(accounts),
        )
    }

    /// The issuer's name: `iss` of its tokens.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.verifying.name
    }

    pub(super) fn audience(&self) -> &str {
        &self.0.verifying.audience
    }

    /// The requirements on access and private tokens, for a verifier here or in another service that shares the keys:
    /// `typ` is `at+jwt`, the audience matches, and `jti`, `sub`, `sid`, `iat` and `token_type` are present. There is
    /// no leeway on `exp`, and 30 seconds on `iat`.
    ///
    /// The verifier rejects tokens that live longer than the operator's maximum. So a subject's cut-off need not be
    /// kept for longer than that. If you lower the maximum, older tokens that exceed it are rejected too.
    ///
    /// Calls that take an [`Authenticated`], such as [`log_out`](Self::log_out), accept only tokens that were verified
    /// under this policy. These verifiers use it: [`authenticator`](Self::authenticator), a layer of this issuer, an
    /// authenticator of [`authenticator_builder`](Self::authenticator_builder), and an authenticator of yours that was
    /// given this policy.
    pub fn policy(&self) -> Issuer {
        self.0.verifying.policy.clone()
    }

    /// A builder of an authenticator for access and private tokens, with claims of your own type. The authenticator
    /// looks up revocation in [`revocation`](Self::revocation). It also notes when private tokens are used. Add your
    /// own checks:
    ///
    /// ```no_run
    /// # use tower_bearer::{BearerLayer, ConfigError};
    /// # use tower_bearer_issuing::TokenIssuer;
    /// # #[derive(serde::Deserialize)] struct MyClaims {}
    /// # fn layer(issuer: &TokenIssuer) -> Result<BearerLayer<MyClaims>, ConfigError> {
    /// let authenticator = issuer.authenticator_builder::<MyClaims>().build()?;
    /// Ok(BearerLayer::new(authenticator))
    /// # }
    /// ```
    pub fn authenticator_builder<C: DeserializeOwned + Send + Sync + 'static>(
        &self,
    ) -> AuthenticatorBuilder<C> {
        self.0.verifying.authenticator_builder()
    }

    /// The revocation cache of this issuer's layers. These layers reject at once what this issuer revokes.
    #[must_use]
    pub fn revocation(&self) -> &RevocationCache {
        &self.0.verifying.revocation
    }

    /// Accepts access and private tokens. It makes every check of the layer, without HTTP.
    #[must_use]
    pub fn authenticator(&self) -> Authenticator {
        self.0.authenticator.clone()
    }

    /// Lets access and private tokens through. Use it for your service's own API.
    pub fn layer(&self) -> BearerLayer {
        BearerLayer::new(self.authenticator())
    }

    /// Lets access tokens through, but not private tokens. Use it for paths that a leaked private token must not reach.
    pub fn access_layer(&self) -> BearerLayer {
        BearerLayer::new(self.0.access_authenticator.clone())
    }

    /// The public keys as a JSON Web Key Set, for `/.well-known/jwks.json`.
    #[must_use]
    pub fn jwks_json(&self) -> String {
        self.0.verifying.keys.jwks_json()
    }

    /// The signing keys. Use them to announce the next key.
    #[must_use]
    pub fn keys(&self) -> &SigningKeys {
        &self.0.verifying.keys
    }

    /// Signs with `next` from now on. Tokens that the old key signed stay valid until they expire. The old key verifies
    /// for the longest lifetime of all issued tokens, refresh tokens included, and [`KEEP_AFTER_EXPIRY`] longer.
    ///
    /// It has no lasting effect on the keys of a [`KeyDirectory`](crate::KeyDirectory), which has its own calls.
    pub fn rotate_key(&self, next: SigningKey) {
        let longest = self.longest_lifetime().max(self.refresh_lifetime());
        let thumbprint = |key: &SigningKey| Some(key.verifying_key().thumbprint().into());
        let old = self.0.verifying.keys.active(self.now());
        let [new, old] = [thumbprint(&next), old.as_ref().and_then(thumbprint)];
        self.0.verifying.keys.rotate(next, self.now() + longest + KEEP_AFTER_EXPIRY);
        if new != old {
            self.record(AuditKind::KeyAdded, |event| event.key = new);
            self.record(AuditKind::KeyRetired, |event| event.key = old);
        }
    }

    /// A handle for the calls of this client. Its audit events carry the address of the client, if the address is
    /// known. Nothing else depends on it.
    #[must_use]
    pub fn for_client(&self, client: &ClientInfo) -> Self {
        let address = client.address().or(self.1.address);
        let origin = Origin { address, actor: self.1.actor.clone() };
        Self(Arc::clone(&self.0), origin, self.2.clone())
    }

    /// A handle for the calls of an operator, or of a tool. Its audit events carry this name as
    /// [`actor`](AuditEvent::actor). Nothing else depends on it.
    #[must_use]
    pub fn by_operator(&self, actor: impl Into<Arc<str>>) -> Self {
        let origin = Origin { address: self.1.address, actor: Some(actor.into()) };
        Self(Arc::clone(&self.0), origin, self.2.clone())
    }

    /// The background task that gives audit events to the sink. It runs if the issuer has a sink, from its first event
    /// on (or from the start, if the issuer was built on a Tokio runtime). It fails while the sink fails. Do not stop
    /// it: it ends with the last clone of the issuer, after it has written all events.
    #[must_use]
    pub fn audit_writer(&self) -> &BackgroundTask {
        self.0.audit.writer()
    }

    /// Records that something happened, for the audit log. Call it after the store has acknowledged the action. Never
    /// waits. Address and actor are those of this handle.
    pub(super) fn record(&self, kind: AuditKind, fill: impl FnOnce(&mut AuditEvent)) {
        self.0.audit.record(kind, &self.1, fill);
    }

    /// An event for the step of a store that keeps it. `None` without a sink.
    pub(super) fn event_for_store(
        &self,
        kind: AuditKind,
        fill: impl FnOnce(&mut AuditEvent),
    ) -> Option<AuditEvent> {
        self.0.audit.event_for_store(kind, &self.1, fill)
    }

    pub(super) fn audit(&self) -> &Recorder {
        &self.0.audit
    }

    /// The longest lifetime of a private token.
    #[must_use]
    pub fn max_private_lifetime(&self) -> Duration {
        self.0.settings.max_private_lifetime
    }

    /// The current time by the issuer's clock.
    pub(super) fn now(&self) -> UnixTime {
        self.0.verifying.clock.now()
    }

    /// Rows that were over before this time may be deleted.
    pub(super) fn over_by(&self) -> UnixTime {
        over_by(self.0.start, &*self.0.verifying.clock)
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.verifying.clock
    }

    pub(super) fn store(&self) -> &dyn TokenStore {
        &*self.0.store
    }

    pub(super) fn accounts(&self) -> &dyn Accounts {
        &*self.0.accounts
    }

    pub(super) fn managed_accounts(&self) -> Option<&Arc<dyn ManagedAccounts>> {
        self.0.managed_accounts.as_ref()
    }

    pub(super) fn new_hashes(&self) -> &NewHashes {
        &self.0.new_hashes
    }

    pub(super) fn throttle(&self) -> &Throttle {
        &self.0.throttle
    }

    pub(super) fn known_devices(&self) -> &KnownDevices {
        &self.0.known_devices
    }

    pub(super) fn refreshes(&self) -> &Refreshes {
        &self.0.refreshes
    }

    pub(super) fn by_holders(&self) -> &RevocationsByHolders {
        &self.0.by_holders
    }

    pub(super) fn maintenance(&self) -> &BackgroundTask {
        &self.0.maintenance
    }

    pub(super) fn last_used(&self) -> &LastUsed {
        &self.0.verifying.last_used
    }

    pub(super) fn refresh_lifetime(&self) -> Duration {
        self.0.settings.refresh_lifetime
    }

    pub(super) fn max_overlap(&self) -> Duration {
        self.0.settings.max_overlap
    }

    pub(super) fn max_private_tokens(&self) -> u32 {
        self.0.settings.max_private_tokens
    }

    pub(super) fn reuse_grace(&self) -> Duration {
        self.0.settings.reuse_grace
    }

    pub(super) fn owner(&self, subject: &str) -> Owner {
        Owner::new(Arc::clone(&self.0.verifying.name), subject)
    }

    /// The caller, if this is an access token of this issuer. `None` for any other token, and for a token that has
    /// expired since it was verified. This does not check whether the token was revoked since then: the store does.
    ///
    /// The token must have been verified under this issuer's own [`policy`](Self::policy). Another policy can have the
    /// same issuer name and other keys.
    pub(super) fn caller<C>(&self, access: &Authenticated<C>) -> Option<Caller> {
        self.caller_of_type(TokenType::Access, access)
    }

    /// Like [`caller`](Self::caller), for a token of this type.
    pub(super) fn caller_of_type<C>(
        &self,
        expected: TokenType,
        access: &Authenticated<C>,
    ) -> Option<Caller> {
        let claims = access.registered();
        let is_valid = self.0.verifying.policy.has_accepted(access)
            && token_type(claims.as_json()) == Some(expected)
            && self.now() < claims.expires_at();
        if !is_valid {
            return None;
        }
        let owner = self.owner(claims.subject()?);
        let (token_id, session_id) = (claims.token_id()?, claims.session_id()?);
        let caller = Caller::new(owner, token_id, session_id, claims.issued_at()?)
            .with_key_thumbprint(access.key_thumbprint());
        Some(match access.key_id() {
            Some(key_id) => caller.with_key_id(key_id),
            None => caller,
        })
    }

    /// The longest lifetime of any token that a verifier accepts.
    fn longest_lifetime(&self) -> Duration {
        self.0.verifying.longest_lifetime
    }

    /// Until when a cut-off of all tokens issued by `now` must be kept. It allows for another clock that is ahead.
    pub(super) fn keep_cut_off_until(&self, now: UnixTime) -> UnixTime {
        let longest = self.longest_lifetime().max(self.refresh_lifetime());
        now + longest + 2 * KEEP_AFTER_EXPIRY
    }

    /// The latest `exp` of the tokens of a session that ends at `now`. It allows for a clock that is ahead.
    pub(super) fn session_ends_by(&self, now: UnixTime) -> UnixTime {
        now + self.refresh_lifetime().max(ACCESS_LIFETIME) + KEEP_AFTER_EXPIRY
    }

    pub(super) fn claims(
        &self,
        purpose: Purpose<'_>,
        owner: &Owner,
        [jti, sid]: [&str; 2],
        times: [UnixTime; 2],
        key_thumbprint: Option<&str>,
    ) -> Result<ClaimsText, StoreError> {
        let aud = &*self.0.verifying.audience;
        let (iss, sub) = (&*owner.issuer, &*owner.subject);
        let [iat, exp] = times.map(UnixTime::as_secs);
        let token_type = purpose.token_type();
        let scope = purpose.scopes().filter(|scopes| !scopes.is_empty()).map(ToString::to_string);
        let client_id = purpose.scopes().map(|_| &*self.0.verifying.client_id);
        let auth_time = purpose.auth_time().map(UnixTime::as_secs);
        // Every log-in is by a password (RFC 8176 section 2).
        let amr = (token_type == TokenType::Access).then_some(["pwd"]);
        let claims = Claims {
            iss,
            sub,
            aud,
            jti,
            sid,
            iat,
            exp,
            token_type,
            scope,
            client_id,
            auth_time,
            amr,
            cnf: key_thumbprint.map(|jkt| Confirmation { jkt: jkt.into() }),
        };
        claims.to_text().map_err(no_signature)
    }

    /// The key that signs now. Call this before a step of the store and sign afterwards with this key. Otherwise, a
    /// step could use up a token and no key could sign its successor.
    pub(super) fn signer(&self) -> Result<SigningKey, StoreError> {
        // The keys of a directory are prolonged by its task. No token may outlive its key.
        let key = self.0.verifying.keys.active(self.now());
        key.ok_or_else(|| StoreError::new("no signing key is available").with_nothing_written())
    }

    /// Runs steps on their own task until they end, even if the client hangs up. If they fail and may have revoked
    /// something that this process does not know of, earlier answers about revocation are no longer trusted.
    pub(super) async fn to_the_end<T, E>(
        &self,
        steps: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + MayHaveRevoked + Send + 'static,
    {
        let revocation = self.0.verifying.revocation.clone();
        let steps = tokio::spawn(async move {
            let outcome = steps.await;
            if outcome.as_ref().is_err_and(E::may_have_revoked) {
                revocation.doubt();
            }
            outcome
        });
        steps.await.unwrap_or_else(|ended| {
            self.0.verifying.revocation.doubt();
            Err(StoreError::new(ended).into())
        })
    }
}

/// Whether the steps that failed with this error may have revoked something that this process does not know of.
pub(super) trait MayHaveRevoked {
    fn may_have_revoked(&self) -> bool;
}

impl MayHaveRevoked for StoreError {
    fn may_have_revoked(&self) -> bool {
        !self.is_nothing_written()
    }
}

/// Signing failed. This is neither the caller's fault nor the store's. The answer is the same as for a store that is
/// not available.
pub(super) fn no_signature(error: SigningFailed) -> StoreError {
    StoreError::new(error)
}

impl fmt::Debug for TokenIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenIssuer")
            .field("name", &self.0.verifying.name)
            .field("keys", &self.0.verifying.keys)
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
impl tower_bearer::telemetry::MetricSource for TokenIssuer {
    /// Reports the issuer's authenticators, which its layers and its router use.
    fn report(&self, metrics: &mut tower_bearer::telemetry::Metrics) {
        self.authenticator().report(metrics);
        self.0.unproved_authenticator.report(metrics);
        self.0.access_authenticator.report(metrics);
        if let Some(authenticator) = &self.0.manager_authenticator {
            authenticator.report(metrics);
        }
    }
}
