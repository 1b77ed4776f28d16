//! What a fleet has acknowledged.

/// How far the data of a fleet had come when it acknowledged entries of the outbox.
///
/// A relay compares it with what the fleet has now, and so finds out that acknowledged entries were lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Acknowledged {
    /// The name of the fleet: in Redis, the prefix of its keys.
    pub fleet: String,
    /// Identifies the seeding that the data began with. It is a hash, because the generation itself signs messages.
    pub generation: String,
    /// Identifies the process that holds the data, and changes where the data may have gone back: at a restart and at
    /// a failover. In Redis, its `run_id` and its `master_replid`.
    pub server: String,
    /// How many revocations the fleet had recorded.
    pub count: u64,
    /// A hash over all of them: two histories with the same count have two.
    pub hash: [u8; 8],
}

impl Acknowledged {
    /// What a fleet has acknowledged.
    #[must_use]
    pub fn new(
        fleet: impl Into<String>,
        generation: impl Into<String>,
        server: impl Into<String>,
        count: u64,
        hash: [u8; 8],
    ) -> Self {
        let (fleet, generation, server) = (fleet.into(), generation.into(), server.into());
        Self { fleet, generation, server, count, hash }
    }
}
