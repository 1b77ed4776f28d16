//! Puts your own revocation store behind the layer: `cargo run -p own_store`. `cargo test -p own_store` checks that the
//! store follows the rules of the contract.

#![allow(clippy::print_stdout, reason = "it shows what the service answers")]

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{Request, Response};
use tower::{Layer, ServiceExt, service_fn};
use tower_bearer::{
    Authenticated,
    Authenticator,
    BearerLayer,
    BoxFuture,
    RevocationCache,
    claims::{Clock, SystemClock},
    revocation::{Lookup, Revocable, RevocationEntry, RevocationStore, StoreError, Verdict},
    // Replace it by the issuer that you trust.
    test_util::TestIssuer,
};

/// Revocation entries in a table. Replace the table by your database. Clones share it.
#[derive(Clone)]
struct OwnStore {
    clock: Arc<dyn Clock>,
    table: Arc<Mutex<HashMap<Revocable, Vec<RevocationEntry>>>>,
}

impl OwnStore {
    fn new(clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), table: Arc::default() }
    }

    /// `SELECT ... WHERE (kind, issuer, id) IN (...)`: one query for everything that the token can be revoked by.
    fn select(&self, things: &[Revocable]) -> Vec<RevocationEntry> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        things.iter().filter_map(|thing| table.get(thing)).flatten().cloned().collect()
    }

    /// `INSERT`, and a clean-up. It keeps all entries about a thing until none of them is needed. So the latest date
    /// applies to the latest cut-off.
    fn insert(&self, entry: &RevocationEntry) {
        let now = self.clock.now();
        let is_needed = |entry: &RevocationEntry| entry.obsolete_after() >= now;
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.retain(|_, entries| entries.iter().any(is_needed));
        if is_needed(entry) {
            table.entry(entry.thing().clone()).or_default().push(entry.clone());
        }
    }
}

impl RevocationStore for OwnStore {
    fn look_up<'a>(&'a self, lookup: &'a Lookup) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        Box::pin(async {
            // If the database fails: `.map_err(StoreError::new)?`. Never answer `NotRevoked` instead.
            let entries = self.select(lookup.things());
            Ok(lookup.verdict(&entries, self.clock.now()))
        })
    }

    fn revoke<'a>(&'a self, entry: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async {
            // Return only after the database has committed.
            self.insert(entry);
            Ok(())
        })
    }
}

/// The status that the service answers to a token.
async fn status(layer: &BearerLayer, token: &str) -> u16 {
    let handler = service_fn(async |request: Request<String>| {
        let user = request.extensions().get::<Authenticated>();
        let name = user.and_then(|user| user.registered().subject()).unwrap_or_default();
        Ok::<_, Infallible>(Response::new(format!("hello {name}")))
    });
    let request = Request::get("/").header("authorization", format!("Bearer {token}"));
    let request = request.body(String::new()).expect("a token is a valid header");
    let Ok(response) = layer.layer(handler).oneshot(request).await;
    response.status().as_u16()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = OwnStore::new(SystemClock::default());
    let revocation = RevocationCache::new(store.clone(), Duration::from_secs(30));
    let issuer = TestIssuer::new();
    let builder = Authenticator::builder().issuer(issuer.issuer());
    let layer = BearerLayer::new(builder.revocation(revocation.clone()).build()?);

    let token = issuer.token().claim("jti", "7f3a").issue();
    println!("before the revocation: {}", status(&layer, &token).await);

    // Another process revokes a token, and your stream of revocations notifies this process.
    let tokens_expire_by = SystemClock::default().now() + Duration::from_secs(3600);
    let id = Revocable::token(TestIssuer::NAME, "7f3a");
    let entry = RevocationEntry::new(id, tokens_expire_by);
    store.revoke(&entry).await?;
    revocation.apply(&entry);
    println!("after it: {}", status(&layer, &token).await);
    Ok(())
}

#[cfg(test)]
mod tests {
    use tower_bearer::{UnixTime, claims::ManualClock, test_util::revocation_conformance};

    use super::*;

    #[tokio::test]
    async fn it_keeps_every_rule_of_a_revocation_store() {
        revocation_conformance::check(async |clock| OwnStore::new(clock)).await;
    }

    #[tokio::test]
    async fn a_request_with_a_revoked_token_is_rejected() {
        let clock = ManualClock::at(UnixTime::from_secs(1_800_000_000));
        let store = OwnStore::new(clock.clone());
        let issuer = TestIssuer::new().with_clock(clock.clone());
        let cache = RevocationCache::new(store.clone(), Duration::from_secs(30));
        let cache = cache.with_clock(clock.clone());
        let layer = BearerLayer::new(issuer.authenticator().with_revocation(cache));
        let token = issuer.token().claim("jti", "7f3a").issue();
        assert_eq!(status(&layer, &token).await, 200);

        let id = Revocable::token(TestIssuer::NAME, "7f3a");
        let entry = RevocationEntry::new(id, clock.now() + Duration::from_secs(3600));
        store.revoke(&entry).await.unwrap();
        clock.advance(Duration::from_secs(31));
        assert_eq!(status(&layer, &token).await, 401, "after the bound");
    }
}
