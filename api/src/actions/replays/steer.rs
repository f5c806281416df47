//! Pause, resume and cancel.

use actix_web::web;
use trunkline_store::StoreError;
use trunkline_store::api_keys::KeyOwner;
use trunkline_store::audit::Action;
use trunkline_store::replays::{self, ReplayState};

use super::{Replay, id};
use crate::audit::{Trail, What};
use crate::auth::Writer;
use crate::body::NoBody;
use crate::problem::{Problem, ProblemBody};
use crate::state::State;

/// Pause a replay
///
/// No more deliveries are made due until it is resumed.
#[utoipa::path(
    operation_id = "pauseReplay",
    post, path = "/v1/replays/{replay_id}/pause", tag = "replays", security(("key" = [])),
    params(("replay_id" = String, Path, description = "rpl_...")),
    responses(
        (status = 200, description = "Paused.", body = Replay),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write.", body = ProblemBody),
        (status = 404, description = "There is none, or it is another tenant's.", body = ProblemBody),
        (status = 409, description = "It is done or cancelled.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn pause(
    state: web::Data<State>,
    path: web::Path<String>,
    Writer(owner): Writer,
    trail: Trail,
    _body: NoBody,
) -> Result<web::Json<Replay>, Problem> {
    steer(&state, (&owner, &trail), &path, ReplayState::Paused, Action::PauseReplay).await
}

/// Resume a replay
///
/// It goes on where it was paused.
#[utoipa::path(
    operation_id = "resumeReplay",
    post, path = "/v1/replays/{replay_id}/resume", tag = "replays", security(("key" = [])),
    params(("replay_id" = String, Path, description = "rpl_...")),
    responses(
        (status = 200, description = "Running.", body = Replay),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write.", body = ProblemBody),
        (status = 404, description = "There is none, or it is another tenant's.", body = ProblemBody),
        (status = 409, description = "It is done or cancelled.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn resume(
    state: web::Data<State>,
    path: web::Path<String>,
    Writer(owner): Writer,
    trail: Trail,
    _body: NoBody,
) -> Result<web::Json<Replay>, Problem> {
    steer(&state, (&owner, &trail), &path, ReplayState::Running, Action::ResumeReplay).await
}

/// Cancel a replay
///
/// Deliveries that it made due already stay so.
#[utoipa::path(
    operation_id = "cancelReplay",
    delete, path = "/v1/replays/{replay_id}", tag = "replays", security(("key" = [])),
    params(("replay_id" = String, Path, description = "rpl_...")),
    responses(
        (status = 200, description = "Cancelled.", body = Replay),
        (status = 401, description = "No valid key.", body = ProblemBody),
        (status = 403, description = "The key lacks the scope write.", body = ProblemBody),
        (status = 404, description = "There is none, or it is another tenant's.", body = ProblemBody),
        (status = 409, description = "It is done or cancelled.", body = ProblemBody),
        (status = 503, description = "The database is away.", body = ProblemBody),
    )
)]
pub(crate) async fn cancel(
    state: web::Data<State>,
    path: web::Path<String>,
    Writer(owner): Writer,
    trail: Trail,
    _body: NoBody,
) -> Result<web::Json<Replay>, Problem> {
    steer(&state, (&owner, &trail), &path, ReplayState::Cancelled, Action::CancelReplay).await
}

async fn steer(
    state: &State,
    (owner, trail): (&KeyOwner, &Trail),
    path: &str,
    to: ReplayState,
    action: Action,
) -> Result<web::Json<Replay>, Problem> {
    let (replay_id, tenant, now) = (id(path)?, &owner.tenant_id, state.clock.now());
    let mut connection = state.for_tenant(&owner.tenant_id).await?;
    let is_steered = replays::steer(&mut connection, tenant, replay_id, to, now).await?;
    let replay = replays::find(&mut connection, tenant, replay_id).await?.ok_or_else(Problem::no_replay)?;
    if !is_steered {
        return Err(Problem::replay_is_over(replay.state));
    }
    let what = What { tenant_id: tenant, target: Some(replay_id.to_string()) };
    trail.record(&mut connection, action, what, now).await?;
    connection.commit().await.map_err(StoreError::from)?;
    Ok(web::Json(replay.into()))
}
