//! An MCP server (Model Context Protocol) whose clients need a token: streamable HTTP with `rmcp` on axum.
//!
//! `ISSUER=https://issuer.example cargo run -p mcp_server`, then give `http://127.0.0.1:3000/mcp` to an MCP client. The
//! client finds the authorization server by itself. `--help` lists the settings.
//!
//! 1. Every request needs a token of the issuer. Its audience must be the URL of this server, and it must be in the
//!    header `Authorization`.
//! 2. A rejection names the metadata document of this server and the required scopes. A client then knows where to log
//!    in, and which scopes to request.
//! 3. A tool can require more scopes than the others: see [`tool_scopes`].
//! 4. There are no MCP sessions. Every request needs the token, and a session id cannot replace it.
//! 5. Requests with an `Origin` that is not in `ORIGINS`, or with another `Host` than that of `RESOURCE`, get 403. This
//!    prevents DNS rebinding (MCP, Streamable HTTP, section "Security & Endpoint").

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

mod app;
#[cfg(test)]
mod tests;
mod tool_scopes;
mod tools;

use std::{env, error::Error, net::SocketAddr, process::ExitCode};

use http_server::Limits;
use tokio::net::TcpListener;
use tower_bearer::{Authenticator, Issuer, ProtectedResource};

const HELP: &str = "\
mcp_server: an MCP server that only opens for a valid Bearer JWT

  whoami        the user and the scopes of the token
  list_orders   the orders of the user
  cancel_order  for tokens with the scope `orders:write`; all others need `orders:read`

Settings, from the environment:
  ISSUER    URL of the authorization server, without /.well-known/...; required
  RESOURCE  the URL of this server, as clients write it, and the `aud` of their tokens [http://ADDR/mcp]
  ADDR      where to listen [127.0.0.1:3000]
  ORIGINS   origins of web pages that may call this server, separated by commas, such as
            http://localhost:6274 [none: browsers get 403]";

#[tokio::main]
async fn main() -> ExitCode {
    if env::args().skip(1).any(|argument| argument == "--help" || argument == "-h") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  because: {error}");
                cause = error.source();
            }
            eprintln!("--help lists the settings");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let issuer = setting("ISSUER").ok_or("ISSUER is not set")?;
    let address = setting("ADDR").unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let listener = listen(&address).await?;
    let address = listener.local_addr()?;
    let resource = setting("RESOURCE").unwrap_or_else(|| format!("http://{address}/mcp"));
    let origins = setting("ORIGINS").unwrap_or_default();
    let origins = origins.split(',').map(str::trim).filter(|origin| !origin.is_empty());

    let resource =
        ProtectedResource::new(&resource)?.with_scopes(tools::BASIC_SCOPES)?.with_name("Orders");
    // MCP requires that a token is for this server: its audience is the resource (RFC 8707).
    let issuer = Issuer::discover(&issuer)?.audience(resource.identifier());
    let keys = issuer.remote_keys().cloned();
    let authenticator = Authenticator::builder().issuer(issuer).build()?;
    let url = resource.identifier().to_owned();
    let app = app::app(authenticator, resource, origins)?;

    let stop = http_server::stop_signal()?;
    println!("listening on http://{address}");
    println!("the MCP server is {url}");
    http_server::serve(listener, app, Limits::default(), stop).await;
    if let Some(keys) = keys {
        keys.task().shutdown().await;
    }
    Ok(())
}

async fn listen(address: &str) -> Result<TcpListener, Box<dyn Error>> {
    let address: SocketAddr = address
        .parse()
        .map_err(|_| "ADDR: expected an address and port, such as 127.0.0.1:3000")?;
    let listener = TcpListener::bind(address).await;
    Ok(listener.map_err(|error| format!("cannot listen on {address}: {error}"))?)
}

/// A setting that is present and not empty.
fn setting(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
