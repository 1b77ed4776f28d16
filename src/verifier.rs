//! Verifies a token: from its text to claims whose issuer and policy are checked. The authenticator uses it.

mod claim_checks;
mod outcome;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::de::DeserializeOwned;

#[cfg(feature = "jwks")]
use self::claim_checks::status_entry;
use self::claim_checks::{
    check_name, check_required, check_times, registered_strings, revocation_id,
};
pub(crate) use self::outcome::NotVerified;
#[cfg(feature = "jwks")]
pub(crate) use self::outcome::UnknownKey;
use self::outcome::{Trace, Untraced};
#[cfg(feature = "jwks")]
use crate::jwks::Wait;
use crate::{
    BoxFuture, CheckError, ConfigError, Issuer, RejectionKind, UnixTime, VerifiedToken,
    authenticated::{NamedKey, Verified},
    claims::{ClaimsSet, Clock, Registered, RegisteredClaims},
    confirmation::{self, Confirmation, Proof},
    dpop::CheckedProof,
    json::{self, Object},
    jws::{Compact, Header, KnownHeaders, Scratch},
    revocation::RevocationMemo,
    token_cache::TokenCache,
};

/// Runs checks 1 to 15 of the [list of checks](crate::Authenticator#checks), which need no store and no network.
pub(crate) struct Verifier<C>(Arc<Rules<C>>);

struct Rules<C> {
    /// Unique in this process. Only clones of this verifier share it.
    number: u64,
    settings: VerifierSettings<C>,
    by_name: HashMap<Arc<str>, usize>,
    /// Positions of the issuers whose names are templates.
    multi_tenant: Vec<usize>,
    headers: KnownHeaders,
    read_claims: fn(&Object<'_>) -> Option<C>,
    cache: TokenCache<C>,
}

pub(crate) type Check<C> = Box<dyn Fn(&VerifiedToken<C>) -> Result<(), CheckError> + Send + Sync>;
pub(crate) type AsyncCheck<C> =
    Box<dyn Fn(VerifiedToken<C>) -> BoxFuture<'static, Result<(), CheckError>> + Send + Sync>;

/// The settings of a verifier.
pub(crate) struct VerifierSettings<C> {
    pub(crate) issuers: Vec<Issuer>,
    pub(crate) max_token_length: usize,
    pub(crate) clock: Arc<dyn Clock>,
    /// Their outcome depends only on the token.
    pub(crate) pure_checks: Vec<Check<C>>,
    pub(crate) checks: Vec<Check<C>>,
    pub(crate) cache_capacity: u64,
    pub(crate) caches_hmac: bool,
    pub(crate) async_checks: Vec<AsyncCheck<C>>,
}

impl<C: DeserializeOwned> Verifier<C> {
    pub(crate) fn new(settings: VerifierSettings<C>) -> Result<Self, ConfigError> {
        if settings.issuers.is_empty() {
            return Err(ConfigError::NoIssuer);
        }
        let (mut by_name, mut multi_tenant) = (HashMap::new(), Vec::new());
        for (index, issuer) in settings.issuers.iter().enumerate() {
            issuer.validate()?;
            if issuer.tenants().is_some() {
                multi_tenant.push(index);
            }
            for name in issuer.names() {
                if by_name.insert(Arc::clone(name), index).is_some() {
                    return Err(ConfigError::DuplicateIssuer(name.to_string()));
                }
            }
        }
        // A token cannot have a template as its issuer name.
        by_name.retain(|_, index| !multi_tenant.contains(index));
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Ok(Self(Arc::new(Rules {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            by_name,
            multi_tenant,
            headers: KnownHeaders::new(),
            read_claims: json::deserialize,
            cache: TokenCache::new(settings.cache_capacity, settings.caches_hmac),
            settings,
        })))
    }
}

impl<C> Verifier<C> {
    /// Checks 1 to 15 of the [list](crate::Authenticator#checks), for a request that proves `proof`. Also returns the
    /// DPoP proof that must be recorded, after the other checks.
    pub(crate) fn verify(
        &self,
        token: &[u8],
        proof: &Proof<'_>,
    ) -> Result<(VerifiedToken<C>, Option<CheckedProof>), NotVerified> {
        // Check 1, also on a cache hit: length.
        if token.len() > self.0.settings.max_token_length {
            return Err(RejectionKind::TokenTooLong.into());
        }
        if let Some(known) = self.0.cache.get(token)
            && let Some(verdict) = self.verify_cached(token, &known, proof)
        {
            if verdict.is_ok() {
                self.0.cache.hits.add_one();
            }
            return verdict.map(|checked| (known, checked)).map_err(Into::into);
        }
        let (verified, checked) = self.verify_uncached(token, proof, &mut Untraced)?;
        self.0.cache.remember(token, &verified);
        Ok((verified, checked))
    }

