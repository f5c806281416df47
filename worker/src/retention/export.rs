//! What is dropped, written down before: a folder a day, a file a table, a line a row. A file has its name once it is complete and
//! on disk.

use std::io;
use std::path::Path;

use chrono::NaiveDate;
use futures_util::TryStreamExt as _;
use tokio::fs::{self, File};
use tokio::io::{AsyncWriteExt as _, BufWriter};
use trunkline_store::Connection;
use trunkline_store::retention::{HistoryTable, rows};

use super::RetentionError;

/// Writes a detached partition to `<folder>/<YYYY-MM-DD>/<table>.ndjson`.
pub(super) async fn write(
    connection: &mut Connection,
    folder: &Path,
    table: HistoryTable,
    from_day: NaiveDate,
) -> Result<(), RetentionError> {
    // The folder itself is not made: where a disk is not mounted, its place must not be filled.
    let of_day = folder.join(from_day.to_string());
    match fs::create_dir(&of_day).await {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    let name = format!("{}.ndjson", table.name());
    let unfinished = of_day.join(format!(".{name}.{}", std::process::id()));
    let mut file = BufWriter::new(File::create(&unfinished).await?);
    {
        let mut transaction = trunkline_store::begin(connection).await?;
        let mut rows = rows(&mut transaction, table, from_day);
        while let Some(row) = rows.try_next().await? {
            file.write_all(row.as_bytes()).await?;
            file.write_all(b"\n").await?;
        }
    }
    file.flush().await?;
    file.get_ref().sync_all().await?;
    fs::rename(&unfinished, of_day.join(name)).await?;
    // The names too: of the file in its folder, and of the folder in its own.
    File::open(&of_day).await?.sync_all().await?;
    File::open(folder).await?.sync_all().await?;
    Ok(())
}
