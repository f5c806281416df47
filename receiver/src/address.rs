//! Whom a path addresses, parsed at the edge.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use trunkline_domain::TenantId;

use crate::problem::Problem;

/// The longest name after `/webhook/`, in characters.
const NAME_CHARS_MAX: usize = 100;

/// The tenant of a path, and what follows `/webhook/` in it.
pub(crate) struct Address {
    pub(crate) tenant_id: TenantId,
    /// 1-100 characters of `A-Za-z0-9._-`; empty for `/webhook` itself.
    pub(crate) name: String,
}

impl FromRequest for Address {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let part = |name| request.match_info().get(name).unwrap_or_default().to_owned();
        ready(parse(part("tenant_id"), part("name")))
    }
}

/// Text that cannot be a tenant's name names none: 404 like any other that does not exist.
fn parse(tenant_id: String, name: String) -> Result<Address, Problem> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.len() > NAME_CHARS_MAX || !name.bytes().all(allowed) {
        return Err(Problem::no_route());
    }
    let tenant_id = TenantId::try_from(tenant_id).map_err(|_| Problem::unknown_tenant())?;
    Ok(Address { tenant_id, name })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn only_plain_names_are_paths() {
        for good in ["", "orders", "Orders_2.v-1", &"a".repeat(100)] {
            assert!(parse("acme".into(), good.into()).is_ok(), "{good:?}");
        }
        for bad in ["a b", "a\0", "%2F", "é", "a/b", &"a".repeat(101)] {
            assert!(parse("acme".into(), bad.into()).is_err(), "{bad:?}");
        }
    }
}
