//! `trunkline retention`: how much history there is, and what will go when.

use std::time::Duration;

use chrono::NaiveDate;
use clap::Args;
use serde_json::json;
use trunkline_boot::settings::RetentionSettings;
use trunkline_domain::TenantId;
use trunkline_store::retention::{self, COUNT_MAX, DayReport, Scope};
use trunkline_store::{Purpose, audit};

use crate::operator::{OperatorOptions, block_on, connect, record};
use crate::output::{Output, table};

#[derive(Debug, Args)]
#[command(
    after_help = "Dates are UTC. A day whose deliveries have not all come to their end is kept until they have, for 30 days at most."
)]
pub(crate) struct Options {
    /// Do now what is due, as workers do once a minute; for where their login does not own the tables
    #[arg(long)]
    apply: bool,
    #[command(flatten)]
    operator: OperatorOptions,
}

/// When one day goes.
struct Going {
    day: DayReport,
    payloads: NaiveDate,
    rest: NaiveDate,
}

impl Going {
    fn of(day: DayReport, settings: &RetentionSettings) -> Self {
        let goes = |retention| after(day.until_day, retention).max(day.kept_until.unwrap_or(NaiveDate::MIN));
        Self { payloads: goes(settings.payloads), rest: goes(settings.events), day }
    }
}

/// A partition ends with the day before `until`, and goes at the end of the day on which the last of it is old enough.
fn after(until: NaiveDate, retention: Duration) -> NaiveDate {
    let days = retention.as_secs().div_ceil(86_400);
    until.checked_add_days(chrono::Days::new(days)).unwrap_or(NaiveDate::MAX)
}

pub(crate) fn run(options: &Options, output: &Output) -> anyhow::Result<()> {
    let settings = options.operator.settings(*output)?;
    block_on(async {
        let mut connection = connect(&settings, Purpose::Search).await?;
        if options.apply {
            // Before, since it takes many transactions and may be stopped in the middle.
            record(&mut connection, audit::Action::ApplyRetention, None::<&TenantId>, None).await?;
            trunkline_worker::end_history(&settings).await?;
        }
        let days = retention::report(&mut connection).await?;
        let going: Vec<Going> = days.into_iter().map(|day| Going::of(day, &settings.retention)).collect();
        let mut scopes = Vec::new();
        for scope in retention::scopes(&mut connection, None, retention::SCOPES_MAX).await? {
            let hidden = retention::hidden(&mut connection, &scope).await?;
            scopes.push((scope, hidden));
        }
        let value = json!({
            "retention": {
                "events_days": settings.retention.events.as_secs() / 86_400,
                "payloads_days": settings.retention.payloads.as_secs() / 86_400,
                "export": settings.retention.export,
            },
            "days": going.iter().map(|one| json!({
                "from_day": one.day.from_day,
                "until_day": one.day.until_day,
                "kept_until": one.day.kept_until,
                "payload_bytes": one.day.payload_bytes,
                "metadata_bytes": one.day.metadata_bytes,
                "open_deliveries": one.day.open_deliveries,
                "payloads_go": (!one.day.payloads_gone).then_some(one.payloads),
                "rest_goes": one.rest,
            })).collect::<Vec<_>>(),
            "shorter": scopes.iter().map(|(scope, hidden)| json!({
                "tenant_id": scope.tenant_id,
                "type": scope.event_type,
                "days": scope.days,
                "hidden_events": hidden,
            })).collect::<Vec<_>>(),
        });
        output.result(&value, || describe(&settings.retention, &going, &scopes))
    })
}

fn describe(settings: &RetentionSettings, going: &[Going], scopes: &[(Scope, i64)]) -> String {
    let days = |kept: Duration| kept.as_secs() / 86_400;
    let export = settings.export.as_ref().map_or_else(
        || "nothing is exported before".to_owned(),
        |folder| format!("exported to {} before", folder.display()),
    );
    let mut text = format!(
        "payloads are kept for {} days, the rest for {}; {export}\n\n",
        days(settings.payloads),
        days(settings.events)
    );
    let rows: Vec<[String; 7]> = going
        .iter()
        .map(|one| {
            let day = &one.day;
            [
                day.from_day.to_string(),
                if day.payloads_gone { "gone".to_owned() } else { size(day.payload_bytes) },
                if day.payloads_gone { "-".to_owned() } else { one.payloads.to_string() },
                size(day.metadata_bytes),
                one.rest.to_string(),
                count(day.open_deliveries),
                day.kept_until.map_or_else(|| "-".to_owned(), |until| format!("until {until}")),
            ]
        })
        .collect();
    let columns = ["DAY", "PAYLOADS", "GO", "THE REST", "GOES", "OPEN DELIVERIES", "BROUGHT BACK"];
    text.push_str(&table(columns, &rows));
    if !scopes.is_empty() {
        let rows: Vec<[String; 4]> = scopes
            .iter()
            .map(|(scope, hidden)| {
                [
                    scope.tenant_id.to_string(),
                    scope.event_type.clone().unwrap_or_else(|| "all".to_owned()),
                    scope.days.to_string(),
                    count(*hidden),
                ]
            })
            .collect();
        text.push_str("\n\nkept for a shorter time\n");
        text.push_str(&table(["TENANT", "TYPE", "DAYS", "HIDDEN, NOT ERASED YET"], &rows));
    }
    text
}

fn count(count: i64) -> String {
    if count >= COUNT_MAX { format!("at least {COUNT_MAX}") } else { count.to_string() }
}

fn size(bytes: i64) -> String {
    const UNITS: [(i64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    UNITS
        .iter()
        .find(|(unit, _)| bytes >= *unit)
        .map_or_else(|| format!("{bytes} B"), |(unit, name)| format!("{} {name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_that_was_brought_back_goes_no_earlier_than_it_was_asked_for() {
        let date = |month, day| NaiveDate::from_ymd_opt(2026, month, day).unwrap();
        let settings = RetentionSettings {
            events: Duration::from_secs(90 * 86_400),
            payloads: Duration::from_secs(30 * 86_400),
            export: None,
        };
        let mut day = DayReport {
            from_day: date(1, 31),
            until_day: date(2, 1),
            kept_until: None,
            payloads_gone: false,
            payload_bytes: 0,
            metadata_bytes: 0,
            open_deliveries: 0,
        };
        let going = Going::of(day.clone(), &settings);
        assert_eq!((going.payloads, going.rest), (date(3, 3), date(5, 2)));
        day.kept_until = Some(date(4, 1));
        let going = Going::of(day, &settings);
        assert_eq!((going.payloads, going.rest), (date(4, 1), date(5, 2)));
        let shown = describe(&settings, &[going], &[]);
        assert!(shown.contains("until 2026-04-01"), "{shown}");
    }
}
