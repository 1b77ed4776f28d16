//! The rows that owners see as their sessions, and the deletion of what the store knows of an owner.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    Caller, NewRefreshToken, NewSession, Owner, Revocable, RevocationEntry, Session, SessionPage,
    SessionQuery, SessionSortBy, State,
};
use crate::{
    audit::AuditEvent,
    store::{DEVICE_KEY, device_account},
};
use tower_bearer::UnixTime;

/// Issuer and `sid`.
type SessionName = (Arc<str>, Arc<str>);

#[derive(Default)]
pub(super) struct SessionRows {
    rows: BTreeMap<i64, SessionRow>,
    by_name: HashMap<SessionName, i64>,
    last_id: i64,
}

struct SessionRow {
    owner: Owner,
    session_id: Arc<str>,
    view: Session,
}

impl SessionRows {
    pub(super) fn begin(&mut self, NewSession { first, user_agent }: &NewSession) {
        let user_agent = user_agent.clone().filter(|name| !name.is_empty());
        self.insert(first, first.issued_at, user_agent);
    }

    /// Notes that a session was refreshed. If there is no row, inserts one.
    pub(super) fn refreshed(&mut self, successor: &NewRefreshToken, begun: UnixTime) {
        match self.by_name.get(&name_of(successor)).and_then(|id| self.rows.get_mut(id)) {
            Some(SessionRow { view, .. }) => {
                view.last_used_at = view.last_used_at.max(successor.issued_at);
                view.expires_at = view.expires_at.max(successor.session_expires_at());
            }
            None => self.insert(successor, begun, None),
        }
    }

    fn insert(&mut self, token: &NewRefreshToken, created_at: UnixTime, agent: Option<Arc<str>>) {
        if self.by_name.contains_key(&name_of(token)) {
            return;
        }
        self.last_id += 1;
        let id = self.last_id;
        let mut view = Session::new(id, created_at, token.issued_at, token.session_expires_at());
        view.user_agent = agent;
        let (owner, session_id) = (token.owner.clone(), Arc::clone(&token.session_id));
        self.by_name.insert(name_of(token), id);
        self.rows.insert(id, SessionRow { owner, session_id, view });
    }

    /// Deletes the row of a session that has ended.
    pub(super) fn end(&mut self, issuer: &Arc<str>, session_id: &Arc<str>) {
        if let Some(id) = self.by_name.remove(&(Arc::clone(issuer), Arc::clone(session_id))) {
            self.rows.remove(&id);
        }
    }

    fn retain(&mut self, is_kept: impl Fn(&SessionRow) -> bool) {
        self.rows.retain(|_, row| is_kept(row));
        let rows = &self.rows;
        self.by_name.retain(|_, id| rows.contains_key(id));
    }

    pub(super) fn sweep(&mut self, limit: usize, is_over: impl Fn(UnixTime) -> bool) -> usize {
        let over = self.rows.values().filter(|row| is_over(row.view.expires_at)).take(limit);
        let over: Vec<SessionName> =
            over.map(|row| (Arc::clone(&row.owner.issuer), Arc::clone(&row.session_id))).collect();
        for (issuer, session_id) in &over {
            self.end(issuer, session_id);
        }
        over.len()
    }
}

impl State {
    /// The owner's sessions that have not ended.
    fn sessions_of<'a>(
        &'a self,
        owner: &'a Owner,
        now: UnixTime,
    ) -> impl Iterator<Item = &'a SessionRow> {
        let cut_off = self.denials.cut_off(owner);
        self.sessions.rows.values().filter(move |row| {
            row.owner == *owner
                && now < row.view.expires_at
                && Some(row.view.last_used_at) > cut_off
        })
    }

    pub(super) fn list_sessions(
        &self,
        caller: &Caller,
        query: &SessionQuery,
        now: UnixTime,
    ) -> Option<SessionPage> {
        let view = |row: &SessionRow| {
            let is_current = row.session_id == caller.session_id;
            Session { is_current, ..row.view.clone() }
        };
        let mut sessions: Vec<Session> = self.sessions_of(&caller.owner, now).map(view).collect();
        sessions.sort_by(|one, other| order(query, one, other));
        let count = sessions.len() as u64;
        let (number, before) = query.locate(count)?;
        let before = usize::try_from(before).unwrap_or(usize::MAX);
        let page = sessions.into_iter().skip(before).take(query.page_size.max(1) as usize);
        Some(SessionPage::new(count, number, page.collect()))
    }

    pub(super) fn revoke_session(
        &mut self,
        owner: &Owner,
        id: i64,
        now: UnixTime,
        tokens_expire_by: UnixTime,
    ) -> Option<RevocationEntry> {
        let row = self.sessions_of(owner, now).find(|row| row.view.id == id)?;
        let session = Revocable::session(Arc::clone(&owner.issuer), Arc::clone(&row.session_id));
        let entry = RevocationEntry::new(session, tokens_expire_by);
        self.deny(entry.clone());
        Some(entry)
    }

    /// The subject of the tokens of a session.
    pub(super) fn subject_of_session(&self, issuer: &str, session_id: &str) -> Option<Arc<str>> {
        let is_meant = |owner: &Owner, id: &str| *owner.issuer == *issuer && *id == *session_id;
        let refresh = self.refresh.tokens().map(|token| (&token.owner, &*token.session_id));
        let private = self.private.tokens().map(|token| (&token.owner, &*token.session_id));
        let (owner, _) = refresh.chain(private).find(|(owner, id)| is_meant(owner, id))?;
        Some(Arc::clone(&owner.subject))
    }

    /// Deletes everything about an owner, and keeps the event that says so.
    pub(super) fn delete_personal_data(&mut self, owner: &Owner, event: Option<&AuditEvent>) {
        self.sessions.retain(|row| row.owner != *owner);
        self.refresh.delete_of(owner);
        self.private.delete_of(owner);
        self.audit.delete_of(owner);
        if let Some(event) = event {
            self.audit.insert(event);
        }
        if let Some(key) = self.keys.get(DEVICE_KEY) {
            let account = device_account(key, owner);
            self.devices.retain(|_, device| device.account != account);
        }
    }
}

fn name_of(token: &NewRefreshToken) -> SessionName {
    (Arc::clone(&token.owner.issuer), Arc::clone(&token.session_id))
}

fn order(query: &SessionQuery, one: &Session, other: &Session) -> Ordering {
    let by = |(by, descending): &(SessionSortBy, bool)| {
        let ascending = match by {
            SessionSortBy::Id => one.id.cmp(&other.id),
            SessionSortBy::CreatedAt => one.created_at.cmp(&other.created_at),
            SessionSortBy::LastUsedAt => one.last_used_at.cmp(&other.last_used_at),
            SessionSortBy::ExpiresAt => one.expires_at.cmp(&other.expires_at),
        };
        if *descending { ascending.reverse() } else { ascending }
    };
    let wanted = query.ordering.iter().map(by).find(|ordering| ordering.is_ne());
    wanted.unwrap_or_else(|| one.id.cmp(&other.id))
}