    /// Runs the same checks for a request that proves nothing, without the token cache. Writes the number of the last
    /// check that began into `reached`.
    pub(crate) fn verify_traced(
        &self,
        token: &[u8],
        reached: &mut u8,
    ) -> Result<VerifiedToken<C>, NotVerified> {
        reached.begin(1);
        if token.len() > self.0.settings.max_token_length {
            return Err(RejectionKind::TokenTooLong.into());
        }
        self.verify_uncached(token, &Proof::default(), reached).map(|(token, _)| token)
    }

    /// Repeats the checks whose outcome may have changed since a token with this text was verified. Returns `None` if
    /// its key is no longer in the key set: then the token must be verified again from the start.
    fn verify_cached(
        &self,
        token: &[u8],
        known: &VerifiedToken<C>,
        proof: &Proof<'_>,
    ) -> Option<Result<Option<CheckedProof>, RejectionKind>> {
        let issuer = self.0.settings.issuers.get(known.issuer())?;
        let clock = &*self.0.settings.clock;
        // Cache hit, check 7: the key is still in the key set.
        if !known.was_key_in_set(issuer.current_number(clock))
            && !known.is_key_in_set(&issuer.current_keys(clock))
        {
            self.0.cache.forget(token);
            return None;
        }
        // Cache hit, check 8: the tenant is still accepted.
        if !issuer.accepts_tenant_of(known.registered().issuer()) {
            return Some(Err(RejectionKind::UnknownIssuer));
        }
        // Cache hit, check 9: times.
        let now = self.now();
        let times = issuer.check_times(now, known.registered().times());
        if times == Err(RejectionKind::Expired) {
            self.0.cache.forget(token);
        }
        // Cache hit, check 12: the proof. Another request has another one.
        let proved =
            times.and_then(|()| confirmation::check(token, known.confirmation(), proof, now));
        // Cache hit, check 15: the synchronous checks that are not pure.
        Some(proved.and_then(|checked| self.run_checks(known).map(|()| checked)))
    }

