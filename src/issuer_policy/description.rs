//! What a policy expects, in words for operators, and the names that clients know the issuer by.

use std::{fmt, sync::Arc};

use super::{Issuer, issuer_name::AcceptedTenants};

impl Issuer {
    /// The names of all claims that must be present, or must have a value.
    pub(crate) fn names_of_required_claims(&self) -> Vec<Box<str>> {
        let with_value = self.required_values.iter().map(|(name, _)| name);
        self.required_claims.iter().chain(with_value).cloned().collect()
    }

    pub(crate) fn describe_types(&self) -> String {
        match &self.types {
            None => "absent, `JWT` or `at+jwt`".to_owned(),
            Some(types) => types.join(" or "),
        }
    }

    pub(crate) fn describe_audiences(&self) -> String {
        match &self.audiences {
            None => "any audience".to_owned(),
            Some(audiences) => audiences.join(" or "),
        }
    }

    pub(crate) fn describe_times(&self) -> String {
        let expiry = self.expiry_leeway.unwrap_or(self.leeway).as_secs();
        let mut text = format!(
            "`exp` in the future, with {expiry} s of leeway; `nbf` and `iat` in the past, with {} s",
            self.leeway.as_secs()
        );
        if let Some(age) = self.max_age {
            text += &format!("; `iat` at most {} s ago", age.as_secs());
        }
        if let Some(lifetime) = self.max_lifetime {
            text += &format!("; `exp` at most {} s after `iat`", lifetime.as_secs());
        }
        text
    }

    pub(crate) fn describe_tenants(&self) -> String {
        match self.tenants().map(|tenants| &tenants.accepted) {
            None => "this issuer has no tenants".to_owned(),
            Some(AcceptedTenants::Any) => "any tenant, equal in `iss` and `tid`".to_owned(),
            Some(AcceptedTenants::By(_)) => {
                "an accepted tenant, equal in `iss` and `tid`".to_owned()
            }
            Some(AcceptedTenants::Listed(tenants)) => tenants.join(" or "),
        }
    }

    /// `None` if the policy has no status lists.
    #[cfg_attr(
        not(feature = "jwks"),
        expect(clippy::unused_self, reason = "status lists come from the network")
    )]
    pub(crate) fn describe_status_lists(&self) -> Option<&'static str> {
        #[cfg(feature = "jwks")]
        if let Some(lists) = self.status_lists() {
            return Some(match lists.requires_status() {
                true => "`status` with a status list under a configured prefix",
                false => "no `status`, or one with a status list under a configured prefix",
            });
        }
        None
    }

    /// The names of the authorization servers for clients: the name of the issuer, or that of each listed tenant. Empty
    /// if the tenants are not listed.
    pub(crate) fn authorization_servers(&self) -> Vec<Arc<str>> {
        match self.tenants() {
            None => vec![Arc::clone(self.own_name())],
            Some(tenants) => tenants.listed_names(),
        }
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names every field, so that a new one cannot be left out.
        let Self {
            number: _,
            name,
            other_names,
            tenants,
            keys,
            audiences,
            audience_claim,
            types,
            leeway,
            expiry_leeway,
            required_claims,
            required_values,
            max_age,
            max_lifetime,
            token_id_claim,
            allow_unverified_cnf,
            allow_null_claims,
            has_integer_subject,
            #[cfg(feature = "jwks")]
            status_lists,
        } = self;
        let mut shown = f.debug_struct("Issuer");
        #[cfg(feature = "jwks")]
        shown.field("status_lists", status_lists);
        shown
            .field("name", name)
            .field("other_names", other_names)
            .field("tenants", tenants)
            .field("keys", keys)
            .field("audiences", audiences)
            .field("audience_claim", audience_claim)
            .field("types", types)
            .field("leeway", leeway)
            .field("expiry_leeway", expiry_leeway)
            .field("required_claims", required_claims)
            .field("required_values", required_values)
            .field("max_age", max_age)
            .field("max_lifetime", max_lifetime)
            .field("token_id_claim", token_id_claim)
            .field("allow_unverified_cnf", allow_unverified_cnf)
            .field("allow_null_claims", allow_null_claims)
            .field("has_integer_subject", has_integer_subject)
            .finish()
    }
}
