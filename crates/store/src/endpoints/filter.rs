use crate::{Connection, StoreError};

/// Whether PostgreSQL takes a text for a predicate by which it can judge payloads. The inner error is the server's complaint, or
/// ours, for whoever wrote the text.
///
/// # Errors
/// When the database is not available.
pub async fn check_filter(connection: &mut Connection, text: &str) -> Result<Result<(), String>, StoreError> {
    let complaint =
        sqlx::query_scalar!("SELECT trunkline.filter_complaint($1)", text).fetch_one(connection).await?;
    Ok(complaint.map_or(Ok(()), Err))
}