    fn verify_uncached(
        &self,
        token: &[u8],
        proof: &Proof<'_>,
        trace: &mut impl Trace,
    ) -> Result<(VerifiedToken<C>, Option<CheckedProof>), NotVerified> {
        // Check 2: compact form and base64url.
        trace.begin(2);
        let compact = Compact::parse(token, self.0.settings.max_token_length)?;
        let known_headers = self.0.headers.load();
        let known_header = known_headers.find(compact.encoded_header());
        let payload = compact.decode_payload()?;
        let mut scratch = Scratch::new();
        let signature = compact.decode_signature(&mut scratch)?;
        // Check 3: protected header. A known header was read before.
        trace.begin(3);
        let read_header;
        let header = match known_header {
            Some(header) => header,
            None => {
                read_header = Header::read(&compact)?;
                &read_header
            }
        };
        // Check 4: claims as JSON.
        trace.begin(4);
        let text = String::from_utf8(payload).map_err(|_| RejectionKind::MalformedClaims)?;
        let mut claims = ClaimsSet::unread(&text);
        claims.read().ok_or(RejectionKind::MalformedClaims)?;
        // Check 5: issuer.
        trace.begin(5);
        let (position, issuer) = self.issuer_of(&claims)?;
        if issuer.allows_null_claims() {
            claims.forget_nulls(&[
                Registered::Aud,
                Registered::Nbf,
                Registered::Jti,
                Registered::Scope,
                Registered::Scp,
            ]);
        }
        // Check 6: type.
        trace.begin(6);
        if !issuer.accepts_type(header.typ()) {
            return Err(RejectionKind::WrongType.into());
        }

        // Check 7: signature.
        trace.begin(7);
        let keys = issuer.current_keys(&*self.0.settings.clock);
        let key = keys
            .verify(header, compact.signing_input(), signature)
            .map_err(|error| NotVerified::by(&keys, position, issuer, header, error))?;
        if known_header.is_none() {
            self.0.headers.remember(compact.encoded_header(), header);
        }

        // Check 8: tenant.
        trace.begin(8);
        let name = check_name(issuer, key, &claims)?;
        // Check 9: times.
        trace.begin(9);
        let now = self.now();
        let times = check_times(issuer, &claims, now)?;
        // Check 10: types of registered claims, and audience.
        trace.begin(10);
        let spans = registered_strings(issuer, &mut claims)?;
        // Check 11: required claims.
        trace.begin(11);
        check_required(issuer, &claims)?;
        // Check 12: the proof for what the token is bound to.
        trace.begin(12);
        let cnf = claims.get(Registered::Cnf).filter(|_| !issuer.allows_unverified_cnf());
        let confirmation = cnf.map(Confirmation::read).transpose()?;
        let checked = confirmation::check(token, confirmation.as_deref(), proof, now)?;
        // Check 13: id for revocation, and the entry in a status list.
        trace.begin(13);
        let revocation_id =
            revocation_id(issuer, &mut claims, spans.token_id, compact.signing_input())?;
        #[cfg(feature = "jwks")]
        let status = status_entry(issuer, &claims)?;
        // Check 14: the claims fit `C`.
        trace.begin(14);
        let own_claims =
            (self.0.read_claims)(claims.members()).ok_or(RejectionKind::ClaimsMismatch)?;
        let unescaped = claims.take_unescaped();
        let registered = RegisteredClaims::new(text, &unescaped, name, spans, times);
        let token = VerifiedToken::new(Verified {
            claims: own_claims,
            registered,
            revocation_id,
            confirmation,
            rejected_from: issuer.refused_from(times),
            verifier: self.0.number,
            policy: issuer.number(),
            issuer: position,
            named_key: NamedKey::new(header.key_id(), key),
            key: key.clone(),
            key_set: keys.number().into(),
            revocation: RevocationMemo::new(self.0.cache.caches(key.algorithm())),
            #[cfg(feature = "jwks")]
            status,
        });
        // Check 15: synchronous checks.
        trace.begin(15);
        self.run_pure_checks(&token)?;
        self.run_checks(&token)?;
        Ok((token, checked))
    }

    /// Checks a token again that this verifier or a clone of it has verified: expiry, maximum age, tenant, and all
    /// synchronous checks.
    ///
    /// A token of another verifier is rejected. That verifier may have other keys and a weaker policy under the same
    /// issuer name.
    pub(crate) fn recheck(&self, token: &VerifiedToken<C>) -> Result<(), RejectionKind> {
        if token.verifier() != self.0.number {
            return Err(RejectionKind::OtherVerifier);
        }
        // If the tenant is no longer accepted, the token is rejected too.
        let name = token.registered().issuer();
        let issuer =
            self.position_of(name).and_then(|position| self.0.settings.issuers.get(position));
        if !issuer.is_some_and(|issuer| issuer.accepts_tenant_of(name)) {
            return Err(RejectionKind::UnknownIssuer);
        }
        if self.now() >= token.rejected_from() {
            return Err(RejectionKind::Expired);
        }
        self.run_pure_checks(token)?;
        self.run_checks(token)
    }

