//! What this process has seen of the data in Redis, and whether an answer can be about all of it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ::redis::Cmd;

use super::{
    error::Failure,
    names::{self, Space},
};

/// Generations that are remembered for not to be believed again.
const SUPERSEDED: usize = 16;

/// Which data, and how far it had come. No `Debug`: whoever knows the generation can sign messages.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) generation: Arc<str>,
    /// Revocations that were recorded.
    pub(super) count: u64,
    /// Stands for each of them and their order: the same count with another tip is another history.
    pub(super) tip: u64,
}

/// What Redis answers about it: generation and count, either of which may be missing.
pub(super) type MarkReply = (Option<Vec<u8>>, Option<Vec<u8>>);

/// Data was lost. Unless this mark has been reached, the generation must go.
#[must_use = "the fleet has to be told"]
pub(super) struct Lost(pub(super) Mark);

impl Mark {
    /// The question.
    pub(super) fn command(space: &Space) -> Cmd {
        let mut command = ::redis::cmd("MGET");
        command.arg(&space.generation).arg(&space.count);
        command
    }

    pub(super) fn read(generation: Option<&[u8]>, count: Option<&[u8]>) -> Result<Self, Failure> {
        let generation = generation.ok_or(Failure::NotSeeded)?;
        let generation = std::str::from_utf8(generation).map_err(|_| Failure::Unreadable)?;
        let (count, tip) = match count {
            Some(value) => read_count(value)?,
            None => (0, 0),
        };
        Ok(Self { generation: generation.into(), count, tip })
    }

    pub(super) fn of((generation, count): &MarkReply) -> Result<Self, Failure> {
        Self::read(generation.as_deref(), count.as_deref())
    }

    /// Beyond all that can be reached.
    pub(super) fn never(generation: &Arc<str>) -> Lost {
        Lost(Self { generation: Arc::clone(generation), count: u64::MAX, tip: 0 })
    }
}

/// How far the data had come, without asking whether it is all.
pub(super) fn count_of((_, count): &MarkReply) -> Result<u64, Failure> {
    Ok(read_count(count.as_deref().ok_or(Failure::Unreadable)?)?.0)
}

/// The value of the count: a number, a blank, and the tip in sixteen digits.
fn read_count(value: &[u8]) -> Result<(u64, u64), Failure> {
    let blank = value.iter().position(|byte| *byte == b' ').ok_or(Failure::Unreadable)?;
    let (number, tip) = value.split_at(blank);
    let tip = tip.get(1..).unwrap_or_default();
    Ok((names::number(number)?, read_tip(tip)?))
}

pub(super) fn read_tip(hex: &[u8]) -> Result<u64, Failure> {
    names::unhex(hex).map(u64::from_be_bytes).ok_or(Failure::Unreadable)
}

/// The latest that this process has seen.
#[derive(Default)]
pub(super) struct Seen(Mutex<History>);

#[derive(Default)]
struct History {
    latest: Option<Mark>,
    /// Generations that others have followed: they never come again, unless with old data.
    superseded: VecDeque<Arc<str>>,
}

impl Seen {
    pub(super) fn mark(&self) -> Option<Mark> {
        self.lock().latest.clone()
    }

    /// Whether what was answered is all the data, as far as this process can tell, and notes it if it is. `before` was
    /// the latest when the question was sent.
    pub(super) fn judge(&self, before: Option<&Mark>, mark: &Mark) -> Result<(), Lost> {
        let mut history = self.lock();
        if history.superseded.contains(&mark.generation) {
            return Err(Mark::never(&mark.generation));
        }
        let latest = history.latest.as_ref();
        for known in before.into_iter().chain(latest) {
            let is_other = known.count == mark.count && known.tip != mark.tip;
            if known.generation == mark.generation && is_other {
                return Err(Lost(known.clone()));
            }
        }
        if let Some(before) = before
            && before.generation == mark.generation
            && mark.count < before.count
        {
            return Err(Lost(before.clone()));
        }
        match &mut history.latest {
            // Answers may overtake each other.
            Some(latest) if latest.generation == mark.generation => {
                if latest.count < mark.count {
                    *latest = mark.clone();
                }
            }
            latest => {
                if let Some(superseded) = latest.replace(mark.clone()) {
                    history.superseded.push_back(superseded.generation);
                    if SUPERSEDED < history.superseded.len() {
                        history.superseded.pop_front();
                    }
                }
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, History> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(generation: &str, count: u64, tip: u64) -> Mark {
        Mark { generation: generation.into(), count, tip }
    }

    fn judge(seen: &Seen, mark: &Mark) -> Result<(), Mark> {
        seen.judge(seen.mark().as_ref(), mark).map_err(|Lost(mark)| mark)
    }

    #[test]
    fn a_count_is_read_with_its_tip() {
        let read = |count: Option<&str>| {
            let mark = Mark::read(Some(b"g"), count.map(str::as_bytes)).ok()?;
            Some((mark.count, mark.tip))
        };
        assert_eq!(read(None), Some((0, 0)));
        assert_eq!(read(Some("7 00000000000000ff")), Some((7, 255)));
        for count in ["", "7", "7 ", " ", "x 00000000000000ff", "7 ff", "-1 00000000000000ff"] {
            assert_eq!(read(Some(count)), None, "{count}");
        }
        assert!(Mark::read(None, Some(b"7 00000000000000ff")).is_err());
        assert!(Mark::read(Some(b"\xff"), None).is_err());
    }

    #[test]
    fn fewer_revocations_than_there_were_are_lost_data() {
        let seen = Seen::default();
        assert!(judge(&seen, &mark("g", 5, 50)).is_ok());
        assert!(judge(&seen, &mark("g", 5, 50)).is_ok());
        assert!(judge(&seen, &mark("g", 6, 60)).is_ok());
        assert!(judge(&seen, &mark("g", 5, 50)).is_err_and(|lost| lost == mark("g", 6, 60)));
        assert!(judge(&seen, &mark("g", 6, 61)).is_err_and(|lost| lost == mark("g", 6, 60)));
        assert!(judge(&seen, &mark("g", 6, 60)).is_ok(), "what is right again");
    }

    #[test]
    fn an_answer_that_was_overtaken_is_believed_and_forgotten() {
        let seen = Seen::default();
        assert!(judge(&seen, &mark("g", 5, 50)).is_ok());
        let before = seen.mark();
        assert!(judge(&seen, &mark("g", 9, 90)).is_ok());
        assert!(seen.judge(before.as_ref(), &mark("g", 7, 70)).is_ok());
        assert!(seen.mark() == Some(mark("g", 9, 90)));
        assert!(seen.judge(before.as_ref(), &mark("g", 9, 91)).is_err());
    }

    #[test]
    fn a_generation_that_was_followed_by_another_is_not_believed_again() {
        let seen = Seen::default();
        for number in 0..=SUPERSEDED {
            assert!(judge(&seen, &mark(&format!("g{number}"), 0, 0)).is_ok());
        }
        for number in 0..SUPERSEDED {
            let old = judge(&seen, &mark(&format!("g{number}"), 1_000, 0));
            assert!(old.is_err_and(|lost| lost.count == u64::MAX), "{number}");
        }
        assert!(judge(&seen, &mark(&format!("g{SUPERSEDED}"), 0, 0)).is_ok());
    }
}
