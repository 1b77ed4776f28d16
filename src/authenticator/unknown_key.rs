//! Waits for a key that is not loaded yet, and then verifies the token again.

use super::{Authenticator, Progress};
use crate::verifier::{NotVerified, UnknownKey};

impl<C: Send + Sync + 'static> Authenticator<C> {
    /// Verifies the token again after its issuer was asked for the key. Rejects the token at once if a question cannot
    /// help.
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
