//! The policy of one issuer: the requirements on its tokens.

mod constructors;
mod description;
pub(crate) mod issuer_name;
mod key_source;

use std::{sync::Arc, time::Duration};

use arc_swap::Guard;

pub use self::constructors::{IssuerWithoutAudience, IssuerWithoutTenants};
use self::issuer_name::Tenants;
pub use self::key_source::KeySource;
use crate::{
    Authenticated, ConfigError, Key, KeySet, RejectionKind, UnixTime,
    claims::{Clock, MAX_LEEWAY, Times},
};
#[cfg(feature = "jwks")]
use crate::{jwks::RemoteJwks, status_list::StatusLists};

/// How long tokens are assumed to live if the policy sets no maximum. Access tokens of known providers live less long.
const LONGEST_LIFETIME: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// The policy for the tokens of one issuer: its name, its keys, and its requirements.
///
/// ```
/// # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))] {
/// use tower_bearer::{Issuer, Key};
///
/// let key = Key::hs256([7; 32])?;
/// let issuer = Issuer::new("https://issuer.example", key).audience("api://orders");
/// assert_eq!(issuer.name(), "https://issuer.example");
/// # }
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
#[derive(Clone)]
#[must_use = "an issuer does nothing until a verifier takes it"]
pub struct Issuer {
    /// Unique in this process. Only clones of this policy share it.
    number: u64,
    /// The issuer's own name. Revocation entries have this name.
    name: Arc<str>,
    other_names: Vec<Arc<str>>,
    /// `None`: not a multi-tenant issuer.
    tenants: Option<Arc<Tenants>>,
    keys: KeySource,
    /// `None`: any audience.
    audiences: Option<Vec<Box<str>>>,
    audience_claim: Box<str>,
    /// `None`: absent, `JWT` and `at+jwt`.
    types: Option<Vec<Box<str>>>,
    leeway: Duration,
    expiry_leeway: Option<Duration>,
    required_claims: Vec<Box<str>>,
    required_values: Vec<(Box<str>, Box<str>)>,
    max_age: Option<Duration>,
    max_lifetime: Option<Duration>,
    token_id_claim: Option<Box<str>>,
    allow_unverified_cnf: bool,
    allow_null_claims: bool,
    has_integer_subject: bool,
    #[cfg(feature = "jwks")]
    status_lists: Option<StatusLists>,
}

impl Issuer {
    /// The issuer's name. For a multi-tenant issuer, its template.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Accepts one more audience. A token needs one of the accepted audiences.
    pub fn add_audience(mut self, audience: impl Into<Box<str>>) -> Self {
        self.audiences.get_or_insert_default().push(audience.into());
        self
    }

    /// Reads the audience from this claim, a string or an array, instead of `aud`. Access tokens of Amazon Cognito do
    /// not have `aud`, but they have `client_id`.
    pub fn audience_from(mut self, claim: impl Into<Box<str>>) -> Self {
        self.audience_claim = claim.into();
        self
    }

