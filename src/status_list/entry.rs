//! The entry of a token in a status list: reads the claim `status`, and checks the entry at every request.

use std::sync::Arc;

use super::{StatusLists, list::StatusList};
use crate::{
    BoxFuture, RejectionKind,
    claims::Clock,
    json::{Object, Value},
};

/// The list and the index of a token. It is kept with the token, so that a cached token needs no search.
pub(crate) struct StatusEntry {
    list: Arc<StatusList>,
    index: u64,
}

/// The result of a check that did not wait.
pub(crate) enum StatusCheck {
    Done(Result<(), RejectionKind>),
    /// The check waits for a fetch of the list. Dropping this cancels no fetch.
    Pending(BoxFuture<'static, Result<(), RejectionKind>>),
}

impl StatusEntry {
    /// Reads the claim `status` (draft-ietf-oauth-status-list-20 section 6.2). `None` if the token has none and needs
    /// none.
    ///
    /// A `status` without `status_list` is rejected: this crate cannot check the other mechanism that it names.
    pub(crate) fn read(
        lists: &StatusLists,
        status: Option<Value<'_>>,
    ) -> Result<Option<Self>, RejectionKind> {
        let Some(status) = status else {
            return match lists.requires_status() {
                true => Err(RejectionKind::MissingClaim),
                false => Ok(None),
            };
        };
        let (index, uri) = index_and_uri(status).ok_or(RejectionKind::InvalidClaim)?;
        lists.find(&uri).map(|list| Some(Self { list, index }))
    }

    /// Checks the entry in the current list.
    pub(crate) fn check(&self, clock: &Arc<dyn Clock>) -> StatusCheck {
        match self.list.check(self.index, clock.now()) {
            Some(result) => StatusCheck::Done(result),
            None => self.check_after_fetch(clock),
        }
    }

    #[cold]
    fn check_after_fetch(&self, clock: &Arc<dyn Clock>) -> StatusCheck {
        let index = self.index;
        // A list that was not used for long is removed. Its tokens then use a new one.
        let Some(list) = self.list.current() else {
            return StatusCheck::Done(self.list.without_answer(index));
        };
        if let Some(result) = list.check(index, clock.now()) {
            return StatusCheck::Done(result);
        }
        let Some(answered) = list.ask() else {
            return StatusCheck::Done(list.without_answer(index));
        };
        let clock = Arc::clone(clock);
        StatusCheck::Pending(Box::pin(async move {
            answered.await;
            list.check(index, clock.now()).unwrap_or_else(|| list.without_answer(index))
        }))
    }
}

fn index_and_uri(status: Value<'_>) -> Option<(u64, String)> {
    let Value::Object(status) = status else { return None };
    let status = Object::parse(status)?;
    let Value::Object(entry) = status.get("status_list")? else { return None };
    let entry = Object::parse(entry)?;
    let Value::Number(index) = entry.get("idx")? else { return None };
    // Only digits: `1e3`, `1.0` and `-0` are rejected.
    let index = index.bytes().all(|byte| byte.is_ascii_digit()).then(|| index.parse().ok())??;
    Some((index, entry.get("uri")?.as_cow()?.into_owned()))
}
