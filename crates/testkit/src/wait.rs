use std::time::Duration;

/// How long [`eventually`] goes on: far beyond what any machine needs, since it ends as soon as the answer is there.
const PATIENCE: Duration = Duration::from_secs(90);

/// Asks again until there is an answer, and returns it. For state that only shows by looking, such as a row.
///
/// # Panics
/// When there is none for 90 seconds: `what` did not come about.
pub async fn eventually<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("in vain: {what}"))
}
