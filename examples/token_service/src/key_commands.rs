//! `keys`: adds, lists and retires signing keys, while replicas run.

use std::path::Path;

use clap::Subcommand;
use tower_bearer::UnixTime;
use tower_bearer_issuing::{KeyDirectory, ListedKey};
use tower_bearer_sql::SqlStore;

use crate::{failure::Outcome, issuer, settings::Settings};

#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// Creates a key. Replicas publish it at once, and sign with it after KEY_PUBLICATION
    Add,
    /// Lists keys: thumbprint, what it does now, when it begins to sign, file
    List,
    /// Ends signing with a key. It verifies until its last token has expired
    Retire {
        /// The thumbprint, or the name of the file. It may begin with a hyphen
        #[arg(allow_hyphen_values = true)]
        key: String,
        /// Somebody else may have the key: all its tokens end
        #[arg(long)]
        compromised: bool,
    },
}

pub(crate) async fn run(command: KeyCommand, settings: &Settings) -> Outcome {
    let store = issuer::open_store(settings).await?;
    let issuer = issuer::for_commands(settings, &store, "token_service keys")?;
    let directory = issuer::key_directory(settings).with_audit(issuer.clone());
    let outcome = execute(command, &directory, &store).await;
    issuer::finish(&issuer, outcome).await
}

async fn execute(command: KeyCommand, directory: &KeyDirectory, store: &SqlStore) -> Outcome {
    match command {
        KeyCommand::Add => {
            let key = directory.add(store).await?;
            println!("added {}, signs from {}", key.thumbprint, time(key.signs_from));
        }
        KeyCommand::List => {
            for key in directory.list(store).await? {
                println!("{}", line(&key));
            }
        }
        KeyCommand::Retire { key, compromised: false } => {
            let retired = directory.retire(store, &key).await?;
            let until = time(retired.record.needed_until);
            println!("retired {}, verifies until {until}", retired.record.thumbprint);
        }
        KeyCommand::Retire { key, compromised: true } => {
            retire_compromised(directory, store, &key).await?;
        }
    }
    Ok(())
}

async fn retire_compromised(directory: &KeyDirectory, store: &SqlStore, key: &str) -> Outcome {
    let revoked = directory.retire_compromised(store, key).await?;
    println!("revoked {} and all its tokens", revoked.record.thumbprint);
    if let Some(next) = revoked.replacement {
        println!("{} signs from now on", next.thumbprint);
    }
    Ok(())
}

fn line(key: &ListedKey) -> String {
    let from = key.record.as_ref().map(|record| time(record.signs_from)).unwrap_or_default();
    let file = key.file.as_deref().map(Path::display).map(|path| path.to_string());
    let file = file.unwrap_or_else(|| "no file".to_owned());
    format!("{}\t{}\t{from}\t{file}", key.thumbprint, key.state)
}

fn time(time: UnixTime) -> String {
    let second = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(second).unwrap_or(jiff::Timestamp::MAX).to_string()
}
