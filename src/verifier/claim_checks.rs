//! The checks of claims that depend on the policy of the issuer only.

use std::sync::Arc;

#[cfg(feature = "jwks")]
use crate::status_list::StatusEntry;
use crate::{
    Issuer, RejectionKind, UnixTime,
    authenticated::RevocationId,
    claims::{ClaimsSet, Registered, Spans, Times},
    json::{Span, Value},
    jws::{self, Key},
};

/// The issuer name of the token. For a multi-tenant issuer it is `iss`. Then the tenant in `iss` must be equal to `tid`
/// and accepted, and the key must sign for that tenant.
pub(super) fn check_name(
    issuer: &Issuer,
    key: &Key,
    claims: &ClaimsSet<'_>,
) -> Result<Arc<str>, RejectionKind> {
    let Some(tenants) = issuer.tenants() else { return Ok(Arc::clone(issuer.own_name())) };
    let iss = claims.string(Registered::Iss)?.ok_or(RejectionKind::MissingClaim)?.resolve();
    if !issuer.may_sign(key, &iss) {
        return Err(RejectionKind::BadSignature);
    }
    let tid = claims.members().get("tid").ok_or(RejectionKind::MissingClaim)?;
    let tid = tid.as_text().ok_or(RejectionKind::InvalidClaim)?;
    let is_named = tenants.tenant_of(&iss).is_some_and(|tenant| tid.is(tenant));
    if !is_named || !tenants.accept(&iss) {
        return Err(RejectionKind::UnknownIssuer);
    }
    Ok(iss.into())
}

pub(super) fn check_times(
    issuer: &Issuer,
    claims: &ClaimsSet<'_>,
    now: UnixTime,
) -> Result<Times, RejectionKind> {
    let times = Times {
        expires_at: claims.numeric_date(Registered::Exp)?.ok_or(RejectionKind::MissingClaim)?,
        not_before: claims.numeric_date(Registered::Nbf)?,
        issued_at: claims.numeric_date(Registered::Iat)?,
    };
    issuer.check_times(now, times)?;
    Ok(times)
}

pub(super) fn registered_strings(
    issuer: &Issuer,
    claims: &mut ClaimsSet<'_>,
) -> Result<Spans, RejectionKind> {
    let subject = match issuer.has_integer_subject() {
        true => claims.span_of_integer(Registered::Sub)?,
        false => claims.span(Registered::Sub)?,
    };
    let spans = Spans {
        subject,
        token_id: claims.span(Registered::Jti)?,
        session_id: claims.span(Registered::Sid)?,
        audience: claims.audience(issuer.audience_claim())?,
        scopes: claims.scopes()?,
    };
    let mut audience = spans.audience.iter().map(|span| claims.at(*span));
    if issuer.accepts_audience(&mut audience) {
        return Ok(spans);
    }
    if !spans.audience.is_empty() {
        return Err(RejectionKind::WrongAudience);
    }
    let is_absent = !claims.has_audience(issuer.audience_claim());
    Err(if is_absent { RejectionKind::MissingClaim } else { RejectionKind::InvalidClaim })
}

pub(super) fn check_required(issuer: &Issuer, claims: &ClaimsSet<'_>) -> Result<(), RejectionKind> {
    for name in issuer.required_claims() {
        if matches!(claims.members().get(name), None | Some(Value::Null)) {
            return Err(RejectionKind::MissingClaim);
        }
    }
    for (name, value) in issuer.required_values() {
        let claim = claims.members().get(name).ok_or(RejectionKind::MissingClaim)?;
        if !claim.as_text().is_some_and(|text| text.is(value)) {
            return Err(RejectionKind::WrongTokenUse);
        }
    }
    // Some issuers sign refresh tokens and access tokens with one key. A refresh token is not an access token.
    let token_type = claims.get(Registered::TokenType).and_then(Value::as_text);
    if token_type.is_some_and(|token_type| token_type.is("refresh")) {
        return Err(RejectionKind::WrongTokenUse);
    }
    // The same keys often sign log-out tokens (OpenID Connect Back-Channel Logout 1.0 section 2.4) and security events
    // (RFC 8417 section 2.2). Their `typ` may be absent, and `events` is mandatory in both.
    if claims.members().get("events").is_some() {
        return Err(RejectionKind::WrongTokenUse);
    }
    Ok(())
}

/// The id of the token for revocation. It is never the signature: an ECDSA signature can be changed into another one
/// that verifies.
pub(super) fn revocation_id(
    issuer: &Issuer,
    claims: &mut ClaimsSet<'_>,
    jti: Option<Span>,
    signing_input: &[u8],
) -> Result<RevocationId, RejectionKind> {
    if let Some(name) = issuer.chosen_token_id_claim() {
        return claims
            .span_of_name(name)?
            .map(RevocationId::Claim)
            .ok_or(RejectionKind::MissingClaim);
    }
    Ok(match jti {
        Some(span) => RevocationId::Claim(span),
        None => RevocationId::Hash(jws::sha256_hex(signing_input).into()),
    })
}

/// The entry of the token in a status list, if the policy has status lists.
#[cfg(feature = "jwks")]
pub(super) fn status_entry(
    issuer: &Issuer,
    claims: &ClaimsSet<'_>,
) -> Result<Option<StatusEntry>, RejectionKind> {
    let Some(lists) = issuer.status_lists() else { return Ok(None) };
    StatusEntry::read(lists, claims.get(Registered::Status))
}
