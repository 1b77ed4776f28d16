//! What a store keeps about signing keys: never the keys themselves, only when each of them signs and is needed.
//!
//! 1. **The table decides, not the files.** All replicas read the same [`KeyRecord`]s, so they agree which key signs.
//!    The time of a file, its name and its owner do not matter.
//! 2. **The key that started last signs** ([`signing_key`]). If it is retired, the key that started before it signs
//!    again, as long as it is still published.
//! 3. **A key is published from the moment it is added** until the last token that it signed has expired
//!    ([`KeyRecord::is_published`]).
//! 4. **A replica first prolongs [`KeyRecord::needed_until`], and then signs** ([`KeyChange::Use`]). So the record
//!    never ends before a token that the key signed, whatever the settings of each replica are.
//! 5. **A compromised key never signs or verifies again.** The change that records it also revokes the key.

use std::{sync::Arc, time::Duration};

use super::Step;
use tower_bearer::{
    UnixTime,
    revocation::{Revocable, RevocationEntry, outbox::Outbox},
};

/// Stores the records of signing keys for a [`KeyDirectory`](crate::KeyDirectory). `conformance::check_keys` tests it.
///
/// A store only reads and writes records. [`KeyChange::decide`] has the rules.
pub trait KeyStore: Outbox {
    /// All records of an issuer, in any order.
    fn keys<'a>(&'a self, issuer: &'a str) -> Step<'a, Vec<KeyRecord>>;

    /// Makes one change of the keys of an issuer, and returns its outcome.
    ///
    /// This is one step. Changes of one issuer run one after the other, in whichever process. The step reads all
    /// records of the issuer and calls [`KeyChange::decide`]. Then it writes the records and the revocation that it
    /// returned, each revocation like
    /// [`RevocationStore::revoke`](tower_bearer::revocation::RevocationStore::revoke).
    fn change_keys<'a>(&'a self, issuer: &'a str, change: &'a KeyChange) -> Step<'a, KeyOutcome>;
}

/// What a store keeps about one signing key of an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyRecord {
    /// The [thumbprint](tower_bearer::Key::thumbprint) of the key (RFC 7638). It is also its `kid`.
    pub thumbprint: Arc<str>,
    /// When the key was added. It is published from then on.
    pub added_at: UnixTime,
    /// The first second at which the key may sign.
    pub signs_from: UnixTime,
    /// The first second at which the key may not sign any more, because it was retired. `None` if it was not retired.
    pub signs_until: Option<UnixTime>,
    /// The last second at which a token that the key signed can be valid. [`UnixTime::EPOCH`] if the key has not
    /// signed.
    pub needed_until: UnixTime,
    /// Whether somebody else may have the key.
    pub is_compromised: bool,
}

impl KeyRecord {
    /// The record of a key that has not signed and was not retired.
    #[must_use]
    pub fn new(thumbprint: impl Into<Arc<str>>, added_at: UnixTime, signs_from: UnixTime) -> Self {
        Self {
            thumbprint: thumbprint.into(),
            added_at,
            signs_from,
            signs_until: None,
            needed_until: UnixTime::EPOCH,
            is_compromised: false,
        }
    }

    /// Whether the key may sign at `now`, if no other key started after it.
    #[must_use]
    pub fn may_sign(&self, now: UnixTime) -> bool {
        self.signs_from <= now && !self.is_ended(now)
    }

    /// Whether the key is in the published key set at `now`, and verifies tokens. Every replica needs its file.
    ///
    /// That holds for the key that signs, for keys that will sign or have not signed yet, and for keys that signed a
    /// token that can still be valid. `records` are all records of the issuer.
    #[must_use]
    pub fn is_published(&self, records: &[Self], now: UnixTime) -> bool {
        if self.is_compromised {
            return false;
        }
        let signs = signing_key(records, now).is_some_and(|key| key.thumbprint == self.thumbprint);
        self.needed_until >= now || signs || (!self.has_signed() && !self.is_ended(now))
    }

    /// Whether a replica may have signed a token with the key.
    #[must_use]
    pub fn has_signed(&self) -> bool {
        self.needed_until > UnixTime::EPOCH
    }

    /// Whether the key was retired, or somebody else may have it.
    pub(crate) fn is_ended(&self, now: UnixTime) -> bool {
        self.is_compromised || self.signs_until.is_some_and(|end| end <= now)
    }
}

