use sqlx::PgConnection;

use crate::StoreError;

/// Whether PostgreSQL takes a text for a predicate by which it can judge payloads. The inner error is the server's complaint, or
/// ours, for whoever wrote the text. Call it outside a transaction: a text that is none ends one.
///
/// # Errors
/// When the database is not available.
pub async fn check_filter(
    connection: &mut PgConnection,
    text: &str,
) -> Result<Result<(), String>, StoreError> {
    // Canonical, because keywords can be written with escapes too. It is asked of an empty object, so that what only an
    // evaluation finds, such as a variable, is found.
    let parsed = sqlx::query!(
        r#"
        SELECT $1::text::jsonpath::text AS "path!", jsonb_path_match('{}', $1::text::jsonpath, '{}', true) AS of_nothing
        "#,
        text,
    )
    .fetch_one(&mut *connection)
    .await;
    let canonical = match parsed.map_err(complaint) {
        Ok(found) => found.path,
        Err(refused) => return refused.map(Err),
    };
    if canonical.to_lowercase().contains("like_regex") {
        return Ok(Err("like_regex is not accepted".to_owned()));
    }
    is_predicate(connection, text).await
}

/// By the grammar, only a predicate can stand before `is unknown`; what yields values, such as `$.a`, cannot. The text by itself
/// is a path already, so that its parentheses cannot close ours.
async fn is_predicate(connection: &mut PgConnection, text: &str) -> Result<Result<(), String>, StoreError> {
    let parsed = sqlx::query_scalar!(
        r#"SELECT ('(' || regexp_replace($1, '^\s*(lax|strict)\M', '', 'i') || ') is unknown')::jsonpath::text AS "path!""#,
        text,
    )
    .fetch_one(connection)
    .await;
    match parsed.map_err(complaint) {
        Ok(_) => Ok(Ok(())),
        Err(Ok(_)) => {
            let hint = "it yields values, no yes or no: write a comparison such as $.total > 100, or exists($.items[*] ? (@.price > 100))";
            Ok(Err(hint.to_owned()))
        }
        Err(Err(error)) => Err(error),
    }
}

/// What the server says of a text: data exceptions (22), syntax (42), what is too complex for it (54), and what it does not
/// support (0A), such as comparing a time that has an offset with one that has none.
fn complaint(error: sqlx::Error) -> Result<String, StoreError> {
    if let sqlx::Error::Database(refused) = &error {
        let code = refused.code().unwrap_or_default().into_owned();
        if ["0A", "22", "42", "54"].iter().any(|class| code.starts_with(class)) {
            return Ok(refused.message().to_owned());
        }
    }
    Err(error.into())
}
