//! Tokens whose key is not there yet.

use super::{Authenticator, Progress};
use crate::verifier::{NotVerified, UnknownKey};

impl<C: Send + Sync + 'static> Authenticator<C> {
    /// Has the token looked at again when its issuer was asked for the key, or refuses it where that would be of no use.
    pub(super) fn wait_for_key(&self, token: &[u8], unknown: UnknownKey) -> Progress<C> {
        let wait = match self.0.verifier.ask_for_key(unknown) {
            Ok(wait) => wait,
            Err(kind) => return Progress::Done(Err(kind.into())),
        };
        let (authenticator, token) = (self.clone(), Box::<[u8]>::from(token));
        Progress::Unverified(Box::pin(async move {
            let waited = wait.until_answered().await;
            match authenticator.0.verifier.verify(&token) {
                Ok(token) => match authenticator.look_up(token) {
                    Progress::Done(result) => result,
                    Progress::Pending(rest) | Progress::Unverified(rest) => rest.await,
                },
                Err(NotVerified::Refused(kind)) => Err(kind.into()),
                Err(NotVerified::UnknownKey(unknown)) => {
                    Err(waited.verdict(unknown.kind, unknown.key_set).into())
                }
            }
        }))
    }
}