    /// Accepts another spelling of `iss`. Revocation entries always have the issuer's own name. Google writes
    /// `accounts.google.com` beside `https://accounts.google.com`.
    ///
    /// [`build`](crate::AuthenticatorBuilder::build) fails if a multi-tenant issuer has another spelling.
    pub fn add_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.other_names.push(name.into());
        self
    }

    /// Requires this `typ`. Default: absent, `JWT` or `at+jwt`. If you call it again, either `typ` is accepted. Ignores
    /// case and a prefix `application/` (RFC 7515 section 4.1.9).
    ///
    /// RFC 9068 section 4 requires `at+jwt` from a resource server: call `require_typ("at+jwt")`.
    pub fn require_typ(mut self, typ: impl Into<Box<str>>) -> Self {
        self.types.get_or_insert_default().push(typ.into());
        self
    }

    /// Sets the leeway on `exp`, `nbf` and `iat`, in whole seconds. Default:
    /// [`DEFAULT_LEEWAY`](crate::claims::DEFAULT_LEEWAY).
    /// [`build`](crate::AuthenticatorBuilder::build) fails above [`MAX_LEEWAY`].
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Sets a different leeway on `exp`, in whole seconds. Default: the leeway on `nbf` and `iat`. Use zero for tokens
    /// whose lifetime is a promise and whose issuer uses the same clock.
    pub fn with_expiry_leeway(mut self, leeway: Duration) -> Self {
        self.expiry_leeway = Some(leeway);
        self
    }

    /// Requires that this claim is present and not `null`.
    pub fn require_claim(mut self, name: impl Into<Box<str>>) -> Self {
        self.required_claims.push(name.into());
        self
    }

    /// Requires that this claim is the string `value`, byte by byte. Amazon Cognito marks access tokens by `token_use`,
    /// Keycloak by a claim `typ` with the value `Bearer`.
    pub fn require_claim_value(
        mut self,
        name: impl Into<Box<str>>,
        value: impl Into<Box<str>>,
    ) -> Self {
        self.required_values.push((name.into(), value.into()));
        self
    }

    /// Rejects tokens that were issued longer ago than this plus the leeway, even before their `exp`. `iat` is then
    /// required. By default there is no maximum.
    pub fn with_max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Rejects tokens that live longer than this from `iat` to `exp`. `iat` is then required. Default: no maximum.
    ///
    /// [`Authenticator::revoke_subject`](crate::Authenticator::revoke_subject) keeps its cut-off for this time plus the
    /// leeway. Without a maximum it uses 400 days instead.
    pub fn with_max_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = Some(lifetime);
        self
    }

    /// Uses this claim, in Microsoft Entra `uti`, as the token's id for revocation, instead of `jti`. It is then
    /// required.
    pub fn token_id_claim(mut self, name: impl Into<Box<str>>) -> Self {
        self.token_id_claim = Some(name.into());
        self
    }

    /// Accepts tokens that `cnf` binds to a key or certificate, without proof that the sender has it. By default such
    /// tokens are rejected: a thief could use a stolen one (RFC 9449 section 7.2). Allow it only if something in front
    /// of this layer has checked the proof. To check client certificates or DPoP proofs here, use
    /// [`with_client_certificates`](crate::BearerLayer::with_client_certificates) or
    /// [`with_dpop`](crate::BearerLayer::with_dpop) and not this setting: it turns off these checks for the tokens of
    /// this issuer. They then count as not bound, and the layer rejects them with the scheme `DPoP`.
    pub fn allow_unverified_cnf(mut self) -> Self {
        self.allow_unverified_cnf = true;
        self
    }

    /// Treats `aud`, `nbf`, `jti`, `scope` and `scp` that are `null` as absent. Default: off. Then `null` is a wrong
    /// type, and the token is rejected.
    ///
    /// Use it for issuers that write every claim they know, with `null` if it has no value. An absent `aud` is still
    /// rejected, unless any audience is allowed. Other claims may not be `null`: a token without `exp` never expires,
    /// and a token whose `sub` or `sid` is not read cannot be revoked by it. It has no effect on claims that
    /// [`audience_from`](Self::audience_from) and [`token_id_claim`](Self::token_id_claim) name.
    ///
    /// ```
    /// # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))] {
    /// use tower_bearer::{Issuer, Key};
    ///
    /// // Accepts {"nbf":null,"jti":null,"aud":"api://orders",...}.
    /// let issuer = Issuer::new("https://issuer.example", Key::hs256([7; 32])?)
    ///     .audience("api://orders")
    ///     .allow_null_claims();
    /// # let _ = issuer;
    /// # }
    /// # Ok::<(), tower_bearer::ConfigError>(())
    /// ```
    pub fn allow_null_claims(mut self) -> Self {
        self.allow_null_claims = true;
        self
    }

    /// Requires that `sub`, if present, is an integer instead of a string. The subject is its decimal text. Default:
    /// off.
    ///
    /// Use it for issuers that write ids as numbers, such as Flask and MediaWiki, against RFC 7519 section 4.1.2. A
    /// string is then rejected: the integer 7 and the string "7" may be two users. The integer must fit into 64 bits
    /// with a sign, without a fraction and without an exponent. To revoke all tokens of such a subject, use its decimal
    /// text.
    pub fn with_integer_subject(mut self) -> Self {
        self.has_integer_subject = true;
        self
    }

    /// Whether the settings fit together.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        if self.names().any(|name| name.is_empty()) {
            return Err(ConfigError::EmptyName("issuer name"));
        }
        if self.names().any(|name| issuer_name::is_of_metadata(name)) {
            return Err(ConfigError::InvalidIssuerName(
                "the name in `iss`, without the `/.well-known/...` path of its metadata",
            ));
        }
        match &self.tenants {
            Some(tenants) => tenants.validate(&self.name, self.other_names.is_empty())?,
            None if self.names().any(|name| name.contains(issuer_name::PLACEHOLDER)) => {
                return Err(ConfigError::InvalidIssuerName(
                    "a name without `{tenantid}`: for many tenants use `Issuer::multi_tenant`",
                ));
            }
            None => {}
        }
        if self.audiences.iter().flatten().any(|audience| audience.is_empty()) {
            return Err(ConfigError::EmptyName("audience"));
        }
        for leeway in [Some(self.leeway), self.expiry_leeway].into_iter().flatten() {
            if leeway > MAX_LEEWAY {
                return Err(ConfigError::LeewayTooLong(leeway));
            }
        }
        #[cfg(feature = "jwks")]
        if let Some(lists) = &self.status_lists {
            lists.validate(self.tenants.is_some())?;
        }
        self.keys.validate(&self.name)
    }

    /// Whether exactly this policy, or a clone of it, has accepted the token of `user`. Another policy with the same
    /// name and other keys does not count. Call this before you act on a token that was accepted by a layer of other
    /// code.
    #[must_use]
    pub fn has_accepted<C>(&self, user: &Authenticated<C>) -> bool {
        user.token().policy() == self.number()
    }

    /// Distinguishes the tokens of this policy and its clones from those of other policies, which may have the same
    /// name.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Every spelling. The issuer's own name is the first.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        std::iter::once(&self.name).chain(&self.other_names)
    }

    pub(crate) fn own_name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn leeway(&self) -> Duration {
        self.leeway
    }

    pub(crate) fn allows_null_claims(&self) -> bool {
        self.allow_null_claims
    }

    pub(crate) fn has_integer_subject(&self) -> bool {
        self.has_integer_subject
    }

    /// The keys that may be used now.
    pub(crate) fn current_keys(&self, clock: &dyn Clock) -> Guard<Arc<KeySet>> {
        self.keys.current(clock)
    }

    /// The number of the set of [`current_keys`](Self::current_keys). It is cheaper to read than the set.
    pub(crate) fn current_number(&self, clock: &dyn Clock) -> u64 {
        self.keys.current_number(clock)
    }

    /// The source of the keys if they come from the network. Use it to start a fetch or to read their health.
    #[cfg(feature = "jwks")]
    #[cfg_attr(docsrs, doc(cfg(feature = "jwks")))]
    #[must_use]
    pub fn remote_keys(&self) -> Option<&RemoteJwks> {
        self.keys.remote()
    }

    /// Checks the status of tokens in signed lists (draft-ietf-oauth-status-list-20), by the rules of
    /// [`status_list`](crate::status_list). Default: none, and the claim `status` is ignored.
    ///
    /// The lists are verified with the keys of this issuer, unless
    /// [`StatusLists::with_keys`](crate::status_list::StatusLists::with_keys) names others.
    #[cfg(feature = "jwks")]
    #[cfg_attr(docsrs, doc(cfg(feature = "jwks")))]
    pub fn with_status_lists(mut self, lists: StatusLists) -> Self {
        self.status_lists = Some(lists.of_issuer(&self.keys));
        self
    }

    /// The status lists, if they are configured. Use it to read their health.
    #[cfg(feature = "jwks")]
    #[cfg_attr(docsrs, doc(cfg(feature = "jwks")))]
    #[must_use]
    pub fn status_lists(&self) -> Option<&StatusLists> {
        self.status_lists.as_ref()
    }

    /// The tenants, if the name is a template.
    pub(crate) fn tenants(&self) -> Option<&Tenants> {
        self.tenants.as_deref()
    }

    /// Whether the tenant in this name is accepted now.
    pub(crate) fn accepts_tenant_of(&self, name: &str) -> bool {
        self.tenants().is_none_or(|tenants| tenants.accept(name))
    }

    /// Whether this key may sign for this `iss`. The key sets of multi-tenant issuers can have keys for one tenant
    /// only.
    pub(crate) fn may_sign(&self, key: &Key, iss: &str) -> bool {
        let signs_for = |issuer: &str| issuer == iss || *issuer == *self.name;
        self.tenants.is_none() || key.issuer().is_none_or(signs_for)
    }

    pub(crate) fn audience_claim(&self) -> &str {
        &self.audience_claim
    }

    pub(crate) fn required_claims(&self) -> &[Box<str>] {
        &self.required_claims
    }

    pub(crate) fn required_values(&self) -> &[(Box<str>, Box<str>)] {
        &self.required_values
    }

    pub(crate) fn allows_unverified_cnf(&self) -> bool {
        self.allow_unverified_cnf
    }

    /// The claim that must contain the id of the token, if the author chose one.
    pub(crate) fn chosen_token_id_claim(&self) -> Option<&str> {
        self.token_id_claim.as_deref()
    }

    pub(crate) fn accepts_audience<'a>(
        &self,
        audience: &mut impl Iterator<Item = &'a str>,
    ) -> bool {
        self.audiences
            .as_ref()
            .is_none_or(|accepted| audience.any(|one| accepted.iter().any(|this| **this == *one)))
    }

    pub(crate) fn accepts_type(&self, typ: Option<&str>) -> bool {
        let Some(types) = &self.types else {
            return typ.is_none_or(|typ| is_same_type(typ, "JWT") || is_same_type(typ, "at+jwt"));
        };
        typ.is_some_and(|typ| types.iter().any(|accepted| is_same_type(typ, accepted)))
    }

    /// The latest `iat` of a token that is accepted at `now`: the issuer's clock may be ahead by the leeway.
    pub(crate) fn latest_issued_at(&self, now: UnixTime) -> UnixTime {
        now + self.leeway
    }

    /// The latest `exp` of the tokens that are accepted at `now`, as far as the policy limits it.
    pub(crate) fn tokens_expire_by(&self, now: UnixTime) -> UnixTime {
        let lifetime = self.max_lifetime.unwrap_or(LONGEST_LIFETIME);
        self.latest_issued_at(now) + lifetime
    }

    /// The first second at which a token is rejected, by its `exp` or its maximum age.
    pub(crate) fn refused_from(&self, times: Times) -> UnixTime {
        let too_old_from = self
            .max_age
            .zip(times.issued_at)
            .map(|(age, issued_at)| issued_at + age + self.leeway + Duration::from_secs(1));
        self.expired_from(times.expires_at).min(too_old_from.unwrap_or(UnixTime::MAX))
    }

    fn expired_from(&self, expires_at: UnixTime) -> UnixTime {
        expires_at + self.expiry_leeway.unwrap_or(self.leeway)
    }

    /// Whether the times of a token are valid at `now`.
    pub(crate) fn check_times(&self, now: UnixTime, times: Times) -> Result<(), RejectionKind> {
        let Times { expires_at, not_before, issued_at } = times;
        // "On or after" (RFC 7519 section 4.1.4): a token is already expired in the second of `exp`.
        if now >= self.expired_from(expires_at) {
            return Err(RejectionKind::Expired);
        }
        let latest = self.latest_issued_at(now);
        if not_before.is_some_and(|not_before| not_before > latest) {
            return Err(RejectionKind::NotYetValid);
        }
        if issued_at.is_some_and(|issued_at| issued_at > latest) {
            return Err(RejectionKind::IssuedInFuture);
        }
        if self.max_age.is_none() && self.max_lifetime.is_none() {
            return Ok(());
        }
        let issued_at = issued_at.ok_or(RejectionKind::MissingClaim)?;
        let exceeds = |limit: Option<Duration>, time: Duration| {
            limit.is_some_and(|limit| time.as_secs() > limit.as_secs())
        };
        let age = (now - self.leeway).saturating_duration_since(issued_at);
        if exceeds(self.max_age, age) {
            return Err(RejectionKind::TooOld);
        }
        if exceeds(self.max_lifetime, expires_at.saturating_duration_since(issued_at)) {
            return Err(RejectionKind::LifetimeTooLong);
        }
        Ok(())
    }
}

