//! The commands and their arguments. Passwords are never arguments, because other users of the machine can read those.

use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches as _, Parser, Subcommand};

use crate::{
    account_commands::AccountCommand, failure::EXIT_CODES, key_commands::KeyCommand,
    settings::table,
};

/// Issues tokens: log-in, refresh, private tokens, revocation
#[derive(Parser)]
#[command(name = "token_service", version, propagate_version = true)]
pub(crate) struct CommandLine {
    /// A TOML file with settings. The environment takes precedence
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Answers requests until SIGTERM or ctrl-c. This is the default
    Serve,
    /// Creates or migrates the tables of the database, without a statement timeout. Nothing else
    Migrate,
    /// Adds, lists and retires signing keys
    Keys {
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Adds, lists and changes accounts
    Account {
        #[command(subcommand)]
        command: AccountCommand,
    },
    /// Prints the settings without secrets, and warnings about insecure ones
    Check,
}

const ROUTES: &str = "\
The service answers these:
  /api/v1/auth/...        the token API
  /api/v1/me              the claims of the token that it is called with
  /.well-known/jwks.json  the public keys
  /.well-known/oauth-authorization-server  what the issuer offers, if ISSUER is an https URL
  /openapi.json, /        the document of the API, as JSON and as a page
  /healthz, /readyz       whether the process answers, and which of its parts work";

impl CommandLine {
    /// Reads the arguments. The error is also the answer to `--help` and `--version`.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        let list = format!("{ROUTES}\n\n{}\n\n{EXIT_CODES}", table::help());
        let of_serve = list.clone();
        let command = <Self as CommandFactory>::command()
            .after_help(list)
            .mut_subcommand("serve", |serve| serve.after_help(of_serve));
        Self::from_arg_matches(&command.try_get_matches()?)
    }

    pub(crate) fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Serve)
    }
}
