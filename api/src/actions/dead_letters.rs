//! Deliveries that used up their budget.

pub(crate) mod list;
pub(crate) mod settle;

use trunkline_domain::{EndpointId, EventType};

use crate::problem::Problem;

/// How many dead letters one request looks at; what is found beyond a page comes with the next token.
const CANDIDATES_MAX: usize = 1_000;

/// The values that filters of this list take, as texts of a query or a body.
struct Texts<'a> {
    endpoint_id: Option<&'a str>,
    event_type: Option<&'a str>,
    after: Option<&'a str>,
    before: Option<&'a str>,
}

fn filter(texts: &Texts<'_>) -> Result<trunkline_store::deliveries::DeadLetterFilter, Problem> {
    use crate::query::{time, value};

    Ok(trunkline_store::deliveries::DeadLetterFilter {
        endpoint_id: value::<EndpointId>("endpoint_id", texts.endpoint_id, "an endpoint's id, ep_...")?,
        event_type: value::<EventType>("type", texts.event_type, "1 to 128 visible ASCII characters")?,
        after: time("after", texts.after)?,
        before: time("before", texts.before)?,
    })
}
