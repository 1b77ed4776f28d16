//! What this process knows to be revoked or in doubt, and how that reaches requests.

use super::{
    Revocable, TokenFacts,
    dated::DatedAnswer,
    denials::Denials,
    sync::{AtomicU64, Ordering},
};
use crate::claims::{Clock, MAX_LEEWAY};

/// Denials and doubts, numbered by an epoch.
///
/// To **publish** is to write first (a denial into the map, or the doubt's epoch) and then to count the
/// epoch up. A **reader** loads the epoch first and looks at what is published afterwards. So whoever loads
/// an epoch sees everything that was published up to it: the load acquires what each count released, and
/// counts are read-modify-writes, which hand on what earlier ones released.
///
/// A remembered "not revoked" carries `looked`, an epoch. **Invariant: if `looked` is `n` or more, nothing
/// that was published up to `n` concerns that answer.** It gets there in two ways only:
///
/// * *A look-up*: the epoch is loaded, no denial is found, then the store is asked, and the answer gets that
///   epoch, not the one at the time of its arrival. No doubt up to that epoch concerns it, because it was
///   sent after it.
/// * *A hit with an older epoch*: the epoch is loaded, no denial is found, no doubt is found that is later
///   than the sending, and then the answer's epoch is raised to the one that was loaded.
///
/// Therefore a hit compares two numbers: `looked >= epoch` means that there is nothing to look for.
///
/// After a revocation has been published as `n`, a request that starts later loads `n` or more. Every
/// answer about a token that it concerns has `looked < n`: by the invariant, for ever and whatever
/// interleaving wrote it, including the look-up that was under way (it carries the epoch of its start) and
/// the reader that came between the map and the count (it loaded an epoch below `n`, and can raise no answer
/// above that). So the request looks at the denials and finds it. What such an early reader answers itself
/// is the answer of a request that ran beside the revocation, before [`Known::deny`] returned.
///
/// `looked` is compared and raised without ordering of its own: the invariant is about the number, whoever
/// wrote it, and a reader's view of the denials comes from the epoch that it loaded itself.
pub(super) struct Known {
    epoch: AtomicU64,
    /// Answers to questions that were sent in an earlier epoch than this are stale.
    trusted_from: AtomicU64,
    denials: Denials,
}

/// What this process can tell about a token on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    Revoked,
    /// By the answer that is remembered.
    NotRevoked,
    /// The store has to be asked.
    Open,
}

impl Known {
    pub(super) fn new() -> Self {
        Self { epoch: AtomicU64::new(0), trusted_from: AtomicU64::new(0), denials: Denials::new() }
    }

    /// To be loaded before anything else is looked at.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Publishes a denial.
    pub(super) fn deny(&self, what: &Revocable, keep_until: u64, clock: &dyn Clock) {
        self.denials.insert(what, keep_until, clock);
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Publishes a doubt about every question that was sent before this call.
    pub(super) fn doubt(&self) {
        let next = self.epoch().wrapping_add(1);
        self.trusted_from.fetch_max(next, Ordering::AcqRel);
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// What is known about a token, by a fresh answer if there is one. `epoch` was loaded before the answer was looked
    /// for.
    ///
    /// The order of the lines is the argument above.
    #[inline]
    pub(super) fn judge(
        &self,
        epoch: u64,
        answer: Option<&DatedAnswer>,
        token: &TokenFacts<'_>,
        clock: &dyn Clock,
    ) -> Judgement {
        if answer.is_some_and(|answer| answer.looked() >= epoch) {
            return Judgement::NotRevoked;
        }
        if self.refuse(token, clock) {
            return Judgement::Revoked;
        }
        if let Some(answer) = answer
            && self.is_trusted(answer.sent.epoch)
        {
            answer.look(epoch);
            return Judgement::NotRevoked;
        }
        Judgement::Open
    }

    pub(super) fn refuse(&self, token: &TokenFacts<'_>, clock: &dyn Clock) -> bool {
        self.denials.refuse(token, clock)
    }

    /// Whether a question that was sent in `epoch` was sent after the last doubt.
    pub(super) fn is_trusted(&self, epoch: u64) -> bool {
        epoch >= self.trusted_from.load(Ordering::Acquire)
    }

    pub(super) fn denials(&self) -> usize {
        self.denials.len()
    }
}

/// Until when a revocation is kept, given the latest `exp` of the tokens concerned: past every leeway, and a
/// minute for the verification to have happened a little earlier.
pub(super) fn keep_until(expires_at: u64) -> u64 {
    expires_at.saturating_add(MAX_LEEWAY.as_secs()).saturating_add(60)
}

/// The `expires_at` whose [`keep_until`] this is.
#[cfg(feature = "redis")]
pub(super) fn expires_at(keep_until: u64) -> u64 {
    keep_until.saturating_sub(self::keep_until(0))
}
