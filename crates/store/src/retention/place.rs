use trunkline_domain::TenantId;
use uuid::Uuid;

use crate::{Connection, StoreError, row};

/// How far erasing has come in a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Whose retention it is.
    pub tenant_id: TenantId,
    /// Of which type; `None` = of all.
    pub event_type: Option<String>,
    /// Events below it were seen to.
    pub next: Uuid,
    /// The first of those that was passed over because it is not at its end.
    pub open: Option<Uuid>,
}

/// How far whoever erased last has come, everywhere.
///
/// # Errors
/// When the database is not available.
pub async fn places(connection: &mut Connection) -> Result<Vec<Place>, StoreError> {
    let rows =
        sqlx::query!("SELECT tenant_id, type, next_event_id, open_event_id FROM trunkline.erasing_places")
            .fetch_all(connection)
            .await?;
    rows.into_iter()
        .map(|found| {
            Ok(Place {
                tenant_id: row::tenant_id("erasing_places", found.tenant_id)?,
                event_type: Some(found.r#type).filter(|event_type| !event_type.is_empty()),
                next: found.next_event_id,
                open: found.open_event_id,
            })
        })
        .collect()
}

/// Writes down how far erasing has come, and forgets what has no retention of its own any more.
///
/// # Errors
/// When the database is not available.
pub async fn note_places(connection: &mut Connection, places: &[Place]) -> Result<(), StoreError> {
    let tenants: Vec<&str> = places.iter().map(|place| place.tenant_id.as_str()).collect();
    let types: Vec<&str> = places.iter().map(|place| place.event_type.as_deref().unwrap_or("")).collect();
    let next: Vec<Uuid> = places.iter().map(|place| place.next).collect();
    let open: Vec<Option<Uuid>> = places.iter().map(|place| place.open).collect();
    sqlx::query!(
        r#"
        INSERT INTO trunkline.erasing_places (tenant_id, type, next_event_id, open_event_id)
        SELECT * FROM unnest($1::text[], $2::text[], $3::uuid[], $4::uuid[])
        ON CONFLICT (tenant_id, type) DO UPDATE
        SET next_event_id = excluded.next_event_id, open_event_id = excluded.open_event_id
        "#,
        &tenants as _,
        &types as _,
        &next,
        &open as _,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        r#"
        DELETE FROM trunkline.erasing_places AS p
        WHERE NOT EXISTS (
                  SELECT FROM trunkline.tenants AS t
                  WHERE t.tenant_id = p.tenant_id AND p.type = '' AND t.retention_days IS NOT NULL
              )
          AND NOT EXISTS (
                  SELECT FROM trunkline.event_types AS y
                  WHERE y.tenant_id = p.tenant_id AND y.type = p.type AND y.retention_days IS NOT NULL
              )
        "#
    )
    .execute(connection)
    .await?;
    Ok(())
}
