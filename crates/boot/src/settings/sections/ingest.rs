use super::super::reader::Reader;

/// `ingest.*`
#[derive(Debug, Clone)]
pub struct IngestSettings {
    /// The longest payload, in bytes, 1 KiB-1 MiB (what receivers are asked to take at most).
    pub max_payload_bytes: usize,
    /// Events per second that a tenant may publish for long; 0 = no limit.
    pub rate_per_tenant: u32,
    /// Events that a tenant may publish at once before the rate counts; 0 = no limit.
    pub burst_per_tenant: u32,
}

impl Default for IngestSettings {
    fn default() -> Self {
        Self { max_payload_bytes: 262_144, rate_per_tenant: 1_000, burst_per_tenant: 2_000 }
    }
}

const RATE_MAX: u32 = 1_000_000;

impl IngestSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let default = Self::default();
        let events = "a number of events (0 = no limit)";
        Self {
            max_payload_bytes: reader.number(
                "ingest.max_payload_bytes",
                default.max_payload_bytes,
                1_024..=1_048_576,
                "a number of bytes",
            ),
            rate_per_tenant: reader.number(
                "ingest.rate_per_tenant",
                default.rate_per_tenant,
                0..=RATE_MAX,
                events,
            ),
            burst_per_tenant: reader.number(
                "ingest.burst_per_tenant",
                default.burst_per_tenant,
                0..=RATE_MAX,
                events,
            ),
        }
    }
}
