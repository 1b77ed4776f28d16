//! The rows of refresh tokens and private tokens.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    ListQuery, NewPrivateToken, NewRefreshToken, Owner, PrivateToken, PrivateTokenPage, Revocable,
    RevocationEntry,
};
use crate::store::{SortBy, fold};
use tower_bearer::UnixTime;

/// Issuer and `jti`.
type TokenName = (Arc<str>, Arc<str>);

#[derive(Default)]
pub(super) struct RefreshRows(HashMap<TokenName, RefreshRow>);

pub(super) struct RefreshRow {
    pub(super) token: NewRefreshToken,
    /// When it was used, and the `jti` of its successor.
    pub(super) used: Option<(UnixTime, Arc<str>)>,
    /// The first second at which the token is ended. [`UnixTime::MAX`] if it was not ended.
    pub(super) dies_at: UnixTime,
}

impl RefreshRows {
    pub(super) fn insert(&mut self, token: NewRefreshToken) {
        let name = (Arc::clone(&token.owner.issuer), Arc::clone(&token.token_id));
        self.0.insert(name, RefreshRow { token, used: None, dies_at: UnixTime::MAX });
    }

    pub(super) fn has_any_of(&self, issuer: &str) -> bool {
        self.0.keys().any(|(of, _)| **of == *issuer)
    }

    pub(super) fn get(&self, issuer: &Arc<str>, id: &Arc<str>) -> Option<&RefreshRow> {
        self.0.get(&(Arc::clone(issuer), Arc::clone(id)))
    }

    pub(super) fn tokens(&self) -> impl Iterator<Item = &NewRefreshToken> {
        self.0.values().map(|row| &row.token)
    }

    pub(super) fn of_owner(&self, owner: &Owner) -> impl Iterator<Item = &NewRefreshToken> {
        self.tokens().filter(|token| token.owner == *owner)
    }

    pub(super) fn mark_used(
        &mut self,
        issuer: &Arc<str>,
        id: &Arc<str>,
        now: UnixTime,
        next: &Arc<str>,
    ) {
        if let Some(row) = self.0.get_mut(&(Arc::clone(issuer), Arc::clone(id))) {
            row.used = Some((now, Arc::clone(next)));
        }
    }

    pub(super) fn end(&mut self, concerned: impl Fn(&NewRefreshToken) -> bool) {
        for row in self.0.values_mut().filter(|row| concerned(&row.token)) {
            row.dies_at = UnixTime::EPOCH;
        }
    }

    pub(super) fn end_token(&mut self, issuer: &Arc<str>, id: &Arc<str>, from: UnixTime) {
        if let Some(row) = self.0.get_mut(&(Arc::clone(issuer), Arc::clone(id))) {
            row.dies_at = row.dies_at.min(from);
        }
    }

    pub(super) fn delete_of(&mut self, owner: &Owner) {
        self.0.retain(|_, row| row.token.owner != *owner);
    }

    /// The latest `issued_at` and the latest `expires_at` of these rows.
    pub(super) fn latest_of(&self, concerned: impl Fn(&NewRefreshToken) -> bool) -> [UnixTime; 2] {
        let rows = self.0.values().filter(|row| concerned(&row.token));
        rows.fold([UnixTime::EPOCH; 2], |[issued_at, expires_at], RefreshRow { token, .. }| {
            [issued_at.max(token.issued_at), expires_at.max(token.expires_at)]
        })
    }

    pub(super) fn sweep(&mut self, limit: usize, is_over: impl Fn(&RefreshRow) -> bool) -> usize {
        let over = self.0.iter().filter(|(_, row)| is_over(row));
        let over: Vec<TokenName> = over.map(|(name, _)| name.clone()).take(limit).collect();
        for name in &over {
            self.0.remove(name);
        }
        over.len()
    }
}

#[derive(Default)]
pub(super) struct PrivateRows {
    rows: BTreeMap<i64, PrivateRow>,
    by_name: HashMap<TokenName, i64>,
    last_id: i64,
}

pub(super) struct PrivateRow {
    id: i64,
    pub(super) token: NewPrivateToken,
    last_used_at: Option<UnixTime>,
    /// The first second at which the token is ended. [`UnixTime::MAX`] if it was not ended.
    pub(super) dies_at: UnixTime,
}

impl PrivateRow {
    pub(super) fn view(&self) -> PrivateToken {
        let NewPrivateToken { name, issued_at, expires_at, scopes, key_thumbprint, .. } =
            &self.token;
        let mut view = PrivateToken::new(self.id, Arc::clone(name), *issued_at, *expires_at)
            .with_scopes(scopes.clone())
            .with_key_thumbprint(key_thumbprint.clone());
        view.last_used_at = self.last_used_at;
        view
    }

    /// The revocation entry of the token. It starts at `from`, or at the earlier end that the token has.
    pub(super) fn denial(&self, from: UnixTime) -> RevocationEntry {
        let NewPrivateToken { owner, token_id, expires_at, .. } = &self.token;
        let token = Revocable::token(Arc::clone(&owner.issuer), Arc::clone(token_id));
        RevocationEntry::new(token, *expires_at).with_start(from.min(*expires_at).min(self.dies_at))
    }

    fn is_listed(&self, owner: &Owner, now: UnixTime) -> bool {
        now < self.dies_at && self.token.owner == *owner
    }
}

