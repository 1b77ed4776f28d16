//! One attempt to fetch the keys, for the engine: the metadata if they are needed, then the key set.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::StatusCode;

use super::{
    FetchError, FetchJwks, FetchRequest, Fetched, address::Address, discovery::Discovery,
    fetch::exchange, schedule,
};
use crate::{Algorithm, ConfigError, KeySet, claims::Moment};

/// The longest `ETag` that is sent back, in bytes.
const MAX_ETAG: usize = 1024;

/// Where the keys are fetched, and how.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) location: KeysLocation,
    pub(super) fetcher: Arc<dyn FetchJwks>,
    pub(super) allows_http: bool,
    pub(super) timeout: Duration,
    /// For RSA keys without `alg`.
    pub(super) rsa_algorithms: Vec<Algorithm>,
}

#[derive(Clone, Debug)]
pub(super) enum KeysLocation {
    KeySet(Address),
    Discovered(Discovery),
}

/// State that one attempt passes to the next.
#[derive(Default)]
pub(super) struct PreviousAttempt {
    keys_at: Option<(Address, Moment)>,
    /// The `ETag` of the key set that is in use.
    etag: Option<Etag>,
}

struct Etag {
    address: Address,
    value: Box<str>,
}

/// The result of a successful attempt.
pub(super) struct FetchedKeys {
    /// `None` if the keys in use are still current.
    pub(super) keys: Option<KeySet>,
    pub(super) max_age: Option<Duration>,
}

impl Source {
    /// Checks that the configured URLs may be fetched, and that the settings are valid.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if self.rsa_algorithms.is_empty() {
            return Err(ConfigError::OutOfRange(
                "algorithms for RSA keys without `alg`, at least one",
            ));
        }
        if let Some(other) = self.rsa_algorithms.iter().find(|algorithm| !algorithm.is_of_rsa()) {
            return Err(ConfigError::KeyAlgorithmMismatch(*other));
        }
        let addresses = match &self.location {
            KeysLocation::KeySet(address) => [address, address],
            KeysLocation::Discovered(discovery) => [discovery.openid(), discovery.oauth()],
        };
        match addresses.into_iter().all(|address| self.may_fetch(address)) {
            true => Ok(()),
            false => Err(ConfigError::InsecureUrl),
        }
    }

    pub(super) async fn fetch_keys(
        &self,
        previous: &mut PreviousAttempt,
        now: Moment,
    ) -> Result<FetchedKeys, FetchError> {
        let outcome = self.try_to_fetch_keys(previous, now).await;
        if outcome.is_err() {
            // The keys may have moved.
            previous.keys_at = None;
        }
        outcome
    }

    async fn try_to_fetch_keys(
        &self,
        previous: &mut PreviousAttempt,
        now: Moment,
    ) -> Result<FetchedKeys, FetchError> {
        let address = self.keys_address(previous, now).await?;
        let etag = previous.etag.as_ref().filter(|etag| etag.address == address);
        let fetched = self.fetch(&address, etag.map(|etag| &*etag.value)).await?;
        let Some(document) = fetched.document else {
            return match etag {
                Some(_) => Ok(FetchedKeys { keys: None, max_age: fetched.max_age }),
                None => Err(FetchError::Status(StatusCode::NOT_MODIFIED)),
            };
        };
        let keys = self.read_keys(&document)?;
        previous.etag =
            fetched.etag.filter(|etag| etag.len() <= MAX_ETAG).map(|value| Etag { address, value });
        Ok(FetchedKeys { keys: Some(keys), max_age: fetched.max_age })
    }

    async fn keys_address(
        &self,
        previous: &mut PreviousAttempt,
        now: Moment,
    ) -> Result<Address, FetchError> {
        let discovery = match &self.location {
            KeysLocation::KeySet(address) => return Ok(address.clone()),
            KeysLocation::Discovered(discovery) => discovery,
        };
        if let Some((address, read_at)) = &previous.keys_at
            && now.age_of(*read_at) < schedule::METADATA_LIFETIME
        {
            return Ok(address.clone());
        }
        let address = self.read_metadata(discovery).await?;
        previous.keys_at = Some((address.clone(), now));
        Ok(address)
    }

    async fn read_metadata(&self, discovery: &Discovery) -> Result<Address, FetchError> {
        use FetchError::{Status, UnreadableMetadata};

        let openid = self.read_metadata_at(discovery.openid(), discovery).await;
        let Err(first @ (Status(_) | UnreadableMetadata(_))) = openid else { return openid };
        match self.read_metadata_at(discovery.oauth(), discovery).await {
            Err(Status(_) | UnreadableMetadata(_)) => Err(first),
            oauth => oauth,
        }
    }

    async fn read_metadata_at(
        &self,
        address: &Address,
        discovery: &Discovery,
    ) -> Result<Address, FetchError> {
        let fetched = self.fetch(address, None).await?;
        let not_modified = FetchError::Status(StatusCode::NOT_MODIFIED);
        let keys = discovery.read(&fetched.document.ok_or(not_modified)?)?;
        // An issuer on another machine must not make this machine connect to its own ports.
        let keys = keys.named_by(address).ok_or(FetchError::LocalAddress)?;
        let loses_encryption = address.is_encrypted() && !keys.is_encrypted();
        if loses_encryption && !self.allows_http { Err(FetchError::Insecure) } else { Ok(keys) }
    }

    async fn fetch(&self, address: &Address, etag: Option<&str>) -> Result<Fetched, FetchError> {
        if !self.may_fetch(address) {
            return Err(FetchError::Insecure);
        }
        let request = FetchRequest::new(address.as_str(), etag, address.must_be_remote());
        exchange(&*self.fetcher, request, self.timeout).await
    }

    fn read_keys(&self, document: &Bytes) -> Result<KeySet, FetchError> {
        str::from_utf8(document)
            .map_err(|_| ConfigError::UnreadableKey("a JSON object with an array `keys`"))
            .and_then(|json| KeySet::read_jwks(json, MAX_KEYS, &self.rsa_algorithms))
            .map_err(FetchError::Unusable)
    }

    fn may_fetch(&self, address: &Address) -> bool {
        self.allows_http || address.is_secure()
    }
}

/// The largest number of keys that are read: each key takes time to check, and each key that is left out is remembered.
const MAX_KEYS: usize = 1_000;
