//! Sessions: log in, refresh, log out.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use super::{
    Account, AccountsError, ClientInfo, Credentials, LogOutError, LoginError, RefreshError,
    TokenIssuer,
    audit::{AuditEvent, AuditKind},
    binding::other_key,
    claims::{
        ACCESS_LIFETIME, ACCESS_TYP, ClaimsText, Purpose, REFRESH_TYP, RefreshClaims, TokenType,
        random_id, sha256,
    },
    issuer::{MayHaveRevoked, no_signature},
    normalize_email,
    revoking::subject,
    scopes::ScopeSet,
    store::{Insertion, NewRefreshToken, NewSession, Owner, RefreshRotation, RefreshUse},
    throttle::Attempt,
};
use tower_bearer::{
    Authenticated, UnixTime,
    claims::DEFAULT_LEEWAY,
    jws::SigningKey,
    revocation::{Lookup, Revocable, RevocationEntry, StoreError, Verdict},
};

use crate::telemetry::{self, RefreshOutcome};

/// When to try again after too many refreshes at once: the earlier ones end within a moment.
const A_MOMENT: Duration = Duration::from_secs(1);

/// A refresh token of this issuer is not longer than this, unless a subject is thousands of bytes long.
const MAX_LENGTH: usize = 8 * 1024;

/// The tokens of a session. They are credentials: `Debug` does not show them, and only the client keeps them.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenPair {
    /// For requests. It lives for one hour.
    pub access_token: String,
    /// For one refresh.
    pub refresh_token: String,
    /// `exp` of the access token.
    pub access_expires_at: UnixTime,
    /// `exp` of the refresh token.
    pub refresh_expires_at: UnixTime,
    /// The RFC 7638 thumbprint of the key that both tokens are bound to. `None` if they are not bound.
    pub key_thumbprint: Option<Arc<str>>,
}

/// The result of a log-in.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Login {
    /// The account that logged in.
    pub account: Account,
    /// The first tokens of the session.
    pub tokens: TokenPair,
}

impl fmt::Debug for TokenPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenPair").finish_non_exhaustive()
    }
}

impl TokenIssuer {
    /// Logs a user in: begins a session. `client` has the client's address, by which log-ins are limited, and its user
    /// agent, which the owner sees in the list of sessions.
    ///
    /// The tokens are bound to a key if this handle has a [proof](Self::with_proof).
    ///
    /// # Errors
    /// [`LoginError::NoActiveAccount`] for an unknown user, an inactive user and a wrong password alike.
    /// [`LoginError::Throttled`] if there were too many attempts: then the password is not checked. An attempt over the
    /// limit waits while other attempts of its account are in progress, because a success makes room. 5 attempts run at
    /// once, and 16 wait.
    pub async fn log_in(
        &self,
        credentials: &Credentials,
        client: &ClientInfo,
    ) -> Result<Login, LoginError> {
        let outcome = self.for_client(client).try_to_log_in(credentials, client).await;
        telemetry::log_in_tried(&outcome);
        outcome
    }

    async fn try_to_log_in(
        &self,
        credentials: &Credentials,
        client: &ClientInfo,
    ) -> Result<Login, LoginError> {
        let peer = client.address();
        if !self.accounts().is_well_formed(credentials) {
            return Err(self.login_failed(None));
        }
        let name = normalize_email(&credentials.username);
        let attempt = self.begin_attempt(&name, peer).await?;
        let begun = self.now();
        let account = match self.authenticate(credentials, AuditKind::LoginFailed).await {
            Ok(account) => account,
            // This attempt still counts, because it failed.
            Err(LoginError::NoActiveAccount) => return Err(LoginError::NoActiveAccount),
            Err(other) => {
                attempt.was_none();
                return Err(other);
            }
        };
        let opened = match self.use_proof(&account.subject).await {
            Ok(()) => self.open(credentials, account, client, begun).await,
            Err(rejection) => Err(LoginError::InvalidProof(rejection)),
        };
        // The password was hashed and was right. That counts even if the store fails afterwards. Otherwise the owner of
        // an account could cause hashes without a limit for as long as no session can be opened.
        if !matches!(opened, Err(LoginError::NoActiveAccount)) {
            attempt.succeeded();
        }
        let login = opened?;
        if let Some(peer) = peer {
            let owner = self.owner(&login.account.subject);
            self.known_devices().note(self.store(), &owner, &name, peer).await;
        }
        Ok(login)
    }

