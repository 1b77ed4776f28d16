//! The store of an issuer: sessions, private tokens, accounts and known devices.

mod accounts;
pub(crate) mod audit;
mod cut_offs;
mod keys;
mod paging;
pub(crate) mod personal_data;
pub(crate) mod private_tokens;
pub(crate) mod session_list;
mod sessions;

use std::sync::Arc;

use self::{cut_offs::lock_of_owner, personal_data::Deletion};
use super::{
    SqlStore,
    database::{Database, Transaction},
    entries,
    statement::{Failure, Value},
};
use tower_bearer::{UnixTime, revocation::RevocationEntry};
use tower_bearer_issuing::{
    audit::AuditEvent,
    store::{
        Called, Caller, Insertion, ListQuery, NewPrivateToken, NewSession, Owner, PrivateRotation,
        PrivateToken, PrivateTokenPage, RefreshRotation, RefreshUse, RotatedPrivateToken,
        SessionPage, SessionQuery, Step, TokenStore, TokenUse,
    },
};

impl TokenStore for SqlStore {
    fn open_session<'a>(&'a self, new: &'a NewSession) -> Step<'a, Insertion<()>> {
        let lock = lock_of_owner(&new.first.owner);
        Box::pin(self.database.step_of_owner(lock, move |mut transaction| async move {
            let answer = sessions::open(&mut transaction, new).await?;
            Ok((transaction, answer))
        }))
    }

    fn use_refresh<'a>(&'a self, rotation: &'a RefreshRotation) -> Step<'a, RefreshUse> {
        Box::pin(sessions::use_refresh(&self.database, rotation))
    }

    fn create_private<'a>(
        &'a self,
        caller: &'a Caller,
        token: &'a NewPrivateToken,
    ) -> Step<'a, Called<Insertion<PrivateToken>>> {
        let lock = lock_of_owner(&token.owner);
        Box::pin(self.database.step_of_owner(lock, move |mut transaction| async move {
            let answer = private_tokens::create(&mut transaction, caller, token).await?;
            Ok((transaction, answer))
        }))
    }

    fn list_private<'a>(
        &'a self,
        caller: &'a Caller,
        query: &'a ListQuery,
        now: UnixTime,
    ) -> Step<'a, Called<Option<PrivateTokenPage>>> {
        Box::pin(async move { Ok(private_tokens::list(&self.database, caller, query, now).await?) })
    }

    fn find_private<'a>(
        &'a self,
        caller: &'a Caller,
        id: i64,
        now: UnixTime,
    ) -> Step<'a, Called<Option<PrivateToken>>> {
        Box::pin(async move { Ok(private_tokens::find(&self.database, caller, id, now).await?) })
    }

    fn list_private_of<'a>(
        &'a self,
        caller: &'a Caller,
        subject: &'a str,
        query: &'a ListQuery,
        now: UnixTime,
    ) -> Step<'a, Called<Option<PrivateTokenPage>>> {
        Box::pin(async move {
            let owner = Owner::new(Arc::clone(&caller.owner.issuer), subject);
            Ok(private_tokens::list_of(&self.database, caller, &owner, query, now).await?)
        })
    }

    fn rotate_private<'a>(
        &'a self,
        caller: &'a Caller,
        rotation: &'a RotatedPrivateToken,
    ) -> Step<'a, Called<PrivateRotation>> {
        let lock = lock_of_owner(&rotation.successor.owner);
        Box::pin(self.database.step_of_owner(lock, move |mut transaction| async move {
            let answer = private_tokens::rotate(&mut transaction, caller, rotation).await?;
            Ok((transaction, answer))
        }))
    }

    fn revoke_private<'a>(
        &'a self,
        caller: &'a Caller,
        id: i64,
        now: UnixTime,
    ) -> Step<'a, Called<Option<RevocationEntry>>> {
        Box::pin(self.database.revoking_step(move |mut transaction| async move {
            let answer = private_tokens::revoke(&mut transaction, caller, id, now).await?;
            Ok((transaction, answer))
        }))
    }

    fn revoke_private_of_any<'a>(
        &'a self,
        caller: &'a Caller,
        id: i64,
        now: UnixTime,
    ) -> Step<'a, Called<Option<(Arc<str>, RevocationEntry)>>> {
        Box::pin(self.database.revoking_step(move |mut transaction| async move {
            let answer = private_tokens::revoke_of_any(&mut transaction, caller, id, now).await?;
            Ok((transaction, answer))
        }))
    }

    fn list_sessions<'a>(
        &'a self,
        caller: &'a Caller,
        query: &'a SessionQuery,
        now: UnixTime,
    ) -> Step<'a, Called<Option<SessionPage>>> {
        Box::pin(session_list::list(&self.database, caller, query, now))
    }

    fn revoke_session<'a>(
        &'a self,
        caller: &'a Caller,
        id: i64,
        now: UnixTime,
        tokens_expire_by: UnixTime,
    ) -> Step<'a, Called<Option<RevocationEntry>>> {
        Box::pin(self.database.revoking_step(move |mut transaction| async move {
            let answer =
                session_list::revoke(&mut transaction, caller, id, now, tokens_expire_by).await?;
            Ok((transaction, answer))
        }))
    }

    fn revoke_owner<'a>(
        &'a self,
        owner: &'a Owner,
        now: UnixTime,
        tokens_expire_by: UnixTime,
    ) -> Step<'a, UnixTime> {
        Box::pin(self.database.revoking_step(move |mut transaction| async move {
            let entry =
                cut_offs::revoke_owner(&mut transaction, owner, now, tokens_expire_by).await?;
            Ok((transaction, entry.cut_off()))
        }))
    }

    fn delete_personal_data<'a>(
        &'a self,
        owner: &'a Owner,
        now: UnixTime,
        tokens_expire_by: UnixTime,
        event: Option<&'a AuditEvent>,
    ) -> Step<'a, UnixTime> {
        Box::pin(async move {
            // The revocation waits neither for other writes nor for the end of a long deletion.
            let revoked = self.database.revoking_step(move |mut transaction| async move {
                let entry =
                    cut_offs::revoke_owner(&mut transaction, owner, now, tokens_expire_by).await?;
                Ok((transaction, entry))
            });
            let deletion = Deletion { owner, now, tokens_expire_by, account: false, event };
            Ok(deletion.run(&self.database, revoked.await?).await?.cut_off())
        })
    }

    fn subject_of_session<'a>(
        &'a self,
        issuer: &'a str,
        session_id: &'a str,
    ) -> Step<'a, Option<Arc<str>>> {
        Box::pin(async move {
            Ok(sessions::subject_of_session(&self.database, issuer, session_id).await?)
        })
    }

    fn deny<'a>(&'a self, denials: &'a [RevocationEntry]) -> Step<'a, ()> {
        Box::pin(self.database.revoking_step(move |mut transaction| async move {
            entries::revoke(&mut transaction, denials).await?;
            Ok((transaction, ()))
        }))
    }

    fn sweep(&self, now: UnixTime, limit: usize) -> Step<'_, usize> {
        Box::pin(self.delete_obsolete(now, limit))
    }

    fn touch<'a>(&'a self, uses: &'a [TokenUse]) -> Step<'a, ()> {
        Box::pin(self.database.step(move |mut transaction| async move {
            private_tokens::touch(&mut transaction, uses).await?;
            Ok((transaction, ()))
        }))
    }

    fn shared_key<'a>(&'a self, name: &'a str, candidate: &'a [u8; 32]) -> Step<'a, [u8; 32]> {
        Box::pin(self.database.step(move |mut transaction| async move {
            let answer = shared_key(&mut transaction, name, candidate).await?;
            Ok((transaction, answer))
        }))
    }

    fn note_device<'a>(
        &'a self,
        device: &'a [u8; 32],
        account: &'a [u8; 32],
        keep_until: UnixTime,
    ) -> Step<'a, ()> {
        Box::pin(self.database.step(move |mut transaction| async move {
            note_device(&mut transaction, device, account, keep_until).await?;
            Ok((transaction, ()))
        }))
    }

    fn knows_device<'a>(&'a self, device: &'a [u8; 32], now: UnixTime) -> Step<'a, bool> {
        Box::pin(async move { Ok(knows_device(&self.database, device, now).await?) })
    }
}

