//! The sections: for each setting its type, its default, its range and the reason for it.

mod clients;
mod database;
mod delivery;
mod doors;
mod egress;
mod ingest;
mod log;
mod telemetry;
mod trust;
mod worker;

pub use clients::ClientSettings;
pub use database::{DatabaseSettings, PartitionSettings, Pooler, RetentionSettings};
pub use delivery::{DeliverySettings, KeptHeaders};
pub use doors::{AdminSettings, ApiSettings, ReceiverControl, ReceiverSettings};
pub use egress::{EgressProxy, EgressSettings};
pub use ingest::IngestSettings;
pub use log::{LogFormat, LogSettings};
pub use telemetry::TelemetrySettings;
pub use trust::{OperatorSettings, SecretsSettings, Signup};
pub use worker::WorkerSettings;
pub(super) use worker::{DRAIN_MARGIN, LEASE_MARGIN};

use super::Settings;
use super::reader::Reader;
use std::time::Duration;

pub(super) fn read(reader: &mut Reader) -> Settings {
    let settings = Settings {
        database: DatabaseSettings::read(reader),
        api: ApiSettings::read(reader),
        receiver: ReceiverSettings::read(reader),
        admin: AdminSettings::read(reader),
        clients: ClientSettings::read(reader),
        operator: OperatorSettings::read(reader),
        secrets: SecretsSettings::read(reader),
        egress: EgressSettings::read(reader),
        delivery: DeliverySettings::read(reader),
        worker: WorkerSettings::read(reader),
        partitions: PartitionSettings::read(reader),
        retention: RetentionSettings::read(reader),
        ingest: IngestSettings::read(reader),
        signup: Signup::read(reader),
        log: LogSettings::read(reader),
        telemetry: TelemetrySettings::read(reader),
    };
    worker::refuse_short_margins(reader, &settings.worker, settings.delivery.timeout);
    settings
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

const fn hours(count: u64) -> Duration {
    Duration::from_secs(count * 3_600)
}

const fn days(count: u64) -> Duration {
    Duration::from_secs(count * 86_400)
}

const fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}
