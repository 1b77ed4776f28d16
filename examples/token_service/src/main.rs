//! A whole service that issues tokens (log-in, refresh, private tokens, revocation), with an endpoint that needs them.
//!
//! `cargo run -p token_service`, then the `curl` lines that it prints. `--help` lists the commands and settings.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

mod account_commands;
mod api_document;
mod check;
mod command_line;
mod demo;
mod failure;
mod health;
mod issuer;
mod key_commands;
mod log;
mod page;
mod peer;
mod service;
mod settings;
mod walkthrough;

use std::process::ExitCode;

use self::{
    command_line::{Command, CommandLine},
    failure::{Outcome, WrongSettings},
    settings::{Settings, values::Values},
};

#[tokio::main]
async fn main() -> ExitCode {
    let line = match CommandLine::read() {
        Ok(line) => line,
        Err(error) => {
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(2).into();
        }
    };
    match run(line).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&*error),
    }
}

async fn run(line: CommandLine) -> Outcome {
    let values = Values::read(line.config.as_deref()).map_err(WrongSettings)?;
    let settings = Settings::from_values(&values)?;
    let command = line.into_command();
    if !matches!(command, Command::Check) {
        log::start(&settings.log)?;
    }
    match command {
        Command::Serve => service::run(&settings).await,
        Command::Migrate => migrate(&settings).await,
        Command::Keys { command } => key_commands::run(command, &settings).await,
        Command::Account { command } => account_commands::run(command, &settings).await,
        Command::Check => {
            check::print(&values, &settings);
            Ok(())
        }
    }
}

async fn migrate(settings: &Settings) -> Outcome {
    let migration = settings.database.migrate(&settings.database_url).await?;
    match migration.from == migration.to {
        true => println!("the tables have version {}, nothing to do", migration.to),
        false => {
            println!("migrated the tables from version {} to {}", migration.from, migration.to)
        }
    }
    Ok(())
}
