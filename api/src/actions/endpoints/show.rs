use actix_web::web;

use super::{OneEndpoint, id, shown};
use crate::auth::Reader;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

/// Show an endpoint
///
/// Its secret and the values of its custom headers are not shown.
#[utoipa::path(
    operation_id = "showEndpoint",
    get, path = "/v1/endpoints/{endpoint_id}", tag = "endpoints", security(("key" = [])),
    params(("endpoint_id" = String, Path, description = "ep_...")),
    responses(
        (status = 200, description = "The endpoint.", body = OneEndpoint),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope read.", body = ProblemBody),
        (status = 404, description = "There is none, or it is another tenant's.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    state: web::Data<State>,
    path: web::Path<String>,
    Reader(owner): Reader,
) -> Result<web::Json<OneEndpoint>, Problem> {
    let endpoint_id = id(&path)?;
    let mut connection = state.for_tenant(&owner.tenant_id).await?;
    let endpoint = shown(&mut connection, &owner.tenant_id, endpoint_id).await?;
    Ok(web::Json(OneEndpoint::new(endpoint)))
}
