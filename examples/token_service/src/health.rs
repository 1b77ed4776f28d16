//! The parts of this replica, for `/readyz`.

use std::future::ready;

use tower_bearer::{BackgroundTask, health::HealthChecks};

use crate::{issuer::Replica, settings::Settings};

pub(crate) fn checks(
    replica: &Replica,
    maintenance: &BackgroundTask,
    settings: &Settings,
) -> HealthChecks {
    let store = replica.store.clone();
    let keys = replica.keys.clone();
    let mut checks = HealthChecks::new()
        .add_part("keys", move || {
            ready(keys.has_signing_key().then_some(()).ok_or("no_signing_key"))
        })
        .add_task(replica.keys.task())
        .add_task(&replica.changes)
        .add_task(maintenance)
        .add_task(replica.issuer.audit_writer())
        .add_shared_part("database", move || {
            let store = store.clone();
            async move { store.ping().await.map_err(|error| error.kind()) }
        });
    if let Some(sharing) = &replica.sharing {
        let redis = sharing.redis.clone();
        checks = checks.add_task(&sharing.relay).add_task(&sharing.pushes.task()).add_shared_part(
            "redis",
            move || {
                let redis = redis.clone();
                async move {
                    match redis.is_seeded().await {
                        Ok(true) => Ok(()),
                        Ok(false) => Err("not_seeded"),
                        Err(error) => Err(error.kind()),
                    }
                }
            },
        );
    }
    if settings.ready_needs_shared { checks.require_shared_parts() } else { checks }
}
