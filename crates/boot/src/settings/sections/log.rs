use super::super::reader::Reader;
use tracing_subscriber::EnvFilter;

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// `log.*`
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// How a line looks.
    pub format: LogFormat,
    /// What is logged, in the words of `tracing`'s `EnvFilter`: `info`, `info,trunkline_worker=debug`.
    pub filter: String,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".to_owned() }
    }
}

impl LogSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let default = Self::default();
        let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
        let filters =
            "accepts a level (error, warn, info, debug, trace) or module=level pairs, comma-separated";
        Self {
            format: reader.choice("log.format", default.format, &formats),
            filter: reader.scalar("log.filter", default.filter, filters, |text| {
                let is_filter = !text.is_empty() && EnvFilter::try_new(text).is_ok();
                is_filter.then(|| text.to_owned())
            }),
        }
    }
}
