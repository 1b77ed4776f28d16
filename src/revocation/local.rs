//! The revocations and doubts that this process knows, and how requests see them.

use super::{
    Lookup, Revocable, RevocationEntry, TokenFacts, Verdict,
    cached_answer::CachedAnswer,
    denials::Denials,
    pending::Pending,
    sync::{AtomicU64, Ordering},
};
use crate::{UnixTime, claims::Clock};

/// Denials and doubts, numbered by an epoch.
///
/// To **publish** means: first write (a denial into the map, or the epoch of a doubt), then increment the epoch. A
/// **reader** first loads the epoch, then searches what is published. So a reader that loads an epoch sees everything
/// that was published up to it. The reason: the load acquires what each increment released, and an increment is a
/// read-modify-write, which passes on what earlier increments released.
///
/// A cached "not revoked" carries `looked`, an epoch. **Invariant: if `looked` is `n` or more, nothing that was
/// published up to `n` concerns that answer.** Only two operations set `looked`:
///
/// * *A lookup*: the epoch is loaded, no denial is found, and then the store is asked. The answer gets the loaded
///   epoch, not the epoch at its arrival. No doubt up to that epoch concerns the answer, because the question was sent
///   after it.
/// * *A hit with an older epoch*: the epoch is loaded, no denial is found, and no doubt is found that is later than the
///   question. Then the answer's epoch is raised to the loaded epoch.
///
/// Therefore a hit compares two numbers: if `looked >= epoch`, no search is needed.
///
/// After a revocation has been published as `n`, a request that starts later loads `n` or more. Every answer about an
/// affected token has `looked < n`. By the invariant this is true for ever, in every interleaving. Two examples: a
/// lookup that was in flight carries the epoch of its start. A reader between the write to the map and the increment
/// loaded an epoch below `n`, and cannot raise an answer above that epoch. So the later request searches the denials
/// and finds the revocation. The answer of such an early reader is the answer of a request that ran concurrently with
/// the revocation, before [`LocalState::apply`] returned.
///
/// An entry that **starts in the future** is published at its start, by the first request that needs it
/// ([`LocalState::start_due`]). That request loads the epoch afterwards. `next`, the earliest start, is stored only
/// after the publication. So a request at the start or later does one of three things. It publishes the entry. Or it
/// waits for the lock of the request that publishes it. Or it loads a later `next` and so acquires the publication. A
/// published entry stays published, even if the wall clock is set back.
///
/// `looked` is read and raised with relaxed ordering. The invariant is about the number, whichever thread wrote it. A
/// reader's view of the denials comes from the epoch that the reader loaded itself.
pub(super) struct LocalState {
    epoch: AtomicU64,
    /// An answer is stale if its question was sent in an earlier epoch than this.
    trusted_from: AtomicU64,
    denials: Denials,
    pending: Pending,
}

impl LocalState {
    pub(super) fn new() -> Self {
        Self {
            epoch: AtomicU64::new(0),
            trusted_from: AtomicU64::new(0),
            denials: Denials::new(),
            pending: Pending::new(),
        }
    }

    /// Load it before any search, but after [`start_due`](Self::start_due).
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Publishes an entry now, or at its start.
    pub(super) fn apply(&self, entry: &RevocationEntry, clock: &dyn Clock) {
        if entry.starts_at() == UnixTime::EPOCH || entry.starts_at() <= clock.now() {
            self.deny(entry.thing(), entry.cut_off(), entry.obsolete_after(), clock);
        } else if entry.starts_at() <= entry.obsolete_after() {
            self.pending.insert(entry);
        }
    }

    fn deny(
        &self,
        thing: &Revocable,
        cut_off: UnixTime,
        obsolete_after: UnixTime,
        clock: &dyn Clock,
    ) {
        self.denials.insert(thing, cut_off, obsolete_after, clock);
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Publishes the denials that have started.
    #[inline]
    pub(super) fn start_due(&self, clock: &dyn Clock) {
        let next = self.pending.next();
        if next == UnixTime::MAX {
            return;
        }
        let now = clock.now();
        if next <= now {
            // Only tokens have a start, and they have no cut-off.
            self.pending.publish_due(now, |thing, obsolete_after| {
                self.deny(thing, UnixTime::MAX, obsolete_after, clock);
            });
        }
    }

    /// Publishes a doubt about every question that was sent before this call.
    pub(super) fn doubt(&self) {
        let next = self.epoch().wrapping_add(1);
        self.trusted_from.fetch_max(next, Ordering::AcqRel);
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// The verdict on a token without a lookup, from a fresh answer if there is one. `None` if the store must be asked.
    /// The caller must load `epoch` before it searches for the answer.
    ///
    /// The proof at [`LocalState`] depends on the order of the lines.
    #[inline]
    pub(super) fn judge(
        &self,
        epoch: u64,
        answer: Option<&CachedAnswer>,
        token: &TokenFacts<'_>,
        clock: &dyn Clock,
    ) -> Option<Verdict> {
        if answer.is_some_and(|answer| answer.looked() >= epoch) {
            return Some(Verdict::NotRevoked);
        }
        if self.denials.refuse(token, clock) {
            return Some(Verdict::Revoked);
        }
        if let Some(answer) = answer
            && self.is_trusted(answer.sent.epoch)
        {
            answer.look(epoch);
            return Some(Verdict::NotRevoked);
        }
        None
    }

    /// The verdict on the token of a store's lookup.
    pub(super) fn look_up(&self, lookup: &Lookup, clock: &dyn Clock) -> Verdict {
        self.start_due(clock);
        if self.denials.refuse_lookup(lookup, clock) {
            return Verdict::Revoked;
        }
        Verdict::starting_at(self.pending.start_of(lookup), clock.now())
    }

    pub(super) fn refuse(&self, token: &TokenFacts<'_>, clock: &dyn Clock) -> bool {
        self.start_due(clock);
        self.denials.refuse(token, clock)
    }

    /// Whether a question that was sent in `epoch` was sent after the last doubt.
    pub(super) fn is_trusted(&self, epoch: u64) -> bool {
        epoch >= self.trusted_from.load(Ordering::Acquire)
    }

    pub(super) fn denials(&self) -> usize {
        self.denials.len() + self.pending.len()
    }
}
