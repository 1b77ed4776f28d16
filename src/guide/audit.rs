//! The audit log of the issuer: which events there are, when they are recorded, and what is guaranteed.
//!
//! `tower-bearer-issuing` records who did what. Give the issuer a sink, for example its store:
//! `TokenIssuer::builder(..., store.clone(), accounts).with_audit(store.clone())`. `SqlStore` keeps the events in the
//! table `bearer_audit` for 180 days (`with_audit_retention`). With the feature `tracing`, each event is also logged at
//! level INFO and target `tower_bearer::audit`, with and without a sink.
//!
//! # Events
//!
//! Each event has the time, the issuer, the address of the client if the service knows it, and a `count` (usually 1). If
//! somebody else than the subject acted, `actor` says who: the subject of an operator, or the name that a tool gave. The
//! table lists the other fields. `subject` is `sub` of the account that the event is about.
//!
//! | kind | when | fields |
//! |---|---|---|
//! | `login_succeeded` | A session began. | `subject`, `session_id` |
//! | `login_failed` | Credentials were wrong, or the account is inactive or does not exist. It has a subject only if the account exists. | `subject` |
//! | `login_throttled` | There were too many attempts to log in. The password was not checked. | |
//! | `refreshed` | A refresh token was exchanged for new tokens. | `subject`, `session_id` |
//! | `refresh_reused` | A refresh token that was used before was presented again. The session was revoked. | `subject`, `session_id` |
//! | `refresh_throttled` | There were too many refreshes of one session at once. | `subject`, `session_id` |
//! | `logged_out` | A session was revoked by a log-out. Two tokens of different sessions give two events. | `subject`, `session_id` |
//! | `session_revoked` | A session was revoked by its owner with `DELETE sessions/{id}/`, or by an operator. | `subject`, `session_id` |
//! | `token_created` | A private token was created. | `subject`, `token_id`, `private_token_id` |
//! | `token_rotated` | A private token was replaced. `token_id` is that of the old token. | `subject`, `token_id`, `private_token_id`, `new_private_token_id` |
//! | `token_revoked` | A private token was revoked by its owner or an operator. | `subject`, `token_id`, `private_token_id` |
//! | `token_revoked_by_holder` | A token was revoked with `POST revoke/`. The client may be anyone who has the token. | `subject`, `session_id`, `token_id` |
//! | `all_revoked` | All tokens of a subject were revoked: by `POST revoke_all/`, by an operator, or by your service. | `subject` |
//! | `password_changed` | A password was changed by its owner, or set by an operator. | `subject` |
//! | `password_rejected` | The current password was wrong when a user wanted to change it. | `subject` |
//! | `account_added` | An account was added. | `subject` |
//! | `account_closed` | An account was closed. | `subject` |
//! | `account_reopened` | A closed account was opened again. | `subject` |
//! | `account_deleted` | An account was deleted, with its earlier events. It never has an address. A subject has one such event. | `subject` |
//! | `scopes_changed` | The scopes of an account were set. | `subject` |
//! | `operator_read` | An operator read the private tokens of a subject, or the audit log. Without a subject: the whole log. | `subject` |
//! | `operator_rejected` | A call of the operator API was rejected because of its request, for example with 400 or 404. It has read and changed nothing. The number is that in the path. | `private_token_id` |
//! | `key_added` | A signing key was added, also the first one. | `key` |
//! | `key_retired` | A key signs no more tokens. | `key` |
//! | `key_revoked` | All tokens that a key has signed were revoked. If it was retired as compromised, it signs no more tokens either. | `key` |
//! | `events_lost` | `count` events were lost: the queue was full, or the sink refused them. | |
//!
//! `session_id` is `sid` and `token_id` is `jti` of the token. If a leaked token is found, its claims lead to its events.
//! `key` is the thumbprint or the id of a key. No event contains a token, a password, or an e-mail address. A log-in with
//! an unknown user name leaves only the address, because people type passwords into the wrong field. So
//! `operator_rejected` does not repeat what the request named.
//!
//! Each call of the operator API is one event. A caller that was rejected (401, 403) is not an operator. A call that was
//! throttled or whose store failed (429, 503) was not decided. These are not events.
//!
//! Changes of a key directory are events of who makes them: give the command line an issuer with a sink
//! (`KeyDirectory::with_audit`), as `token_service keys` does. The replica that makes the first key, or takes it from a
//! file, records it when its issuer is built. Replicas record nothing when they begin or cease to use a key.
//!
//! # What is guaranteed
//!
//! 1. **An event is recorded after the store has acknowledged the action**, and before the client gets its answer. If
//!    the client hangs up, the event of a revocation is recorded nevertheless.
//! 2. **The sink neither delays nor fails a request.** Up to 10 000 events wait in memory. A background task writes
//!    them at once, and tries again while the sink fails. `audit_writer().health()` reports failures.
//! 3. **A regular end loses nothing.** Call `maintain` after the last request: it writes the events that wait. A
//!    command line calls `flush_audit`, which writes them and does nothing else.
//! 4. **A killed process loses the events that wait**: usually those of the last moments, and more while the sink fails.
//!    The actions themselves are not lost. If you cannot accept this, also collect the log of the process.
//!    `account_deleted` is not lost if the store is the sink: it is stored in the step that deletes the account.
//! 5. **A full queue loses events, and this is visible**: as a warning, in `tower_bearer_audit_events_total`, and as
//!    `events_lost` in the log itself. An event that the sink refuses because of its content is lost in the same
//!    visible way, and the writer continues with the next one.
//! 6. **An event can be written twice**, if the sink failed after it had written the event.
//!
//! # Floods
//!
//! Anyone can cause `login_failed`, `login_throttled` and `refresh_throttled`. Each process records 30 of each kind at
//! once, and then 12 in a minute. Clients with tokens can cause `refreshed` and `token_revoked_by_holder` often, and an
//! operator `operator_rejected`. Each process records 30 of each kind for a subject or an operator at once, and then
//! one in a minute. The rest is counted: each minute, `maintain` records one event of the kind with the `count` of
//! those left out, without subject and address. This applies to the log of the process, too. At the default retention,
//! a flood without end fills at most about 3 million rows for each of the three kinds and process.
//!
//! # Deleted accounts
//!
//! The events of an account are deleted with the account. Two things remain, for the usual retention:
//!
//! 1. `account_deleted`: the time, the issuer, the subject, and the actor if there is one. The subject is never given
//!    to another account. `MemoryTokenStore` and `SqlStore` store this event in the step that deletes the account, so
//!    both happen or neither does. They do so if the issuer has any sink. A sink of yours gets the event, too.
//! 2. What operators did: an event with an `actor` loses its subject, session and tokens, and stays. So an operator
//!    cannot hide an action by deleting the account.
//!
//! Other processes may still hold events of the account. The stores treat them in the same way when they come.
//!
//! # Reading
//!
//! `AuditLog::list` returns the newest events first, of one subject or of all. With `TokenApi::with_audit_log`,
//! operators read them with `GET admin/audit/?subject=`.
