//! Opening a database: URLs, files and their permissions, settings of connections.

use std::{error::Error as _, time::Duration};

use super::{
    super::{OpenError, SqlStore, SqlStoreOptions},
    create, listed,
};

#[tokio::test]
async fn an_unknown_url_is_rejected_and_not_repeated() {
    for url in ["", "mysql://me:secret@host/db", "tokens.db", "secret"] {
        let error = SqlStore::open(url).await.unwrap_err();
        assert!(matches!(error, OpenError::UnknownDatabase), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}

#[tokio::test]
async fn an_unreachable_server_is_an_error_without_the_password() {
    for url in ["postgres://me:secret@127.0.0.1:1/db", "postgres://me:secret@127.0.0.1:secret/db"] {
        let options = SqlStoreOptions::new();
        let options = options.with_wait_timeout(Duration::from_millis(200));
        let error = options.open(url).await.unwrap_err();
        assert!(matches!(error, OpenError::Unavailable(_) | OpenError::Url), "{error:?}");
        let source = error.source().map(ToString::to_string);
        assert!(!format!("{error} {error:?} {source:?}").contains("secret"));
    }
}

#[tokio::test]
async fn only_the_owner_can_read_a_file_and_it_survives_the_store() {
    let directory = super::Directory::new();
    let url = directory.url("tokens.db");
    let store = SqlStore::open(&url).await.unwrap();
    create(&store, "kept").await;
    assert_only_the_owner_can_read(&directory);
    drop(store);
    let store = SqlStore::open(&url).await.unwrap();
    assert_eq!(listed(&store).await.len(), 1);
    for (pragma, expected) in [("PRAGMA synchronous", "2"), ("PRAGMA journal_mode", "wal")] {
        let rows = store.database.read(pragma, &[]).await.unwrap();
        let found = rows[0].text(0).or_else(|_| rows[0].int(0).map(|number| number.to_string()));
        assert_eq!(found.unwrap(), expected, "{pragma}");
    }
    for missing in ["sqlite:", "sqlite:///nowhere/at/all.db"] {
        SqlStore::open(missing).await.unwrap_err();
    }
}

#[tokio::test]
async fn only_the_owner_can_read_a_file_that_the_mode_creates() {
    for parameters in ["?mode=rwc", "?cache=private&%6Dode=rwc"] {
        let directory = super::Directory::new();
        let url = directory.url("mode=memory.db") + parameters;
        create(&SqlStore::open(&url).await.unwrap(), "kept").await;
        assert_only_the_owner_can_read(&directory);
        assert_eq!(listed(&SqlStore::open(&url).await.unwrap()).await.len(), 1);
    }
    for parameters in ["?mode=rw", "?mode=ro"] {
        let directory = super::Directory::new();
        SqlStore::open(&(directory.url("tokens.db") + parameters)).await.unwrap_err();
        assert_eq!(std::fs::read_dir(&directory.0).unwrap().count(), 0, "{parameters}");
    }
}

fn assert_only_the_owner_can_read(directory: &super::Directory) {
    #[cfg(unix)]
    for file in std::fs::read_dir(&directory.0).unwrap() {
        use std::os::unix::fs::PermissionsExt as _;
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{file:?}");
    }
    #[cfg(not(unix))]
    let _ = directory;
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn postgres_waits_for_the_log_whatever_the_default_is() {
    let server = super::server::Postgres::start();
    let url = server.database("waits").await;
    for (default, expected) in [
        ("off", "on"),
        ("local", "on"),
        ("remote_write", "on"),
        ("on", "on"),
        ("remote_apply", "remote_apply"),
    ] {
        let url = format!("{url}&options[synchronous_commit]={default}");
        let store = SqlStore::open(&url).await.unwrap();
        let rows = store.database.read("SHOW synchronous_commit", &[]).await.unwrap();
        assert_eq!(rows[0].text(0).unwrap(), expected, "{default}");
    }
}
