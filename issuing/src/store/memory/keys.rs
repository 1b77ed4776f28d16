//! The records of signing keys in the memory store.

use std::{collections::HashMap, sync::Arc};

use super::{MemoryTokenStore, State, done};
use crate::store::{KeyChange, KeyOutcome, KeyRecord, KeyStore, Step};

/// The records of each issuer.
pub(super) type KeyRecords = HashMap<Arc<str>, Vec<KeyRecord>>;

impl KeyStore for MemoryTokenStore {
    fn keys<'a>(&'a self, issuer: &'a str) -> Step<'a, Vec<KeyRecord>> {
        done(self.state().key_records.get(issuer).cloned().unwrap_or_default())
    }

    fn change_keys<'a>(&'a self, issuer: &'a str, change: &'a KeyChange) -> Step<'a, KeyOutcome> {
        done(self.step(|state| state.change_keys(issuer, change)))
    }
}

impl State {
    fn change_keys(&mut self, issuer: &str, change: &KeyChange) -> KeyOutcome {
        let has_tokens = self.refresh.has_any_of(issuer) || self.private.has_any_of(issuer);
        let records = self.key_records.entry(issuer.into()).or_default();
        let decision = change.decide(issuer, records, has_tokens);
        for record in decision.records {
            records.retain(|there| there.thumbprint != record.thumbprint);
            records.push(record);
        }
        if let Some(entry) = decision.revocation {
            self.deny(entry);
        }
        decision.outcome
    }
}
