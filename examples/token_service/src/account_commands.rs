//! `account`: adds, lists and changes accounts. Running replicas see the revocations within their staleness bound.

use std::{
    env,
    io::{self, IsTerminal as _, Read as _},
};

use clap::Subcommand;
use tower_bearer_issuing::{
    AccountQuery, AccountStore as _, ListedAccount, MAX_PASSWORD, NewAccount, TokenIssuer,
    check_new_password, hash_password, normalize_email, scopes::ScopeSet,
};
use tower_bearer_sql::SqlStore;
use zeroize::Zeroizing;

use crate::{
    failure::{Outcome, WrongSettings},
    issuer,
    settings::Settings,
};

/// The variable with a password, for `add` and `password`.
const PASSWORD: &str = "ACCOUNT_PASSWORD";

const WITH_PASSWORD: &str = "The password is in ACCOUNT_PASSWORD, or on standard input:
  token_service account add ada@example.org <password.txt";

#[derive(Subcommand)]
pub(crate) enum AccountCommand {
    /// Adds an account
    #[command(after_help = WITH_PASSWORD)]
    Add {
        /// The e-mail address, with which its owner logs in
        email: String,
        /// A scope of the account. Repeat it for more
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// The id of its company
        #[arg(long)]
        company: Option<String>,
        /// The e-mail address was verified
        #[arg(long)]
        verified: bool,
    },
    /// Lists accounts: id, e-mail address, active or closed, scopes
    List {
        /// Only accounts whose e-mail address contains this text
        search: Option<String>,
    },
    /// Sets a password. Every session and private token of the account ends
    #[command(after_help = WITH_PASSWORD)]
    Password { email: String },
    /// Ends every session and private token, and lets nobody log in to the account
    Close { email: String },
    /// Lets the owner of a closed account log in again. Ended tokens stay ended
    Reopen { email: String },
    /// Sets the scopes. Tokens with a scope that the account loses end
    Scopes {
        email: String,
        /// All scopes that the account has from now on
        scopes: Vec<String>,
    },
    /// Deletes an account with its sessions and private tokens. They end at once
    Delete {
        email: String,
        /// Confirms that the account should be deleted
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) async fn run(command: AccountCommand, settings: &Settings) -> Outcome {
    let accounts = Accounts::open(settings).await?;
    let outcome = execute(command, &accounts).await;
    issuer::finish(&accounts.issuer, outcome).await
}

async fn execute(command: AccountCommand, accounts: &Accounts) -> Outcome {
    match command {
        AccountCommand::Add { email, scopes, company, verified } => {
            let password = read_password()?;
            check_new_password(&password, &email)?;
            let mut account = NewAccount::new(email.as_str(), hash_password(password.as_str())?);
            account.scopes = scope_set(&scopes)?;
            account.company_id = company.map(Into::into);
            account.is_verified = verified;
            let added = accounts.issuer.add_account(&account).await?;
            println!("added {email}, subject {}", added.subject);
        }
        AccountCommand::List { search } => accounts.list(search).await?,
        AccountCommand::Password { email } => {
            let (subject, password) = (accounts.subject(&email).await?, read_password()?);
            accounts.issuer.set_password(&subject, &password).await?;
            println!("set the password of {email}; its sessions and private tokens have ended");
        }
        AccountCommand::Close { email } => {
            accounts.issuer.close_account(&accounts.subject(&email).await?).await?;
            println!("closed {email}; its sessions and private tokens have ended");
        }
        AccountCommand::Reopen { email } => {
            accounts.issuer.reopen_account(&accounts.subject(&email).await?).await?;
            println!("reopened {email}");
        }
        AccountCommand::Scopes { email, scopes } => {
            let subject = accounts.subject(&email).await?;
            accounts.issuer.set_scopes(&subject, scope_set(&scopes)?).await?;
            println!("{email} has these scopes: {}", scopes.join(" "));
        }
        AccountCommand::Delete { yes: false, .. } => {
            let error = "the account and its private tokens cannot be restored: add --yes";
            return Err(WrongSettings(error.to_owned()).into());
        }
        AccountCommand::Delete { email, yes: true } => {
            accounts.issuer.delete_account(&accounts.subject(&email).await?).await?;
            println!("deleted {email}; its sessions and private tokens have ended");
        }
    }
    Ok(())
}

struct Accounts {
    issuer: TokenIssuer,
    store: SqlStore,
}

impl Accounts {
    async fn open(settings: &Settings) -> Outcome<Self> {
        let store = issuer::open_store(settings).await?;
        let issuer = issuer::for_commands(settings, &store, "token_service account")?;
        Ok(Self { issuer, store })
    }

    async fn subject(&self, email: &str) -> Outcome<String> {
        let found = self.store.find_by_email(&normalize_email(email)).await?;
        let found = found.ok_or_else(|| format!("there is no account with the address {email}"))?;
        Ok(found.account.subject.to_string())
    }

    async fn list(&self, search: Option<String>) -> Outcome {
        let mut query = AccountQuery::new();
        if let Some(text) = search {
            query = query.with_search(text);
        }
        loop {
            let page = self.issuer.list_accounts(&query).await?;
            for ListedAccount { account, is_active, .. } in &page.accounts {
                let state = if *is_active { "active" } else { "closed" };
                let scopes = account.scopes.iter().collect::<Vec<_>>().join(" ");
                println!("{}\t{}\t{state}\t{scopes}", account.subject, account.email);
            }
            let Some(next) = page.next else { return Ok(()) };
            query = query.with_after(next);
        }
    }
}

fn scope_set(scopes: &[String]) -> Outcome<ScopeSet> {
    let set = ScopeSet::new(scopes.iter().map(String::as_str));
    Ok(set.map_err(|error| WrongSettings(error.to_string()))?)
}

/// The password from the environment, or the first line of standard input.
fn read_password() -> Outcome<Zeroizing<String>> {
    if let Ok(password) = env::var(PASSWORD) {
        return Ok(password.into());
    }
    let input = io::stdin();
    if input.is_terminal() {
        let error = format!("no password: expected it in {PASSWORD}, or on standard input");
        return Err(WrongSettings(error).into());
    }
    let mut text = Zeroizing::new(String::new());
    let limit = u64::try_from(MAX_PASSWORD).unwrap_or(u64::MAX).saturating_add(2);
    input.lock().take(limit).read_to_string(&mut text)?;
    let line = text.split('\n').next().unwrap_or_default();
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned().into())
}
