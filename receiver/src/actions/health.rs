use actix_web::web;
use serde::Serialize;
use utoipa::ToSchema;

/// The process answers.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// Always `healthy`: who can say so is.
    #[schema(example = "healthy")]
    status: &'static str,
    /// Always `webhook-receiver`.
    #[schema(example = "webhook-receiver")]
    service: &'static str,
}

/// The process answers
///
/// Does not ask the database; `/readyz` on the admin port does.
#[utoipa::path(get, path = "/health", tag = "service", responses((status = 200, description = "It does.", body = Health)))]
pub(crate) async fn health() -> web::Json<Health> {
    web::Json(Health { status: "healthy", service: "webhook-receiver" })
}