/// The record of the key that signs at `now`: of those that may sign, the one that started last.
///
/// If no key has started, the one that starts first signs. So a replica whose clock is a little behind can use the
/// first key. `None` if every key is retired or compromised.
#[must_use]
pub fn signing_key(records: &[KeyRecord], now: UnixTime) -> Option<&KeyRecord> {
    signing_key_of(records.iter(), now)
}

/// The same as [`signing_key`], among some of the records.
pub(crate) fn signing_key_of<'a>(
    records: impl Iterator<Item = &'a KeyRecord>,
    now: UnixTime,
) -> Option<&'a KeyRecord> {
    let (started, later): (Vec<_>, Vec<_>) =
        records.filter(|key| !key.is_ended(now)).partition(|key| key.signs_from <= now);
    // Two keys that start in the same second are told apart by their thumbprints, the same everywhere.
    let order = |key: &&KeyRecord| (key.signs_from, Arc::clone(&key.thumbprint));
    started.into_iter().max_by_key(order).or_else(|| later.into_iter().min_by_key(order))
}

/// A change of the signing keys of an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyChange {
    /// Adds a key. If no other key can sign, it signs at once, and otherwise after `publication`.
    Add {
        /// The new key.
        thumbprint: Arc<str>,
        /// The time of the change.
        now: UnixTime,
        /// How long the key is published before it signs.
        publication: Duration,
        /// Adds the key only if the issuer has no record of any key.
        only_as_first: bool,
        /// The last second at which a token can be valid that the key signed before the store had a record of it.
        /// [`UnixTime::EPOCH`] for a new key.
        needed_until: UnixTime,
    },
    /// Prolongs [`KeyRecord::needed_until`] before a replica signs with the key.
    Use {
        /// The key that will sign.
        thumbprint: Arc<str>,
        /// The time of the change.
        now: UnixTime,
        /// The last second at which a token that it signs can be valid.
        needed_until: UnixTime,
    },
    /// Ends signing with a key. It verifies until its last token has expired.
    Retire {
        /// The key that does not sign any more.
        thumbprint: Arc<str>,
        /// The time of the change.
        now: UnixTime,
    },
    /// Ends a key that somebody else may have, and revokes every token that it signed.
    RetireCompromised {
        /// The key that was stolen.
        thumbprint: Arc<str>,
        /// The time of the change.
        now: UnixTime,
        /// The latest `exp` of a token that a thief can sign with the key.
        tokens_expire_by: UnixTime,
        /// A new key. It is only added if no other key can sign now and none was announced. Then it signs at once.
        /// Without it, no key may be left that can sign.
        replacement: Option<Arc<str>>,
    },
}

/// The outcome of a [`KeyChange`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyOutcome {
    /// The change was made. This is the record after it.
    Done(KeyRecord),
    /// The change was made before. This is the record. So of several calls that make the same change, one gets
    /// [`Done`](Self::Done).
    Unchanged(KeyRecord),
    /// The key was recorded as compromised and revoked, and no other key could sign. So an announced key signs from now
    /// on, or the replacement.
    Replaced {
        /// The record of the compromised key.
        compromised: KeyRecord,
        /// The record of the key that signs now.
        replacement: KeyRecord,
    },
    /// The issuer has no record of this key.
    UnknownKey,
    /// The key was not added, because the issuer has records of keys.
    NotFirst,
    /// The key was not added. The store has tokens of the issuer and no record of the key that signed them.
    TokensWithoutKey,
    /// The key was not retired, because no other published key can sign now.
    OnlySigner,
    /// The key may not be used: it was retired or is compromised.
    Ended,
}

/// What a store writes for a [`KeyChange`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyDecision {
    /// Records to insert, or to replace if there is one with the thumbprint.
    pub records: Vec<KeyRecord>,
    /// A revocation entry to write in the same step.
    pub revocation: Option<RevocationEntry>,
    /// The outcome of the step.
    pub outcome: KeyOutcome,
}