impl PrivateRows {
    pub(super) fn insert(&mut self, token: NewPrivateToken) -> &PrivateRow {
        self.last_id += 1;
        let id = self.last_id;
        self.by_name.insert((Arc::clone(&token.owner.issuer), Arc::clone(&token.token_id)), id);
        let row = PrivateRow { id, token, last_used_at: None, dies_at: UnixTime::MAX };
        self.rows.entry(id).or_insert(row)
    }

    pub(super) fn has_any_of(&self, issuer: &str) -> bool {
        self.by_name.keys().any(|(of, _)| **of == *issuer)
    }

    pub(super) fn find(&self, owner: &Owner, id: i64, now: UnixTime) -> Option<&PrivateRow> {
        self.rows.get(&id).filter(|row| row.is_listed(owner, now))
    }

    pub(super) fn tokens(&self) -> impl Iterator<Item = &NewPrivateToken> {
        self.rows.values().map(|row| &row.token)
    }

    pub(super) fn owner_of(&self, id: i64) -> Option<Owner> {
        self.rows.get(&id).map(|row| row.token.owner.clone())
    }

    pub(super) fn end(&mut self, concerned: impl Fn(&NewPrivateToken) -> bool) {
        for row in self.rows.values_mut().filter(|row| concerned(&row.token)) {
            row.dies_at = UnixTime::EPOCH;
        }
    }

    /// The tokens that an owner sees.
    pub(super) fn listed(
        &self,
        owner: &Owner,
        now: UnixTime,
    ) -> impl Iterator<Item = &NewPrivateToken> {
        self.rows.values().filter(move |row| row.is_listed(owner, now)).map(|row| &row.token)
    }

    pub(super) fn end_token(&mut self, issuer: &Arc<str>, id: &Arc<str>, from: UnixTime) {
        if let Some(row) = self.named(issuer, id) {
            row.dies_at = row.dies_at.min(from);
        }
    }

    pub(super) fn delete_of(&mut self, owner: &Owner) {
        self.rows.retain(|_, row| row.token.owner != *owner);
        let rows = &self.rows;
        self.by_name.retain(|_, id| rows.contains_key(id));
    }

    pub(super) fn touch(&mut self, issuer: &Arc<str>, id: &Arc<str>, at: UnixTime) {
        if let Some(row) = self.named(issuer, id) {
            row.last_used_at = row.last_used_at.max(Some(at));
        }
    }

    /// The latest `issued_at` and the latest `expires_at` of these rows.
    pub(super) fn latest_of(&self, concerned: impl Fn(&NewPrivateToken) -> bool) -> [UnixTime; 2] {
        let rows = self.rows.values().filter(|row| concerned(&row.token));
        rows.fold([UnixTime::EPOCH; 2], |[issued_at, expires_at], PrivateRow { token, .. }| {
            [issued_at.max(token.issued_at), expires_at.max(token.expires_at)]
        })
    }

    /// How many of an owner's tokens are valid at `now`.
    pub(super) fn count_live(&self, owner: &Owner, now: UnixTime) -> u64 {
        let is_live = |row: &&PrivateRow| row.is_listed(owner, now) && now < row.token.expires_at;
        self.rows.values().filter(is_live).count() as u64
    }

    pub(super) fn list(
        &self,
        owner: &Owner,
        query: &ListQuery,
        now: UnixTime,
    ) -> Option<PrivateTokenPage> {
        let search = query.search.as_deref().map(fold);
        let matches = |row: &&PrivateRow| {
            row.is_listed(owner, now)
                && search.as_deref().is_none_or(|search| fold(&row.token.name).contains(search))
        };
        let mut tokens: Vec<PrivateToken> =
            self.rows.values().filter(matches).map(PrivateRow::view).collect();
        tokens.sort_by(|one, other| order(query, one, other));
        let count = tokens.len() as u64;
        let (number, before) = query.locate(count)?;
        let before = usize::try_from(before).unwrap_or(usize::MAX);
        let page = tokens.into_iter().skip(before).take(query.page_size.max(1) as usize);
        Some(PrivateTokenPage::new(count, number, page.collect()))
    }

    pub(super) fn sweep(&mut self, limit: usize, is_over: impl Fn(&PrivateRow) -> bool) -> usize {
        let over = self.rows.values().filter(|row| is_over(row)).take(limit);
        let over: Vec<i64> = over.map(|row| row.id).collect();
        for id in &over {
            if let Some(PrivateRow { token, .. }) = self.rows.remove(id) {
                self.by_name.remove(&(token.owner.issuer, token.token_id));
            }
        }
        over.len()
    }

    fn named(&mut self, issuer: &Arc<str>, id: &Arc<str>) -> Option<&mut PrivateRow> {
        let id = self.by_name.get(&(Arc::clone(issuer), Arc::clone(id)))?;
        self.rows.get_mut(id)
    }
}

fn order(query: &ListQuery, one: &PrivateToken, other: &PrivateToken) -> Ordering {
    let by = |(by, descending): &(SortBy, bool)| {
        let ascending = match by {
            SortBy::Id => one.id.cmp(&other.id),
            SortBy::Name => one.name.cmp(&other.name),
            SortBy::ExpiresAt => one.expires_at.cmp(&other.expires_at),
            SortBy::CreatedAt => one.created_at.cmp(&other.created_at),
            SortBy::LastUsedAt => one.last_used_at.cmp(&other.last_used_at),
        };
        if *descending { ascending.reverse() } else { ascending }
    };
    let wanted = query.ordering.iter().map(by).find(|ordering| ordering.is_ne());
    wanted.unwrap_or_else(|| one.id.cmp(&other.id))
}
