use actix_web::web;
use trunkline_store::replays;

use super::{Replay, id};
use crate::auth::Reader;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

/// Show a replay
#[utoipa::path(
    operation_id = "showReplay",
    get, path = "/v1/replays/{replay_id}", tag = "replays", security(("key" = [])),
    params(("replay_id" = String, Path, description = "rpl_...")),
    responses(
        (status = 200, description = "The replay and its progress.", body = Replay),
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
) -> Result<web::Json<Replay>, Problem> {
    let replay_id = id(&path)?;
    let mut connection = state.for_tenant(&owner.tenant_id).await?;
    let found = replays::find(&mut connection, &owner.tenant_id, replay_id).await?;
    Ok(web::Json(found.ok_or_else(Problem::no_replay)?.into()))
}