impl KeyChange {
    /// Decides what this change writes. `records` are all records of the issuer at the moment of the step.
    /// `has_tokens` is whether the store has a refresh token or a private token of the issuer. It is only used if there
    /// are no records.
    #[must_use]
    pub fn decide(&self, issuer: &str, records: &[KeyRecord], has_tokens: bool) -> KeyDecision {
        match self {
            Self::Add { thumbprint, now, publication, only_as_first, needed_until } => {
                if let Some(there) = find(records, thumbprint) {
                    return KeyDecision::of(KeyOutcome::Unchanged(there.clone()));
                }
                if *only_as_first && !records.is_empty() {
                    return KeyDecision::of(KeyOutcome::NotFirst);
                }
                if records.is_empty() && has_tokens && *needed_until == UnixTime::EPOCH {
                    return KeyDecision::of(KeyOutcome::TokensWithoutKey);
                }
                let wait = signing_key(records, *now).map_or(Duration::ZERO, |_| *publication);
                let key = KeyRecord::new(Arc::clone(thumbprint), *now, *now + wait);
                KeyDecision::write(KeyRecord { needed_until: *needed_until, ..key })
            }
            Self::Use { thumbprint, now, needed_until } => match find(records, thumbprint) {
                None => KeyDecision::of(KeyOutcome::UnknownKey),
                Some(key) if key.is_ended(*now) => KeyDecision::of(KeyOutcome::Ended),
                Some(key) => {
                    let needed_until = key.needed_until.max(*needed_until);
                    KeyDecision::write(KeyRecord { needed_until, ..key.clone() })
                }
            },
            Self::Retire { thumbprint, now } => retire(records, thumbprint, *now),
            Self::RetireCompromised { thumbprint, now, tokens_expire_by, replacement } => {
                let Some(key) = find(records, thumbprint) else {
                    return KeyDecision::of(KeyOutcome::UnknownKey);
                };
                let compromised = compromised(key, *now);
                let thing = Revocable::key(issuer, Arc::clone(thumbprint));
                let mut revocation = RevocationEntry::new(thing, *tokens_expire_by);
                revocation.cover_tokens_until(key.needed_until);
                let mut decision = KeyDecision::write(compromised.clone());
                if key.is_compromised {
                    decision.outcome = KeyOutcome::Unchanged(compromised.clone());
                }
                decision.revocation = Some(revocation);
                let new = |thumbprint| KeyRecord::new(thumbprint, *now, *now);
                if !has_other_signer(records, thumbprint, *now)
                    && let Some(replacement) = announced(records, thumbprint, *now)
                        .or_else(|| replacement.clone().map(new))
                {
                    decision.records.push(replacement.clone());
                    decision.outcome = KeyOutcome::Replaced { compromised, replacement };
                }
                decision
            }
        }
    }
}

impl KeyDecision {
    /// Writes nothing.
    fn of(outcome: KeyOutcome) -> Self {
        Self { records: Vec::new(), revocation: None, outcome }
    }

    fn write(record: KeyRecord) -> Self {
        let outcome = KeyOutcome::Done(record.clone());
        Self { records: vec![record], revocation: None, outcome }
    }
}

fn find<'a>(records: &'a [KeyRecord], thumbprint: &str) -> Option<&'a KeyRecord> {
    records.iter().find(|key| *key.thumbprint == *thumbprint)
}

fn retire(records: &[KeyRecord], thumbprint: &str, now: UnixTime) -> KeyDecision {
    match find(records, thumbprint) {
        None => KeyDecision::of(KeyOutcome::UnknownKey),
        Some(key) if key.is_ended(now) => KeyDecision::of(KeyOutcome::Unchanged(key.clone())),
        Some(_) if !has_other_signer(records, thumbprint, now) => {
            KeyDecision::of(KeyOutcome::OnlySigner)
        }
        Some(key) => KeyDecision::write(KeyRecord { signs_until: Some(now), ..key.clone() }),
    }
}

fn compromised(key: &KeyRecord, now: UnixTime) -> KeyRecord {
    let end = key.signs_until.map_or(now, |end| end.min(now));
    KeyRecord { signs_until: Some(end), is_compromised: true, ..key.clone() }
}

/// Whether another key can sign at `now` without a new publication.
pub(crate) fn has_other_signer(records: &[KeyRecord], thumbprint: &str, now: UnixTime) -> bool {
    records.iter().any(|key| {
        *key.thumbprint != *thumbprint && key.may_sign(now) && key.is_published(records, now)
    })
}

/// The record of the announced key that starts first, changed so that it signs from `now` on.
fn announced(records: &[KeyRecord], without: &str, now: UnixTime) -> Option<KeyRecord> {
    let waits = |key: &&KeyRecord| {
        *key.thumbprint != *without && key.signs_from > now && !key.is_ended(now)
    };
    let first = records.iter().filter(waits).min_by_key(|key| key.signs_from)?;
    Some(KeyRecord { signs_from: now, ..first.clone() })
}