/// Returns the key that is stored under `name`. If there was none, stores and returns `candidate`.
async fn shared_key(
    transaction: &mut Transaction,
    name: &str,
    candidate: &[u8; 32],
) -> Result<[u8; 32], Failure> {
    let values = vec![Value::text(name), Value::Bytes(candidate.into())];
    transaction.execute(INSERT_KEY, values).await?;
    // A process that inserts at the same time has committed by now, so this statement sees its row.
    let rows = transaction.fetch(FIND_KEY, vec![Value::text(name)]).await?;
    rows.first().ok_or(Failure::UnreadableRow)?.hash(0)
}

const INSERT_KEY: &str =
    "INSERT INTO bearer_secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
const FIND_KEY: &str = "SELECT value FROM bearer_secrets WHERE name = $1";

async fn note_device(
    transaction: &mut Transaction,
    device: &[u8; 32],
    account: &[u8; 32],
    keep_until: UnixTime,
) -> Result<(), Failure> {
    let values =
        vec![Value::Bytes(device.into()), Value::Bytes(account.into()), Value::time(keep_until)];
    transaction.execute(KEEP_DEVICE, values).await?;
    Ok(())
}

const KEEP_DEVICE: &str = "
    INSERT INTO bearer_known_devices (id, account, keep_until) VALUES ($1, $2, $3)
    ON CONFLICT (id) DO UPDATE SET
        account = excluded.account,
        keep_until = CASE WHEN excluded.keep_until > bearer_known_devices.keep_until
                          THEN excluded.keep_until ELSE bearer_known_devices.keep_until END";

async fn knows_device(
    database: &Database,
    device: &[u8; 32],
    now: UnixTime,
) -> Result<bool, Failure> {
    let values = [Value::Bytes(device.into()), Value::time(now)];
    Ok(!database.read(FIND_DEVICE, &values).await?.is_empty())
}

const FIND_DEVICE: &str =
    "SELECT keep_until FROM bearer_known_devices WHERE id = $1 AND keep_until >= $2";