    /// Decides about a token whose key is unknown: wait for the key, or reject the token at once.
    #[cfg(feature = "jwks")]
    pub(crate) fn ask_for_key(&self, unknown: UnknownKey) -> Result<Wait, RejectionKind> {
        let source = self.0.settings.issuers.get(unknown.issuer).and_then(Issuer::remote_keys);
        source.ok_or(unknown.kind)?.ask(unknown.kind, unknown.key_set)
    }

    pub(crate) fn max_token_length(&self) -> usize {
        self.0.settings.max_token_length
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn token_cache(&self) -> &TokenCache<C> {
        &self.0.cache
    }

    pub(crate) fn issuers(&self) -> &[Issuer] {
        &self.0.settings.issuers
    }

    pub(crate) fn has_checks(&self) -> bool {
        !self.0.settings.pure_checks.is_empty() || !self.0.settings.checks.is_empty()
    }

    pub(crate) fn has_async_checks(&self) -> bool {
        !self.0.settings.async_checks.is_empty()
    }

    pub(crate) async fn run_async_checks(
        &self,
        token: &VerifiedToken<C>,
    ) -> Result<(), RejectionKind> {
        // Check 17, also on a cache hit: asynchronous checks.
        for check in &self.0.settings.async_checks {
            check(token.clone()).await?;
        }
        Ok(())
    }

    fn run_pure_checks(&self, token: &VerifiedToken<C>) -> Result<(), RejectionKind> {
        self.0.settings.pure_checks.iter().try_for_each(|check| check(token)).map_err(Into::into)
    }

    fn run_checks(&self, token: &VerifiedToken<C>) -> Result<(), RejectionKind> {
        self.0.settings.checks.iter().try_for_each(|check| check(token)).map_err(Into::into)
    }

    pub(crate) fn now(&self) -> UnixTime {
        self.0.settings.clock.now()
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.settings.clock
    }

    /// The issuer of this name. The name may be any of its spellings, or that of a tenant.
    pub(crate) fn issuer_named(&self, name: &str) -> Option<&Issuer> {
        self.position_of(name).and_then(|position| self.0.settings.issuers.get(position))
    }

    /// The names of the issuers for clients.
    pub(crate) fn authorization_servers(&self) -> Vec<Arc<str>> {
        self.0.settings.issuers.iter().flat_map(Issuer::authorization_servers).collect()
    }

    /// The configured name of every issuer.
    pub(crate) fn issuer_names(&self) -> Vec<Arc<str>> {
        self.0.settings.issuers.iter().map(|issuer| Arc::clone(issuer.own_name())).collect()
    }

    fn issuer_of(&self, claims: &ClaimsSet<'_>) -> Result<(usize, &Issuer), RejectionKind> {
        let name = claims.string(Registered::Iss)?.ok_or(RejectionKind::MissingClaim)?;
        let position = match self.0.settings.issuers.as_slice() {
            // The usual case needs no hash.
            [only] if only.tenants().is_none() && name.is(only.own_name()) => Some(0),
            _ => self.position_of(&name.resolve()),
        };
        position
            .and_then(|position| Some((position, self.0.settings.issuers.get(position)?)))
            .ok_or(RejectionKind::UnknownIssuer)
    }

    /// The position of the issuer of this name. The name is its full name, or it matches its template.
    fn position_of(&self, name: &str) -> Option<usize> {
        let makes_name = |position: &usize| {
            let tenants = self.0.settings.issuers.get(*position).and_then(Issuer::tenants);
            tenants.is_some_and(|tenants| tenants.tenant_of(name).is_some())
        };
        let by_template = || self.0.multi_tenant.iter().copied().find(makes_name);
        self.0.by_name.get(name).copied().or_else(by_template)
    }
}

impl<C> Clone for Verifier<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C> fmt::Debug for Verifier<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("issuers", &self.0.settings.issuers)
            .finish_non_exhaustive()
    }
}
