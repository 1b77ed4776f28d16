//! One revocation, followed through every deployment: who writes what, in which order, and who sees it when.
//!
//! An owner reports a stolen token. Process **A** revokes it. Process **B** is another process that accepts the same
//! tokens. [`guide::revocation`](super::revocation) states the contract; this page shows how it is kept, step by step,
//! and what happens at each failure.
//!
//! | deployment | success in A means | A rejects from | B rejects usually from | B rejects at the latest |
//! |---|---|---|---|---|
//! | [one process](#one-process) | it is in the memory of A | the next request | there is no B | |
//! | [SQL](#sql) | it is committed in the database | the next request | its next lookup | the bound after the commit |
//! | [SQL deny-list](#deny-list) | it is committed in the database | the next request | the next poll: at once if PostgreSQL notifies B, otherwise after a second | the bound of the list, or B answers 503 |
//! | [Redis](#redis) | Redis has it, and replicas if you ask for that | the next request | the message, after milliseconds | the bound after Redis recorded it |
//! | [SQL and Redis](#sql-and-redis) | it is committed in the database | the next request | the message, after milliseconds | the bound after a relay copied it to Redis |
//! | [deny-list](#deny-list) | Redis has it | the next request | the next entry of the stream, after milliseconds | the bound of the list, or B answers 503 |
//!
//! # In every deployment
//!
//! **A revokes**, with [`RevocationCache::revoke`](crate::RevocationCache::revoke) or a call that ends in it:
//!
//! 1. A writes a revocation entry into its own memory and raises an epoch. The next request in A is rejected, whatever
//!    was cached.
//! 2. A asks the store to record the entry until `expires_at` and 6 minutes: the longest leeway (5 minutes) and a
//!    minute. This has no timeout of its own.
//! 3. The call returns `Ok` when the store has confirmed.
//!
//! | failure in A | what holds then | what to do |
//! |---|---|---|
//! | the store fails or cannot be reached: [`RevokeError::Unavailable`](crate::revocation::RevokeError::Unavailable) | A rejects the token. Others may not know. The entry is lost when A ends | call again until it succeeds; repeating is harmless |
//! | the call is dropped after it started | A rejects the token. It is open whether the store knows | call again |
//! | A dies before the store confirmed | the caller got no success, and A's memory is gone | call again, in any process |
//! | the time until which the entry is kept has passed: [`RevokeError::Expired`](crate::revocation::RevokeError::Expired) | it has no effect here; the store was told all the same | compare the clocks |
//!
//! **B receives a request** with the token, and takes the first answer of this list:
//!
//! 1. B has a revocation entry in memory: 401. Nothing overrides it, and only time removes it.
//! 2. B has a cached "not revoked" whose question was sent within the bound, and nothing has put it in doubt since: the
//!    request passes.
//! 3. B asks the store. Requests with the same token share one lookup, and each waits for at most the timeout (1 second
//!    by default). "Revoked" is 401, and B keeps an entry for the token. "Not revoked" is cached with the date of the
//!    question.
//! 4. The store cannot answer: [`OnUnavailable`](crate::revocation::OnUnavailable) decides. By default that is 503.
//!
//! # One process
//!
//! The cache is in front of a [`MemoryStore`](crate::revocation::MemoryStore).
//!
//! | step | who | what |
//! |---|---|---|
//! | 1 | A | writes the entry into the memory of its cache |
//! | 2 | A | writes it into the `MemoryStore`, which cannot fail |
//!
//! | failure | what happens |
//! |---|---|
//! | A ends or restarts | every entry is lost. Revoked tokens are accepted again until they expire |
//! | a second process is started | it has its own memory and never sees the entry |
//!
//! # SQL
//!
//! The cache is in front of an `SqlStore`, in every process. A `TokenIssuer` makes this cache for its store.
//!
//! | step | who | what |
//! |---|---|---|
//! | 1 | A | writes the entry into the memory of its cache |
//! | 2 | A | in one transaction: writes the entry into `bearer_denials` and a row into `bearer_outbox`, and ends the row of a private or refresh token. The earlier start, the later cut-off and the later date of an entry that was there already hold |
//! | 3 | database | commits. From now on every lookup that is sent sees the entry |
//! | 4 | B | looks up the token when its cached answer is older than the bound: one indexed query |
//!
//! `TokenIssuer` follows the same order in `log_out`, `revoke_all` and `revoke_subject`; the last two write into the
//! memory of A again when the database has decided about the cut-off. `revoke_private_token` asks the database first,
//! because only the database knows the token, and then writes into the memory of A. Each of these calls runs to its end
//! even if its caller goes away.
//!
//! A token that was rotated is revoked from a later second on. The entry has that start from the beginning. A lookup
//! names it, and B compares it with its own clock at every request.
//!
//! | failure | what happens |
//! |---|---|
//! | the database cannot be reached when A revokes | an error. A rejects, except after `revoke_private_token`, which asked the database first. B does not know. Call again |
//! | the connection breaks during the commit | an error, and it is open whether the entry was committed. `TokenIssuer` then doubts the cached answers of A, so A asks the database again |
//! | A dies before the commit | the database rolls back. There is no entry |
//! | A dies after the commit | the entry stays. It survives a kill of the database server too |
//! | the database cannot be reached when B looks up | cached answers for the rest of the bound, then 503 |
//! | a standby answers B | its lag adds to the bound. Use the URL of the primary |
//! | nothing deletes obsolete rows (`TokenIssuer::spawn_maintenance`, or without an issuer `SqlStore::delete_obsolete`) | they stay. No decision changes |
//!
//! Without a relay the rows of `bearer_outbox` have no reader. They are swept with their entries.
//!
//! # Redis
//!
//! The cache is in front of a `RedisStore`, and `push_to` is called for it, in every process.
//!
//! | step | who | what |
//! |---|---|---|
//! | 1 | A | writes the entry into the memory of its cache |
//! | 2 | A | sends one script, which Redis runs as one atomic step: it writes the entry under a hash of its name, raises the count and its hash, adds the entry to the stream of changes, and publishes a message that A has signed with the generation |
//! | 3 | A | compares generation and count in the answer with what it has seen |
//! | 4 | A | with `with_wait`: waits until enough replicas have it. Then the call returns `Ok` |
//! | 5 | B | receives the message, checks its signature and writes the entry into the memory of its cache. The next request is rejected |
//! | 6 | B | if no message came: looks up the token when its cached answer is older than the bound. One command reads generation, count and entries |
//!
//! | failure | what happens |
//! |---|---|
//! | Redis cannot be reached when A revokes | an error. A rejects. B does not know. Call again |
//! | too few replicas confirm | an error. The entry is in force all the same: on the master, in A, and by its message in B |
//! | a message is lost | B sees a gap in the count with the next message, or within a second by a heartbeat. It doubts its cached answers, so the next requests ask Redis |
//! | the push connection of B breaks | B reconnects after 50 milliseconds at first, and every 2 seconds in the end. After each connection it doubts its cached answers. The bound holds meanwhile |
//! | Redis cannot be reached when B looks up | cached answers for the rest of the bound, then 503. B reconnects by itself |
//! | Redis is empty | it has no generation: every lookup fails (503). `revoke` writes the entry and returns an error, because nothing protects it yet. **What to do:** at the first set-up call `initialise` once (`cargo run -p resource_server -- --initialise-redis` does it). After a loss call `seed` with the entries of your own record; without one, a person decides with `initialise` that the lost revocations no longer matter. Never call `initialise` in a start script |
//! | Redis has lost its latest writes, in a restart or a failover | the first process that has seen more removes the generation. The whole fleet answers 503 until Redis is seeded |
//! | Sentinel or the cluster replaces the master | B follows to the new master. It leaves an old master that still answers within about a second, if it reaches sentinels or nodes that know of the change. Cached answers count for the rest of the bound meanwhile |
//! | the slot of the fleet moves to another node of a cluster | most lookups fail until the move has ended: cached answers for the rest of the bound, then 503. **What to do:** end the move |
//! | Redis and all processes restart together, and Redis lost its latest writes | **no process can notice.** Use `appendfsync always`, or keep the truth in SQL |
//! | Redis evicts keys, or is configured to | it is refused at start, and found within a second later. The generation is removed: 503 until it is seeded |
//!
//! # SQL and Redis
//!
//! The database is the source of truth. Issuing processes have their cache in front of `SqlStore`, and `push_to` for
//! it. Resource servers have their cache in front of `RedisStore`, and `push_to` for it. An `OutboxRelay` runs in each
//! issuing process.
//!
//! | step | who | what |
//! |---|---|---|
//! | 1 | A | as under [SQL](#sql): memory, then the transaction with entry and outbox row. **The call returns here.** It does not wait for Redis |
//! | 2 | relay of A | takes the new entry at once, and asks Redis whether it still has what it has acknowledged |
//! | 3 | relay of A | records the entry in Redis, with the script of step 2 under [Redis](#redis) |
//! | 4 | Redis | publishes the message |
//! | 5 | B | receives the message. The next request is rejected |
//! | 6 | relay of A | in one transaction: removes the outbox row and stores the new count and hash that Redis has acknowledged |
//! | 7 | another relay | the one that has the lease looks at the backlog twice in each interval (200 milliseconds by default). It copies what no relay of its own process has published |
//!
//! An issuing process also sees the entry by its own lookups, within the bound after the commit. For a resource server,
//! the bound counts from step 3.
//!
//! | failure | what happens |
//! |---|---|
//! | the database cannot be reached when A revokes | as under SQL: an error. Nothing reaches Redis |
//! | A dies after step 1 | the entry is in the backlog. It is later by the interval, and by the 2 seconds of the lease if A had it |
//! | a relay dies between steps 3 and 6 | the entry is recorded again. That changes nothing |
//! | Redis cannot be reached | `revoke` still succeeds. Issuing processes see the entry within the bound. Resource servers use cached answers for the rest of the bound, then 503. When Redis is back, a relay copies the backlog |
//! | Redis answers lookups and refuses writes, because it is full or read-only; or no relay can reach the database | **resource servers do not see the entry, for as long as this lasts.** The bound does not help. The event `revocations not carried` and the counter `tower_bearer_revocation_relay_errors_total` report it: set an alarm |
//! | no relay runs | the same, and nothing reports it |
//! | Redis is empty, or lost what it had acknowledged | nobody has to do anything. The relay notices when it next looks at the backlog, even if no process remembers. It seeds Redis from the database: every entry, in batches of 200, then a new generation. Lookups in Redis fail meanwhile (503) |
//! | the relay that seeds dies | its seeding expires after 30 seconds; then another relay seeds |
//! | somebody replaces the data of a running Redis by older data, with `RESTORE` for example | the relay cannot notice all of it. Restore a backup by a restart. After `FLUSHALL` the generation is missing, so that is an empty Redis |
//!
//! In the code, `DELETE private_tokens/{id}` takes this path:
//!
//! | step | files |
//! |---|---|
//! | handler | `issuing/src/router/private_token_calls.rs`, `issuing/src/private_tokens.rs`, `issuing/src/issuer.rs` (`caller`) |
//! | transaction with entry and outbox row | `sql/src/token_store/mod.rs`, `sql/src/token_store/private_tokens.rs`, `sql/src/entries.rs`, `sql/src/database.rs` (`revoking_step`, commit) |
//! | memory of this process | `src/revocation/cache.rs` (`apply`), `src/revocation/check.rs`, `src/revocation/local_state.rs` |
//! | outbox to relay | `src/revocation/outbox.rs` (`NewEntries`), `sql/src/store.rs` (`new_entries`), `sql/src/outbox.rs` (`outbox_done`) |
//! | relay | `redis/src/relay.rs`, `redis/src/store.rs`, `redis/src/keys.rs`, `redis/src/reconnect.rs` |
//! | the other process receives | `redis/src/pushes.rs`, `redis/src/keys.rs`, `src/revocation/cache.rs` (`WeakRevocationCache`) |
//! | its next request is rejected | `src/authenticator.rs`, `src/revocation/check.rs`, `src/revocation/local_state.rs` |
//!
//! # Redis is empty
//!
//! A Redis without a generation is empty, or has lost its data. A request then gets:
//!
//! | the token | answer |
//! |---|---|
//! | this process knows that it is revoked | 401 |
//! | a cached "not revoked" is within the bound, and nothing has put it in doubt | passes. A new push connection puts all answers in doubt, so after a restart of Redis none are left |
//! | any other, and every token with a deny-list | 503, by default ([`OnUnavailable`](crate::revocation::OnUnavailable)) |
//!
//! | deployment | who repairs it |
//! |---|---|
//! | Redis, at the first set-up | an operator calls `initialise` once: `cargo run -p resource_server -- --initialise-redis` |
//! | Redis, after a loss | your program calls `seed` with the entries of its own record. Without a record, a person decides with `initialise` that the lost revocations no longer matter. Never call `initialise` in a start script |
//! | SQL and Redis | a relay seeds Redis from the database. You do not have to do anything |
//!
//! # Deny-list
//!
//! The cache has a bound of zero and is in front of a `DenyList`, which holds every entry of Redis in the process.
//! Redis is filled as under [Redis](#redis) or [SQL and Redis](#sql-and-redis).
//!
//! `tower_bearer_sql::SqlDenyList` does the same with a database in the place of Redis, and reads changes by polls
//! instead of a stream. It takes a new snapshot when the server was started again or replaced.
//!
//! | step | who | what |
//! |---|---|---|
//! | 0 | B | at start: reads all entries of Redis (a snapshot). Lookups are unavailable (503) until it is complete |
//! | 1 | A | writes the entry into the memory of its cache |
//! | 2 | A | records it in Redis, with the script of step 2 under [Redis](#redis) |
//! | 3 | B | reads the stream of changes all the time, and inserts the entry into its set. The next request is rejected |
//! | 4 | B | for each request: looks into its set. No lookup leaves the process |
//!
//! | failure | what happens |
//! |---|---|
//! | Redis cannot be reached when A revokes | an error. A rejects. B does not know. Call again |
//! | B cannot reach Redis | B answers from its set while that is within the bound, then 503. It reconnects, and continues where it stopped |
//! | the stream no longer reaches back that far (100 000 entries), or Redis was seeded again | B takes a new snapshot. The old set is used only while it is within the bound |
//! | Redis is empty or has lost data | 503 at once, until it is seeded. A snapshot during which data was lost does not count |
//! | the hash of a valid token is that of a revoked one | the valid token is rejected. With a million entries the chance is 1 in 3 · 10^32 for each token |
//!
//! # Several sources
//!
//! [`RevocationCache::with_source`](crate::RevocationCache::with_source) adds a store that is asked beside the first one.
//! Example: a service accepts tokens of its own issuer and of a partner, and each has its own store.
//!
//! | step | who | what |
//! |---|---|---|
//! | 1 | A | writes the entry into the memory of its cache, and into the first store only |
//! | 2 | B | asks all sources at the same time, in one lookup with one timeout |
//! | 3 | B | rejects the token as soon as one source answers "revoked" |
//!
//! | failure | what happens |
//! |---|---|
//! | one source fails or is too slow, and another one answers "revoked" | 401 |
//! | one source fails or is too slow, and no other one answers "revoked" | [`OnUnavailable`](crate::revocation::OnUnavailable) decides, by default 503, also for tokens about which that source knows nothing |
//!
//! # Large fleets
//!
//! Measured with Redis 7.0 on a busy machine with 2 cores, with all clients on the same machine
//! (`benches/revocation/results.md`):
//!
//! | what | figure |
//! |---|---|
//! | memory of one entry | 209 bytes in Redis; 53 bytes in each process with a deny-list, 79 while it is read |
//! | start of a deny-list with 10⁶ entries | 0.46 s from a packed snapshot; seconds without one |
//! | start of 100 deny-lists with 10⁶ entries at the same time | 49 MB for each; half of them after 15 s, all after 19 s |
//! | an idle process | 7 commands and 3.4 kB per second |
//! | 100 revocations per second | a process with pushes: 16 commands and 27 kB per second; with a deny-list: 214 commands and 29 kB |
//! | lookups without a cached answer | 30 000 to 200 000 per second and Redis |
//!
//! A plan from these figures for 10⁸ valid tokens and 10 000 processes in three regions, of which 1 % are revoked before
//! they expire (10⁶ entries), with 12 revocations per second on average. It was not tried.
//!
//! | decision | reason |
//! |---|---|
//! | one Redis with replicas for each region, with its own fleet; a store of yours that writes each revocation to all three and succeeds when all have confirmed ([`guide::revocation_store`](super::revocation_store)) | a region without its neighbours must go on. An [`Outbox`](crate::revocation::outbox::Outbox) is for one fleet |
//! | pushes and a bound of 30 s, not deny-lists | 3 333 idle processes send 23 000 commands per second to their Redis. With 12 revocations per second, a deny-list adds 25 commands for each process and second (83 000 together), pushes add one |
//! | `OnUnavailable::ServeStale` of a few minutes, if that fits your risks | a failover of one Redis then costs no requests of known tokens |
//! | deny-lists only for the few processes that see most tokens once, such as a gateway | a cached answer saves nothing there |
//! | restart the processes of a region over at least ten minutes if they have deny-lists | 3 333 starts read 163 GB |
//!
//! Other processes then see a revocation after milliseconds usually, and after 30 s at the latest. In a failover the
//! bound is longer by about 1.5 s.