    /// Lets an attempt through, or rejects it. Before it rejects, it waits for attempts in progress, and asks the store
    /// whether another process has seen the account log in from this address.
    pub(super) async fn begin_attempt(
        &self,
        name: &str,
        peer: Option<IpAddr>,
    ) -> Result<Attempt<'_>, LoginError> {
        if let Ok(attempt) = self.throttle().begin(name, peer) {
            return Ok(attempt);
        }
        if let Some(peer) = peer.filter(|peer| !self.throttle().knows(name, *peer))
            && self.known_devices().knows(self.store(), name, peer).await
        {
            self.throttle().learn(name, peer);
        }
        let begun = self.throttle().wait_and_begin(name, peer).await;
        begun.map_err(|retry_after| {
            self.record(AuditKind::LoginThrottled, |_| {});
            LoginError::Throttled { retry_after }
        })
    }

    /// Begins a session for an account whose credentials were checked after `begun`. Makes the tokens only if a check
    /// of the credentials succeeded later than every revocation that does not cover the session.
    ///
    /// Callers change an account first and revoke afterwards. The credentials may have been read before the change.
    /// There are two cases:
    ///
    /// 1. The cut-off is written after the session. Then it covers the session, whatever the clocks say, because a
    ///    cut-off covers all rows of its owner.
    /// 2. The cut-off is written before the session. Then `was_cut_off_since` finds it, if clocks differ by less than
    ///    the leeway. The credentials are checked once more, which is after the change. The session's date is later
    ///    than that cut-off, so a user with the right password can log in within the same second.
    ///
    /// The access token has the scopes that the account has after the session was stored. A change of the scopes that
    /// comes later finds the session, and revokes the access token.
    async fn open(
        &self,
        credentials: &Credentials,
        mut account: Account,
        client: &ClientInfo,
        begun: UnixTime,
    ) -> Result<Login, LoginError> {
        let owner = self.owner(&account.subject);
        let key = self.signer()?;
        let session = self.open_session(&owner, client, begun).await?;
        if self.was_cut_off_since(begun, &owner).await? {
            account = self.authenticate(credentials, AuditKind::LoginFailed).await?;
            if account.subject != owner.subject {
                return Err(self.login_failed(Some(owner.subject)));
            }
        }
        let Some(now) = self.active_account(&owner.subject).await? else {
            return Err(self.login_failed(Some(owner.subject)));
        };
        account.scopes = now.scopes;
        let tokens = self.pair(&session, &account.scopes, &key)?;
        self.record(AuditKind::LoginSucceeded, |event| describe(event, &session.record));
        Ok(Login { account, tokens })
    }

    /// Checks credentials. If they are wrong, records an event of the kind `refused`.
    pub(super) async fn authenticate(
        &self,
        credentials: &Credentials,
        refused: AuditKind,
    ) -> Result<Account, LoginError> {
        let error = match self.accounts().authenticate(credentials).await {
            Ok(account) => return Ok(account),
            Err(error) => error,
        };
        let subject = match error {
            AccountsError::NoActiveAccount => None,
            AccountsError::Rejected { subject } => Some(subject),
            AccountsError::Busy => return Err(LoginError::Busy),
            AccountsError::Unavailable(error) => return Err(error.into()),
        };
        self.record(refused, |event| event.subject = subject);
        Err(LoginError::NoActiveAccount)
    }

    fn login_failed(&self, subject: Option<Arc<str>>) -> LoginError {
        self.record(AuditKind::LoginFailed, |event| event.subject = subject);
        LoginError::NoActiveAccount
    }

    /// The account of a subject as it is now. `None` if it is not active.
    pub(super) async fn active_account(
        &self,
        subject: &str,
    ) -> Result<Option<Account>, StoreError> {
        let account = self.accounts().find_active(subject).await?;
        Ok(account.filter(|account| *account.subject == *subject))
    }

    /// Whether the subject has a cut-off at `time` or later. A cut-off that is earlier by at most the leeway counts
    /// too, because the clock that dated it may be behind.
    async fn was_cut_off_since(&self, time: UnixTime, owner: &Owner) -> Result<bool, StoreError> {
        let earliest = time - DEFAULT_LEEWAY;
        let verdict = self.store().look_up(&Lookup::new([subject(owner)], earliest)).await?;
        Ok(verdict != Verdict::NotRevoked)
    }

    /// Exchanges a refresh token for new tokens. The refresh token is used up.
    ///
    /// If the token was used before, its session ends. Then the holder of the successor, the client or a thief, is
    /// logged out. If the subject has no [active account](super::Accounts::find_active), there are no new tokens, and
    /// the refresh token stays unused. The issuer checks the account again after the store's step. So an account that
    /// was closed before the answer is sent gets no tokens, or only tokens that a later
    /// [`revoke_subject`](Self::revoke_subject) covers.
    ///
    /// If the session is bound to a key, this handle must have a [proof](Self::with_proof) by that key. The new tokens
    /// are bound to the same key.
    ///
    /// # Errors
    /// [`RefreshError::NotValid`] if this is not a valid refresh token of this issuer.
    pub async fn refresh(&self, refresh_token: &str) -> Result<TokenPair, RefreshError> {
        let (outcome, told) = match self.use_refresh(refresh_token).await {
            Ok(Used::Renewed(tokens)) => (Ok(tokens), RefreshOutcome::Succeeded),
            Ok(Used::Reused) => (Err(RefreshError::NotValid), RefreshOutcome::Reused),
            Err(RefreshError::NotValid) => (Err(RefreshError::NotValid), RefreshOutcome::NotValid),
            Err(error @ RefreshError::Throttled { .. }) => (Err(error), RefreshOutcome::Throttled),
            Err(error @ RefreshError::InvalidProof(_)) => {
                (Err(error), RefreshOutcome::InvalidProof)
            }
            Err(error @ RefreshError::Unavailable(_)) => (Err(error), RefreshOutcome::Unavailable),
        };
        telemetry::refreshed(told);
        outcome
    }

    async fn use_refresh(&self, refresh_token: &str) -> Result<Used, RefreshError> {
        let (used, used_hash) = self.read_refresh(refresh_token).ok_or(RefreshError::NotValid)?;
        let (iat, exp) = (UnixTime::from_secs(used.iat), UnixTime::from_secs(used.exp));
        let is_over = |now| now >= exp || self.refreshes().is_dead(&used_hash);
        if is_over(self.now()) {
            return Err(RefreshError::NotValid);
        }
        self.check_key(used.cnf.as_ref().map(|cnf| &*cnf.jkt))
            .map_err(RefreshError::InvalidProof)?;
        let permit = self.refreshes().acquire(&used.sid).await;
        let permit = permit.ok_or_else(|| {
            self.record(AuditKind::RefreshThrottled, |event| {
                event.subject = Some((&*used.sub).into());
                event.session_id = Some((&*used.sid).into());
            });
            RefreshError::Throttled { retry_after: A_MOMENT }
        })?;
        // While this refresh waited, the token may have expired, or an earlier refresh may have found it dead.
        let now = self.now();
        if is_over(now) || self.active_account(&used.sub).await?.is_none() {
            return Err(RefreshError::NotValid);
        }
        let key = self.signer()?;
        self.use_proof(&used.sub).await.map_err(RefreshError::InvalidProof)?;
        let owner = self.owner(&used.sub);
        let auth_time = used.auth_time.map(UnixTime::from_secs);
        // If clocks differ, the successor must not have an earlier date than the used token. Otherwise a cut-off could
        // lie between the two.
        let successor = self.new_refresh(&owner, &used.sid, now.max(iat), auth_time)?;
        let ends_by = self.session_ends_by(now);
        let rotation =
            RefreshRotation::new(used.jti, used_hash, successor.record.clone(), now, ends_by)
                .with_reuse_grace(self.reuse_grace());
        let issuer = self.clone();
        let step = self.to_the_end::<_, StoreError>(async move {
            // The step holds the permit until its end, even if the client hangs up.
            let _permit = permit;
            let outcome = issuer.store().use_refresh(&rotation).await?;
            if outcome == RefreshUse::Reused {
                let session = RevocationEntry::new(issuer.session(&used.sid), ends_by);
                issuer.revocation().apply(&session);
            }
            issuer.record_use(&outcome, &rotation.successor);
            let is_dead =
                [RefreshUse::Unknown, RefreshUse::Revoked, RefreshUse::Reused].contains(&outcome);
            if is_dead {
                issuer.refreshes().remember_dead(used_hash);
            }
            Ok(outcome)
        });
        let next = match step.await? {
            RefreshUse::Rotated => successor,
            RefreshUse::Repeated(record) => {
                self.again(record, auth_time)?.ok_or(RefreshError::NotValid)?
            }
            RefreshUse::Reused => return Ok(Used::Reused),
            RefreshUse::OtherKey => return Err(RefreshError::InvalidProof(other_key())),
            RefreshUse::Unknown | RefreshUse::Revoked => return Err(RefreshError::NotValid),
        };
        // The account may have been closed since the first check, and its tokens may not have been revoked. It may also
        // have lost scopes before the store knew of the new access token.
        let account = self.active_account(&owner.subject).await?.ok_or(RefreshError::NotValid)?;
        Ok(Used::Renewed(self.pair(&next, &account.scopes, &key)?))
    }

    fn record_use(&self, outcome: &RefreshUse, token: &NewRefreshToken) {
        let kind = match outcome {
            RefreshUse::Rotated | RefreshUse::Repeated(_) => AuditKind::Refreshed,
            RefreshUse::Reused => AuditKind::RefreshReused,
            RefreshUse::Unknown | RefreshUse::Revoked | RefreshUse::OtherKey => return,
        };
        self.record(kind, |event| describe(event, token));
    }

    /// Ends the session of the access token and the session of the refresh token, which are usually the same. The
    /// refresh token may be expired or revoked.
    ///
    /// # Errors
    /// See [`LogOutError`]. If the store fails, this process rejects the tokens of these sessions anyway.
    pub async fn log_out<C>(
        &self,
        access: &Authenticated<C>,
        refresh_token: &str,
    ) -> Result<(), LogOutError> {
        let caller = self.caller(access).ok_or(LogOutError::NotAccess)?;
        let (refresh, _) = self.read_refresh(refresh_token).ok_or(LogOutError::NotRefresh)?;
        if *refresh.sub != *caller.owner.subject {
            return Err(LogOutError::OtherSubject);
        }
        let ends_by = self.session_ends_by(self.now());
        let mut sessions = vec![self.session(&refresh.sid)];
        if *caller.session_id != *refresh.sid {
            sessions.push(self.session(&caller.session_id));
        }
        let sessions = sessions.into_iter().map(|session| RevocationEntry::new(session, ends_by));
        let entries: Vec<RevocationEntry> = sessions.collect();
        entries.iter().for_each(|entry| self.revocation().apply(entry));
        let issuer = self.clone();
        self.to_the_end(async move {
            issuer.store().deny(&entries).await?;
            for entry in &entries {
                issuer.record(AuditKind::LoggedOut, |event| {
                    event.subject = Some(Arc::clone(&caller.owner.subject));
                    event.session_id = Some(Arc::clone(entry.thing().id()));
                });
            }
            Ok(())
        })
        .await
    }

    /// Makes and stores the first refresh token of a new session. The token is not signed yet.
    async fn open_session(
        &self,
        owner: &Owner,
        client: &ClientInfo,
        auth_time: UnixTime,
    ) -> Result<Refresh, StoreError> {
        let sid = random_id().map_err(no_signature)?;
        let mut date = self.date();
        loop {
            let first = self.new_refresh(owner, &sid, date.iat, Some(auth_time))?;
            let new = NewSession::new(first.record.clone()).with_user_agent(client.user_agent());
            match self.store().open_session(&new).await? {
                Insertion::Done(()) => return Ok(first),
                Insertion::CutOff(cut_off) => date.go_behind(cut_off, self)?,
                Insertion::QuotaReached => {
                    return Err(StoreError::new("sessions have no quota"));
                }
            }
        }
    }

    pub(super) fn session(&self, sid: &str) -> Revocable {
        Revocable::session(self.name(), sid)
    }

    fn new_refresh(
        &self,
        owner: &Owner,
        sid: &str,
        iat: UnixTime,
        auth_time: Option<UnixTime>,
    ) -> Result<Refresh, StoreError> {
        let jti = random_id().map_err(no_signature)?;
        let exp = iat + self.refresh_lifetime();
        let purpose = Purpose::Refresh { auth_time };
        let key = self.client_key();
        let claims = self.claims(purpose, owner, [&jti, sid], [iat, exp], key.as_deref())?;
        let record = NewRefreshToken::new(owner.clone(), jti, sid, iat, exp, claims.hash())
            .with_access_token_id(random_id().map_err(no_signature)?)
            .with_key_thumbprint(key);
        Ok(Refresh { claims, record, auth_time })
    }

    /// Restores a refresh token that was issued before, from its stored record. The claims are the same, and will get a
    /// new signature. `None` if the issuer would write other claims now.
    fn again(
        &self,
        record: NewRefreshToken,
        auth_time: Option<UnixTime>,
    ) -> Result<Option<Refresh>, StoreError> {
        let ids = [&*record.token_id, &*record.session_id];
        let times = [record.issued_at, record.expires_at];
        let (purpose, key) = (Purpose::Refresh { auth_time }, record.key_thumbprint.as_deref());
        let claims = self.claims(purpose, &record.owner, ids, times, key)?;
        Ok((claims.hash() == record.hash).then_some(Refresh { claims, record, auth_time }))
    }

    /// Signs a refresh token and an access token of the same session.
    ///
    /// Both have the date that the store compared with the subject's cut-off. With a later date they could escape a
    /// cut-off that was written in between.
    fn pair(
        &self,
        refresh: &Refresh,
        scopes: &ScopeSet,
        key: &SigningKey,
    ) -> Result<TokenPair, StoreError> {
        let Refresh { claims, record, auth_time } = refresh;
        let jti = match &record.access_token_id {
            Some(id) => Arc::clone(id),
            // A repeat of a token that an earlier version issued.
            None => random_id().map_err(no_signature)?.into(),
        };
        let iat = record.issued_at;
        let exp = iat + ACCESS_LIFETIME;
        let ids = [&*jti, &*record.session_id];
        let purpose = Purpose::Access { scopes, auth_time: *auth_time };
        let bound_to = record.key_thumbprint.as_deref();
        let access = self.claims(purpose, &record.owner, ids, [iat, exp], bound_to)?;
        Ok(TokenPair {
            access_token: access.sign(key, ACCESS_TYP).map_err(no_signature)?,
            refresh_token: claims.sign(key, REFRESH_TYP).map_err(no_signature)?,
            access_expires_at: exp,
            refresh_expires_at: record.expires_at,
            key_thumbprint: record.key_thumbprint.clone(),
        })
    }

    /// The claims of a refresh token of this issuer, and their hash. The times in the claims are not checked.
    pub(super) fn read_refresh(&self, token: &str) -> Option<(RefreshClaims, [u8; 32])> {
        if token.len() > MAX_LENGTH {
            return None;
        }
        let keys = self.keys().handle().snapshot();
        let payload = keys.verify_compact_of_type(REFRESH_TYP, token.as_bytes()).ok()?;
        let claims: RefreshClaims = serde_json::from_slice(&payload).ok()?;
        let is_ours = *claims.iss == *self.name()
            && *claims.aud == *self.audience()
            && claims.token_type == TokenType::Refresh;
        is_ours.then(|| (claims, sha256(&payload)))
    }
}

/// The outcome for a valid refresh token of this issuer.
enum Used {
    Renewed(TokenPair),
    /// The token was used before, and its session has ended.
    Reused,
}

/// A refresh token that is not signed yet.
struct Refresh {
    claims: ClaimsText,
    record: NewRefreshToken,
    /// The time of the log-in. `None` if the session is older than this claim.
    auth_time: Option<UnixTime>,
}

fn describe(event: &mut AuditEvent, token: &NewRefreshToken) {
    event.subject = Some(Arc::clone(&token.owner.subject));
    event.session_id = Some(Arc::clone(&token.session_id));
}

impl MayHaveRevoked for LogOutError {
    /// A log-out applies its revocations in this process before it asks the store.
    fn may_have_revoked(&self) -> bool {
        false
    }
}
