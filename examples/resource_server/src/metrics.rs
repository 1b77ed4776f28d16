//! Metrics for Prometheus.

use std::{error::Error, future::pending, io, net::SocketAddr, time::Duration};

use axum::{Router, http::header::CONTENT_TYPE, routing::get};
use http_server::Limits;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tower_bearer::telemetry::{self, Collector};

use crate::listen;

/// Metrics for Prometheus, on a separate address. Clients cannot reach it, so it needs no token.
pub(crate) struct Metrics {
    listener: TcpListener,
    recorder: PrometheusHandle,
}

impl Metrics {
    /// Installs the recorder. Call it before anything records.
    pub(crate) async fn at(address: &str) -> Result<Self, Box<dyn Error>> {
        let listener = listen("METRICS_ADDR", address).await?;
        let look_ups = Matcher::Full("tower_bearer_revocation_look_up_seconds".to_owned());
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(look_ups, &LOOK_UP_BUCKETS)?
            .install_recorder()?;
        telemetry::describe();
        Ok(Self { listener, recorder })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    pub(crate) async fn serve(self, collector: Collector) {
        // Histograms keep every value until a scrape or a call of this function.
        let upkeep = self.recorder.clone();
        tokio::spawn(async move {
            let mut every = tokio::time::interval(Duration::from_secs(5));
            loop {
                every.tick().await;
                upkeep.run_upkeep();
            }
        });
        let scrape = async move || {
            collector.collect();
            ([(CONTENT_TYPE, "text/plain; version=0.0.4")], self.recorder.render())
        };
        let app = Router::new().route("/metrics", get(scrape));
        http_server::serve(self.listener, app, Limits::default(), pending()).await;
    }
}

/// In seconds: from the time of a Redis on the same machine to the timeout.
const LOOK_UP_BUCKETS: [f64; 12] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0];
