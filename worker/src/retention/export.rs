//! What is dropped, written down before: a folder a day, a file a table, a line a row. A file has its name once it is complete and
//! on disk, and is never written again: what is exported a second time gets a number.

use std::io;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use futures_util::TryStreamExt as _;
use tokio::fs::{self, File};
use tokio::io::{AsyncWriteExt as _, BufWriter};
use trunkline_domain::Lane;
use trunkline_store::Connection;
use trunkline_store::retention::{HistoryTable, rows};

use super::RetentionError;

/// Fails where nothing can be written, so that nothing is taken out of the history that cannot be exported.
pub(super) async fn check(folder: &Path) -> io::Result<()> {
    let probe = folder.join(format!(".probe.{}", std::process::id()));
    fs::write(&probe, b"\n").await?;
    fs::remove_file(&probe).await
}

/// Writes a detached partition to `<folder>/<YYYY-MM-DD>/<table>.ndjson`, or beside what is there.
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
    for lane in Lane::all() {
        let mut transaction = trunkline_store::begin(connection).await?;
        let mut rows = rows(&mut transaction, table, from_day, lane);
        while let Some(row) = rows.try_next().await? {
            file.write_all(row.as_bytes()).await?;
            file.write_all(b"\n").await?;
        }
    }
    file.flush().await?;
    file.get_ref().sync_all().await?;
    fs::rename(&unfinished, free_name(&of_day, table).await?).await?;
    // The names too: of the file in its folder, and of the folder in its own.
    File::open(&of_day).await?.sync_all().await?;
    File::open(folder).await?.sync_all().await?;
    Ok(())
}

/// `<table>.ndjson`, or the first of `<table>.2.ndjson` and so on that is not there. Nobody else writes meanwhile: there is one turn.
async fn free_name(folder: &Path, table: HistoryTable) -> io::Result<PathBuf> {
    let mut name = folder.join(format!("{}.ndjson", table.name()));
    let mut number = 1_u32;
    while fs::try_exists(&name).await? {
        number += 1;
        name = folder.join(format!("{}.{number}.ndjson", table.name()));
    }
    Ok(name)
}