/// Compares media types without case and without their `application/` (RFC 7515 section 4.1.9).
pub(crate) fn is_same_type(one: &str, other: &str) -> bool {
    fn short(typ: &str) -> &str {
        const PREFIX: &str = "application/";
        match typ.get(..PREFIX.len()) {
            Some(prefix) if prefix.eq_ignore_ascii_case(PREFIX) => {
                typ.get(PREFIX.len()..).unwrap_or_default()
            }
            _ => typ,
        }
    }
    // The usual case.
    one == other || short(one).eq_ignore_ascii_case(short(other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeySetHandle, claims::ManualClock};

    #[test]
    fn other_keys_have_another_number() {
        let (handle, clock) =
            (KeySetHandle::new(KeySet::default()), ManualClock::at(UnixTime::from_secs(0)));
        let issuer = Issuer::new("https://issuer.example", handle.clone()).allow_any_audience();
        let number = || issuer.current_number(&clock);
        let first = number();
        assert_eq!(first, issuer.current_keys(&clock).number());
        handle.replace(KeySet::default());
        assert_ne!(number(), first);
        assert_eq!(number(), issuer.current_keys(&clock).number());
    }
    #[test]
    fn debug_shows_every_setting() {
        let keys = KeySetHandle::new(KeySet::default());
        let issuer = Issuer::multi_tenant("https://issuer.example/{tenantid}", keys)
            .tenants(["tenant-1"])
            .audience("api://orders")
            .audience_from("client_id")
            .require_typ("at+jwt")
            .with_leeway(Duration::from_secs(11))
            .with_expiry_leeway(Duration::from_secs(12))
            .require_claim("roles")
            .require_claim_value("token_use", "access")
            .with_max_age(Duration::from_secs(13))
            .with_max_lifetime(Duration::from_secs(14))
            .token_id_claim("uti")
            .add_name("other name")
            .allow_null_claims();
        let shown = format!("{issuer:?}");
        for setting in [
            "name: \"https://issuer.example/{tenantid}\"",
            "other_names: [\"other name\"]",
            "accepted: Listed([\"tenant-1\"])",
            "keys: KeySource(",
            "audiences: Some([\"api://orders\"])",
            "audience_claim: \"client_id\"",
            "types: Some([\"at+jwt\"])",
            "leeway: 11s",
            "expiry_leeway: Some(12s)",
            "required_claims: [\"roles\"]",
            "required_values: [(\"token_use\", \"access\")]",
            "max_age: Some(13s)",
            "max_lifetime: Some(14s)",
            "token_id_claim: Some(\"uti\")",
            "allow_unverified_cnf: false",
            "allow_null_claims: true",
            "has_integer_subject: false",
        ] {
            assert!(shown.contains(setting), "{setting}: {shown}");
        }
    }
}
